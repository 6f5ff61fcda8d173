"""The directive `exercise`: a question of `scratch.exercises`, the start of its answer, and the answer, hidden."""

import ast
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from scratch.exercises import exercises

ANSWERS = Path(__file__).parent / "answers"


def source_of(path, name):
    """The lines that define `name` in a file, with the comment above them."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.parse(text).body:
        names = [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]
        if name in (*names, getattr(node, "name", None)):
            first = node.lineno - 1
            while first and lines[first - 1].startswith(("#", "@")):
                first -= 1
            return "\n".join(lines[first : node.end_lineno])
    raise ValueError(f"{path}: no answer to {name}")


class ExerciseDirective(SphinxDirective):
    """`{exercise} dense.Scale`."""

    required_arguments = 1

    def run(self):
        chapter, name = self.arguments[0].split(".")
        own = exercises()[chapter][name]
        text = [
            f"::::{{admonition}} Exercise: {name}", ":class: exercise", "", own.question, "", "```python",
            own.start.strip(), "```", "", ":::{dropdown} Answer", "", "```python",
            source_of(ANSWERS / f"{chapter}.py", name), "```", ":::", "::::",
        ]
        self.env.note_dependency(str(ANSWERS / f"{chapter}.py"))
        box = nodes.container()
        self.state.nested_parse(StringList("\n".join(text).splitlines(), source="exercise"), self.content_offset, box)
        return box.children


def setup(app):
    """Called by Sphinx."""
    app.add_directive("exercise", ExerciseDirective)
    return {"parallel_read_safe": True}
