"""What of CuPy's second package is needed: see cupy.py."""
