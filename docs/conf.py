"""Settings of the rendered book. Build it: `python -m sphinx -W docs docs/_build/html` (extra `[docs]`)."""

import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
# The kernels that execute the cells inherit this: figures readable on white and on black.
os.environ["MATPLOTLIBRC"] = str(HERE / "matplotlibrc")
os.environ["PYTHONPATH"] = os.pathsep.join(map(str, (HERE.parent, HERE.parent / "examples", HERE)))

from scratch import __version__  # noqa: E402

project, author, release = "scratch", "The scratch authors", __version__
copyright = author
extensions = [
    "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_design", "sphinx_copybutton",
    "sphinxcontrib.bibtex", "sphinx-mathjax-offline", "exercise",
]
exclude_patterns = ["_build", "answers", "pictures"]

# Pages. Cells are executed at every build; one that raises fails the build.
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

# Looks
html_theme = "furo"
html_title = "scratch"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style, pygments_dark_style = "friendly", "monokai"
copybutton_prompt_text = "$ "

# API reference
default_role = "code"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
SECTION = re.compile(r"(Shapes|Parameters|Source|Differs|Raises|Units): ")


def as_rst(app, what, name, obj, options, lines):
    """Our docstrings are plain text: mark up indented blocks, tables, and the sections `Shapes:` to `Raises:`."""
    text, before = [], ""
    for line in lines:
        block = line.startswith(("    ", "|"))
        if block and not before.strip():  # an equation, code or a table: shown as it stands
            text += ["::", ""]
        elif block and not before.startswith(("    ", "|")):  # a section continues
            line = line.strip()
        elif SECTION.match(line):
            text += [""]
        text.append(SECTION.sub(r"**\1:** ", "    " + line if line.startswith("|") else line))
        before = line
    lines[:] = text


def with_the_map(app, docname, source):
    """The page on the engine includes the map in `scratch/fast`, whose links are relative to that folder."""
    if docname == "engine":
        path = HERE.parent / "scratch" / "fast" / "README.md"
        app.env.note_dependency(str(path))
        text = path.read_text(encoding="utf-8").partition("\n## ")[2]
        text = re.sub(r"\]\((\w+\.py)\)", r"](../scratch/fast/\1)", "## " + text)
        source[0] = source[0].replace("<!-- map of the engine -->", text)


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", as_rst)
    app.connect("source-read", with_the_map)
