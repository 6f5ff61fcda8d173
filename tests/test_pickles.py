"""Pickles of strangers, which are read without running them."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratch.checks import ScratchError
from scratch.tools.pickles import read_pickle

rng = np.random.default_rng(4)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_values_and_arrays_of_bytes(protocol):
    array = rng.integers(0, 256, (3, 7)).astype(np.uint8)
    batch = {b"data": array, b"labels": [1, 2], b"more": {"a": (None, 1.5, True)}}
    if protocol not in (2, 3, 4):  # older ones are written in text, in 5 an array comes by another name
        with pytest.raises(ScratchError, match=r"_frombuffer: only plain values|an instruction"):
            read_pickle("here", pickle.dumps(batch, protocol))
        return
    found = read_pickle("here", pickle.dumps(batch, protocol))
    assert np.array_equal(found.pop(b"data"), array)
    assert found == {b"labels": [1, 2], b"more": {"a": (None, 1.5, True)}}


class Calls:
    def __reduce__(self):
        return print, ("run!",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_that_would_run_something_is_refused_by_name(protocol, capsys):
    with pytest.raises(ScratchError, match=r"here: asks for (__builtin__|builtins)\.print: only plain values"):
        read_pickle("here", pickle.dumps({b"data": Calls()}, protocol))
    assert not capsys.readouterr().out


@pytest.mark.parametrize("content", [
    b"", b"no pickle", b"\x80", pickle.dumps([1, 2]), pickle.dumps({"a": np.zeros(3)}, 2),
    pickle.dumps({"a": np.zeros(3, dtype=object)}, 2), b"\x80\x02r\xff\xff\xff\x7f.", b"\x80\x02]q\x01h\x02.",
    pickle.dumps({b"data": np.zeros((2, 5), dtype=np.uint8)}, 2)[:-20], pickle.dumps({b"a": np.float32(1)}, 2),
    b"cnumpy\ndtype\n)" + 40 * b"2\x86" + b"\x85R.",  # nested tuples, whose text would fill the memory
    b"\x80\x02})" + 60 * b"2\x86" + b"Ns.", b"\x80\x02})" + 10**5 * b"\x85" + b"Ns.",  # their hash would take for ever
    b"\x80\x04" + 1000 * b"\x8f" + b"}.", b"\x80\x02r\xff\xff\xff\x7f0}.",  # many sets; a place far out
    b"\x80\x02c_codecs\nencode\nq\x00X\x64\0\0\0" + 100 * b"a" + b"X\x06\0\0\0latin1\x86q\x01"
    + 9 * b"h\x00h\x01R" + b".",  # one text made again and again
    b"\x80\x02c\x1b[2J\nx\n.",
])
def test_what_is_damaged_or_something_else_is_refused(content):
    with pytest.raises(ScratchError, match="here: "):
        read_pickle("here", content)


@settings(max_examples=200)
@given(st.data())
def test_no_damage_gets_through_as_another_error(data):
    content = bytearray(pickle.dumps({b"data": np.zeros((2, 5), dtype=np.uint8), b"labels": [1, 2]}, 2))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert type(read_pickle("here", bytes(content))) is dict
    except ScratchError as error:
        assert str(error).startswith("here: ")
