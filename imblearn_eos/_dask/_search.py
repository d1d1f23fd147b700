"""The nearest rows of some rows, searched block by block and merged."""

import os
import threading
from functools import partial
from multiprocessing import parent_process
from typing import Any, NamedTuple

import numpy as np
import torch
from distributed import default_client
from distributed.system import MEMORY_LIMIT
from sklearn import get_config
from sklearn.base import clone

from imblearn_eos._dask._blocks import check_block
from imblearn_eos._dask._graph import FAN_IN, starts_of
from imblearn_eos._threads import one_thread
from imblearn_eos.neighbors import TorchNearestNeighbors
from imblearn_eos.neighbors._nearest_neighbors import nearest_squared

# Each round of blocks has so many times those of the last, and knows how far its rows matter.
ROUND_GROWTH = 8
# A neighbor: the number of its query, its squared distance and its row number.
NEIGHBOR_BYTES = 24
# Queries that are searched together, with the partial results that a task merges, take so much.
QUERY_BYTES = 2**28


class Queries(NamedTuple):
    """Rows whose neighbors are searched.

    Attributes
    ----------
    x : ndarray of shape (n_queries, n_features)
    codes : ndarray of shape (n_queries,), dtype=int64
        The class of each.
    rows : ndarray of shape (n_queries,), dtype=int64
        The number of each among all rows.
    """

    x: np.ndarray
    codes: np.ndarray
    rows: np.ndarray


class Neighbors(NamedTuple):
    """Neighbors of some queries, sorted by query, then distance, then row number.

    Attributes
    ----------
    query : ndarray of shape (n_found,), dtype=int64
        Positions of queries.
    squared : ndarray of shape (n_found,), dtype=float64
        Squared distances. Different ones may have the same root, which would be another order.
    key : ndarray of shape (n_found,), dtype=int64
        Twice the row number, and 1 more if the row is of another class than the query.
    """

    query: np.ndarray
    squared: np.ndarray
    key: np.ndarray


class Search(NamedTuple):
    """What is asked for.

    Attributes
    ----------
    n_neighbors : int
        At most the number of rows, of other classes if only these are searched.
    finder : TorchNearestNeighbors
        Not fitted.
    estimator : str
        Named in errors.
    classes : ndarray of shape (n_classes,), or None
        The labels that the positions are codes of. None means that there are no classes.
    of_others : bool
        Whether to search only rows of other classes than the query's.
    """

    n_neighbors: int
    finder: TorchNearestNeighbors
    estimator: str
    classes: Any = None
    of_others: bool = False


def for_workers(finder):
    """Return a copy of a TorchNearestNeighbors, with this process's setting of memory."""
    memory = finder.working_memory or get_config()["working_memory"]
    return clone(finder).set_params(device=str(finder.device), working_memory=memory)


def add_search(stage, rows, labels, queries, search, *, lazy=True):
    """Add the tasks that search all blocks, in rounds; return the key of the merged neighbors.

    Parameters
    ----------
    stage : Stage
    rows : Rows
        The rows to search among, counted.
    labels : list of dask.delayed.Delayed
        Blocks of labels; None means that there are no classes.
    queries : key
        A task that returns :class:`Queries`.
    search : Search
    lazy : bool, default=True
        Whether to compute nothing here. Otherwise all rounds but the last are computed, and no
        blocks are read and kept for a round that has not begun.
    """
    starts = starts_of(rows.sizes)
    waiting = [i for i, n_rows in enumerate(rows.sizes) if n_rows]
    n_blocks, merged, reach = _n_workers(), None, None
    by_rounds = not lazy and len(waiting) > n_blocks
    if by_rounds:
        stage.settle([queries])
    while waiting:
        now, waiting = waiting[:n_blocks], waiting[n_blocks:]
        parts = [
            stage.add(
                "eos-search",
                partial(search_block, search=search, first=int(starts[i])),
                rows.blocks[i].key,
                labels[i].key if labels else None,
                queries,
                reach,
            )
            for i in now
        ]
        parts = parts if merged is None else [merged, *parts]
        merge = partial(merge_neighbors, n_neighbors=search.n_neighbors)
        merged = stage.fold("eos-merge", merge, parts, FAN_IN)
        if waiting:
            find = partial(reach_of, n_neighbors=search.n_neighbors)
            reach = stage.add("eos-reach", find, merged, queries)
            if by_rounds:
                stage.settle([queries, merged, reach])
        n_blocks *= ROUND_GROWTH
    return merged


