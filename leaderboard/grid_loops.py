"""Loops of `distances`, compiled: lengths of rows, and rows as integers."""

import numpy as np

from .compiled import compiled


@compiled
def lengths(x):
    """float64 [n]: the length of each row of float64 x [n, D].

    The squares are added in an order of its own, halves upon halves: the same bits on every machine.
    """
    out = np.empty(len(x))
    squares = np.empty(x.shape[1])
    for i in range(len(x)):
        row = x[i]
        for j in range(len(row)):
            squares[j] = row[j] * row[j]
        width = len(row)
        while width > 1:
            half = (width + 1) // 2
            first, second = squares[: width - half], squares[half:width]
            for j in range(len(second)):
                first[j] += second[j]
            width = half
        out[i] = np.sqrt(squares[0])
    return out


@compiled
def put_on_grid(x, unit, scale, ints, values, squares):
    """Writes the rows of float64 x [n, D] over `unit` [n], rounded: as `ints`, as float32 `values` times `scale` [n].

    `squares` float64 [n] becomes the sum of the squares of the integers.
    """
    for i in range(len(x)):
        row, whole, value = x[i], ints[i], values[i]
        by, to, total = unit[i], np.float32(scale[i]), np.int64(0)
        for j in range(len(row)):
            number = np.int32(np.rint(row[j] / by))
            whole[j] = number
            value[j] = np.float32(number) * to
            total += np.int64(number) * np.int64(number)
        squares[i] = total
