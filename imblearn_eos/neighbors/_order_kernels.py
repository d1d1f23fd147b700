"""Compiled loops in float64, where numba is installed: what ``_exact.py`` and ``_order.py`` do."""

import numba
import numpy as np

from imblearn_eos.neighbors._kernels import (
    FLAGS_IN_WORD,
    count_below,
    find_between,
    keep_line,
    limits_around,
    range_between,
)

# Pairs that one thread measures in a row.
PAIRS_IN_A_CHUNK = 64
# Queries that one thread answers in a row.
QUERIES_IN_A_CHUNK = 16
# Longer runs are sorted in steps of several places first, unless they are nearly in order.
SHORT_RUN = 32
# The least number that a score can be above.
LEAST = np.finfo(np.float32).min
# What is wanted of candidates, as numbers.
RESULTS = {"sets": 0, "order": 1, "distances": 2}


@numba.njit(inline="always")
def _measure_pair(queries, query, rows, row, terms):
    """Measure a squared distance by the operations of ``_exact.measure``, hence the same bits."""
    width = rows.shape[1]
    for feature in range(width):
        difference = np.float64(queries[query, feature]) - rows[row, feature]
        terms[feature] = difference * difference
    while width > 1:
        half = width // 2
        for feature in range(half):
            terms[feature] += terms[half + feature]
        if width % 2:
            terms[0] += terms[width - 1]
        width = half
    return terms[0]


