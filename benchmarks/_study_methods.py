"""The methods of the study, their settings, the choice among these, and their scores.

A method turns a network into a linear head. Its settings are chosen on rows that the network was
not trained on.
"""

from dataclasses import dataclass, field
from functools import partial
from itertools import product

import numpy as np
from _heads import adjust, average, own_head, refit, scale_weights, tau_normalize
from imblearn.metrics import geometric_mean_score
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score
from sklearn.preprocessing import normalize

from imblearn_eos.metrics import expected_calibration_error, generalization_gap_report

ALPHAS = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
NEIGHBORS = (5, 10, 50, 100, 300, 1000)
SEARCHES = ("neighborhood", "nearest")
SMOTE_NEIGHBORS = (3, 5, 10, 20)
TAUS = tuple(np.arange(0, 3.25, 0.25).tolist())
SCORES = {
    "balanced_accuracy": balanced_accuracy_score,
    "macro_g_mean": partial(geometric_mean_score, average="macro"),
    "macro_f1": partial(f1_score, average="macro", zero_division=0),
}


@dataclass(frozen=True)
class Method:
    """A way to get a head, and the settings that it can choose from.

    ``fixed`` are settings that are reported whether they are chosen or not, the default first.
    """

    make: callable
    grid: dict = field(default_factory=dict)
    fixed: tuple = ({},)

    @property
    def settings(self):
        """Return all settings, the default first."""
        found = [
            dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())
        ]
        return [*self.fixed[:1], *(setting for setting in found if setting not in self.fixed[:1])]


def _refits(sampler, default=None, **grid):
    first = {name: values[0] for name, values in grid.items()} | {"alpha": 0.01} | (default or {})
    return Method(partial(refit, sampler=sampler), grid, (first,))


def _eos(searches, *, is_curve=False, **grid):
    """Make EOS; with ``is_curve`` all K are reported with the default penalty of the head."""
    grid = {"enemy_search": searches, "n_neighbors": NEIGHBORS, "alpha": ALPHAS, **grid}
    first = {name: values[0] for name, values in grid.items()} | {"alpha": 0.01}
    neighbors = sorted(NEIGHBORS, key=lambda k: k != 10) if is_curve else [10]
    fixed = tuple(first | {"n_neighbors": k} for k in neighbors)
    return Method(partial(refit, sampler="EOS"), grid, fixed)


METHODS = {
    "network": Method(own_head),
    "logit adjustment": Method(
        adjust, {"tau": TAUS}, tuple({"tau": tau} for tau in (1.0, 0.5, 1.5, 2.0, 2.5, 3.0))
    ),
    "tau-normalization": Method(tau_normalize, {"tau": TAUS}, ({"tau": 1.0},)),
    "LWS": Method(scale_weights, {"penalty": (0.0, *ALPHAS)}, ({"penalty": 0.0},)),
    "plain refit": _refits("none", alpha=ALPHAS),
    "class weights": _refits("none", alpha=ALPHAS, class_weight=("balanced",)),
    "random over-sampling": _refits("random over-sampling", alpha=ALPHAS),
    "SMOTE": _refits("SMOTE", {"k_neighbors": 5}, k_neighbors=SMOTE_NEIGHBORS, alpha=ALPHAS),
    "Borderline-SMOTE": _refits("Borderline-SMOTE", alpha=ALPHAS),
    "SVM-SMOTE": _refits("SVM-SMOTE", alpha=ALPHAS),
    "ADASYN": _refits("ADASYN", alpha=ALPHAS),
    "Gaussian": _refits("Gaussian", alpha=ALPHAS),
    "EOS, authors' off-by-one": _refits("authors' procedure", alpha=ALPHAS),
    "EOS, neighborhood": _eos(("neighborhood",), is_curve=True),
    "EOS, nearest": _eos(("nearest",), is_curve=True),
    "EOS": _eos(SEARCHES),
    "plain refit + logit adjustment": _refits("none", {"tau": 1.0}, alpha=ALPHAS, tau=TAUS),
    "random over-sampling + logit adjustment": _refits(
        "random over-sampling", alpha=ALPHAS, tau=TAUS
    ),
    "SMOTE + logit adjustment": _refits(
        "SMOTE", {"k_neighbors": 5}, k_neighbors=SMOTE_NEIGHBORS, alpha=ALPHAS, tau=TAUS
    ),
    "EOS + logit adjustment": _eos(SEARCHES, tau=TAUS),
    "EOS and logit adjustment, averaged": Method(
        average,
        {"n_neighbors": (300, 1000), "tau": (0.5, 1.0, 1.5), "alpha": ALPHAS[:4]},
        ({"n_neighbors": 1000, "tau": 1.0, "alpha": 0.01},),
    ),
}


def choose(method, folds):
    """Return the settings of a method and their balanced accuracies on rows not trained on.

    Parameters
    ----------
    method : Method
    folds : list of Network
        Their new rows choose.

    Returns
    -------
    list of (dict, float)
        The best first. Among equals the default comes first, then the order of the grid.
    """
    y = np.concatenate([fold.y_new for fold in folds])
    scores, error = [], None
    for setting in method.settings:
        try:
            found = [method.make(fold, **setting).predict(fold.Z_new) for fold in folds]
        except ValueError as refusal:
            # More neighbors than a small class has rows.
            error = refusal
            continue
        scores.append((setting, float(balanced_accuracy_score(y, np.concatenate(found)))))
    if not scores:
        raise error
    return sorted(scores, key=lambda pair: -pair[1])


def evaluate(head, network):
    """Score a head on the network's new rows, with the gap and its two references."""
    logits, y = head.logits(network.Z_new), network.y_new
    predicted, classes = logits.argmax(axis=1), np.arange(logits.shape[1])
    # Lengths of 1 for heads that see only those.
    Z, Z_new = ((normalize(Z) if head.is_unit else Z) for Z in (network.Z, network.Z_new))
    report = generalization_gap_report(
        Z, network.y, *(head.rows or (Z, network.y)), Z_new, y, y_pred=predicted
    )
    gaps = {name: report[name].all for name in ("before", "size_matched")}
    gaps |= {name: report.before[name] for name in ("right", "wrong")}
    if head.rows:
        gaps |= {name: report[name].all for name in ("after", "label_noise")}
    found = {
        "scores": {name: float(metric(y, predicted)) for name, metric in SCORES.items()},
        "recall": recall_score(y, predicted, labels=classes, average=None).tolist(),
        "calibration_error": expected_calibration_error(y, softmax(logits, axis=1), labels=classes),
        # None for a class without such rows.
        "gap": {
            name: [None if np.isnan(gap) else float(gap) for gap in found]
            for name, found in gaps.items()
        },
        "n_parameters": head.n_parameters,
        "seconds": head.seconds,
    }
    if head.rows:
        found["class_counts"] = np.bincount(head.rows[1]).tolist()
        found["n_without_enemies"] = head.n_without_enemies
    return found
