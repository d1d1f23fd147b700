"""X and y on Dask, as blocks of the same rows."""

from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import torch
from sklearn.utils.multiclass import check_classification_targets

from imblearn_eos._compat import meta_of
from imblearn_eos._dask._graph import Stage
from imblearn_eos._frames import PandasFrame
from imblearn_eos._validation import (
    LARGEST,
    check_numbers,
    name_of,
    refuse_booleans,
    sorted_classes,
)


class Rows(NamedTuple):
    """Blocks of rows.

    Attributes
    ----------
    collection : dask.array.Array or dask.dataframe.DataFrame
        The rows, in one chunk of columns and, if an array, of known sizes.
    blocks : list of dask.delayed.Delayed
        One for each chunk or partition.
    sizes : ndarray of shape (n_blocks,), dtype=int64, or None
        The number of rows of each.
    """

    collection: Any
    blocks: list
    sizes: np.ndarray | None

    @property
    def meta(self):
        """An array or frame without rows, with the dtypes of the others."""
        return meta_of(self.collection)

    @property
    def n_features(self):
        """The number of columns."""
        return int(self.collection.shape[1])


def is_frame(collection):
    """Return whether a Dask collection is a DataFrame or Series."""
    return hasattr(collection, "to_dask_array")


def check_collection(X, *, estimator, name="X", ndim=2):
    """Raise ValueError unless a collection holds rows of integers or floats.

    Parameters
    ----------
    X : Dask collection
        Nothing is read here.
    estimator : str or estimator object
        Named in errors.
    name : str, default="X"
        What errors call the collection.
    ndim : int, default=2
        The number of dimensions of an array. None allows any.
    """
    meta = meta_of(X) if isinstance(X, da.Array) or is_frame(X) else None
    if is_frame(X) and meta.ndim == 2:
        PandasFrame(meta).check_columns(estimator=name_of(estimator))
        if isinstance(PandasFrame(meta).to_array(), np.ndarray):
            return
    elif type(meta) is np.ndarray and ndim in (None, meta.ndim) and X.dtype.kind in "iufb":
        return
    raise ValueError(
        f"{name} is a Dask collection of {type(meta).__name__}, dtype {getattr(X, 'dtype', None)} "
        f"and {getattr(meta, 'ndim', None)} dimensions. {name_of(estimator)} needs a dask.array of "
        "NumPy blocks or a dask.dataframe, 2-d, of integers or floats."
    )


def as_rows(X, *, estimator, name="X", count=True):
    """Split a collection of rows into blocks.

    Parameters
    ----------
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
        Numbers, which are not read here.
    estimator : str or estimator object
        Named in errors.
    name : str, default="X"
        What errors call the collection.
    count : bool, default=True
        Whether to count the rows of partitions, for which all of them are read. Chunks of an
        array are counted if their sizes are unknown.

    Raises
    ------
    ValueError
        When X is not a collection of rows of integers or floats.
    """
    check_collection(X, estimator=estimator, name=name)
    if is_frame(X):
        # Optimized, a column of a Parquet file may come in fewer partitions than the file.
        blocks = X.to_delayed(optimize_graph=False)
        return Rows(X, blocks, count_rows(blocks) if count else None)
    refuse_booleans(X, estimator=estimator)
    X = with_sizes(X.rechunk({1: -1}))
    blocks = list(X.to_delayed(optimize_graph=False).ravel())
    return Rows(X, blocks, np.array(X.chunks[0], dtype=np.int64))


def as_labels(y, X, *, estimator, names=("X", "y")):
    """Split labels, or weights, into blocks of the same rows as those of X.

    Parameters
    ----------
    y : dask.array.Array, dask.dataframe.Series or array-like of shape (n_samples,)
        The labels.
    X : Rows
        If they are not counted, y has the same partitions.
    estimator : str or estimator object
        Named in errors.
    names : tuple of str, default=("X", "y")
        What errors call the rows and the labels.

    Returns
    -------
    y : dask.array.Array or dask.dataframe.Series
    blocks : list of dask.delayed.Delayed

    Raises
    ------
    ValueError
        When y is not 1-d, or has not the rows of X.
    """
    if not (isinstance(y, da.Array) or is_frame(y)):
        y = np.asarray(y)
    if y.ndim != 1:
        raise ValueError(
            f"{names[1]} has {y.ndim} dimensions, but {name_of(estimator)} on Dask needs one "
            "column. Pass labels instead of one-hot rows."
        )
    if is_frame(y) and X.sizes is None:
        _compare("partitions", names, len(X.blocks), y.npartitions)
        return y, y.to_delayed(optimize_graph=False)
    if is_frame(y):
        labels = y.to_dask_array(lengths=True)
    else:
        labels = with_sizes(y) if isinstance(y, da.Array) else y
    _compare("rows", names, int(X.sizes.sum()), labels.shape[0])
    chunks = (tuple(map(int, X.sizes)),)
    if isinstance(y, np.ndarray):
        # No worker gets more of them than it needs.
        labels = da.from_array(y, chunks=chunks)
    elif labels.chunks != chunks:
        labels = labels.rechunk(chunks)
    return y if is_frame(y) else labels, list(labels.to_delayed(optimize_graph=False))


