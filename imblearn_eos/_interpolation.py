"""Rows on the segments between rows, in the container and dtype of the input."""

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import gen_batches

# Rows are made in float64 and cast. So many numbers at a time stay in a processor's cache, and
# below the 128 KiB from which on malloc asks the system for memory each time in Dask's workers,
# because these set MALLOC_TRIM_THRESHOLD_.
BATCH_NUMBERS = {"cpu": 2**13, "cuda": 2**22}


def interpolate(X, base, enemy, steps):
    """Make the rows ``x_b + r * (x_e - x_b)``.

    Computed in float64, or in the dtype of X if that is longer, rounded to the dtype of X, and kept
    between the two ends, so that rounding cannot leave the segment.

    Parameters
    ----------
    X : ndarray, CSR or CSC matrix, or torch.Tensor of shape (n_samples, n_features)
        Finite numbers.
    base, enemy : ndarray of shape (n_rows,), dtype=int64
        Row numbers of the ends.
    steps : ndarray of shape (n_rows,), dtype=float64
        r, from 0 (at the base) to 1 (at the enemy).

    Returns
    -------
    ndarray, CSR matrix or torch.Tensor of shape (n_rows, n_features)
        As X: same dtype and device.
    """
    if sparse.issparse(X):
        return _interpolate_sparse(X, base, enemy, steps)
    return _write(_empty(X, len(steps)), X, base, enemy, steps)


def append(X, base, enemy, steps):
    """Make the same rows and return them behind those of X, in one container like it."""
    if sparse.issparse(X):
        return sparse.vstack([X, _interpolate_sparse(X, base, enemy, steps)], format=X.format)
    # Made in their place, because to put them there later would take their memory once more.
    rows = _empty(X, len(X) + len(steps))
    rows[: len(X)] = X
    _write(rows[len(X) :], X, base, enemy, steps)
    return rows


def _empty(X, n_rows):
    """Return an uninitialized array or tensor like X."""
    if isinstance(X, torch.Tensor):
        return X.new_empty(n_rows, X.shape[1])
    return np.empty((n_rows, X.shape[1]), dtype=X.dtype.newbyteorder("="))


def _write(rows, X, base, enemy, steps):
    """Write the rows that :func:`interpolate` makes into an array or tensor, and return it."""
    if isinstance(X, torch.Tensor):
        base, enemy, steps = (torch.from_numpy(part).to(X.device) for part in (base, enemy, steps))
        xp, is_integer, device = torch, not X.is_floating_point(), X.device.type
    else:
        xp, is_integer, device = np, np.issubdtype(X.dtype, np.integer), "cpu"
    # Fewer digits than float64 has cannot show by how little its rounding leaves a segment.
    is_coarse = not is_integer and X.dtype.itemsize < 8
    for batch in gen_batches(len(steps), max(1, BATCH_NUMBERS[device] // X.shape[1])):
        start, end, step = X[base[batch]], X[enemy[batch]], steps[batch, None]
        # In float64, as the steps.
        between = (1 - step) * start
        between += step * end
        rows[batch] = round_to_integers(between, X.dtype, xp) if is_integer else between
        if not is_coarse:
            xp.clip(rows[batch], xp.minimum(start, end), xp.maximum(start, end), out=rows[batch])
    return rows


def round_to_integers(values, dtype, xp=np):
    """Round float64 values so that casting them to an integer dtype cannot wrap around."""
    limits = xp.iinfo(dtype)
    # 2**63 - 1 has no float64 of its own; the next above it would wrap to the smallest integer.
    largest = float(limits.max)
    if largest > limits.max:
        largest = float(np.nextafter(largest, 0))
    return xp.clip(xp.round(values), limits.min, largest)


def _interpolate_sparse(X, base, enemy, steps):
    X = X.tocsr()
    start, end = X[base], X[enemy]
    between = sparse.diags(1 - steps) @ start + sparse.diags(steps) @ end
    if np.issubdtype(X.dtype, np.integer):
        between.data = round_to_integers(between.data, X.dtype)
    between = between.astype(X.dtype)
    return between.maximum(start.minimum(end)).minimum(start.maximum(end)).tocsr()
