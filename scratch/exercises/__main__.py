"""Write the exercises of a chapter to a file, or check the answers in it: `python -m scratch.exercises CHAPTER`."""

import argparse
import sys
import traceback
from pathlib import Path

from scratch.exercises.checking import exercises, verdict


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
        raise SystemExit(f"{path}: could not be run; see the error above") from None
    return names


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 if all answers are right, 1 if not, 2 if there is no such chapter."""
    parser = argparse.ArgumentParser(prog="python -m scratch.exercises", description=__doc__)
    parser.add_argument("chapter", nargs="?", help="name of a chapter, such as layer (default: list all)")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/exercises"), help="folder of your answers (default: %(default)s)"
    )
    flags = parser.parse_args(arguments)
    known = exercises()
    if flags.chapter is None:
        for chapter, those in known.items():
            print(f"{chapter}: {', '.join(those)}")
        return 0
    chapter = flags.chapter.removesuffix(".py")
    if chapter not in known:
        parser.error(f"there are no exercises on {flags.chapter!r}; choose from {', '.join(known)}")
    path = flags.folder / f"{chapter}.py"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(questions(chapter), encoding="utf-8")
        print(f"The questions are in {path}. Add your answers there, then run this command again.")
        return 0
    found, wrong = answers(path), 0
    for name in known[chapter]:
        said = verdict(f"{chapter}.{name}", found[name]) if name in found else f"not defined in {path}"
        print(f"{name}: {said or 'correct'}")
        wrong += bool(said)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