@numba.njit(parallel=True, nogil=True, cache=True)
def measure(queries, rows, query, found):
    """Measure pairs as ``_exact.measure`` does.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_features), dtype=float32 or float64
    rows : ndarray of shape (n_rows, n_features), dtype=float32 or float64
    query, found : ndarray of shape (n_pairs,), dtype=int64

    Returns
    -------
    ndarray of shape (n_pairs,), dtype=float64
    """
    n_pairs = len(query)
    squared = np.empty(n_pairs)
    for chunk in numba.prange(-(-n_pairs // PAIRS_IN_A_CHUNK)):
        start = chunk * PAIRS_IN_A_CHUNK
        terms = np.empty(rows.shape[1])
        for pair in range(start, min(start + PAIRS_IN_A_CHUNK, n_pairs)):
            squared[pair] = _measure_pair(queries, query[pair], rows, found[pair], terms)
    return squared


@numba.njit(cache=True)
def _sort_run(squared, found):
    """Sort by distance, and equal distances by row number."""
    n_descents = 0
    for place in range(1, len(squared)):
        before, after = squared[place - 1], squared[place]
        n_descents += after < before or (after == before and found[place] < found[place - 1])
    if n_descents == 0:
        return
    # Shell's sort. NumPy's sorts would take seconds to compile.
    gap = len(squared) if len(squared) > SHORT_RUN and n_descents > len(squared) // 8 else 1
    while True:
        gap = max(1, gap * 4 // 9)
        for start in range(gap, len(squared)):
            distance, row, place = squared[start], found[start], start
            while place >= gap and (
                squared[place - gap] > distance
                or (squared[place - gap] == distance and found[place - gap] > row)
            ):
                squared[place], found[place] = squared[place - gap], found[place - gap]
                place -= gap
            squared[place], found[place] = distance, row
        if gap == 1:
            return


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def select(queries, rows, found, estimates, slope, offsets, unit, n_neighbors, result, farthest):
    """Move the nearest candidates of each query to the front, as ``_order.py`` does.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_features), dtype=float32 or float64
    rows : ndarray of shape (n_rows, n_features), dtype=float32 or float64
    found : ndarray of shape (n_queries, n_kept), dtype=int64
        Candidates by estimate; the first ``n_neighbors`` become the answer.
    estimates : ndarray of shape (n_queries, n_kept), dtype=float64
        Ascending; become squared distances, or what these are at most where none was measured.
    slope, offsets : float, and ndarray of shape (n_queries,)
        Of the ``Bound`` of the estimates.
    unit : float
        Squared distances times this are in the unit of estimates.
    n_neighbors : int
    result : int
        One of ``RESULTS``.
    farthest : ndarray of shape (n_queries,)
        Becomes at least the largest squared distance of the answer.
    """
    n_kept = found.shape[1]
    inverse = 1 / max(1 - slope, 0.0)
    for i in numba.prange(len(found)):
        row, values, offset = found[i], estimates[i], offsets[i]
        terms = np.empty(rows.shape[1])
        start, stop = 0, 0
        if result == 0:
            # Only what may change places with the last is in doubt.
            last = values[n_neighbors - 1]
            start, stop = n_neighbors - 1, n_neighbors
            reach = (1 + slope) * ((last + offset) * inverse) + offset
            while stop < n_kept and values[stop] <= reach and values[stop] < np.inf:
                stop += 1
            if stop == n_neighbors:
                farthest[i] = (last + offset) * inverse / unit
                continue
            while start and (1 + slope) * ((values[start - 1] + offset) * inverse) + offset >= last:
                start -= 1
            for place in range(start, stop):
                values[place] = _measure_pair(queries, i, rows, row[place], terms)
            _sort_run(values[start:stop], row[start:stop])
            farthest[i] = values[n_neighbors - 1]
            continue
        while start < n_neighbors:
            # Candidates form runs: whatever is in different runs has a certain order.
            stop = start + 1
            largest = (values[start] + offset) * inverse
            while (
                stop < n_kept
                and values[stop] <= (1 + slope) * largest + offset
                and values[stop] < np.inf
            ):
                largest = (values[stop] + offset) * inverse
                stop += 1
            if result == 1 and stop == start + 1:
                values[start] = largest / unit
            else:
                for place in range(start, stop):
                    values[place] = _measure_pair(queries, i, rows, row[place], terms)
                _sort_run(values[start:stop], row[start:stop])
            start = stop
        farthest[i] = values[n_neighbors - 1]


@numba.njit(inline="always")
def _above(number):
    """Return a larger float32."""
    return np.nextafter(np.float32(number), np.float32(np.inf))


@numba.njit(inline="always")
def _below(number):
    """Return a smaller float32."""
    return np.nextafter(np.float32(number), np.float32(-np.inf))


@numba.njit(cache=True)
def _make_scratch(n_places, n_features):
    """Make the arrays that :func:`_select_line` writes to, for so many candidates."""
    return (
        np.empty(n_places, np.int64),
        np.empty(n_places),
        np.empty(n_places, np.int32),
        np.empty(n_features),
    )


@numba.njit(cache=True, error_model="numpy")
def _select_line(
    queries,
    i,
    rows,
    line,
    found,
    shift,
    slope,
    offset,
    unit,
    result,
    nearest,
    squared,
    scratch,
):
    """Select the nearest candidates of query ``i``, as :func:`select_kept`.

    Returns
    -------
    farthest : float
        At least the largest squared distance.
    reach : float
        No row whose score is at least this is among the nearest.
    """
    n_neighbors = nearest.shape[1]
    inverse = 1 / max(1 - slope, 0.0)
    # The score of the last neighbor is at least one of them, and at most the other.
    least, limit = limits_around(line, n_neighbors, n_neighbors)
    last = range_between(line, least, limit)[1]
    if count_below(line, limit) == n_neighbors:
        least = last
    distance = (last + shift + offset) * inverse
    # Rows of larger scores are farther than the last neighbor, and are not needed.
    reach = max(_above(last), _above((1 + slope) * distance + offset - shift))
    n_near = count_below(line, reach)
    # Rows of smaller scores are nearer than the last neighbor, and are not measured.
    sure = np.float32(-np.inf)
    if result == 0:
        smallest = (least + shift - offset) / (1 + slope) / inverse
        sure = reach if n_near == n_neighbors else min(least, _below(smallest - offset - shift))
        # What is chosen is put below it.
        sure = max(sure, LEAST)
    n_sure = count_below(line, sure)
    n_chosen = n_neighbors - n_sure
    farthest = distance / unit
    chosen, measured, taken, terms = scratch
    chosen, measured = chosen[: n_near - n_sure], measured[: n_near - n_sure]
    if n_chosen:
        find_between(line, sure, reach, chosen)
        for place in range(len(chosen)):
            measured[place] = _measure_pair(queries, i, rows, found[chosen[place]], terms)
        _sort_run(measured, chosen)
        farthest = measured[n_chosen - 1]
    chosen = chosen[:n_chosen]
    if result > 0:
        nearest[i] = found[chosen]
        if result == 2:
            squared[i] = measured[:n_chosen]
        return farthest, reach
    # Written without a branch, and the last that is too many is written over.
    line[chosen] = -np.inf
    n_taken = 0
    for place in range(len(line)):
        taken[n_taken] = found[place]
        n_taken += line[place] < sure
    nearest[i] = taken[:n_taken]
    return farthest, reach


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def select_kept(
    queries,
    rows,
    scores,
    found,
    counts,
    lengths,
    slope,
    offsets,
    unit,
    result,
    nearest,
    squared,
    farthest,
):
    """Select the nearest of candidates that are in the order of rows, without sorting them.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_features), dtype=float32 or float64
    rows : ndarray of shape (n_rows, n_features), dtype=float32 or float64
    scores : ndarray of shape (n_queries, n_places), dtype=float32
        Finite. With the query's length added, they are estimates. Overwritten.
    found : ndarray of shape (n_queries, n_places), dtype=int32
        The candidates, ascending.
    counts : ndarray of shape (n_queries,), dtype=int64
        How many there are.
    lengths : ndarray of shape (n_queries,), dtype=float64
        Not finite where estimates overflowed; nothing is selected there.
    slope, offsets, unit, result, farthest
        As for :func:`select`.
    nearest : ndarray of shape (n_queries, n_neighbors), dtype=int64
        Becomes the answer, ascending for "sets".
    squared : ndarray of shape (n_queries, n_neighbors), dtype=float64
        Becomes squared distances, for "distances" only.
    """
    n_queries, n_places = found.shape
    for chunk in numba.prange(-(-n_queries // QUERIES_IN_A_CHUNK)):
        scratch = _make_scratch(n_places, rows.shape[1])
        start = chunk * QUERIES_IN_A_CHUNK
        for i in range(start, min(start + QUERIES_IN_A_CHUNK, n_queries)):
            count, shift = counts[i], lengths[i]
            if count < nearest.shape[1] or not np.isfinite(shift):
                nearest[i], farthest[i] = 0, np.inf
                continue
            line, row = scores[i, :count], found[i, :count]
            farthest[i], _ = _select_line(
                queries,
                i,
                rows,
                line,
                row,
                shift,
                slope,
                offsets[i],
                unit,
                result,
                nearest,
                squared,
                scratch,
            )


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def select_all(queries, rows, scores, own, lengths, slope, offsets, unit, result, nearest, squared):
    """Select the nearest rows, of which all are candidates.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_rows), dtype=float32
        With the query's length added, they are estimates. Infinite for rows that may not be found,
        and finite for ``n_neighbors`` others. Overwritten.
    own : ndarray of shape (n_queries,), dtype=int64
        A row that may not be found, or -1.
    lengths : ndarray of shape (n_queries,), dtype=float64
        Finite.
    queries, rows, slope, offsets, unit, result, nearest, squared
        As for :func:`select_kept`.
    """
    n_queries, n_rows = scores.shape
    n_neighbors = nearest.shape[1]
    every = np.arange(n_rows, dtype=np.int32)
    for chunk in numba.prange(-(-n_queries // QUERIES_IN_A_CHUNK)):
        scratch = _make_scratch(n_rows, rows.shape[1])
        few = np.empty(n_rows + FLAGS_IN_WORD, np.float32)
        few_rows = np.empty(n_rows + FLAGS_IN_WORD, np.int32)
        start = chunk * QUERIES_IN_A_CHUNK
        for i in range(start, min(start + QUERIES_IN_A_CHUNK, n_queries)):
            line, shift, offset = scores[i], lengths[i], offsets[i]
            # One more than wanted, so that most limits lie beyond what must be looked at.
            count, limit = keep_line(
                line, own[i], 0, n_neighbors + 1, few, few_rows, 0, np.float32(np.inf)
            )
            # All rows, if what was left out may be among the nearest.
            for candidates, found, least_other in (
                (few[:count], few_rows[:count], limit),
                (line, every, np.float32(np.inf)),
            ):
                _, reach = _select_line(
                    queries,
                    i,
                    rows,
                    candidates,
                    found,
                    shift,
                    slope,
                    offset,
                    unit,
                    result,
                    nearest,
                    squared,
                    scratch,
                )
                if reach <= least_other:
                    break
