"""Metadata of the package; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup

here = Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (here / "scratch" / "__init__.py").read_text(encoding="utf-8"))[1]

extras = {
    # With CUDA's own libraries and compiler (ctk), so that nothing but a driver has to be there already.
    "gpu": ["cupy-cuda12x[ctk]>=14"],  # the same as cuda12
    "cuda12": ["cupy-cuda12x[ctk]>=14"],
    "cuda13": ["cupy-cuda13x[ctk]>=14"],
    "data": ["pooch[progress]>=1.8", "scikit-learn>=1.4", "tensorboardX>=2.6"],
    "serve": ["fastapi>=0.110", "fastapi-offline>=1.7", "uvicorn[standard]>=0.30"],
    "mpi": ["mpi4py>=4"],
    "bench": ["torch==2.13.0", "scikit-learn>=1.4"],
}
tools = ["pytest>=8", "hypothesis>=6", "ruff==0.17.6", "mypy==2.4.1"]
mpi_library = 'mpich>=4.3; sys_platform != "win32"'  # for machines without one
extras["test"] = [*tools, *extras["data"], *extras["serve"], *extras["mpi"], mpi_library]

setup(
    name="scratch",
    version=version,
    description="A deep-learning framework written to be read: NumPy and CuPy, every gradient by hand",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=["scratch", "scratch.fast", "scratch.tools"],
    # With this, `pip install -e` adds this folder to Python's path. Its other way, a finder that comes after the path,
    # would not be asked where Python is started beside a clone called `scratch`: that folder looks like a package.
    package_dir={"": "."},
    package_data={"scratch": ["py.typed"]},
    install_requires=["numpy>=1.26", "tqdm>=4.60", "matplotlib>=3.7", "threadpoolctl>=3"],
    extras_require=extras,
    classifiers=[
        "Intended Audience :: Education",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
