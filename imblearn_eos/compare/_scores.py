"""How predictions are scored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from imblearn.metrics import geometric_mean_score
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score
from sklearn.utils import Bunch

from imblearn_eos.compare._measures import metric_of
from imblearn_eos.metrics import expected_calibration_error

# As in the paper, the geometric mean is taken of two means over classes: the sensitivity, and the
# specificity against the rest. So it is above 0 even where a class is never predicted, and with two
# classes it equals the balanced accuracy.
METRICS = {
    "balanced_accuracy": balanced_accuracy_score,
    "macro_g_mean": lambda y, y_pred: geometric_mean_score(y, y_pred, average="macro"),
    "macro_f1": lambda y, y_pred: f1_score(y, y_pred, average="macro", zero_division=0),
}

CALIBRATION = ("expected_calibration_error", "brier_score")


@dataclass
class MethodResult:
    """The result of one method on the test rows of one seed.

    Attributes
    ----------
    scores : dict of str to float
        A value for each of `METRICS`, and for the scorer that the validation rows chose by, under
        its name. Of a loss, such as "neg_log_loss", it is the "log_loss", of which lower is better,
        and with a cost matrix the "mean_cost" of a test row. Empty if the method failed or there
        are no test rows.
    calibration : dict of str to float
        Expected calibration error and Brier score, on the test rows as they are. With the suffix
        "_at_training_frequencies", the test rows are weighted so that their classes are as
        frequent as in the training rows. The Brier score is a sum over classes, from 0 to 2; for
        two classes scikit-learn's is half of it.
    recall : dict of str to float
        Share of the test rows of each class that are predicted correctly.
    gap : dict of str to float
        Macro generalization gap "before" and "after" over-sampling, and of the references
        "size_matched" and "label_noise". Empty for methods without a sampler.
    settings : dict of str to object
        The values that validation rows chose among; empty for a method without a choice.
    rows_added : int
        Number of synthetic training rows.
    seconds_resample, seconds_refit : float
        Time to over-sample the embeddings, and to fit the head on them.
    error : str or None
        Why the method failed, if it did.
    warnings : list of str
        The warnings of the method.
    details : :class:`~sklearn.utils.Bunch`
        What is not written to files: the ``confusion`` matrix, ``hits``, for each class whether
        each of its test rows is predicted correctly, the ``gap`` of each class as
        `generalization_gap_report` returns it, and with a cost matrix the ``costs`` of the test
        rows, and their ``guess_costs`` if all got the one label that costs least.
    """

    scores: dict[str, float] = field(default_factory=dict)
    calibration: dict[str, float] = field(default_factory=dict)
    recall: dict[str, float] = field(default_factory=dict)
    gap: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    rows_added: int = 0
    seconds_resample: float = 0.0
    seconds_refit: float = 0.0
    error: str | None = None
    warnings: list[str] = field(default_factory=list)
    details: Bunch = field(default_factory=Bunch, repr=False)


def score(y_train, y_test, y_pred, y_proba, costs=None):
    """Return the scores of predictions for test rows, as a `MethodResult`.

    The columns of ``y_proba`` are the classes of ``y_train``. ``costs`` are `Costs` or None.
    """
    classes, train_counts = np.unique(y_train, return_counts=True)
    confusion = confusion_matrix(y_test, y_pred, labels=classes)
    test_counts = confusion.sum(axis=1)
    recall = confusion.diagonal() / np.maximum(test_counts, 1)
    frequencies = train_counts / np.maximum(test_counts, 1)
    weights = {
        "": np.ones(len(y_test)),
        "_at_training_frequencies": frequencies[np.searchsorted(classes, y_test)],
    }
    one_hot = y_test[:, np.newaxis] == classes
    calibration = {}
    for suffix, weight in weights.items():
        error = expected_calibration_error(y_test, y_proba, labels=classes, sample_weight=weight)
        brier = np.average(((y_proba - one_hot) ** 2).sum(axis=1), weights=weight)
        for name, value in zip(CALIBRATION, (error, brier), strict=True):
            calibration[name + suffix] = float(value)
    scores = {name: float(metric(y_test, y_pred)) for name, metric in METRICS.items()}
    of_costs = {}
    if costs is not None:
        found = costs.of(y_test, y_pred)
        scores["mean_cost"] = float(found.mean())
        of_costs = {"costs": found, "guess_costs": costs.of_best_guess(y_test)}
    return MethodResult(
        scores=scores,
        calibration=calibration,
        recall={str(label): float(r) for label, r in zip(classes, recall, strict=True)},
        details=Bunch(
            confusion=confusion,
            hits=[(y_pred == y_test)[y_test == label] for label in classes],
            **of_costs,
        ),
    )


def add_chosen(result, scoring, scorer, head, Z_test, y_test):
    """Add the score that the validation rows chose by to a result; a warning if it has none."""
    metric, sign = metric_of(scoring), -1 if scoring.startswith("neg_") else 1
    if metric in result.scores:
        return
    try:
        value = float(scorer(head, Z_test, y_test))
    # Some refuse test rows without one of the classes; what those of the user raise is not known.
    except Exception as error:
        result.warnings.append(f"{scoring} of the test rows is unknown: {error}")
        return
    if np.isfinite(value):
        result.scores[metric] = sign * value
    else:
        result.warnings.append(f"{scoring} of the test rows is {value}.")
