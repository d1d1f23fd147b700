"""Checks of the arrays, tensors and labels that public methods take."""

import math
import warnings

import numpy as np
import torch
from imblearn.utils import check_target_type
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from imblearn_eos._compat import check_feature_names, check_n_features
from imblearn_eos._frames import labels_as_array, refuse_lazy
from imblearn_eos._torch_datasets import is_dataset

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

# Squares of larger numbers, and their sums over rows, may overflow in float64.
LARGEST = 1e150


# --- tensors and arrays ---------------------------------------------------------------------------


def check_tensor(X, *, estimator, n_features=None, largest=None):
    """Validate a tensor as scikit-learn's ``validate_data`` validates an array.

    Parameters
    ----------
    X : torch.Tensor of shape (n_samples, n_features)
        Real numbers, on any device.
    estimator : estimator object
        Named in errors.
    n_features : int, default=None
        The number of columns that the estimator was fitted with. None skips this check.
    largest : float, default=None
        The largest absolute value that is allowed. None allows any finite value.

    Returns
    -------
    torch.Tensor
        ``X`` without its gradient history; no values are copied.

    Raises
    ------
    ValueError
        When ``X`` is not 2-d, is empty, has another number of columns, or :func:`check_numbers`
        refuses it.
    """
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(
            f"{type(estimator).__name__} expects X of shape (n_samples, n_features) with at least "
            f"one row and one column, got a tensor of shape {tuple(X.shape)}."
        )
    X = check_numbers(X, estimator=estimator, largest=largest)
    if n_features is not None:
        check_n_features(estimator, X, reset=False)
    return X


def check_numbers(X, *, estimator, name="X", dtype=None, largest=None):
    """Validate the dtype, the layout and the values of a tensor of any shape.

    Parameters
    ----------
    X : torch.Tensor
        Dense, with finite real numbers.
    estimator : str or estimator object
        Named in errors.
    name : str, default="X"
        What errors call the tensor.
    dtype : torch.dtype, default=None
        What to convert the tensor to. None keeps its dtype, which must be one of ``NUMBERS``.
    largest : float, default=None
        The largest absolute value that is allowed. None allows any finite value.

    Returns
    -------
    torch.Tensor
        ``X`` without its gradient history; values are copied only to convert them.

    Raises
    ------
    ValueError
        When ``X`` is sparse or of a dtype that cannot be used, or contains NaN, infinity or numbers
        that are too large.
    """
    is_usable = X.dtype in NUMBERS if dtype is None else not X.is_complex()
    if not is_usable or X.layout != torch.strided:
        problem = f"has dtype {X.dtype} and layout {X.layout}"
        needed = "a dense tensor of real numbers"
        remedy = "Convert it, for example with X.float() or X.to_dense()"
    else:
        X = X.detach() if dtype is None else X.detach().to(dtype)
        problem = _problem_of_values(X, largest)
        needed = "finite numbers" + (f" of at most {largest:.0e}" if largest else "")
        remedy = "Impute, scale or drop such samples"
    if problem:
        raise ValueError(f"{name} {problem}, but {name_of(estimator)} needs {needed}. {remedy}.")
    return X


def check_magnitude(X, *, estimator):
    """Raise ValueError if an array or sparse matrix of finite numbers has any above ``LARGEST``."""
    values = X.data if sparse.issparse(X) else X
    # No other dtype holds numbers of this size.
    if values.dtype == np.float64:
        check_numbers(tensor_from_array(values), estimator=estimator, largest=LARGEST)


def refuse_booleans(X, *, estimator):
    """Raise ValueError if an array or sparse matrix holds true and false."""
    if X.dtype == bool:
        raise ValueError(
            f"X has dtype bool, but {name_of(estimator)} needs numbers. Convert it, for example "
            "with X.astype(float)."
        )


def name_of(estimator):
    """Return what errors call an estimator, which is a str where it is no object."""
    return estimator if isinstance(estimator, str) else type(estimator).__name__


def _problem_of_values(X, largest):
    if not X.is_floating_point() or not X.numel():
        return None
    # One pass over the data, and one wait for a GPU; NaN is the largest of all.
    low, high = torch.stack(X.aminmax()).tolist()
    size = max(-low, high)
    if size != size:
        return "contains NaN"
    if size == math.inf:
        return "contains infinity"
    return f"contains a number of size {size:.3g}" if largest and size > largest else None


def check_samples(X, *, estimator, min_samples=1):
    """Validate the samples that a network takes, of any number of dimensions.

    Parameters
    ----------
    X : array-like, torch.Tensor, torch.utils.data.Dataset or skorch.helper.SliceDataset of shape \
            (n_samples, ...)
        The samples of a dataset are not read here.
    estimator : str or estimator object
        Named in errors.
    min_samples : int, default=1
        The least number of samples.

    Returns
    -------
    ndarray or torch.Tensor of dtype float32, or the dataset

    Raises
    ------
    ValueError
        When there are too few samples, a sample is a single number, or values are not finite real
        numbers.
    TypeError
        As :func:`is_dataset`.
    """
    is_array = not is_dataset(X)
    if isinstance(X, torch.Tensor):
        X = check_numbers(X, estimator=estimator, dtype=torch.float32)
    elif is_array:
        X = check_array(
            to_array(X),
            dtype=np.float32,
            ensure_2d=False,
            allow_nd=True,
            ensure_min_samples=0,
            input_name="X",
            estimator=estimator,
        )
    if (is_array and X.ndim < 2) or len(X) < min_samples:
        found = f"shape {tuple(X.shape)}" if is_array else f"{len(X)} samples"
        raise ValueError(
            f"{name_of(estimator)} expects X of shape (n_samples, ...) with at least "
            f"{min_samples} samples, got {type(X).__name__} of {found}. Reshape single features "
            "with X.reshape(-1, 1)."
        )
    return X


