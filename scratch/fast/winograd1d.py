"""Winograd's convolution over a sequence: four outputs at a time, with half the multiplications.

The product of two polynomials of 4 and 3 coefficients has 6 coefficients. Computed directly, it takes 4 * 3 = 12
multiplications. But 6 values determine the product, so 6 multiplications are enough: evaluate both factors at 6 points,
multiply the values, and interpolate. With points 0, 1, -1, 2, -2 and infinity (where the "value" is the last
coefficient), small fixed matrices do this: A and G evaluate the factors a and g, and B^T interpolates:

    product = B^T ((G g) * (A a))

All three computations of a convolution derive from this. For 4 outputs and a window of 3, the input gradient is the
product of the outputs' gradient, a, and the weights, g. The map from a to the input gradient is the transpose of
forward, so with 6 rows x:

    output = A^T ((G g) * (B x))            weight gradient = G^T ((A a) * (B x))

Each row has many channels, so * is a matrix product at each of the 6 points (`places` in the code). With 256 channels
these products take about 85 % of the time, and the transforms the rest. A tile is 4 outputs and the rows that they
read; its rows overlap those of the next tile.

Longer windows are split into blocks of 4 weights, with 7 points. Tiles are also 4 rows apart, so the second block reads
the tile after the first block's, and consecutive tiles are windows in the sense of `windows.py`. A window of 7 takes 14
multiplications for 4 outputs instead of 28.

In float32 the results differ from the plain layer's by up to 4e-6 of the largest value (256 channels). More points lose
more digits: with 4 outputs and 7 weights in one block, which need 10 points, the error is 1.6e-5.

Source: Winograd 1980, Arithmetic Complexity of Computations; Lavin and Gray 2015, https://arxiv.org/abs/1509.09308
"""

from collections.abc import Iterator
from functools import cache

import numpy
from numpy.lib.stride_tricks import sliding_window_view

from scratch.backend import Array, xp
from scratch.fast.arrays import pieces

_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5)  # and infinity; small, so that their powers don't differ much
_OUTPUTS = 4  # per tile
_TILES = 512  # per piece: many rows for a product, but few enough for the cache
_FEWEST = 64  # input channels, output channels and tiles per batch, at least, to be worth it
_LONGEST = 4096  # steps, as a piece is at least one sequence


