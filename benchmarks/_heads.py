"""What a trained network's embeddings are good for: refitted heads, and corrections of its own.

Each method turns the embeddings of training rows into the weights of a linear head. Its settings
are chosen by :func:`choose` on rows that the network was not trained on.
"""

import time
import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product

import numpy as np
from imblearn.over_sampling import SMOTE, SVMSMOTE, BorderlineSMOTE, RandomOverSampler
from resample import AuthorsProcedure
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.preprocessing import normalize

from imblearn_eos import EOS, LinearHead
from imblearn_eos.compare import METRICS, LenientADASYN
from imblearn_eos.losses import adjust_logits
from imblearn_eos.metrics import expected_calibration_error, generalization_gap_report

ALPHAS = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
NEIGHBORS = (5, 10, 50, 100, 300, 1000)
SEARCHES = ("neighborhood", "nearest")
SMOTE_NEIGHBORS = (3, 5, 10, 20)
TAUS = tuple(np.arange(0, 3.25, 0.25).tolist())
# On embeddings of CIFAR-10 a tenth of the iterations of LinearHead's default, and scores that
# differ by less than 0.0005.
TOLERANCE = 1e-4

SAMPLERS = {
    "none": lambda seed: None,
    "random over-sampling": lambda seed: RandomOverSampler(random_state=seed),
    "SMOTE": lambda seed, **params: SMOTE(random_state=seed, **params),
    "Borderline-SMOTE": lambda seed: BorderlineSMOTE(random_state=seed),
    "SVM-SMOTE": lambda seed: SVMSMOTE(random_state=seed),
    "ADASYN": lambda seed: LenientADASYN(random_state=seed),
    "EOS": lambda seed, **params: EOS(random_state=seed, **params),
    "authors' procedure": lambda seed: AuthorsProcedure(seed=seed),
}


@dataclass
class Head:
    """A linear head, and what it took to get it.

    Attributes
    ----------
    coef : ndarray of shape (n_classes, n_features)
    intercept : ndarray of shape (n_classes,)
    is_unit : bool
        Whether it takes embeddings of length 1.
    n_parameters : int
        How many numbers were fitted.
    rows : tuple of ndarray, or None
        The embeddings and labels that a sampler gave.
    n_without_enemies : int
        For how many classes EOS searched all enemies, since it found none in the neighborhood.
    seconds : dict
        Of over-sampling and of fitting.
    """

    coef: np.ndarray
    intercept: np.ndarray
    is_unit: bool = False
    n_parameters: int = 0
    rows: tuple | None = None
    n_without_enemies: int = 0
    seconds: dict = field(default_factory=dict)

    def logits(self, Z):
        return (normalize(Z) if self.is_unit else Z) @ self.coef.T + self.intercept

    def predict(self, Z):
        return self.logits(Z).argmax(axis=1)

    def adjusted(self, class_counts, tau):
        """Lower the logits of large classes."""
        intercept = adjust_logits(self.intercept, class_counts, tau=tau)
        return replace(self, intercept=intercept)


class Network:
    """A trained network's rows and head, from which methods make heads; none is made twice.

    Parameters
    ----------
    embedded : Embedded
    seed : int
        Of samplers.
    """

    def __init__(self, embedded, seed=0):
        self.Z, self.y = embedded.Z, embedded.y
        self.Z_new, self.y_new = embedded.Z_new, embedded.y_new
        self.counts = np.bincount(self.y)
        self.seed = seed
        self.own_head = Head(
            embedded.weight.astype(np.float64),
            embedded.bias.astype(np.float64),
            is_unit=embedded.is_unit,
            n_parameters=embedded.n_parameters,
        )
        self._heads, self._resampled = {}, (None, None)

    def resample(self, sampler, params):
        """Over-sample the embeddings; the last result is kept for heads of other strengths.

        Returns
        -------
        Z, y : ndarray
        n_without_enemies : int
        seconds : float
        """
        key = (sampler, *sorted(params.items()))
        if self._resampled[0] != key:
            self._resampled = key, self._resample(sampler, params)
        return self._resampled[1]

    def _resample(self, sampler, params):
        found = SAMPLERS[sampler](self.seed, **params)
        if found is None:
            return self.Z, self.y, 0, 0.0
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rows = found.fit_resample(self.Z, self.y)
        seconds = time.perf_counter() - start
        n_without_enemies = sum("row of another class among" in str(w.message) for w in caught)
        return *rows, n_without_enemies, seconds

    def refit(self, sampler, *, alpha=0.01, class_weight=None, **params):
        """Fit a new head on the over-sampled embeddings."""
        key = (sampler, alpha, class_weight, *sorted(params.items()))
        if key not in self._heads:
            Z, y, n_without_enemies, sampling = self.resample(sampler, params)
            start = time.perf_counter()
            if class_weight is None:
                fitted = LinearHead(alpha=alpha, tol=TOLERANCE).fit(Z, y)
            else:
                fitted = LogisticRegression(
                    C=1 / (alpha * len(Z)), class_weight=class_weight, tol=TOLERANCE, max_iter=1000
                ).fit(Z, y)
            seconds = {"sampling": sampling, "head": time.perf_counter() - start}
            self._heads[key] = Head(
                fitted.coef_,
                fitted.intercept_,
                n_parameters=fitted.coef_.size + fitted.intercept_.size,
                rows=None if sampler == "none" else (Z, y),
                n_without_enemies=n_without_enemies,
                seconds=seconds,
            )
        return self._heads[key]