def check_features(estimator, given, X, *, reset):
    """Compare the number and the names of features with those seen in fit, or remember them.

    Parameters
    ----------
    estimator : estimator object
        Has or gets ``n_features_in_`` and, if all names are strings, ``feature_names_in_``.
    given : object
        The input as the user passed it, which may have names.
    X : ndarray or torch.Tensor of shape (n_samples, n_features)
        The same input after validation.
    reset : bool
        Whether to remember rather than compare.
    """
    check_feature_names(estimator, given, reset=reset)
    check_n_features(estimator, X, reset=reset)


def to_array(Z, name="X"):
    """Convert a tensor, on any device, to an array; return anything else as it is.

    Raises
    ------
    ValueError
        When an array, which errors call ``name``, has masked entries. Converted to other arrays,
        masked arrays show the values behind their masks.
    TypeError
        When it is a lazy collection.
    """
    refuse_lazy(Z, name)
    if not isinstance(Z, torch.Tensor):
        if np.ma.is_masked(Z):
            raise ValueError(
                f"{name} has {np.ma.count_masked(Z)} masked entries. Fill them, for example with "
                f"{name}.filled(np.nan) before an imputer, or drop their rows."
            )
        return Z
    Z = Z.detach().cpu()
    # NumPy has no bfloat16.
    return (Z.float() if Z.dtype == torch.bfloat16 else Z).numpy()


def tensor_from_array(X):
    """View an ndarray as a CPU tensor, without a copy where torch can read its memory."""
    # Fields of a structured array lie apart by any number of bytes.
    if any(stride < 0 or stride % X.itemsize for stride in X.strides) or not X.dtype.isnative:
        X = np.array(X, dtype=X.dtype.newbyteorder("="), order="C")
    with warnings.catch_warnings():
        # Memory-mapped input of joblib's workers is read-only; nothing here writes to its input.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(X)


# --- labels ---------------------------------------------------------------------------------------


def label_vector(y):
    """Convert a tensor, or one-hot rows in any container, to an array of labels.

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
    y = to_array(y, "y")
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


def check_labels(y, *, estimator):
    """Convert the labels of a sampler to what imbalanced-learn takes.

    Parameters
    ----------
    y : {array-like, dataframe, sparse matrix, torch.Tensor} of shape (n_samples,) or \
            (n_samples, n_classes)
        Labels of any kind, or one-hot rows.
    estimator : estimator object
        Named in errors.

    Returns
    -------
    array-like of shape (n_samples,)
        ``y`` itself unless it is a tensor, of polars, or one-hot.

    Raises
    ------
    ValueError
        When labels are missing or of several types.
    """
    if y is None:
        name = type(estimator).__name__
        raise ValueError(f"{name} requires y to be passed, but the target y is None.")
    y = label_vector(labels_as_array(y))
    # With these, imbalanced-learn's checks say neither which argument is wrong nor why.
    if np.ndim(y) == 1 and (as_array := np.asarray(y)).dtype == object:
        sorted_classes(as_array)
    return y


def sorted_classes(y, name="y", **params):
    """Return what :func:`numpy.unique` returns, with an error that names the labels.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        The labels.
    name : str, default="y"
        What the error calls them.
    **params : dict
        As for :func:`numpy.unique`.

    Raises
    ------
    ValueError
        When labels are of several types, such as strings of which some are missing.
    """
    try:
        return np.unique(y, **params)
    except TypeError as error:
        examples = " beside ".join({type(label): repr(label) for label in y}.values())
        raise ValueError(
            f"{name} has labels that cannot be sorted, such as {examples}. Use labels of one type, "
            "all numbers or all strings, and drop rows without label."
        ) from error


def encode_known_labels(y, classes, name, known):
    """Replace labels by their positions in known classes.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        The labels.
    classes : ndarray of shape (n_classes,)
        Known labels in sorted order.
    name, known : str
        What the error calls ``y`` and the labels that ``classes`` come from.

    Returns
    -------
    ndarray of shape (n_samples,), dtype=int64

    Raises
    ------
    ValueError
        When a label is not among the classes.
    """
    unknown = ~np.isin(y, classes)
    if unknown.any():
        raise ValueError(
            f"{name} has the classes {np.unique(y[unknown])[:10].tolist()}, which {known} lacks; "
            f"its classes are {classes[:10].tolist()}. Drop those rows, or pass labels of one kind."
        )
    return np.searchsorted(classes, y)


def encode_labels(y, *, estimator, X=None):
    """Replace labels by the positions of their classes in sorted order.

    Parameters
    ----------
    y : array-like or torch.Tensor of shape (n_samples,)
        Labels of any kind that sorts.
    estimator : estimator object
        Named in errors.
    X : array-like, torch.Tensor or dataset of shape (n_samples, ...), default=None
        What the labels are of. None skips the check of their number.

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
    y = column_or_1d(to_array(y, "y"), warn=True)
    if X is not None:
        refuse_lazy(X)
        # First, because the first labels alone may be of one class.
        check_consistent_length(X, y)
    # Before scikit-learn's check, which does not say which labels are wrong.
    classes, codes = sorted_classes(y, return_inverse=True)
    # Before it also because it reads the first label.
    check_several_classes(classes, estimator=estimator)
    check_classification_targets(y)
    return classes, codes.astype(np.int64, copy=False)


def check_several_classes(classes, *, estimator):
    """Raise ValueError unless there are at least two classes."""
    if len(classes) < 2:
        found = f"only one class: {classes.tolist()[0]!r}" if len(classes) else "no rows"
        raise ValueError(
            f"{name_of(estimator)} needs rows of at least 2 classes, but y has {found}."
        )
