"""The costs of a comparison: their classes, and the decisions of least expected cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from imblearn_eos.metrics import expected_cost_predict
from imblearn_eos.metrics._costs import check_cost_matrix


@dataclass(frozen=True)
class Costs:
    """Costs of predictions.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        In sorted order.
    values : ndarray of shape (n_classes, n_classes)
        Rows are true, columns predicted classes.
    """

    classes: np.ndarray
    values: np.ndarray

    def of(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the cost of each prediction."""
        rows, columns = (np.searchsorted(self.classes, y) for y in (y_true, y_pred))
        return self.values[rows, columns]

    def of_best_guess(self, y_true: np.ndarray) -> np.ndarray:
        """Return the cost of each row if all get the one label that costs least."""
        rows = self.values[np.searchsorted(self.classes, y_true)]
        return rows[:, rows.mean(axis=0).argmin()]

    def decide_by(self, classifier: Any) -> CostSensitiveClassifier:
        """Return a fitted classifier with decisions of least expected cost."""
        # A class of few rows can be absent from the rows of a fold.
        known = np.isin(self.classes, classifier.classes_)
        decided = CostSensitiveClassifier(classifier, self.values[np.ix_(known, known)])
        decided.classifier_ = classifier
        return decided


class CostSensitiveClassifier(ClassifierMixin, BaseEstimator):
    """Predict the class of least expected cost by the probabilities of a classifier.

    Parameters
    ----------
    classifier : estimator object
        With ``predict_proba``.
    cost_matrix : ndarray of shape (n_classes, n_classes)
        Rows are true, columns predicted classes, in the order of ``classes_``.

    Attributes
    ----------
    classifier_ : estimator object
        Fitted.
    """

    def __init__(self, classifier: BaseEstimator, cost_matrix: np.ndarray) -> None:
        self.classifier = classifier
        self.cost_matrix = cost_matrix

    def fit(self, X, y):
        self.classifier_ = clone(self.classifier).fit(X, y)
        return self

    @property
    def classes_(self):
        return self.classifier_.classes_

    def predict_proba(self, X):
        return self.classifier_.predict_proba(X)

    def predict(self, X):
        return expected_cost_predict(self.predict_proba(X), self.cost_matrix, labels=self.classes_)


@dataclass(frozen=True)
class CostTable:
    """A cost matrix whose rows and columns have the names of classes, in any order.

    ``path`` is the file that the command read it from.
    """

    true: list[str]
    predicted: list[str]
    values: np.ndarray
    path: str | None = None

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"--cost-matrix {self.path}" if self.path else "cost_matrix"

    def sort(self, classes: np.ndarray) -> np.ndarray:
        """Return the costs in the order of the classes, which must be those of the table."""
        wanted = [str(label) for label in classes]
        for axis, names in (("rows", self.true), ("columns", self.predicted)):
            if Counter(names) != Counter(wanted):
                remedy = "Rows are true, columns predicted classes: name them so, in any order."
                if self.path:
                    remedy = (
                        "The first line must name the predicted and the first column the true "
                        "classes, in any order: add them where they are missing."
                    )
                raise ValueError(
                    f"The {axis} of {self.name} must be named like the classes of the data, "
                    f"{_list(wanted)}, each once. Got {_list(names)}. {remedy}"
                )
        rows, columns = (
            [names.index(name) for name in wanted] for names in (self.true, self.predicted)
        )
        return self.values[np.ix_(rows, columns)]


def check_costs(cost_matrix: Any, classes: np.ndarray) -> Costs:
    """Return the costs for sorted classes, once they are known to make sense.

    Parameters
    ----------
    cost_matrix : array-like, DataFrame or CostTable
        Of an array, rows and columns are in the order of ``classes``; those of a pandas DataFrame
        have their names.
    classes : ndarray of shape (n_classes,)

    Raises
    ------
    ValueError
        When classes differ, a cost is not finite, or an error costs less than the right decision.
    """
    if hasattr(cost_matrix, "columns") and hasattr(cost_matrix, "index"):
        true, predicted = map(str, cost_matrix.index), map(str, cost_matrix.columns)
        cost_matrix = CostTable(list(true), list(predicted), cost_matrix.to_numpy())
    elif hasattr(cost_matrix, "columns"):
        raise ValueError(
            "cost_matrix has names for its columns but not for its rows. Pass a pandas DataFrame "
            "with both, or an array with rows and columns in the sorted order of the classes."
        )
    name = "cost_matrix"
    if isinstance(cost_matrix, CostTable):
        name, cost_matrix = cost_matrix.name, cost_matrix.sort(classes)
    values = check_cost_matrix(cost_matrix, len(classes))
    right = values.diagonal()[:, np.newaxis]
    if (values < right).any():
        i, j = np.argwhere(values < right)[0]
        raise ValueError(
            f"In {name}, class {classes[i]} costs {values[i, j]:g} if it is taken for "
            f"{classes[j]}, less than the {values[i, i]:g} of the right decision. Rows are true, "
            "columns predicted classes: let the right decision of each row cost least."
        )
    if (values == right).all():
        raise ValueError(
            f"In {name}, no error costs more than the right decision, so that all predictions are "
            "equally good. Give the errors higher costs than the diagonal."
        )
    return Costs(classes, values)


def _list(names):
    more = f" and {len(names) - 10} more" * (len(names) > 10)
    return f"{', '.join(map(repr, names[:10]))}{more}"
