"""The pages of the rendered book, and the answers to its exercises."""

import runpy

from programs import ROOT

PAGES = sorted(path for path in ROOT.glob("docs/**/*.md") if "_build" not in path.parts)
ANSWERS = ROOT / "docs" / "answers"


def answers_to(chapter):
    """The names that a chapter's answers define."""
    return runpy.run_path(str(ANSWERS / f"{chapter}.py"))
