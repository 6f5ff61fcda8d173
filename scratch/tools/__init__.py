"""What a program needs around a model: runs and checkpoints, weights and data sets, plots, the command line.

Read first: `run.py`, which surrounds every training loop.
"""
