"""What public methods check of their input: tensors, labels, datasets' labels."""

import warnings

import numpy as np
import torch
from imblearn.utils import check_target_type
from scipy import sparse
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from skorch.helper import SliceDataset
from torch.utils.data import Subset

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


def label_vector(y):
    """Read a tensor, or one-hot rows in any container, as an array of labels.

    imbalanced-learn turns one-hot rows of two classes into a single column.

    Parameters
    ----------
    y : {array-like, dataframe, sparse matrix, torch.Tensor} of shape (n_samples,) or \
            (n_samples, n_classes)
        Labels of any kind, or one-hot rows.

    Returns
    -------
    array-like of shape (n_samples,)
        ``y`` itself unless it is a tensor or one-hot; of one-hot rows the column numbers.

    Raises
    ------
    ValueError
        When ``y`` has several columns and is not one-hot.
    """
    shape = tuple(getattr(y, "shape", None) or np.shape(y))
    is_one_hot = len(shape) == 2 and shape[1] > 1
    y = _as_array(y)
    if not is_one_hot:
        return y
    y = y.toarray() if sparse.issparse(y) else np.asarray(y)
    labels, _ = check_target_type(y, indicate_one_vs_all=True)
    unlabelled = np.flatnonzero(~y.any(axis=1))
    if len(unlabelled):
        raise ValueError(
            f"y of shape {shape} must have exactly one 1 in each row, but {len(unlabelled)} rows "
            f"have none; the first is row {unlabelled[0]}."
        )
    return labels


def _as_array(y):
    """Read a tensor as an array, and leave anything else."""
    if not isinstance(y, torch.Tensor):
        return y
    y = y.detach().cpu()
    # NumPy has no bfloat16.
    return (y.float() if y.dtype == torch.bfloat16 else y).numpy()


def sorted_classes(y, name="y", **params):
    """Give what :func:`numpy.unique` gives, with an error that names the labels.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
    name : str, default="y"
        Named in the error.
    **params : dict
        As for :func:`numpy.unique`.

    Raises
    ------
    ValueError
        When labels are of several types, as strings of which some are missing.
    """
    try:
        return np.unique(y, **params)
    except TypeError as error:
        raise ValueError(
            f"{name} has labels that cannot be sorted: {error}. Use labels of one type, all "
            "numbers or all strings, and drop rows without label."
        ) from error


def dataset_labels(dataset):
    """Read the labels of a torch dataset.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset or skorch.helper.SliceDataset
        Of pairs of a sample and a label. Its attribute ``targets``, if it has one, is believed;
        otherwise every sample is loaded once.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    TypeError
        When the samples are no pairs.
    """
    labels = _targets(dataset)
    if labels is None:
        is_slice = isinstance(dataset, SliceDataset)
        source, indices = dataset, range(len(dataset))
        if is_slice:
            source, indices = dataset.dataset, dataset.indices_
        labels = np.asarray([_label_of(source[i], source) for i in indices])
    return labels


def _targets(dataset):
    """Give the labels that a dataset, or that of which it is a part, holds as ``targets``."""
    if isinstance(dataset, SliceDataset):
        labels, indices = _targets(dataset.dataset), dataset.indices_
    # A subclass may change labels.
    elif type(dataset) is Subset:
        labels, indices = _targets(dataset.dataset), np.asarray(dataset.indices)
    else:
        labels, indices = getattr(dataset, "targets", None), slice(None)
    return None if labels is None else np.asarray(labels)[indices]


def _label_of(item, dataset):
    if not isinstance(item, (tuple, list)) or len(item) < 2:
        raise TypeError(
            f"The items of {type(dataset).__name__} are no pairs (sample, label). Pass the labels "
            "as y, or give the dataset an attribute 'targets'."
        )
    label = item[1]
    if np.ndim(label) != 0:
        raise ValueError(
            f"A label of {type(dataset).__name__} has shape {tuple(np.shape(label))}; each item "
            "must have one label. Turn one-hot rows into class numbers, or pass the labels as y."
        )
    return label.item() if isinstance(label, torch.Tensor) else label


def encode_labels(X, y, *, estimator):
    """Replace labels by the positions of their classes in sorted order.

    Parameters
    ----------
    X : array-like or torch.Tensor of shape (n_samples, ...)
        The samples; ``y`` must have as many rows.
    y : array-like or torch.Tensor of shape (n_samples,)
        Labels of any kind that sorts.
    estimator : estimator object
        Named in errors.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        The distinct labels in sorted order.
    codes : ndarray of shape (n_samples,), dtype=int64
        The position in ``classes`` of each label.

    Raises
    ------
    ValueError
        When ``y`` is missing, not 1-d, of another length than ``X``, continuous, of several types,
        or of one class.
    """
    name = type(estimator).__name__
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None.")
    y = _as_array(y)
    shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
    if len(shape) == 2 and shape[1] > 1:
        raise ValueError(
            f"y should be a 1d array with one label per row, got an array of shape {shape}. If its "
            "rows are one-hot, np.argmax(y, axis=1) gives labels."
        )
    y = column_or_1d(y, warn=True)
    if len(X) != len(y):
        # scikit-learn's message has both lengths; its types of X include all of ours.
        check_consistent_length(X, y)
    # Before scikit-learn's check, which does not say which labels are wrong.
    classes, codes = sorted_classes(y, return_inverse=True)
    check_classification_targets(y)
    if len(classes) < 2:
        raise ValueError(
            f"{name} needs rows of at least 2 classes, but y has only one class: "
            f"{classes.tolist()[0]!r}."
        )
    return classes, codes.astype(np.int64, copy=False)
