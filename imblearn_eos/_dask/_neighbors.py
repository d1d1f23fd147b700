"""Nearest neighbors among the rows of a Dask collection."""

from functools import partial
from operator import itemgetter

import dask.array as da
import numpy as np

from imblearn_eos._compat import check_feature_names, check_n_features
from imblearn_eos._dask._blocks import as_rows, check_block
from imblearn_eos._dask._graph import Stage
from imblearn_eos._dask._search import (
    Queries,
    Search,
    add_search,
    for_workers,
    queries_at_once,
    without_own,
)


def rows_to_search(finder, X):
    """Return the rows of a Dask collection, counted, and remember their features."""
    rows = as_rows(X, estimator=finder)
    check_feature_names(finder, rows.meta, reset=True)
    finder.n_features_in_ = rows.n_features
    return rows


def kneighbors(finder, rows, X, n_neighbors):
    """Find the nearest rows of each row of X, lazily.

    Parameters
    ----------
    finder : TorchNearestNeighbors
        Fitted.
    rows : Rows
        Those that it was fitted to.
    X : {dask.array.Array, dask.dataframe.DataFrame, ndarray} of shape (n_queries, n_features)
        An array in memory has been checked. None means these rows; a row is not its own neighbor.
    n_neighbors : int

    Returns
    -------
    distances, indices : dask.array.Array of shape (n_queries, n_neighbors)
    """
    is_own = X is None
    if isinstance(X, np.ndarray):
        queries = as_rows(da.from_array(X, chunks=-1), estimator=finder)
    else:
        queries = rows if is_own else as_rows(X, estimator=finder)
        check_feature_names(finder, queries.meta, reset=False)
        check_n_features(finder, queries.collection, reset=False)
    search = Search(n_neighbors + is_own, for_workers(finder), type(finder).__name__)
    stage = Stage(*queries.blocks[:1], *rows.blocks[:1])
    at_once = queries_at_once(1, rows.n_features * 8, search.n_neighbors)
    found, sizes = [], []
    first = 0
    for block, size in zip(queries.blocks, queries.sizes, strict=True):
        for start in range(0, int(size), at_once):
            stop = min(start + at_once, int(size))
            take = partial(
                take_rows, start=start, stop=stop, first=first, estimator=search.estimator
            )
            taken = stage.add("eos-queries", take, block.key)
            merged = add_search(stage, rows, None, taken, search)
            finish = partial(as_lines, n_neighbors=n_neighbors, is_own=is_own)
            found.append(stage.add("eos-neighbors", finish, merged, taken))
            sizes.append(stop - start)
        first += int(size)
    names = ("eos-distances", np.float64), ("eos-indices", np.int64)
    return tuple(
        stage.array(name, found, itemgetter(part), sizes, np.empty((0, n_neighbors), dtype))
        for part, (name, dtype) in enumerate(names)
    )


# --- in tasks -------------------------------------------------------------------------------------


def take_rows(x, *, start, stop, first, estimator):
    """Return some rows of a block as queries without classes."""
    x = np.ascontiguousarray(check_block(x, first, estimator)[start:stop])
    return Queries(x, np.zeros(len(x), dtype=np.int64), np.arange(start, stop) + first)


def as_lines(neighbors, queries, *, n_neighbors, is_own):
    """Return distances and row numbers, a line for each query."""
    if is_own:
        neighbors = without_own(neighbors, queries.rows)
    shape = -1, n_neighbors
    return np.sqrt(neighbors.squared).reshape(shape), (neighbors.key >> 1).reshape(shape)
