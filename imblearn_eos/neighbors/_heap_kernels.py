"""Compiled loops that keep the nearest rows of each query in a heap, where numba is installed.

Unlike torch, they can search a cell of rows for a single query.
"""

import numba
import numpy as np

from imblearn_eos.neighbors._kernels import FLAGS_IN_WORD, flag_between, limits_around, take_flag

# Parts of the limit, by which near cells come before others.
N_SHARES = 4
# Sketches have a multiple of so many coordinates, and cells are filled up to a multiple of so
# many rows: sums that were just written are slow to read, and so are single rows.
AXES_AT_ONCE, ROWS_AT_ONCE = 4, 16
# Queries for which boxes are looked through together, and the least boxes that come first.
GROUP_QUERIES, N_NEAR = 32, 16
# The least number that is not zero where smaller ones are flushed to it.
LEAST = np.finfo(np.float32).tiny
# What reorders sums, for several numbers at a time, and keeps infinity.
FASTMATH = {"contract", "reassoc", "nsz"}


@numba.njit(inline="always")
def _replace_largest(scores, rows, score, row):
    """Put a score in the place of the largest, the first of a heap."""
    n_kept = len(scores)
    place = 0
    while True:
        child = 2 * place + 1
        if child >= n_kept:
            break
        if child + 1 < n_kept and scores[child + 1] > scores[child]:
            child += 1
        if scores[child] <= score:
            break
        scores[place] = scores[child]
        rows[place] = rows[child]
        place = child
    scores[place] = score
    rows[place] = row


@numba.njit(parallel=True, nogil=True, cache=True)
def keep_in_heaps(scores, minima, rows, kept_scores, kept_rows):
    """Keep the smallest of many scores for each query, a few of them.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_rows)
    minima : ndarray of shape (n_queries, n_groups)
        Column j has the minimum of the scores j, j + n_groups, j + 2 n_groups, ...
    rows : ndarray of shape (n_rows,), dtype=int64
        The row of each column.
    kept_scores, kept_rows : ndarray of shape (n_queries, n_kept)
        What was kept so far, a heap in each line whose first is the largest; updated.
    """
    n_rows, n_groups = scores.shape[1], minima.shape[1]
    for query in numba.prange(len(scores)):
        heap, heap_rows = kept_scores[query], kept_rows[query]
        for group in range(n_groups):
            if minima[query, group] < heap[0]:
                for column in range(group, n_rows, n_groups):
                    score = scores[query, column]
                    if score < heap[0]:
                        _replace_largest(heap, heap_rows, score, rows[column])


@numba.njit(inline="always")
def _gaps_to_boxes(low, high, own_low, own_high, gaps):
    """Compute squared distances between a box, or a sketch, and boxes."""
    gaps[:] = 0
    for axis in range(len(own_low)):
        lowest, highest = own_low[axis], own_high[axis]
        for box in range(len(gaps)):
            below, above = low[axis, box] - highest, lowest - high[axis, box]
            # Unlike ``max``, for several boxes at a time.
            outside = below if below > above else above
            outside = outside if outside > np.float32(0) else np.float32(0)
            gaps[box] += outside * outside


@numba.njit(inline="always")
def _gaps_to_rows(sketches, cell, sketch, gaps):
    """Compute squared distances between a sketch and those of a cell."""
    gaps[:] = 0
    for axis in range(0, len(sketch), AXES_AT_ONCE):
        x, y, z, w = sketch[axis], sketch[axis + 1], sketch[axis + 2], sketch[axis + 3]
        for row in range(len(gaps)):
            a, b = sketches[cell, axis, row] - x, sketches[cell, axis + 1, row] - y
            c, d = sketches[cell, axis + 2, row] - z, sketches[cell, axis + 3, row] - w
            gaps[row] += (a * a + b * b) + (c * c + d * d)


@numba.njit(inline="always")
def _search_cell(
    cell, sketches, starts, coarse, allowed, query, sketch, gaps, words, heap, heap_rows
):
    """Keep the near rows of a cell; return how many were measured."""
    n_measured = 0
    _gaps_to_rows(sketches, cell, sketch, gaps)
    flag_between(gaps, np.float32(0), heap[0], words.view(np.uint8))
    for i in range(len(words)):
        word = words[i]
        while word != np.uint64(0):
            flag, word = take_flag(word)
            row = FLAGS_IN_WORD * i + flag
            place = starts[cell] + row
            if gaps[row] < heap[0] and allowed[place]:
                n_measured += 1
                score = np.float32(0)
                for feature in range(len(query)):
                    difference = coarse[place, feature] - query[feature]
                    score += difference * difference
                if score < heap[0]:
                    _replace_largest(heap, heap_rows, score, place)
    return n_measured


