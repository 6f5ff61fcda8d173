"""Commands that answer or generate use one thread for each matrix product; the others keep BLAS's threads."""

import importlib
import subprocess
import sys

import pytest
from conftest import ON_THREADS
from programs import environment

from scratch.tools import program

ANSWERING = [
    "alice.generate", "bidaf.ask", "char_cnn.predict", "char_lm.sample", "cifar10.show", "gpt.attention", "gpt.sample",
    "movie_reviews.predict", "name_languages.predict",
    pytest.param("name_languages.serve", marks=pytest.mark.needs("fastapi_offline", "uvicorn")),
]
LARGE = [
    f"{name}.{command}" for name in ("alice", "bidaf", "char_lm", "cifar10", "gpt", "movie_reviews", "name_languages")
    for command in ("evaluate", "train")
]


class Begun(BaseException):
    """Raised in place of what a command does after `begin`."""


@pytest.fixture
def begun(monkeypatch):
    """The keywords that a command gave to `begin`."""
    given = {}

    def begin(flags, **keywords):
        given.update(keywords)
        raise Begun

    monkeypatch.setattr(program, "begin", begin)
    return given


@pytest.mark.parametrize("name", ANSWERING)
def test_a_command_that_answers_has_small_products(name, begun):
    arguments = ["Who?"] if name == "bidaf.ask" else []
    with pytest.raises(Begun):
        importlib.import_module(name).command(arguments)
    assert begun == {"small": True}


@pytest.mark.parametrize("name", LARGE)
def test_training_and_evaluation_keep_the_threads_of_large_products(name, begun):
    arguments = ["text.txt"] if name == "char_lm.evaluate" else []
    with pytest.raises(Begun):
        importlib.import_module(name).command(arguments)
    assert not begun.get("small")


THREADS = """
from argparse import Namespace
import numpy
from threadpoolctl import threadpool_info
from scratch.dense import Linear
from scratch.fast import fast
from scratch.tools import program

def blas():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

before = blas()
program.begin(Namespace(threads=2))
assert blas() == before, blas()
program.begin(Namespace(), small=True)
assert blas() == [1] * len(before), blas()
model = fast(Linear(3, 4), threads=3)  # rows are still cut over our own threads
model.forward(numpy.ones((30, 3), dtype="float32"))
assert len(model.parts) == 3 and blas() == [1] * len(before), blas()
"""


@ON_THREADS
def test_small_products_have_one_thread_until_the_program_ends():
    subprocess.run([sys.executable, "-c", THREADS], check=True, env=environment() | {"OPENBLAS_NUM_THREADS": "2"})