def is_worth_it(kernel_size: int, input_dim: int, output_shape: tuple[int, ...]) -> bool:
    """Whether tiles suit windows of `kernel_size` steps: many channels, many tiles, half the multiplications.

    Windows of 3, 4, 7 and 8 take at most half the multiplications. Windows of 5 take 0.7 of them and were slower than
    with `windows.py`. With fewer tiles, transforming the weights takes too long.
    """
    (N, T, D), (taps, blocks) = output_shape, _blocks(kernel_size)
    half = 2 * blocks * (_OUTPUTS + taps - 1) <= _OUTPUTS * kernel_size
    many = min(input_dim, D) >= _FEWEST and N * -(-T // _OUTPUTS) >= _FEWEST
    return xp.device == "cpu" and half and many and T <= _LONGEST


class InTiles:
    """A convolution with weights w (D, K, C) over sequences of T rows.

    places: the number of points at which tiles and weights are multiplied.
    taps, blocks: the number of weights in a block, and of blocks in a window.
    """

    def __init__(self, w: Array, T: int) -> None:
        self.D, self.K, self.C = w.shape
        self.taps, self.blocks = _blocks(self.K)
        self.A, self.G, self.B = (matrix.astype(w.dtype) for matrix in matrices(self.taps))
        self.places, self.num_outputs = len(self.B), T - self.K + 1
        self.output_tiles = -(-self.num_outputs // _OUTPUTS)
        self.tiles = self.output_tiles + self.blocks - 1  # per sequence
        self.w = xp.empty((self.places, self.D, self.blocks, self.C), dtype=w.dtype)
        for block, first in enumerate(range(0, self.K, self.taps)):
            taps = w[:, first : first + self.taps]
            xp.matmul(self.G[:, : taps.shape[1]], taps, out=self.w[:, :, block].swapaxes(0, 1))

    def forward(self, rows: Array, b: Array) -> Array:
        """Shapes: rows (N, T, C), b (D,) -> (N, T - K + 1, D)."""
        output = xp.empty((len(rows), self.num_outputs, self.D), dtype=rows.dtype)
        w = self.w.reshape(self.places, self.D, -1).swapaxes(1, 2)  # (places, blocks * C, D)
        for piece in pieces(output, _TILES * _OUTPUTS * self.D):
            products = _slide(self._spread_rows(rows[piece]), w, self.blocks)
            # The last windows of each sequence cross into the next.
            products = self._by_tile(products)[:, : self.output_tiles]
            sums = xp.matmul(self.A.T, products).reshape(len(products), -1, self.D)
            xp.add(sums[:, : self.num_outputs], b, out=output[piece])
        return output

    def backward(self, rows: Array, gradient: Array, input_gradient: bool) -> tuple[Array, Array | None]:
        """The gradients of w and, if requested, of the rows (N, T, C), from the output's gradient (N, T - K + 1, D)."""
        w_grad = xp.zeros((self.places, self.D, self.blocks * self.C), dtype=gradient.dtype)
        row_grads = xp.empty(rows.shape, dtype=gradient.dtype) if input_gradient else None
        # Block k of the weights multiplied a tile of rows for the outputs k tiles earlier, so blocks are reversed.
        reversed_w = self.w[:, :, ::-1].swapaxes(1, 2).reshape(self.places, -1, self.C)
        for piece in pieces(gradient, _TILES * _OUTPUTS * self.D):
            spread = self._spread_gradient(gradient[piece])
            grads = spread[:, self.blocks - 1 :]
            for place, windows in _windows(self._spread_rows(rows[piece]), self.blocks):
                w_grad += grads[:, place].swapaxes(1, 2) @ windows
            if row_grads is not None:
                products = _slide(spread, reversed_w, self.blocks)[:, : grads.shape[1]]
                row_grads[piece] = self._collect(products)[:, : rows.shape[1]]
        return self._collect_weights(w_grad), row_grads

    def _spread_rows(self, rows: Array) -> Array:
        """B x of each tile: (places, n * tiles, C)."""
        n, T, C = rows.shape
        padded = xp.empty((n, _OUTPUTS * (self.tiles + 1), C), dtype=rows.dtype)
        padded[:, :T], padded[:, T:] = rows, 0
        tiles = sliding_window_view(padded, self.places, axis=1)[:, ::_OUTPUTS].swapaxes(2, 3)
        spread = xp.empty((self.places, n * self.tiles, C), dtype=rows.dtype)
        xp.matmul(self.B, tiles[:, : self.tiles], out=self._by_tile(spread))
        return spread

    def _spread_gradient(self, gradient: Array) -> Array:
        """A a of each tile; zeros in the last `blocks` - 1 tiles of each sequence, and in as many before the first."""
        n, T, D = gradient.shape
        padded = xp.zeros((n, self.output_tiles * _OUTPUTS, D), dtype=gradient.dtype)
        padded[:, :T] = gradient
        spread = xp.zeros((self.places, self.blocks - 1 + n * self.tiles, D), dtype=gradient.dtype)
        by_tile = self._by_tile(spread[:, self.blocks - 1 :])[:, : self.output_tiles]
        xp.matmul(self.A, padded.reshape(n, self.output_tiles, _OUTPUTS, D), out=by_tile)
        return spread

    def _collect(self, products: Array) -> Array:
        """The gradient of the rows: tiles overlap, so the last rows of each and the first of the next are added."""
        tiles = xp.matmul(self.B.T, self._by_tile(products))
        n, _, _, C = tiles.shape
        rows = xp.zeros((n, self.tiles + 1, _OUTPUTS, C), dtype=products.dtype)
        rows[:, :-1] = tiles[:, :, :_OUTPUTS]
        rows[:, 1:, : self.places - _OUTPUTS] += tiles[:, :, _OUTPUTS:]
        return rows.reshape(n, -1, C)

    def _collect_weights(self, products: Array) -> Array:
        w_grad = xp.empty((self.D, self.K, self.C), dtype=products.dtype)
        products = products.reshape(self.places, self.D, self.blocks, self.C)
        for block, first in enumerate(range(0, self.K, self.taps)):
            taps = w_grad[:, first : first + self.taps]
            xp.matmul(self.G.T[: taps.shape[1]], products[:, :, block].swapaxes(0, 1), out=taps)
        return w_grad

    def _by_tile(self, array: Array) -> Array:
        """(places, n * tiles, C) -> (n, tiles, places, C), a view."""
        return array.reshape(self.places, -1, self.tiles, array.shape[2]).transpose(1, 2, 0, 3)


def _blocks(kernel_size: int) -> tuple[int, int]:
    """The number of weights in a block, and the number of blocks in a window."""
    taps = 3 if kernel_size == 3 else 4
    return taps, -(-kernel_size // taps)


@cache
def matrices(taps: int) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """A (places, 4), G (places, taps) and B (places, places), for polynomials of 4 and of `taps` coefficients.

    Lagrange interpolation: row p of B is the polynomial that is zero at all points but p, and row p of G is divided by
    that polynomial's value at p.
    """
    points = numpy.array(_POINTS[: _OUTPUTS + taps - 2])
    A, G = (numpy.vander([*points, 0], size, increasing=True) for size in (_OUTPUTS, taps))
    A[-1], G[-1] = numpy.eye(_OUTPUTS)[-1], numpy.eye(taps)[-1]
    B = numpy.zeros((len(points) + 1, len(points) + 1))
    for p, point in enumerate(points):
        others = numpy.delete(points, p)
        B[p, :-1] = numpy.poly(others)[::-1]
        G[p] /= numpy.prod(point - others)
    B[-1] = numpy.poly(points)[::-1]
    return A, G, B


def _windows(spread: Array, size: int) -> Iterator[tuple[slice, Array]]:
    """Like `window_matrices`, at each point: (places, R, C) -> (place, (places, M, size * C)), views."""
    places, num_rows, C = spread.shape
    for start in range(size):
        count = (num_rows - start) // size
        place = slice(start, start + count * size, size)
        yield place, spread[:, start : place.stop].reshape(places, count, size * C)


def _slide(spread: Array, w: Array, blocks: int) -> Array:
    """The product of w and the window that starts at each tile: (places, R, D). The last `blocks` - 1 are not set."""
    products = xp.empty((len(w), spread.shape[1], w.shape[2]), dtype=w.dtype)
    for place, windows in _windows(spread, blocks):
        xp.matmul(windows, w, out=products[:, place])
    return products
