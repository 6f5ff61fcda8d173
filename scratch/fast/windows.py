"""Windows of a sequence, or of an image, as the rows of a matrix, without a copy of each window.

A convolution looks at every run of K rows of a sequence: row 0 to K - 1, row 1 to K, and so on. Where the rows lie one
after the other in memory, so do those of a window: K rows of C numbers are one run of K * C. Windows that do not
overlap, K rows apart, are then simply a matrix, whose rows are the windows: nothing has to be moved, the same memory is
only read with another number of columns.

    rows           0 1 2 3 4 5 6                       (K = 3)
    from row 0:   [0 1 2][3 4 5]
    from row 1:     [1 2 3][4 5 6]
    from row 2:       [2 3 4]

Starting from row 0, 1, ..., K - 1 gives up to K such matrices, which together hold every window. N sequences laid end
to end are treated as one; the K - 1 windows that reach over each joint are computed too, and their results dropped.

    for place, matrix in window_matrices(rows, 3):      # rows (R, C), w (3 * C, D) -> output (R - 2, D)
        output[place] = matrix.dot(w)

Where there are few windows, a copy of them is small, and one product of all is faster than K of a few rows each.

The window of an image is K parts of rows, which lie in K places. So the K - 1 pixels below it are copied beside each
pixel: K numbers where there was one, not the K * K of a copy of every window. Then the window that begins at column x
is one run of K * K pixels, and the windows at x of all rows y are the rows of a matrix.

    image   a b c      stacked, K = 2   a d  b e  c f      the windows at x = 0:  [a d b e]    at x = 1:  [b e c f]
            d e f                       d g  e h  f i                             [d g e h]               [e h f i]
            g h i
"""

from collections.abc import Iterator

from scratch.backend import Array, xp

_FEW = 2048  # windows


def are_few(num_windows: int) -> bool:
    """Whether so many windows are better copied. On a GPU they always are: it could start a few products meanwhile."""
    return xp.device != "cpu" or num_windows < _FEW


def window_matrices(rows: Array, size: int) -> Iterator[tuple[slice, Array]]:
    """All windows of `size` rows, as matrices that are views of `rows`, or as one matrix where they are few.

    Shapes: rows (R, C), one after the other in memory -> (place, (M, size * C)), where the rows of the matrix are the
        windows that begin at the rows[place].
    """
    num_rows, width = rows.shape
    num_windows = num_rows - size + 1
    if 0 < num_windows < _FEW:
        windows = xp.empty((num_windows, size, width), dtype=rows.dtype)
        for k in range(size):
            windows[:, k] = rows[k : k + num_windows]
        yield slice(num_windows), windows.reshape(num_windows, size * width)
        return
    for start in range(min(size, num_windows)):
        stop = start + (num_rows - start) // size * size
        yield slice(start, stop, size), rows[start:stop].reshape(-1, size * width)


def side_by_side(input: Array, size: int) -> Array:
    """Windows that do not overlap, of each sequence by itself; rows at its end that fill no window are left out.

    Shapes: input (N, T, C) -> (N, T // size, size, C), a view of it.
    """
    N, T, C = input.shape
    count = T // size
    return input[:, : count * size].reshape(N, count, size, C)


def stacked_rows(images: Array, size: int, before: int, num_rows: int) -> Array:
    """Beside each pixel those below it: row y holds rows y - before to y - before + size - 1 of the image.

    Above and below the image are zeros. Shapes: images (N, H, W, C) -> (N, num_rows, W, size, C).
    """
    N, H, W, C = images.shape
    stacked = xp.empty((N, num_rows, W, size, C), dtype=images.dtype)
    for i in range(size):
        first = min(max(before - i, -H), num_rows)  # the row of `stacked` in which the image begins, cut to its edges
        top, bottom = max(first, 0), min(first + H, num_rows)
        stacked[:, :top, :, i] = 0
        stacked[:, top:bottom, :, i] = images[:, top - first : bottom - first]
        stacked[:, bottom:, :, i] = 0
    return stacked


def window_columns(stacked: Array, before: int, num_columns: int) -> Iterator[tuple[int, int, Array]]:
    """For each column x the windows that begin `before` columns to its left, as a matrix that is a view of `stacked`.

    Of a window that reaches over the edge, the matrix has what lies in the image; zeros would add nothing.

    Shapes: stacked (N, R, W, size, C) -> for each x: (x, the first of the window's columns that is in the image,
        (N * R, columns in the image * size * C)).
    """
    N, R, W, size, C = stacked.shape
    flat = stacked.reshape(N * R, W * size * C)
    for x in range(num_columns):
        start, stop = max(x - before, 0), min(x - before + size, W)
        yield x, start - (x - before), flat[:, start * size * C : stop * size * C]


def every_window(images: Array, size: int, before: int, num_rows: int, num_columns: int) -> Array:
    """A copy of every window of `size` by `size` pixels: of those that begin `before` rows and columns earlier.

    Outside the image are zeros. It takes size * size times the memory of the image.

    Shapes: images (N, H, W, C) -> (N * num_rows * num_columns, size * size * C), by rows, then columns of the window.
    """
    N, H, W, C = images.shape
    padded = xp.zeros((N, num_rows + size - 1, num_columns + size - 1, C), dtype=images.dtype)
    padded[:, before : before + H, before : before + W] = images
    windows = xp.empty((N, num_rows, num_columns, size, size, C), dtype=images.dtype)
    for i in range(size):
        for j in range(size):
            windows[:, :, :, i, j] = padded[:, i : i + num_rows, j : j + num_columns]
    return windows.reshape(-1, size * size * C)


def squares(images: Array, size: int) -> Iterator[Array]:
    """For each place in a square of `size` by `size` pixels, row by row, a view: the pixel there of every square.

    The squares do not overlap; what fills none is left out.

    Shapes: (N, H, W, C) -> (N, H // size, W // size, C), views.
    """
    _, H, W, _ = images.shape
    bottom, right = H // size * size, W // size * size
    for k in range(size):
        for j in range(size):
            yield images[:, k:bottom:size, j:right:size]
