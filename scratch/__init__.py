"""A deep-learning framework written to be read: NumPy on the CPU, CuPy on a GPU, every gradient by hand.

This package is the framework whose chapters start at `scratch/backend.py`; it is not the code of the book
*Data Science from Scratch*, whose own package has the same name. Its two doors for that book's readers are
`scratch.deep_learning` and `scratch.nlp`.
"""

__version__ = "0.1.0"
