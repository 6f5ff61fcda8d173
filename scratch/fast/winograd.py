"""A 3x3 convolution with less than half of the products: Winograd's way.

Take an image in tiles of 4 by 4 pixels, which overlap by two. Each holds four windows of 3 by 3, so four outputs, and
to get them takes 4 * 9 = 36 products of a pixel with a weight. 16 are enough. In one dimension, two outputs of three
weights g and four pixels d:

    y[0] = d0 g0 + d1 g1 + d2 g2        m0 = (d0 - d2) g0       m1 = (d1 + d2) (g0 + g1 + g2) / 2
    y[1] = d1 g0 + d2 g1 + d3 g2        m3 = (d1 - d3) g2       m2 = (d2 - d1) (g0 - g1 + g2) / 2

    y[0] = m0 + m1 + m2                 y[1] = m1 - m2 - m3     four products in place of six

In two dimensions it is done to the rows and then to the columns: 16 in place of 36. The sums of weights are made once,
those of pixels once for all outputs of a pixel, so with many features the products are what counts: for each of the 16
places in a tile one product of matrices, (tiles, C) with (C, D).

The way back is as for any linear map: what was spread is collected, with the same factors. `_of_weights`, `_of_pixels`
and `_of_products` are the three maps above, `_to_weights` and `_to_products` the way back through the first and the
last; the pixels' gradient is a convolution again.

Source: Lavin and Gray 2015, https://arxiv.org/abs/1509.09308, section 4.1: F(2x2, 3x3).
"""

from collections.abc import Callable, Iterable

from scratch.backend import Array, xp
from scratch.fast.arrays import pieces

_TILES = 256  # in a piece: enough rows for a product, and few enough for the cache
_FEWEST = 48  # features, of input and output, for which it is worth it
_SIDE = 64  # pixels of the largest images: one of them, at least, is a piece


def is_worth_it(size: int, input_dim: int, output_shape: tuple[int, ...]) -> bool:
    """Whether windows of so many pixels a side are better taken in tiles: many features, many tiles, small images.

    On a GPU they are not: to spread and collect the tiles takes three times as many operations as to copy the windows.
    """
    N, H, W, D = output_shape
    many = min(input_dim, D) >= _FEWEST and N * (H // 2) * (W // 2) >= _TILES
    return xp.device == "cpu" and size == 3 and many and max(H, W) <= _SIDE


def slide_in_tiles(images: Array, weights: Array, before: int, output: Array) -> None:
    """Write to each pixel of `output` the product of its window, which begins `before` rows and columns earlier.

    Shapes: images (N, H, W, C), weights (3, 3, C, D) by rows, then columns; output (N, H', W', D).
    """
    C, D = weights.shape[2:]
    sums = _twice(_of_weights, weights).reshape(16, C, D)
    for piece in pieces(output, _TILES * 4 * D):
        tiles = _tiles(images[piece], before, output.shape)
        products = xp.matmul(tiles.reshape(16, -1, C), sums).reshape(*tiles.shape[:-1], D)
        _add_up(products, output[piece])


def weights_gradient(images: Array, gradient: Array, before: int) -> Array:
    """The gradient of the weights, (3, 3, C, D), from the images (N, H, W, C) and that of the output (N, H', W', D)."""
    C, D = images.shape[3], gradient.shape[3]
    collected = xp.zeros((16, C, D), dtype=gradient.dtype)
    for piece in pieces(gradient, _TILES * 4 * D):
        tiles = _tiles(images[piece], before, gradient.shape).reshape(16, -1, C)
        collected += xp.matmul(tiles.swapaxes(1, 2), _spread(gradient[piece]).reshape(16, -1, D))
    return _twice(_to_weights, collected.reshape(4, 4, C, D))


def _of_weights(g: Array) -> Iterable[Array]:
    even, odd = (g[0] + g[2]) * 0.5, g[1] * 0.5
    return g[0], even + odd, even - odd, g[2]


def _to_weights(s: Array) -> Iterable[Array]:
    even, odd = (s[1] + s[2]) * 0.5, (s[1] - s[2]) * 0.5
    return s[0] + even, odd, s[3] + even


def _twice(change: Callable[[Array], Iterable[Array]], array: Array) -> Array:
    """`change` made to the first axis, and to the second."""
    rows = xp.stack(list(change(array)))
    return xp.ascontiguousarray(xp.stack(list(change(rows.swapaxes(0, 1))), axis=1))


def _tiles(images: Array, before: int, output_shape: tuple[int, ...]) -> Array:
    """The sums of pixels at the 16 places of each tile: (4, 4, n, rows of tiles, columns of tiles, C)."""
    (n, H, W, C), up, across = images.shape, -(-output_shape[1] // 2), -(-output_shape[2] // 2)
    padded = xp.zeros((n, 2 * up + 2, 2 * across + 2, C), dtype=images.dtype)
    padded[:, before : before + H, before : before + W] = images
    rows = xp.empty((4, n, up, 2 * across + 2, C), dtype=images.dtype)
    tiles = xp.empty((4, 4, n, up, across, C), dtype=images.dtype)
    _of_pixels([padded[:, i : i + 2 * up : 2] for i in range(4)], rows)
    _of_pixels([rows[:, :, :, j : j + 2 * across : 2] for j in range(4)], tiles.swapaxes(0, 1))
    return tiles


def _of_pixels(d: list[Array], sums: Array) -> None:
    xp.subtract(d[0], d[2], out=sums[0])
    xp.add(d[1], d[2], out=sums[1])
    xp.subtract(d[2], d[1], out=sums[2])
    xp.subtract(d[1], d[3], out=sums[3])


def _add_up(products: Array, output: Array) -> None:
    """From the products at the 16 places of each tile to its 2 by 2 outputs; those beyond the edge are left out."""
    columns = xp.empty((2, *products.shape[:1], *products.shape[2:]), dtype=products.dtype)
    _of_products(products.swapaxes(0, 1), columns)
    for j in range(2):
        for i, combine, last in ((0, xp.add, 0), (1, xp.subtract, 3)):
            place = output[:, i::2, j::2]
            m = columns[j, :, :, : place.shape[1], : place.shape[2]]
            combine(m[1], m[2], out=place)
            combine(place, m[last], out=place)


def _of_products(m: Array, sums: Array) -> None:
    xp.add(m[1], m[2], out=sums[0])
    sums[0] += m[0]
    xp.subtract(m[1], m[2], out=sums[1])
    sums[1] -= m[3]


def _spread(gradient: Array) -> Array:
    """The gradient of the products at the 16 places of each tile: (4, 4, n, rows of tiles, columns of tiles, D)."""
    n, H, W, D = gradient.shape
    up, across = -(-H // 2), -(-W // 2)
    if H % 2 or W % 2:  # beyond the edge nothing was made
        padded = xp.zeros((n, 2 * up, 2 * across, D), dtype=gradient.dtype)
        padded[:, :H, :W] = gradient
        gradient = padded
    rows = xp.empty((4, n, up, 2 * across, D), dtype=gradient.dtype)
    spread = xp.empty((4, 4, n, up, across, D), dtype=gradient.dtype)
    _to_products(gradient[:, ::2], gradient[:, 1::2], rows)
    _to_products(rows[:, :, :, ::2], rows[:, :, :, 1::2], spread.swapaxes(0, 1))
    return spread


def _to_products(first: Array, second: Array, spread: Array) -> None:
    spread[0] = first
    xp.add(first, second, out=spread[1])
    xp.subtract(first, second, out=spread[2])
    xp.negative(second, out=spread[3])