def queries_at_once(n_queries, row_bytes, n_neighbors, *, kept_bytes=0):
    """Return how many queries are searched together, so that their partial results fit.

    Parameters
    ----------
    n_queries : int
    row_bytes : int
        The memory for a query itself.
    n_neighbors : int
    kept_bytes : int, default=0
        The memory on this machine for each neighbor of each query.

    Raises
    ------
    ValueError
        When the neighbors do not fit, or on a worker not even those of one query.
    """
    each = row_bytes + NEIGHBOR_BYTES * n_neighbors * (FAN_IN + 1)
    kept = n_queries * n_neighbors * kept_bytes
    for n_rows, needed, limit, owner in (
        (n_queries, kept, MEMORY_LIMIT, "this machine"),
        (1, each, _worker_limit(), "a worker"),
    ):
        if needed > limit:
            raise ValueError(
                f"The {n_neighbors} neighbors of each of {n_rows} rows need {needed} bytes, but "
                f"{owner} has {limit}. Decrease n_neighbors, or over-sample fewer classes."
            )
    return max(1, int(QUERY_BYTES // each))


def _worker_limit():
    """Return the least memory of a worker of the cluster; without a cluster this machine's."""
    try:
        workers = default_client().scheduler_info()["workers"].values()
    except ValueError:
        workers = ()
    # A worker without a limit says None or 0.
    return min([worker["memory_limit"] or MEMORY_LIMIT for worker in workers] or [MEMORY_LIMIT])


def _n_workers():
    try:
        return max(1, sum(default_client().nthreads().values()))
    except ValueError:
        return 1


# --- in tasks -------------------------------------------------------------------------------------


def search_block(x, y, queries, reach, *, search, first):
    """Find the nearest rows of one block of each query, no farther than the query's reach."""
    x = check_block(x, first, search.estimator)
    if y is None:
        codes = np.zeros(len(x), dtype=np.int64)
    else:
        codes = np.searchsorted(search.classes, np.asarray(y))
    if reach is None:
        reach = np.full(len(queries.x), np.inf)
    found = []
    with one_thread(is_beside_others()):
        finder = clone(search.finder).fit(x)
        for code in np.unique(queries.codes) if search.of_others else [None]:
            is_mine = queries.codes == code if search.of_others else np.full(len(reach), True)
            allowed = codes != code if search.of_others else np.full(len(x), True)
            n_neighbors = min(search.n_neighbors, int(allowed.sum()))
            if n_neighbors == 0 or not is_mine.any():
                continue
            squared, rows = nearest_squared(
                finder,
                queries.x[is_mine],
                n_neighbors,
                allowed=torch.from_numpy(allowed) if search.of_others else None,
                reach=torch.from_numpy(reach[is_mine]),
            )
            # As far as the reach may be a row of a smaller number.
            is_near = squared <= reach[is_mine, None]
            query = np.flatnonzero(is_mine)[is_near.nonzero()[0]]
            key = 2 * (rows[is_near] + first) + (codes[rows[is_near]] != queries.codes[query])
            found.append(Neighbors(query, squared[is_near], key))
    return merge_neighbors(found, n_neighbors=search.n_neighbors)


def merge_neighbors(parts, *, n_neighbors):
    """Keep the nearest of each query, as if all had been found by one search."""
    nothing = Neighbors(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
    query, squared, key = map(np.concatenate, zip(nothing, *parts, strict=True))
    order = np.lexsort((key, squared, query))
    query = query[order]
    rank = np.arange(len(query)) - np.searchsorted(query, query)
    is_kept = rank < n_neighbors
    order = order[is_kept]
    return Neighbors(query[is_kept], squared[order], key[order])


def reach_of(neighbors, queries, *, n_neighbors):
    """Return the squared distance of the last neighbor of each query, infinity while some lack."""
    stops = np.searchsorted(neighbors.query, np.arange(len(queries.x)), side="right")
    is_full = np.diff(stops, prepend=0) == n_neighbors
    reach = np.full(len(stops), np.inf)
    reach[is_full] = neighbors.squared[stops[is_full] - 1]
    return reach


def without_own(neighbors, rows):
    """Remove each query, of a row number, from its neighbors; else the last of its neighbors.

    Parameters
    ----------
    neighbors : Neighbors
        Equally many of each query.
    rows : ndarray of shape (n_queries,), dtype=int64
        The row numbers of the queries.
    """
    is_own = (neighbors.key >> 1 == rows[neighbors.query]).reshape(len(rows), -1)
    # With duplicates a row need not find itself.
    is_own[~is_own.any(axis=1), -1] = True
    return Neighbors(*(part[~is_own.ravel()] for part in neighbors))


def is_beside_others():
    """Return whether the task may run beside others, and nobody has chosen a number of threads."""
    is_main = threading.current_thread() is threading.main_thread() and parent_process() is None
    return not is_main and "OMP_NUM_THREADS" not in os.environ