def _compare(parts, names, n_of_X, n_of_y):
    if n_of_X != n_of_y:
        X, y = names
        raise ValueError(
            f"{X} has {n_of_X} {parts}, but {y} has {n_of_y}. Take both from one collection, or "
            f"pass {y} as an array of as many rows as {X}."
        )


def count_rows(blocks):
    """Count the rows of blocks, by a computation."""
    stage = Stage(*blocks[:1])
    return np.array(stage.compute([stage.add("eos-rows", len, b.key) for b in blocks]), np.int64)


def with_sizes(array):
    """Return an array whose chunks have known sizes; the given one is not changed."""
    if not np.isnan(array.chunks[0]).any():
        return array
    sizes = count_rows(list(array.to_delayed(optimize_graph=False).ravel()))
    chunks = tuple(map(int, sizes)), *array.chunks[1:]
    return da.Array(array.dask, array.name, chunks, meta=meta_of(array))


def count_classes(blocks):
    """Find and count the classes of blocks of labels, by a computation.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        In sorted order.
    counts : ndarray of shape (n_blocks, n_classes), dtype=int64
        How many rows of each class a block has.

    Raises
    ------
    ValueError
        When labels are missing, continuous, or of several types.
    """
    stage = Stage(*blocks[:1])
    found = stage.compute([stage.add("eos-count", _count, y.key) for y in blocks])
    classes = sorted_classes(
        np.concatenate([values for values, _ in found if len(values)] or [np.empty(0)])
    )
    # Each twice, because scikit-learn warns where most labels are unique.
    check_classification_targets(np.tile(classes, 2))
    counts = np.zeros((len(blocks), len(classes)), dtype=np.int64)
    for line, (values, n_rows) in zip(counts, found, strict=True):
        line[np.searchsorted(classes, values)] = n_rows
    return classes, counts


class CountedLabels:
    """Stands for y where imbalanced-learn's sampling strategies count it with ``np.unique``."""

    def __init__(self, classes, counts):
        self.classes = classes
        self.counts = counts

    def __array_function__(self, function, types, args, kwargs):
        if function is not np.unique:
            return NotImplemented
        return (self.classes, self.counts) if kwargs.get("return_counts") else self.classes


# --- in tasks -------------------------------------------------------------------------------------


def _count(y):
    return sorted_classes(np.asarray(y), return_counts=True)


def to_array(x):
    """Return a block of rows as an array; a frame's columns in float64."""
    return PandasFrame(x).to_array() if hasattr(x, "iloc") else np.asarray(x)


def check_block(x, first, estimator, *, name="X", largest=LARGEST):
    """Return a block as an array; raise ValueError if it has other than finite numbers.

    The error names the row by its number among all rows, of which ``first`` is the block's first.
    With ``largest`` None, any finite number is allowed.
    """
    x = to_array(x)
    limit = np.finfo(float).max if largest is None else largest
    # Comparisons with NaN are false.
    if x.size and not -limit <= float(x.min()) <= float(x.max()) <= limit:
        is_fine = np.abs(x.astype(float)) <= limit
        i = int(np.flatnonzero(~is_fine.reshape(len(x), -1).all(axis=1))[0])
        row, name = torch.from_numpy(x[i].astype(float)), f"Row {first + i} of {name}"
        check_numbers(row, estimator=estimator, name=name, largest=largest)
    return x


def check_lengths(x, y, names=("X", "y")):
    """Raise ValueError unless blocks of rows and of labels are equally long."""
    if len(x) != len(y):
        raise ValueError(
            f"A partition of {names[0]} has {len(x)} rows, but that of {names[1]} has {len(y)}. "
            "Take both from one dataframe."
        )
