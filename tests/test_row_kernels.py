"""Operations on rows that become one kernel of a GPU: LayerNorm, and the masked softmax of SelfAttention."""

import ctypes
import random
import re
import shutil
import subprocess
from itertools import pairwise

import numpy as np
import pytest
from conftest import STAND_IN

from scratch import functions
from scratch.backend import float_type, precision, to_device, to_host, xp
from scratch.checks import ScratchError
from scratch.fast import fast, self_attention
from scratch.fast.rows import on_rows, row_max, row_sum, rows_fit
from scratch.gradient_check import relative_error
from scratch.layer import evaluating
from scratch.regular import LayerNorm
from scratch.self_attention import SelfAttention

rng = np.random.default_rng(5)
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
WIDTHS = [1, 31, 32, 33, 1000, 1024, 1025]


def normal(*shape):
    return to_device(rng.normal(size=shape))


def close(found, expected):
    return np.isfinite(to_host(found)).all() and relative_error(found, expected) < TOLERANCE[float_type().name]


def same_pass(quick, plain, x, gradient, **mask):
    """Both layers are called and give the same outputs and gradients."""
    assert close(quick.forward(x, **mask), plain.forward(x, **mask))
    assert close(quick.backward(gradient), plain.backward(gradient))
    assert all(map(close, quick.grads(), plain.grads()))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_layer_norm(dtype, width, kernels):
    with precision(dtype):
        for bias in (True, False):
            plain, quick = LayerNorm(width, bias=bias), fast(LayerNorm(width, bias=bias), 1)
            for layer in (plain, quick):
                layer.w.data[...] = to_device(np.linspace(0.5, 2, width))
            same_pass(quick, plain, normal(3, 2, width) * 1e20 + 1e20, normal(3, 2, width))
            same_pass(quick, plain, normal(2, 3, width).swapaxes(0, 1) + 3, normal(2, 3, width).swapaxes(0, 1))
        with evaluating(quick), evaluating(plain):
            x = normal(width)
            assert close(quick.forward(x), plain.forward(x))