def own_head(network):
    return network.own_head


def adjust(network, tau=1.0):
    """Post-hoc logit adjustment: Menon et al., ICLR 2021."""
    return replace(network.own_head.adjusted(network.counts, tau), n_parameters=0)


def tau_normalize(network, tau=1.0):
    """Divide the weights of each class by a power of their length: Kang et al., ICLR 2020."""
    coef = network.own_head.coef
    lengths = np.linalg.norm(coef, axis=1, keepdims=True)
    intercept = np.zeros(len(coef))
    return replace(network.own_head, coef=coef / lengths**tau, intercept=intercept, n_parameters=0)


def scale_weights(network, penalty=0.0):
    """LWS, learnable weight scaling, with classes weighted equally: Kang et al., ICLR 2020.

    They stop after ten epochs. Here the squared distance of scales from 1 is penalized instead, and
    the penalty is chosen: training rows that the network has memorised want ever larger scales.
    """
    start, head = time.perf_counter(), network.own_head
    logits, chosen = head.logits(network.Z), (np.arange(len(network.y)), network.y)
    weight = 1 / (len(network.counts) * network.counts[network.y])

    def loss_and_gradient(scale):
        log_proba = log_softmax(scale * logits, axis=1)
        residuals = np.exp(log_proba)
        residuals[chosen] -= 1
        gradient = (weight[:, np.newaxis] * residuals * logits).sum(axis=0)
        loss = penalty / 2 * ((scale - 1) ** 2).sum() - (weight * log_proba[chosen]).sum()
        return loss, gradient + penalty * (scale - 1)

    scale = minimize(loss_and_gradient, np.ones(logits.shape[1]), jac=True, method="L-BFGS-B").x
    return replace(
        head,
        coef=scale[:, np.newaxis] * head.coef,
        intercept=scale * head.intercept,
        n_parameters=len(scale),
        seconds={"head": time.perf_counter() - start},
    )


def refit(network, sampler, tau=0.0, **setting):
    """Fit a new head on over-sampled embeddings, and adjust its logits."""
    head = network.refit(sampler, **setting)
    return head.adjusted(network.counts, tau) if tau else head


@dataclass(frozen=True)
class Method:
    """A way to get a head, its settings to choose from, and those of its default.

    ``fixed`` are settings that are reported whether chosen or not, the default first.
    """

    make: callable
    grid: dict = field(default_factory=dict)
    fixed: tuple = ({},)

    @property
    def settings(self):
        """All settings, the default first."""
        found = [
            dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())
        ]
        return [*self.fixed[:1], *(setting for setting in found if setting not in self.fixed[:1])]


def _refits(sampler, default=None, **grid):
    first = {name: values[0] for name, values in grid.items()} | {"alpha": 0.01} | (default or {})
    return Method(partial(refit, sampler=sampler), grid, (first,))


def _eos(searches, *, is_curve=False, **grid):
    """Make EOS; with ``is_curve`` all K are reported with the default strength of the head."""
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
    "tau-normalisation": Method(tau_normalize, {"tau": TAUS}, ({"tau": 1.0},)),
    "LWS": Method(scale_weights, {"penalty": (0.0, *ALPHAS)}, ({"penalty": 0.0},)),
    "plain refit": _refits("none", alpha=ALPHAS),
    "class weights": _refits("none", alpha=ALPHAS, class_weight=("balanced",)),
    "random over-sampling": _refits("random over-sampling", alpha=ALPHAS),
    "SMOTE": _refits("SMOTE", {"k_neighbors": 5}, k_neighbors=SMOTE_NEIGHBORS, alpha=ALPHAS),
    "Borderline-SMOTE": _refits("Borderline-SMOTE", alpha=ALPHAS),
    "SVM-SMOTE": _refits("SVM-SMOTE", alpha=ALPHAS),
    "ADASYN": _refits("ADASYN", alpha=ALPHAS),
    "EOS, authors' off-by-one": _refits("authors' procedure", alpha=ALPHAS),
    "EOS, neighborhood": _eos(("neighborhood",), is_curve=True),
    "EOS, nearest": _eos(("nearest",), is_curve=True),
    "EOS": _eos(SEARCHES),
    # Combinations.
    "plain refit + logit adjustment": _refits("none", {"tau": 1.0}, alpha=ALPHAS, tau=TAUS),
    "random over-sampling + logit adjustment": _refits(
        "random over-sampling", alpha=ALPHAS, tau=TAUS
    ),
    "SMOTE + logit adjustment": _refits(
        "SMOTE", {"k_neighbors": 5}, k_neighbors=SMOTE_NEIGHBORS, alpha=ALPHAS, tau=TAUS
    ),
    "EOS + logit adjustment": _eos(SEARCHES, tau=TAUS),
}


def choose(method, folds):
    """Give the settings of a method and their balanced accuracies on the rows left out.

    Parameters
    ----------
    method : Method
    folds : list of Network
        Each trained without a part of the training rows, which are its new rows.

    Returns
    -------
    list of (dict, float)
        The best first; of equal ones the default, or what is first in the grid.
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
        "scores": {name: float(metric(y, predicted)) for name, metric in METRICS.items()},
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
