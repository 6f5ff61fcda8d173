"""Exercises that check themselves: write an answer, and learn whether it is right, or what is wrong with it.

    python -m scratch.exercises              # lists them
    python -m scratch.exercises dense        # writes the questions to runs/exercises/dense.py; later checks the answers

In a notebook:

    from scratch.exercises import check
    check("dense.Scale", Scale)

Each file in this folder has the exercises on one chapter. The answers are in `docs/answers/`.
"""

from scratch.exercises.checking import check, exercises

__all__ = ["check", "exercises"]
