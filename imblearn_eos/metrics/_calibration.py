"""Calibration of predicted probabilities."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from imblearn_eos._compat import Interval, check_sample_weight, validate_params
from imblearn_eos._validation import label_vector, sorted_classes, to_array


@validate_params(
    {
        "y_proba": ["array-like"],
        "labels": ["array-like", None],
        "n_bins": [Interval(Integral, 1, None, closed="left")],
        "sample_weight": ["array-like", None],
    },
    prefer_skip_nested_validation=True,
)
def expected_calibration_error(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    n_bins: int = 15,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute how much the confidence of predictions differs from their accuracy.

    Rows are binned by their confidence, the probability of the most probable class. The error is
    the mean over bins of the absolute difference between mean confidence and accuracy, weighted by
    the number of rows [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels.

    y_proba : array-like of shape (n_samples, n_classes)
        Probabilities, one column for each class in sorted order.

    labels : array-like of shape (n_classes,), default=None
        The classes in sorted order. None means the classes of ``y_true``.

    n_bins : int, default=15
        Bins of equal width between 0 and 1.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows. None means equal weights.

    Returns
    -------
    float
        From 0 (perfect calibration) to 1.

    Raises
    ------
    ValueError
        When ``y_proba`` does not hold probabilities, when ``labels`` are not sorted or differ in
        number from its columns, when ``y_true`` has other classes, or when weights are negative.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks",
       ICML 2017, :arxiv:`1706.04599`.

    Examples
    --------
    >>> from imblearn_eos.metrics import expected_calibration_error
    >>> expected_calibration_error([0, 1, 1, 1], [[0.5, 0.5]] * 2 + [[0.25, 0.75]] * 2)
    0.125
    """
    y = column_or_1d(label_vector(y_true))
    proba = check_probabilities(y_proba, "y_proba")
    check_consistent_length(y, proba)
    known = sorted_classes(y, "y_true")
    classes = known if labels is None else np.asarray(labels)
    is_sorted = np.array_equal(classes, sorted_classes(classes, "labels"))
    if not is_sorted or len(classes) != proba.shape[1] or not np.isin(known, classes).all():
        raise ValueError(
            f"labels must be the sorted classes of the {proba.shape[1]} columns of y_proba and "
            f"include the classes of y_true, {known.tolist()}. Got {classes.tolist()}."
        )
    weight = check_sample_weight(sample_weight, proba, ensure_non_negative=True)
    confidence = proba.max(axis=1)
    surplus = confidence - (classes[proba.argmax(axis=1)] == y)
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    # Number only the bins that have rows, so that n_bins may be huge.
    bins = np.unique(bins, return_inverse=True)[1]
    return float(np.abs(np.bincount(bins, weights=weight * surplus)).sum() / weight.sum())


def check_probabilities(proba, name):
    """Return probabilities as an array; raise ValueError if they are none.

    Parameters
    ----------
    proba : array-like of shape (n_samples, n_classes)
        Probabilities.
    name : str
        What errors call them.

    Returns
    -------
    ndarray of shape (n_samples, n_classes), dtype=float64
    """
    # scikit-learn's advice for an array of one dimension would not make it one of probabilities.
    proba = check_array(
        to_array(proba, name), dtype=np.float64, ensure_2d=False, allow_nd=True, input_name=name
    )
    is_2d = proba.ndim == 2
    if not is_2d or proba.min() < 0 or not np.allclose(proba.sum(axis=1), 1, atol=1e-3):
        raise ValueError(
            f"{name} must hold probabilities: a column for each class, none below 0, and each row "
            f"sums to 1. Got the shape {proba.shape}. Pass what predict_proba returns."
        )
    return proba