@pytest.mark.parametrize("width", WIDTHS[:-1])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_softmax_and_its_gradient(dtype, width, kernels):
    with precision(dtype):
        scores, seen = rng.normal(size=(2, 3, 4, width)) * 3, rng.random((2, 1, 1, width)) < 0.7
        scores[0, 0, 0, 0], scores[0, 0, 1, 0], seen[1], lowest = 3e38, -3e38, False, float(xp.finfo(dtype).min)
        z, gradient, seen = to_device(scores), normal(2, 3, 4, width), to_device(seen)
        causal = to_device(np.arange(width) <= np.arange(4)[:, None] + 5)
        for mask, arguments in ((None, (None, None)), (seen, (None, None)), (causal, (4, 5)), (seen & causal, (4, 5))):
            rows, found = z.copy(), xp.empty_like(z)
            given = seen if mask is not None and mask is not causal else None
            on_rows(self_attention._softmax, (rows, None), rows, given, *arguments, None, 1.0, lowest)
            expected = functions.softmax(z, mask=mask)
            assert close(rows, expected)
            on_rows(self_attention._softmax_back, (found, None), gradient, rows, None, 1.0)
            assert close(found, functions.softmax_gradient(expected, gradient))
        assert not to_host(rows)[1].any()  # where no key is seen


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_self_attention(dtype, causal, kernels):
    with precision(dtype):
        for T in (1, 5, 33):
            for lengths in (None, [T, T // 2, 0]):
                random.seed(1)
                plain = SelfAttention(6, 2, causal=causal)
                random.seed(1)
                quick = fast(SelfAttention(6, 2, causal=causal), 1)
                mask = {} if lengths is None else {"mask": to_device(np.arange(T) < np.array(lengths)[:, None])}
                same_pass(quick, plain, 20 * normal(3, T, 6), normal(3, T, 6), **mask)


def test_dropout_in_the_kernel_is_dropout_after_it(kernels, monkeypatch):
    x, gradient, found = normal(3, 7, 6), normal(3, 7, 6), []
    mask = to_device(np.arange(7) < np.array([[7], [4], [0]]))
    for fit in (rows_fit, lambda width, num_numbers: False):
        monkeypatch.setattr(self_attention, "rows_fit", fit)
        random.seed(2)
        layer = fast(SelfAttention(6, 2, dropout=0.3), 1)
        found.append([layer.forward(x, mask), layer.backward(gradient), *layer.grads()])
    assert all(close(a, b) for a, b in zip(*found, strict=True))


def test_no_rows(kernels):
    for layer in (LayerNorm(6), SelfAttention(6, 2)):
        x, quick = to_device(np.zeros((0, 4, 6))), fast(layer, 1)
        assert quick.forward(x).shape == quick.backward(x).shape == x.shape


def passes(layer, x):
    """How many operations a forward and a backward are, and how many of them are kernels of rows."""
    counts = []
    for _ in range(2):  # the second time there is nothing to be traced
        counts = [(STAND_IN.launches[0], STAND_IN.RawKernel.calls)]
        output = layer.forward(x)
        counts.append((STAND_IN.launches[0], STAND_IN.RawKernel.calls))
        layer.backward(output)
        counts.append((STAND_IN.launches[0], STAND_IN.RawKernel.calls))
    return [tuple(np.subtract(after, before)) for before, after in pairwise(counts)]


class Counting(STAND_IN.RawKernel):
    calls = 0

    def __call__(self, *args, **kwargs):
        Counting.calls += 1
        super().__call__(*args, **kwargs)


def test_one_kernel_there_and_one_back(stand_in, monkeypatch):
    monkeypatch.setattr(stand_in, "RawKernel", Counting)
    x = normal(2, 5, 6)
    # Three make room. Back, two do; and two sums over all rows are added to the gradients of w and b.
    assert passes(fast(LayerNorm(6), 1), x) == [(4, 1), (7, 1)]
    layer = fast(SelfAttention(6, 2, dropout=0.1), 1)
    with_kernels = passes(layer, x)
    assert [number for _, number in with_kernels] == [1, 1]
    monkeypatch.setattr(self_attention, "rows_fit", lambda width, num_numbers: False)
    assert all(few + 5 < many for (few, _), (many, _) in zip(with_kernels, passes(layer, x), strict=True))


def test_longer_rows_need_no_new_kernel(kernels):
    layer = fast(SelfAttention(6, 2, stateful=True), 1)
    with evaluating(layer):
        for _ in range(4):
            layer.forward(normal(2, 3, 6), to_device(np.ones((2, 3), dtype=bool)))
    assert len(xp.row_kernels) == 1


def test_arrays_of_another_form_are_refused(kernels):
    z = normal(3, 4, 6)

    def copy(z, other=None):
        return z

    for outputs, inputs in (
        ([z.swapaxes(0, 1)], [z]), ([normal(3, 4, 5)], [z]), ([normal(6)], [z]), ([z], [z, to_device([1, 2])]),
        ([z], [normal(3, 4, 12)[:, :, ::2]]), ([normal(2, 1025)], [normal(2, 1025)]),
    ):
        with pytest.raises(ScratchError, match="on_rows"):
            on_rows(copy, outputs, *inputs)
    assert xp.device == "cuda" and not rows_fit(1025, 1025) and not rows_fit(2, 2**31)


def test_on_a_cpu_there_are_no_kernels():
    assert rows_fit(2, 2) == (xp.device != "cpu")


def shares(z):
    e = xp.exp(z - row_max(z))
    return e / row_sum(e)


def test_the_stand_in_refuses_what_cuda_would(stand_in, monkeypatch):
    codes = []
    monkeypatch.setattr(stand_in, "RawKernel", lambda code, name: codes.append(code) or kind(code, name))
    kind, z = Counting, normal(3, 5)
    on_rows(shares, [xp.empty_like(z)], z)
    for right, wrong in (
        ("row_sum(v2, inside)", "row_sum(v2)"), ("const auto v3", "if (inside) v3"), ("__device__ T", "T"),
    ):
        assert right in codes[0]
        with pytest.raises(AssertionError):
            kind(codes[0].replace(right, wrong), "rows")
    arguments = (z, z, np.int32(5), np.int32(1))
    for block, shared_mem in ((32, 0), (33, 512), (2048, 1 << 14)):
        with pytest.raises(AssertionError):
            kind(codes[0], "rows")((3,), (block,), arguments, shared_mem=shared_mem)


HARNESS = """
#include <cmath>
#include <pthread.h>
#include <thread>
#include <vector>
using namespace std;
struct Index { unsigned x; };
thread_local Index threadIdx;
Index blockIdx, blockDim;
pthread_barrier_t all_threads;
#define __global__
#define __device__
#define __shared__
#define __syncthreads() pthread_barrier_wait(&all_threads)
%s
double shared[1024];
extern "C" void launch(unsigned num_blocks, unsigned num_threads, %s) {
    blockDim.x = num_threads;
    for (blockIdx.x = 0; blockIdx.x < num_blocks; blockIdx.x++) {
        pthread_barrier_init(&all_threads, nullptr, num_threads);
        vector<thread> threads;
        for (unsigned k = 0; k < num_threads; k++) threads.emplace_back([=] { threadIdx.x = k; rows(%s); });
        for (auto& one : threads) one.join();
    }
}
"""


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_a_compiler_of_the_host_makes_the_same_of_it(stand_in, monkeypatch, tmp_path):
    class Compiled:
        """The kernel's text, compiled for the CPU, with one thread of the CPU for each thread of a block."""

        def __init__(self, code, name):
            parameters = re.search(r"void rows\((.*)\)", code)[1]
            path = tmp_path / f"kernel{len(xp.row_kernels)}"
            names = ", ".join(parameter.split()[-1] for parameter in parameters.split(", "))
            path.with_suffix(".cpp").write_text(HARNESS % (code, parameters, names))
            command = ["g++", "-std=c++14", "-pthread", "-shared", "-fPIC", path.with_suffix(".cpp"), "-o", path]
            subprocess.run(command, check=True)
            self.launch = ctypes.CDLL(path).launch

        def __call__(self, grid, block, args, *, shared_mem):
            values = [ctypes.c_void_p(a.host.ctypes.data) if isinstance(a, xp.ndarray) else int(a) for a in args]
            self.launch(grid[0], block[0], *values)

    x, gradient, mask = 5 * normal(2, 3, 6), normal(2, 3, 6), to_device(np.arange(3) < np.array([[3], [0]]))
    found = []
    for kind in (stand_in.RawKernel, Compiled):
        monkeypatch.setattr(stand_in, "RawKernel", kind)
        xp.__dict__.pop("RawKernel", None)
        xp.__dict__.pop("row_kernels", None)
        random.seed(4)
        norm, attention = fast(LayerNorm(6), 1), fast(SelfAttention(6, 2, dropout=0.2), 1)
        y = attention.forward(norm.forward(x), mask)
        found.append([y, norm.backward(attention.backward(gradient)), *norm.grads(), *attention.grads()])
    assert isinstance(next(iter(xp.row_kernels.values())), Compiled)
    assert all(close(a, b) for a, b in zip(*found, strict=True))
