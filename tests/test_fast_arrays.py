"""The engine's array operations, and the windows that its convolutions read."""

import platform
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from conftest import ON_A_DEVICE
from hypothesis import given
from hypothesis import strategies as st

from scratch.backend import to_device, to_host
from scratch.fast import windows
from scratch.fast.arrays import add_at
from scratch.fast.small_products import by_columns, dot, in_columns, width
from scratch.fast.windows import side_by_side, window_matrices
from scratch.gradient_check import relative_error


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
def test_memory_that_is_kept_costs_no_page_faults():
    program = (
        "import resource, numpy; from scratch.fast.arrays import keep_memory; keep_memory()\n"
        "for k in range(6):\n"
        "    numpy.ones(5_000_000); faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    first = faults if k == 1 else 0 if k == 0 else first\n"
        "print(faults - first)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("another C library")
    assert int(run.stdout) < 1000  # 40 MB are 10,000 pages


@pytest.mark.parametrize("num_ids", [5, 300])
def test_add_at_adds_repeated_ids(num_ids, device):
    rng = np.random.default_rng(0)
    ids, rows = rng.integers(0, num_ids, 40), rng.normal(size=(40, 3))
    expected = np.ones((num_ids, 3))
    np.add.at(expected, ids, rows)
    target = to_device(np.ones((num_ids, 3)))
    add_at(target, to_device(ids), to_device(rows))
    assert np.allclose(to_host(target), expected, atol=1e-5)
    add_at(target, to_device(ids)[:0], to_device(rows)[:0])
    assert np.allclose(to_host(target), expected, atol=1e-5)


@pytest.mark.parametrize("few", [0, pytest.param(10, marks=pytest.mark.skipif(ON_A_DEVICE, reason="numpy arrays"))])
@given(num_rows=st.integers(1, 20), size=st.integers(1, 6), width=st.integers(1, 3))
def test_the_matrices_hold_every_window_once_and_are_views_unless_they_are_few(few, num_rows, size, width):
    rows = np.arange(num_rows * width).reshape(num_rows, width)
    found = {}
    with mock.patch.object(windows, "_FEW", few):
        for place, matrix in window_matrices(rows, size):
            assert np.shares_memory(matrix, rows) == (num_rows - size + 1 >= few)
            for t, window in zip(range(num_rows)[place], matrix, strict=True):
                assert t not in found
                found[t] = window.reshape(size, width)
    assert sorted(found) == list(range(max(num_rows - size + 1, 0)))
    for t, window in found.items():
        assert np.array_equal(window, rows[t : t + size])


def test_windows_side_by_side_leave_out_what_fills_none():
    rows = np.arange(2 * 7 * 3).reshape(2, 7, 3)
    windows = side_by_side(rows, 3)
    assert windows.shape == (2, 2, 3, 3) and np.shares_memory(windows, rows)
    assert np.array_equal(windows[1, 1], rows[1, 3:6])


@pytest.mark.skipif(ON_A_DEVICE, reason="on a GPU no product is cut")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("shape", [(256, 128), (128, 257), (1024, 512)])
@pytest.mark.parametrize("num_rows", [1, 2, 4, 31, 32, 33])
def test_a_product_made_of_small_ones_is_the_same_product(num_rows, shape, dtype, tolerance):
    rng = np.random.default_rng(0)
    rows, (K, D) = rng.normal(size=(num_rows, shape[0])).astype(dtype), shape
    for matrix in (rng.normal(size=(K, D)).astype(dtype), rng.normal(size=(D, K)).astype(dtype).T):
        output, columns, expected = dot(rows, matrix), width(num_rows, K, D), rows.dot(matrix)
        assert output.dtype == dtype and relative_error(output, expected) < tolerance
        whole = np.empty_like(expected)
        np.matmul(rows, in_columns(matrix, columns), out=by_columns(whole, columns))
        assert relative_error(whole, expected) < tolerance
