"""For tools that still start a `setup.py`; the metadata is in pyproject.toml."""

from setuptools import setup

setup()
