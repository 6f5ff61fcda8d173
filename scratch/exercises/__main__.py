"""Write the exercises of a chapter to a file, or check the answers in it: `python -m scratch.exercises CHAPTER`."""

import sys
import traceback
from pathlib import Path

from scratch.checks import ScratchError
from scratch.exercises.checking import exercises, verdict
from scratch.tools.program import Parser, run


def questions(chapter: str) -> str:
    """The file to be filled in: each question as a comment, and the start of its answer."""
    module = sys.modules[f"scratch.exercises.{chapter}"]
    parts = [f'"""Exercises on scratch/{chapter}.py. Check the answers with: python -m scratch.exercises {chapter}"""']
    parts.append(module.START.strip())
    for name, own in exercises()[chapter].items():
        comment = "".join(f"# {line}".rstrip() + "\n" for line in [f"{name}.", *own.question.splitlines()])
        parts.append(f"\n{comment}\n{own.start.rstrip()}")
    return "\n\n".join(parts) + "\n"


def answers(path: Path) -> dict:
    """The names that the reader's file defines."""
    names: dict = {"__name__": path.stem, "__file__": str(path)}
    try:
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    except Exception:
        print("".join(traceback.format_exception(*sys.exc_info())[2:]), end="", file=sys.stderr)
        raise ScratchError(f"{path}: could not be run; see the error above") from None
    return names


def main(arguments: list[str] | None = None) -> None:
    """The exit code is 0 if all answers are right, 1 if not, 2 if they cannot be checked."""
    parser = Parser(__doc__, prog="python -m scratch.exercises")
    parser.add_argument("chapter", nargs="?", help="name of a chapter, such as layer (default: list all)")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/exercises"), help="folder of your answers (default: %(default)s)"
    )
    flags = parser.parse_args(arguments)
    known = exercises()
    if flags.chapter is None:
        for chapter, those in known.items():
            print(f"{chapter}: {', '.join(those)}")
        return
    chapter = flags.chapter.removesuffix(".py")
    if chapter not in known:
        raise ScratchError(f"there are no exercises on {flags.chapter!r}; choose from {', '.join(known)}")
    path = flags.folder / f"{chapter}.py"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(questions(chapter), encoding="utf-8")
        print(f"The questions are in {path}. Add your answers there, then run this command again.")
        return
    found, wrong = answers(path), 0
    for name in known[chapter]:
        said = verdict(f"{chapter}.{name}", found[name]) if name in found else f"not defined in {path}"
        print(f"{name}: {said or 'correct'}")
        wrong += bool(said)
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    run(main)
