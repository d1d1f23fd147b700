"""Compiled loops that keep the nearest rows of each query in a heap, where numba is installed.

Unlike torch, they can enter a cell of the tree for a single query.
"""

import numba
import numpy as np


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


@numba.njit(parallel=True, nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def search_tree(
    coarse, sketches, starts, low, high, allowed, queries, query_sketches, kept_scores, kept_rows
):
    """Descend a tree for each query, the nearer half first, and keep the nearest rows.

    Parameters
    ----------
    coarse : ndarray of shape (n_rows, n_features)
        Rows in the order of the tree's cells.
    sketches : ndarray of shape (n_cells, n_dimensions, max_rows)
        Sketches of each cell's rows; infinite beyond the cell's rows.
    starts : ndarray of shape (n_cells,)
        First row of each cell.
    low, high : ndarray of shape (2 * n_cells, n_dimensions)
        Corners of the box of each node: node 1 is the root, the halves of node i are 2 i and
        2 i + 1, and the last ``n_cells`` are the cells.
    allowed : ndarray of shape (n_rows,), dtype=bool
        Which rows may be kept.
    queries : ndarray of shape (n_queries, n_features)
    query_sketches : ndarray of shape (n_queries, n_dimensions)
    kept_scores, kept_rows : ndarray of shape (n_queries, n_kept)
        As for :func:`keep_in_heaps`: estimated squared distances and places in the order.

    Returns
    -------
    ndarray of shape (n_queries, 2), dtype=int64
        How many sketches and how many rows were looked at.
    """
    n_cells, n_dimensions, max_rows = sketches.shape
    n_features = coarse.shape[1]
    work = np.zeros((len(queries), 2), np.int64)
    for i in numba.prange(len(queries)):
        waiting = np.empty(64, np.int64)
        waiting_gaps = np.empty(64, np.float32)
        gaps = np.empty(max_rows, np.float32)
        query, sketch = queries[i], query_sketches[i]
        heap, heap_rows = kept_scores[i], kept_rows[i]
        n_sketches = n_measured = 0
        n_waiting = 1
        waiting[0] = 1
        waiting_gaps[0] = 0
        while n_waiting:
            n_waiting -= 1
            node = waiting[n_waiting]
            gap = waiting_gaps[n_waiting]
            while node < n_cells and gap < heap[0]:
                near, far = 2 * node, 2 * node + 1
                near_gap = np.float32(0)
                far_gap = np.float32(0)
                for axis in range(n_dimensions):
                    x = sketch[axis]
                    outside = max(low[near, axis] - x, x - high[near, axis], np.float32(0))
                    near_gap += outside * outside
                    outside = max(low[far, axis] - x, x - high[far, axis], np.float32(0))
                    far_gap += outside * outside
                if far_gap < near_gap:
                    near, far = far, near
                    near_gap, far_gap = far_gap, near_gap
                waiting[n_waiting] = far
                waiting_gaps[n_waiting] = far_gap
                n_waiting += 1
                node, gap = near, near_gap
            if not gap < heap[0]:
                continue
            cell = node - n_cells
            n_sketches += max_rows
            gaps[:] = 0
            for axis in range(n_dimensions):
                x = sketch[axis]
                for j in range(max_rows):
                    difference = sketches[cell, axis, j] - x
                    gaps[j] += difference * difference
            for j in range(max_rows):
                if gaps[j] < heap[0]:
                    place = starts[cell] + j
                    if not allowed[place]:
                        continue
                    n_measured += 1
                    score = np.float32(0)
                    for feature in range(n_features):
                        difference = coarse[place, feature] - query[feature]
                        score += difference * difference
                    if score < heap[0]:
                        _replace_largest(heap, heap_rows, score, place)
        work[i, 0] = n_sketches
        work[i, 1] = n_measured
    return work
