"""The ranges of classes on Dask, block by block."""

from functools import partial

import numpy as np

from imblearn_eos._dask._blocks import (
    as_labels,
    as_rows,
    check_block,
    check_lengths,
    count_rows,
    is_frame,
)
from imblearn_eos._dask._graph import Stage, starts_of
from imblearn_eos._validation import sorted_classes
from imblearn_eos.metrics import _gap


def class_ranges(Z, y, part):
    """Find the classes of rows on Dask, and minima and maxima of each, by a computation.

    Parameters
    ----------
    Z : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
    y : dask.array.Array, dask.dataframe.Series or array-like of shape (n_samples,)
    part : str
        Errors name Z and y after it.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        In sorted order.
    ranges : ndarray of shape (2, n_classes, n_features)
    """
    names = f"Z_{part}", f"y_{part}"
    rows = as_rows(Z, estimator=_gap.NAME, name=names[0], count=not is_frame(y))
    _, labels = as_labels(y, rows, estimator=_gap.NAME, names=names)
    sizes = count_rows(labels) if rows.sizes is None else rows.sizes
    stage = Stage(*rows.blocks[:1], *labels[:1])
    keys = [
        stage.add("eos-ranges", partial(block_ranges, part=part, first=int(first)), x.key, y.key)
        for x, y, first in zip(rows.blocks, labels, starts_of(sizes), strict=False)
    ]
    merge = partial(merge_ranges, name=names[1])
    (found,) = stage.compute([stage.fold("eos-ranges", merge, keys)])
    if found is None:
        raise ValueError(f"{names[0]} has no rows. Pass at least one row with its label.")
    return found


# --- in tasks -------------------------------------------------------------------------------------


def block_ranges(x, y, *, part, first):
    """Return the classes of a block and their ranges; None of a block without rows."""
    check_lengths(x, y, (f"Z_{part}", f"y_{part}"))
    if not len(x):
        return None
    x = check_block(x, first, _gap.NAME, name=f"Z_{part}", largest=None)
    return _gap.class_ranges(x, np.asarray(y), part)


def merge_ranges(parts, *, name):
    """Join the ranges of several blocks."""
    parts = [part for part in parts if part is not None]
    if not parts:
        return None
    classes = sorted_classes(np.concatenate([found for found, _ in parts]), name)
    some = parts[0][1]
    ranges = np.full((2, len(classes), some.shape[2]), np.nan, some.dtype)
    for found, (low, high) in parts:
        codes = np.searchsorted(classes, found)
        # NaN is what a class had before its first block.
        ranges[0, codes] = np.fmin(ranges[0, codes], low)
        ranges[1, codes] = np.fmax(ranges[1, codes], high)
    return classes, ranges