@numba.njit(parallel=True, nogil=True, cache=True, fastmath=FASTMATH)
def search_cells(
    coarse, sketches, starts, low, high, allowed, queries, query_sketches, kept_scores, kept_rows
):
    """Search the cells whose boxes are near each query, and keep the nearest rows.

    Parameters
    ----------
    coarse : ndarray of shape (n_rows, n_features)
        Rows in the order of the cells.
    sketches : ndarray of shape (n_cells, n_dimensions, max_rows)
        Sketches of each cell's rows, with infinite ones beyond them. There are a multiple of
        ``AXES_AT_ONCE`` dimensions and, to be fast, one of ``ROWS_AT_ONCE`` rows.
    starts : ndarray of shape (n_cells,)
        First row of each cell.
    low, high : ndarray of shape (n_dimensions, n_cells)
        Corners of the box around each cell.
    allowed : ndarray of shape (n_rows,), dtype=bool
        Which rows may be kept.
    queries : ndarray of shape (n_queries, n_features)
        Queries that follow each other should be near each other.
    query_sketches : ndarray of shape (n_queries, n_dimensions)
    kept_scores, kept_rows : ndarray of shape (n_queries, n_kept)
        As for :func:`keep_in_heaps`: estimated squared distances and places in the order.

    Returns
    -------
    ndarray of shape (n_queries, 2), dtype=int64
        How many sketches and how many rows were looked at.
    """
    n_queries, n_dimensions = query_sketches.shape
    n_cells, _, max_rows = sketches.shape
    n_near = N_NEAR + 4 * (kept_scores.shape[1] // max_rows)
    work = np.zeros((n_queries, 2), np.int64)
    for group in numba.prange(-(-n_queries // GROUP_QUERIES)):
        first = GROUP_QUERIES * group
        last = min(first + GROUP_QUERIES, n_queries)
        group_low, group_high = query_sketches[first].copy(), query_sketches[first].copy()
        for i in range(first + 1, last):
            for axis in range(n_dimensions):
                group_low[axis] = min(group_low[axis], query_sketches[i, axis])
                group_high[axis] = max(group_high[axis], query_sketches[i, axis])
        gaps = np.empty(n_cells, np.float32)
        _gaps_to_boxes(low, high, group_low, group_high, gaps)
        # Boxes near the group, from which limits come, and then all others within these.
        near, far = np.float32(0), np.float32(np.inf)
        if n_near < n_cells:
            # Above zero, also where torch was told to take the least numbers for zero.
            far = max(limits_around(gaps, n_near, 2 * n_near)[1], LEAST)
        while near < far:
            cells = _places_between(gaps, near, far)
            near_low, near_high = _columns(low, cells), _columns(high, cells)
            limit = np.float32(0)
            for i in range(first, last):
                n_sketches, n_measured = _search_some(
                    cells,
                    near_low,
                    near_high,
                    sketches,
                    starts,
                    coarse,
                    allowed,
                    queries[i],
                    query_sketches[i],
                    kept_scores[i],
                    kept_rows[i],
                )
                work[i, 0] += n_sketches
                work[i, 1] += n_measured
                limit = max(limit, kept_scores[i, 0])
            near, far = far, limit
    return work


@numba.njit(cache=True)
def _places_between(gaps, near, far):
    """Return the places of gaps that are not below one limit and below the other."""
    places, n_found = np.empty(len(gaps), np.int64), 0
    for place in range(len(gaps)):
        places[n_found] = place
        n_found += near <= gaps[place] < far
    return places[:n_found]


@numba.njit(cache=True)
def _columns(array, columns):
    """Return some columns of a C-contiguous array."""
    found = np.empty((len(array), len(columns)), array.dtype)
    for row in range(len(array)):
        for place in range(len(columns)):
            found[row, place] = array[row, columns[place]]
    return found


@numba.njit(cache=True, fastmath=FASTMATH)
def _search_some(
    cells, low, high, sketches, starts, coarse, allowed, query, sketch, heap, heap_rows
):
    """Search some cells for one query in rounds, the near ones first; return what was looked at."""
    max_rows = sketches.shape[2]
    # Cells differ by one row at most, and those that are filled up have fewer than it seems.
    n_rows = max(1, len(coarse) // len(starts))
    gaps, words = _make_scratch(max_rows)
    cell_gaps, cell_words = _make_scratch(len(cells))
    _gaps_to_boxes(low, high, sketch, sketch, cell_gaps)
    n_sketches, n_measured, n_rounds = 0, 0, 0
    n_near = 1 + len(heap) // n_rows
    near = far = np.float32(0)
    while near < heap[0]:
        if heap[0] < np.inf:
            n_rounds += 1
            far = max(far, np.float32(min(n_rounds, N_SHARES) / N_SHARES) * heap[0])
        elif n_near < len(cells):
            # As many boxes as have enough rows, or more, if too few rows are allowed.
            far = max(far, limits_around(cell_gaps, n_near, 2 * n_near)[1])
            n_near *= 4
        else:
            far = np.float32(np.inf)
        flag_between(cell_gaps, near, far, cell_words.view(np.uint8))
        for j in range(len(cell_words)):
            word = cell_words[j]
            while word != np.uint64(0):
                flag, word = take_flag(word)
                place = FLAGS_IN_WORD * j + flag
                if cell_gaps[place] < heap[0]:
                    n_sketches += max_rows
                    n_measured += _search_cell(
                        cells[place],
                        sketches,
                        starts,
                        coarse,
                        allowed,
                        query,
                        sketch,
                        gaps,
                        words,
                        heap,
                        heap_rows,
                    )
        near = far
    return n_sketches, n_measured


@numba.njit(cache=True)
def _make_scratch(n_numbers):
    """Make arrays for gaps, and for their flags, eight in a word."""
    return np.empty(n_numbers, np.float32), np.zeros(-(-n_numbers // FLAGS_IN_WORD), np.uint64)
