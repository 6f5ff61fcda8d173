"""Windows of a sequence as the rows of a matrix, without copying any.

A convolution looks at every run of K rows of a sequence: row 0 to K - 1, row 1 to K, and so on. Where the rows lie one
after the other in memory, so do those of a window: K rows of C numbers are one run of K * C. Windows that do not
overlap, K rows apart, are then simply a matrix, whose rows are the windows: nothing has to be moved, the same memory is
only read with another number of columns.

    rows           0 1 2 3 4 5 6                       (K = 3)
    from row 0:   [0 1 2][3 4 5]
    from row 1:     [1 2 3][4 5 6]
    from row 2:       [2 3 4]

Starting from row 0, 1, ..., K - 1 gives K such matrices, which together hold every window. N sequences laid end to end
are treated as one; the K - 1 windows that reach over each joint are taken along, and what comes of them is left out.

    for start, matrix in window_matrices(rows, 3):      # rows (R, C) -> matrices (about R / 3, 3 * C)
        output[start : start + 3 * len(matrix) : 3] = matrix.dot(w)

Read next: `convolution.py`.
"""

from collections.abc import Iterator

from scratch.backend import Array


def window_matrices(rows: Array, size: int) -> Iterator[tuple[int, Array]]:
    """All windows of `size` rows, as matrices that are views of `rows`.

    Shapes: rows (R, C), one after the other in memory -> for each start (below size) that has a window: (start,
        (M, size * C)), where row j of the matrix is the window that begins at row start + j * size.
    """
    num_rows, width = rows.shape
    for start in range(min(size, num_rows - size + 1)):
        count = (num_rows - start) // size
        yield start, rows[start : start + count * size].reshape(count, size * width)


def side_by_side(input: Array, size: int) -> Array:
    """Windows that do not overlap, of each sequence by itself; rows at its end that fill no window are left out.

    Shapes: input (N, T, C) -> (N, T // size, size, C), a view of it.
    """
    N, T, C = input.shape
    count = T // size
    return input[:, : count * size].reshape(N, count, size, C)
