"""Decisions and scores when errors have different costs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import confusion_matrix, make_scorer
from sklearn.utils import check_array, column_or_1d

from imblearn_eos._validation import encode_known_labels, label_vector, sorted_classes, to_array
from imblearn_eos.metrics._calibration import check_probabilities


def expected_cost_predict(
    proba: ArrayLike, cost_matrix: ArrayLike, *, labels: ArrayLike | None = None
) -> np.ndarray:
    """Return the class of least expected cost for each row of probabilities.

    Probabilities must be those of the rows that are decided on: use a classifier that is calibrated
    (:meth:`imblearn_eos.LinearHead.calibrate`) and that predicts for their class shares
    (``target_prior``). One that predicts as if classes were balanced, such as a head with ``tau=1``
    or on over-sampled rows, favors rare classes before costs do.

    Parameters
    ----------
    proba : array-like of shape (n_samples, n_classes)
        Probabilities, one column for each class.

    cost_matrix : array-like of shape (n_classes, n_classes)
        ``cost_matrix[i, j]`` is the cost of predicting class ``j`` for a row of class ``i``: rows
        are true and columns predicted classes, as in :func:`sklearn.metrics.confusion_matrix`.
        Negative costs are gains. Names of a data frame are not read: its order counts.

    labels : array-like of shape (n_classes,), default=None
        The classes in the order of the columns of ``proba``, such as the ``classes_`` of a
        classifier. None means 0, 1, and so on.

    Returns
    -------
    ndarray of shape (n_samples,)
        Labels. Among classes of equal cost, the first.

    Raises
    ------
    ValueError
        When ``proba`` does not hold probabilities, when ``cost_matrix`` is not a square array of
        finite numbers with a row for each of their columns, or when ``labels`` differ in number.

    Examples
    --------
    A missed case of class 1 costs ten times a false alarm:

    >>> from imblearn_eos.metrics import expected_cost_predict
    >>> expected_cost_predict([[0.8, 0.2], [0.95, 0.05]], [[0, 1], [10, 0]])
    array([1, 0])
    """
    proba = check_probabilities(proba, "proba")
    n_classes = proba.shape[1]
    costs = check_cost_matrix(cost_matrix, n_classes)
    classes = np.arange(n_classes) if labels is None else column_or_1d(to_array(labels, "labels"))
    if len(classes) != n_classes:
        raise ValueError(
            f"labels must name the class of each of the {n_classes} columns of proba, got "
            f"{classes.tolist()}. Pass the classes_ of the classifier."
        )
    return classes[(proba @ costs).argmin(axis=1)]


def make_cost_scorer(cost_matrix: ArrayLike, *, labels: ArrayLike | None = None) -> Callable:
    """Make a scorer of scikit-learn: minus the mean cost of the predicted labels.

    Use it as the ``scoring`` of :class:`sklearn.model_selection.GridSearchCV`, of
    :class:`sklearn.model_selection.TunedThresholdClassifierCV` or of
    :func:`sklearn.model_selection.cross_val_score`.

    Parameters
    ----------
    cost_matrix : array-like of shape (n_classes, n_classes)
        ``cost_matrix[i, j]`` is the cost of predicting class ``j`` for a row of class ``i``, as in
        :func:`expected_cost_predict`.

    labels : array-like of shape (n_classes,), default=None
        The classes in the order of the rows of ``cost_matrix``. None means the classes of true and
        predicted labels in sorted order; pass them if a part of the data may lack a class.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``. Greater is better: 0 is a score without costs. It takes a
        ``sample_weight``.

    Raises
    ------
    ValueError
        When ``cost_matrix`` is not a square array of finite numbers, with a row for each of
        ``labels``. The scorer raises it when it finds other labels.

    Examples
    --------
    >>> from imblearn_eos import LinearHead
    >>> from imblearn_eos.metrics import make_cost_scorer
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import TunedThresholdClassifierCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> scorer = make_cost_scorer([[0, 10], [1, 0]])
    >>> X = X / X.std(axis=0)
    >>> tuned = TunedThresholdClassifierCV(LinearHead(), scoring=scorer).fit(X, y)
    >>> bool(tuned.best_threshold_ > 0.5)
    True
    """
    costs = check_cost_matrix(cost_matrix, None if labels is None else len(to_array(labels)))
    return make_scorer(_mean_cost, greater_is_better=False, cost_matrix=costs, labels=labels)


def check_cost_matrix(cost_matrix, n_classes=None):
    """Return the costs as an array, after checking its shape and numbers.

    Parameters
    ----------
    cost_matrix : array-like of shape (n_classes, n_classes)
        Costs.
    n_classes : int, default=None
        The number of classes, if it is known.

    Returns
    -------
    ndarray of shape (n_classes, n_classes), dtype=float64

    Raises
    ------
    ValueError
        When it has another shape or other values.
    """
    costs = check_array(
        to_array(cost_matrix, "cost_matrix"),
        dtype=np.float64,
        copy=True,
        ensure_2d=False,
        allow_nd=True,
        input_name="cost_matrix",
    )
    size = len(costs) if n_classes is None else n_classes
    if costs.shape != (size, size):
        raise ValueError(
            "cost_matrix must have one row for each true and one column for each predicted class, "
            f"here the shape {(size, size)}. Got the shape {costs.shape}."
        )
    return costs


def _mean_cost(y_true, y_pred, *, cost_matrix, labels=None, sample_weight=None):
    y_true, y_pred = (column_or_1d(label_vector(y)) for y in (y_true, y_pred))
    known = np.concatenate([y_true, y_pred]) if labels is None else to_array(labels)
    classes = sorted_classes(column_or_1d(known), "y")
    if len(classes) != len(cost_matrix):
        raise ValueError(
            f"cost_matrix is for {len(cost_matrix)} classes, but true and predicted labels are of "
            f"the classes {classes.tolist()}. Pass labels= to make_cost_scorer: all classes, in "
            "the order of its rows."
        )
    for y, name in ((y_true, "y_true"), (y_pred, "y_pred")):
        encode_known_labels(y, classes, name, "labels")
    counts = confusion_matrix(
        y_true,
        y_pred,
        labels=classes if labels is None else known,
        sample_weight=sample_weight,
    )
    return float((counts * cost_matrix).sum() / counts.sum())
