"""How much rows and classes count in the fit of a linear head."""

from numbers import Real

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from imblearn_eos._compat import check_sample_weight
from imblearn_eos._validation import to_array


def row_weights(codes, classes, sample_weight, class_weight):
    """Multiply the weights of rows by the weights of their classes.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,), dtype=int64
        Positions in ``classes``.
    classes : ndarray of shape (n_classes,)
        The labels in sorted order.
    sample_weight : array-like or torch.Tensor of shape (n_samples,), default=None
        At least 0. None means 1.
    class_weight : dict, "balanced" or None
        As in scikit-learn. "balanced" takes ``sample_weight`` into account.

    Returns
    -------
    ndarray of shape (n_samples,), dtype=float64, or None
        None if there are no weights.

    Raises
    ------
    ValueError
        When weights are negative or not finite, when they are positive in fewer than two classes,
        or when the weight of a class is not positive.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = check_sample_weight(
        to_array(sample_weight, "sample_weight"), codes, dtype=np.float64, ensure_non_negative=True
    )
    # Of rows of weight 0, neither the number nor the classes matter.
    is_kept = weights > 0
    present = np.unique(codes[is_kept])
    if len(present) < 2:
        raise ValueError(
            "sample_weight must be above 0 for rows of at least 2 classes, but it is only for "
            f"rows of the classes {classes[present].tolist()}."
        )
    of_classes = np.ones(len(classes))
    of_classes[present] = compute_class_weight(
        class_weight,
        classes=classes[present],
        y=classes[codes[is_kept]],
        sample_weight=weights[is_kept],
    )
    if not (of_classes > 0).all() or not np.isfinite(of_classes).all():
        raise ValueError(
            "The 'class_weight' parameter must be a positive number for each class, got "
            f"{class_weight!r}. Drop the rows of classes that must not count."
        )
    return weights * of_classes[codes]


def class_shares(prior, classes):
    """Return the shares of classes that a user states.

    Parameters
    ----------
    prior : array-like of shape (n_classes,), or mapping
        In the order of ``classes``, or by label, as in a dict or in a Series of pandas.
    classes : ndarray of shape (n_classes,)
        The labels in sorted order.

    Returns
    -------
    ndarray of shape (n_classes,), dtype=float64

    Raises
    ------
    ValueError
        When the shares are not positive, do not sum to 1, or are of other classes.
    """
    shares = _in_order(prior, classes)
    if shares.shape != classes.shape or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(
            "The 'target_prior' parameter must be a positive share for each of the classes "
            f"{classes.tolist()}, with a sum of 1. Got {prior!r}; name every class, and divide "
            "counts by their sum."
        )
    return shares


def smoothed_targets(label_smoothing, classes):
    """Return what the probabilities of each class's rows are fitted to.

    Parameters
    ----------
    label_smoothing : float, array-like of shape (n_classes,), or mapping
        The share of a row's target that the other classes get: one number for all classes, or
        one for each, in the order of ``classes`` or by label.
    classes : ndarray of shape (n_classes,)
        The labels in sorted order.

    Returns
    -------
    ndarray of shape (n_classes, n_classes), dtype=float64, or None
        A row for each class. None if nothing is smoothed.

    Raises
    ------
    ValueError
        When shares are not from 0 to below 1, or are of other classes.
    """
    n_classes = len(classes)
    is_one = isinstance(label_smoothing, Real)
    shares = [label_smoothing] * n_classes if is_one else label_smoothing
    shares = _in_order(shares, classes)
    if shares.shape != classes.shape or not ((shares >= 0) & (shares < 1)).all():
        raise ValueError(
            "The 'label_smoothing' parameter must be a number from 0 to below 1, or one for each "
            f"of the classes {classes.tolist()}. Got {label_smoothing!r}."
        )
    if not shares.any():
        return None
    targets = np.repeat(shares[:, None] / (n_classes - 1), n_classes, axis=1)
    np.fill_diagonal(targets, 1 - shares)
    return targets


def _in_order(values, classes):
    """Return numbers that are in the order of the classes, or by label, as an array."""
    if hasattr(values, "keys"):
        labels = classes.tolist()
        values = [values[label] for label in labels] if set(values.keys()) == set(labels) else []
    values = to_array(values)
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        # Not numbers: of a shape that callers refuse.
        return np.empty(0)


def predicted_shares(head, classes, class_counts):
    """Return the shares of the classes that a LinearHead predicts for, before its ``tau``.

    Parameters
    ----------
    head : LinearHead
    classes : ndarray of shape (n_classes,)
    class_counts : ndarray of shape (n_classes,)
        Rows of each class, or the sums of their weights.
    """
    if head.target_prior is not None:
        return class_shares(head.target_prior, classes)
    return class_counts / class_counts.sum()


def check_class_parameters(head, y):
    """Raise what the fit of a LinearHead to labels would raise about its parameters for classes."""
    classes, codes = np.unique(y, return_inverse=True)
    row_weights(codes, classes, None, head.class_weight)
    if head.target_prior is not None:
        class_shares(head.target_prior, classes)
    smoothed_targets(head.label_smoothing, classes)
