"""What validation rows choose by: a scorer of scikit-learn, one of probabilities, or a cost."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.metrics import (
    average_precision_score,
    check_scoring,
    f1_score,
    get_scorer,
    get_scorer_names,
    jaccard_score,
    log_loss,
    make_scorer,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
)

from imblearn_eos._compat import name_of_scorer
from imblearn_eos.compare._costs import Costs
from imblearn_eos.metrics import make_cost_scorer

DEFAULT = "balanced_accuracy"
# scikit-learn's are those of the class 1.
OF_RARER = {
    "f1": f1_score,
    "jaccard": jaccard_score,
    "precision": precision_score,
    "recall": recall_score,
}
# scikit-learn's fail where validation rows lack a class.
OF_PROBABILITIES = {
    "average_precision": average_precision_score,
    "roc_auc": roc_auc_score,
    "roc_auc_ovr": roc_auc_score,
}
AT_PRECISION = "recall_at_precision"
# Named in errors; all others of scikit-learn are tried.
COMMON = (
    DEFAULT,
    "accuracy",
    "f1_macro",
    "precision_macro",
    "recall_macro",
    "matthews_corrcoef",
    "average_precision",
    "roc_auc",
    "neg_log_loss",
)

Scorer = Callable[[Any, np.ndarray, np.ndarray], float]


def find_scorer(
    scoring: str | Callable | None, y: np.ndarray, costs: Costs | None = None
) -> tuple[str, Scorer]:
    """Return the name of what validation rows choose by, and the scorer; greater is better.

    Parameters
    ----------
    scoring : str, callable or None
        As in `compare_table`.
    y : ndarray of shape (n_samples,)
        All labels of the comparison.
    costs : Costs or None, default=None
        Costs to choose by instead.

    Raises
    ------
    ValueError
        When a name is unknown or does not apply to these labels, and when there are costs, too.
    """
    if costs is not None:
        if scoring is not None:
            raise ValueError(
                "The 'scoring' and 'cost_matrix' parameters exclude each other, because a cost "
                f"matrix chooses by the mean cost. Omit one of them; scoring is {scoring!r}."
            )
        return "neg_mean_cost", make_cost_scorer(costs.values, labels=costs.classes)
    if scoring in (None, DEFAULT):
        return DEFAULT, _balanced_accuracy
    if callable(scoring):
        # It refuses metrics, which do not take a classifier.
        return name_of_scorer(scoring), check_scoring(DummyClassifier(), scoring)
    return scoring, _find_named(scoring, *np.unique(y, return_counts=True))


def apply_scorer(scorer: Scorer, head: Any, Z: np.ndarray, y: np.ndarray) -> float:
    """Return the score of a fitted classifier on validation rows.

    Raises
    ------
    ValueError
        When the scorer fails, as some do on rows that lack a class, or returns no number.
    """
    try:
        return float(scorer(head, Z, y))
    # What a scorer of the user raises is not known.
    except Exception as error:
        raise ValueError(
            f"The 'scoring' parameter cannot score {type(head).__name__} on validation rows of the "
            f"classes {np.unique(y).tolist()}. Use another score, or if a class is missing, give "
            f"validation rows of all classes. It says: {type(error).__name__}: {error}"
        ) from error


def _find_named(name, classes, counts):
    is_two = len(classes) == 2
    # Where both are equally frequent, scikit-learn's choice.
    rarer = classes[0 if counts[0] < counts[1] else 1] if is_two else None
    base, _, least = name.partition("=")
    if name in OF_PROBABILITIES:
        return _OfProbabilities(OF_PROBABILITIES[name], rarer)
    if name == "neg_log_loss":
        return _neg_log_loss
    if name in OF_RARER and is_two:
        return make_scorer(OF_RARER[name], pos_label=rarer, zero_division=0)
    if base == AT_PRECISION and is_two and (bound := _to_share(least)) is not None:
        return _OfProbabilities(partial(_recall_at_precision, bound), rarer)
    problem = "no scorer has this name."
    if base in (*OF_RARER, AT_PRECISION):
        problem = "it is for two classes." if not is_two else f"{least!r} is not a number up to 1."
    elif name in get_scorer_names():
        scorer = get_scorer(name)
        problem = _try(scorer, classes)
        if problem is None:
            return scorer
    raise ValueError(
        f"The 'scoring' parameter cannot be {name!r} for these {len(classes)} classes: {problem} "
        f"Use {', '.join(COMMON)}, for two classes also {', '.join(OF_RARER)} (of the rarer class) "
        f"or {AT_PRECISION}=0.9 (any number up to 1), another of scikit-learn's scorer names that "
        "takes these labels, or a scorer."
    )


def _to_share(text):
    try:
        return share if 0 < (share := float(text)) <= 1 else None
    except ValueError:
        return None


def _try(scorer, classes):
    """Return what a scorer says against such labels, or None."""
    y = np.repeat(classes, 2)
    Z = np.zeros((len(y), 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scorer(DummyClassifier().fit(Z, y), Z, y)
        except (TypeError, ValueError) as error:
            return str(error)
    return None


@dataclass(frozen=True)
class _OfProbabilities:
    """Score the probabilities of the rarer of two classes, or the mean over all classes."""

    function: Callable[[np.ndarray, np.ndarray], float]
    rarer: Any = None

    def __call__(self, head, Z, y):
        proba, scores = head.predict_proba(Z), []
        for label, column in zip(head.classes_, proba.T, strict=True):
            # Without rows of the class, or of others, there is nothing to tell apart.
            if self.rarer in (None, label) and 0 < np.sum(y == label) < len(y):
                scores.append(self.function(y == label, column))
        return float(np.mean(scores)) if scores else 0.0


def _recall_at_precision(least, y_true, y_score):
    precision, recall, _ = precision_recall_curve(y_true, y_score)
    return recall[precision >= least].max()


def _neg_log_loss(head, Z, y):
    return -float(log_loss(y, head.predict_proba(Z), labels=head.classes_))


def _balanced_accuracy(head, Z, y):
    # As scikit-learn's, without its warning where a class of the training rows is absent from y.
    return float(recall_score(y, head.predict(Z), labels=np.unique(y), average="macro"))
