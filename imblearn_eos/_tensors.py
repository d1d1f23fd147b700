"""Validation of torch tensors and the way from NumPy to torch."""

import warnings

import numpy as np
import torch

NUMBERS = (
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
)


def check_tensor(X, *, estimator, n_features=None):
    """Validate a tensor as scikit-learn's ``validate_data`` does an array.

    Parameters
    ----------
    X : torch.Tensor of shape (n_samples, n_features)
        Real numbers, on any device.
    estimator : estimator object
        Named in errors.
    n_features : int, default=None
        The number of columns that the estimator was fitted with, if it was.

    Returns
    -------
    torch.Tensor
        ``X`` without its gradient history; no values are copied.

    Raises
    ------
    ValueError
        When ``X`` is not 2-d, is empty or sparse, contains NaN or infinity, or is not of one of
        the dtypes above.
    """
    name = type(estimator).__name__
    if X.ndim != 2:
        raise ValueError(
            f"{name} expects X of shape (n_samples, n_features), got a tensor of shape "
            f"{tuple(X.shape)}. Flatten each sample first, for example with X.reshape(len(X), -1)."
        )
    if 0 in X.shape:
        raise ValueError(
            f"{name} got X of shape {tuple(X.shape)}; at least one row and one column are required."
        )
    if X.dtype not in NUMBERS:
        raise ValueError(
            f"{name} needs numbers that torch can compute with, but X has dtype {X.dtype}. Convert "
            "it, for example with X.float()."
        )
    if X.layout != torch.strided:
        raise ValueError(
            f"{name} needs a dense tensor, but X has layout {X.layout}. Convert it with "
            "X.to_dense()."
        )
    if X.is_floating_point() and not X.isfinite().all():
        problem = "NaN" if X.isnan().any() else "infinity"
        raise ValueError(
            f"Input X contains {problem}. {name} needs finite numbers: impute or drop those rows "
            "first."
        )
    if n_features is not None and X.shape[1] != n_features:
        raise ValueError(
            f"X has {X.shape[1]} features, but {name} is expecting {n_features} features as input."
        )
    return X.detach()


def to_array(Z):
    """Give tensors, on any device and of any dtype, as what NumPy can read; leave anything else."""
    if not isinstance(Z, torch.Tensor):
        return Z
    # NumPy has no bfloat16.
    return Z.detach().cpu().to(torch.float64 if Z.dtype == torch.float64 else torch.float32).numpy()


def tensor_from_array(X):
    """View an ndarray as a CPU tensor, without a copy where torch can read its memory."""
    if any(stride < 0 for stride in X.strides) or not X.dtype.isnative:
        X = np.ascontiguousarray(X, dtype=X.dtype.newbyteorder("="))
    with warnings.catch_warnings():
        # Memory-mapped input of joblib's workers is read-only; nothing here writes to its input.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(X)
