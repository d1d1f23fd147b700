"""What is compared, how it is measured, and what is kept of it."""

import time
import warnings
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral, Real

import numpy as np
from imblearn import FunctionSampler
from imblearn.metrics import geometric_mean_score
from imblearn.over_sampling import ADASYN, SMOTE, RandomOverSampler
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score
from sklearn.utils import Bunch
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from imblearn_eos._compat import Interval, StrOptions
from imblearn_eos._device import DEVICE_CONSTRAINT
from imblearn_eos.datasets import split_imbalanced
from imblearn_eos.metrics import expected_calibration_error, generalization_gap_report
from imblearn_eos.over_sampling import EOS

# Most classes that a warning names.
MAX_NAMES = 10


class LenientADASYN(ADASYN):
    """ADASYN that leaves the classes as they are for which ADASYN would raise, and warns.

    ADASYN raises when a single class has no enemies among its neighbors, or so few that every
    row's share of the new rows rounds to none. Both are common among the embeddings of a network
    that fits its training rows. Parameters and attributes are those of ADASYN.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from imblearn_eos.compare import LenientADASYN
    >>> X = np.r_[np.arange(20.0), np.arange(100.0, 110.0)][:, None]
    >>> y = np.repeat([0, 1], [20, 10])  # far apart, so that no row has an enemy nearby
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     X_resampled, y_resampled = LenientADASYN(random_state=0).fit_resample(X, y)
    >>> len(X_resampled), str(caught[0].message)[:29]
    (30, 'ADASYN refuses 1 of 1 classes')
    """

    def _fit_resample(self, X, y):
        parts, refused = [(X, y)], {}
        for label, n_rows in self.sampling_strategy_.items():
            sampler = ADASYN(**self.get_params())
            sampler.sampling_strategy = {label: np.sum(y == label) + n_rows}
            try:
                resampled = sampler.fit_resample(X, y)
            except (RuntimeError, ValueError) as error:
                refused[str(label)] = error
            else:
                parts.append([part[len(y) :] for part in resampled])
        if refused:
            warnings.warn(
                f"ADASYN refuses {len(refused)} of {len(self.sampling_strategy_)} classes, which "
                f"stay as they are: {', '.join(list(refused)[:MAX_NAMES])}"
                f"{' and others' * (len(refused) > MAX_NAMES)}. For the first, it says: "
                f"{next(iter(refused.values()))}",
                UserWarning,
                stacklevel=2,
            )
        rows, labels = zip(*parts, strict=True)
        stack = partial(sparse.vstack, format=X.format) if sparse.issparse(X) else np.concatenate
        return stack(rows), np.concatenate(labels)


# Every sampler runs with its own defaults, so that none is tuned; EOS takes options of the user.
SAMPLERS = {
    "none": FunctionSampler(),
    "random": RandomOverSampler(),
    "smote": SMOTE(),
    "adasyn": LenientADASYN(),
    "eos": EOS(),
}

# The geometric mean is that of two means over classes, of sensitivity and of specificity against
# the rest, as in the paper; so it is above 0 even where a class is never predicted, and with two
# classes it is the balanced accuracy.
METRICS = {
    "balanced_accuracy": balanced_accuracy_score,
    "macro_g_mean": lambda y, y_pred: geometric_mean_score(y, y_pred, average="macro"),
    "macro_f1": lambda y, y_pred: f1_score(y, y_pred, average="macro", zero_division=0),
}

CALIBRATION = ("expected_calibration_error", "brier_score")

CONSTRAINTS = {
    "samplers": ["array-like"],
    "seeds": [Interval(Integral, 1, None, closed="left")],
    "test_size": [Interval(Real, 0, 1, closed="neither")],
    "imbalance_ratio": [Interval(Real, 1, None, closed="left"), None],
    "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    "enemy_search": [StrOptions({"neighborhood", "nearest"})],
    "device": DEVICE_CONSTRAINT,
}


@dataclass
class MethodResult:
    """How one method did on the test rows of one seed.

    Attributes
    ----------
    scores : dict of str to float
        A value for each of `METRICS`; empty if the method failed.
    calibration : dict of str to float
        Expected calibration error and Brier score: on the test rows as they are, and, with the
        suffix "_at_training_frequencies", on test rows weighted so that classes are as frequent as
        they are among the training rows. The Brier score is a sum over classes, from 0 to 2; for
        two classes scikit-learn's is half of it.
    recall : dict of str to float
        Share of the test rows of each class that are recognised.
    gap : dict of str to float
        Macro generalization gap "before" and "after" over-sampling, and of their references
        "size_matched" and "label_noise". Empty for methods that are no sampler.
    rows_added : int
        Synthetic training rows.
    seconds_resample, seconds_refit : float
        Time to over-sample the embeddings, and to fit the head on them.
    error : str or None
        Why the method failed, if it did.
    warnings : list of str
        What it warned of.
    details : :class:`~sklearn.utils.Bunch`
        What plots are made of and files do not hold: the ``confusion`` matrix, and the ``gap`` of
        each class as `generalization_gap_report` returns it.
    """

    scores: dict = field(default_factory=dict)
    calibration: dict = field(default_factory=dict)
    recall: dict = field(default_factory=dict)
    gap: dict = field(default_factory=dict)
    rows_added: int = 0
    seconds_resample: float = 0.0
    seconds_refit: float = 0.0
    error: str | None = None
    warnings: list = field(default_factory=list)
    details: Bunch = field(default_factory=Bunch, repr=False)


@dataclass
class SeedResult:
    """One seed of a comparison: a split, what was fitted on it, and how it did.

    Attributes
    ----------
    seed : int
        Seed of the split, the network and the samplers.
    train_counts, test_counts : dict of str to int
        Rows per class.
    test_size : float
        Share of each class's rows that went to the test part, before the training part was made
        long-tailed.
    train_loss : float or None
        Mean loss in the last epoch of the network; None without a network.
    train_balanced_accuracy : float
        The fit of the network, or else of the classifier, to its training rows: whether it trained
        long enough can be read here, without looking at the test rows.
    seconds_train, seconds_embed : float
        Time to train the network, or what scales the features, and to embed all rows.
    methods : dict of str to MethodResult
        One for each sampler, "none" among them, and for the ways without one: "logit_adjustment"
        of the head or classifier of "none" and, on images, "network", the network's own head.
    fitted : :class:`~sklearn.utils.Bunch` or None
        What files do not hold: ``embedder``, ``classes``, the training rows as ``Z_train`` and
        ``y_train``, and by method the ``samplers`` and ``heads``. Set it to None to save memory.
    """

    seed: int
    train_counts: dict
    test_counts: dict
    test_size: float
    train_loss: float | None
    train_balanced_accuracy: float | None
    seconds_train: float
    seconds_embed: float
    methods: dict
    fitted: Bunch | None = field(default=None, repr=False)


def make_samplers(names, eos_params):
    """Give unfitted samplers by name, "none" always among them, as the one to compare with."""
    unknown = [name for name in names if name not in SAMPLERS]
    if unknown or not len(names):
        raise ValueError(
            f"The 'samplers' parameter must name some of {', '.join(SAMPLERS)}. "
            f"Got {', '.join(map(repr, unknown)) or 'none of them'} instead."
        )
    samplers = {name: clone(SAMPLERS[name]) for name in dict.fromkeys(["none", *names])}
    if "eos" in samplers:
        samplers["eos"].set_params(**eos_params)
    return samplers


def check_classes(y):
    """Raise ValueError unless y holds labels of at least two classes."""
    try:
        is_continuous = type_of_target(y) == "continuous"
        if not is_continuous:
            check_classification_targets(y)
    # Labels that cannot be sorted raise a TypeError.
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must hold the labels of classes: {error}") from error
    if is_continuous:
        example = max(y, key=lambda number: number % 1)
        raise ValueError(
            f"y must hold the labels of classes, but has numbers such as {example} and looks "
            "continuous. Take another target, or bin the numbers into classes."
        )
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(
            f"y has {len(classes)} class ({', '.join(map(str, classes))}); a comparison needs at "
            "least 2."
        )


def make_splits(y, seeds, test_size, imbalance_ratio):
    """Give the numbers of the training and of the test rows for each seed.

    All splits before any work: an unusable class is found now, not after an hour.
    """
    return [
        split_imbalanced(
            np.arange(len(y)),
            y,
            test_size=test_size,
            imbalance_ratio=imbalance_ratio,
            random_state=seed,
        )[:2]
        for seed in range(seeds)
    ]


def count(y):
    """Give the rows per class, by name."""
    classes, counts = np.unique(y, return_counts=True)
    return {str(label): int(n_rows) for label, n_rows in zip(classes, counts, strict=True)}


def clone_with_seed(estimator, seed):
    """Clone an estimator, with this seed wherever it, or what it is made of, takes one."""
    estimator = clone(estimator)
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]
    return estimator.set_params(**dict.fromkeys(names, seed))


def run_samplers(samplers, head, rows, seed):
    """Fit a head on what each sampler makes of the same rows, and adjust the one without sampler.

    Parameters
    ----------
    samplers : dict of str to estimator object
    head : estimator object
        A classifier with ``predict_proba``.
    rows : tuple of Z_train, Z_test, y_train, y_test
    seed : int

    Returns
    -------
    results : dict of str to MethodResult
    fitted : :class:`~sklearn.utils.Bunch`
        The fitted ``samplers`` and ``heads`` of the methods that did not fail.

    Raises
    ------
    ValueError
        When the head cannot be fitted to the rows as they are.
    """
    _, Z_test, y_train, y_test = rows
    results, fitted = {}, Bunch(samplers={}, heads={})
    for name, sampler in samplers.items():
        sampler, fitted_head = (clone_with_seed(part, seed) for part in (sampler, head))
        results[name] = _run_sampler(sampler, fitted_head, rows)
        if results[name].error is None:
            fitted.samplers[name], fitted.heads[name] = sampler, fitted_head
        elif name == "none":
            raise ValueError(
                f"The classifier {head!r} cannot be fitted to the training rows as they are. It "
                f"says: {results[name].error}"
            )
        if name == "none":
            y_proba = fitted_head.predict_proba(Z_test)
            results["logit_adjustment"] = _adjust_logits(y_train, y_test, y_proba)
    return results, fitted


def _run_sampler(sampler, head, rows):
    Z_train, Z_test, y_train, y_test = rows
    result = MethodResult()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            start = time.perf_counter()
            Z, y = sampler.fit_resample(Z_train, y_train)
            resampled = time.perf_counter()
            head.fit(Z, y)
            fitted = time.perf_counter()
        # A sampler that cannot serve these data is a finding, not the end of the comparison.
        except (ValueError, RuntimeError) as error:
            result.error = f"{type(error).__name__}: {error}"
        else:
            result.seconds_resample, result.seconds_refit = resampled - start, fitted - resampled
            result.rows_added = len(Z) - len(Z_train)
            y_pred = head.predict(Z_test)
            evaluate(result, y_train, y_test, y_pred, head.predict_proba(Z_test))
            gap = generalization_gap_report(Z_train, y_train, Z, y, Z_test, y_test, y_pred=y_pred)
            result.details.gap, result.gap = gap, _macro_gaps(gap)
    result.warnings = list(dict.fromkeys(str(warning.message) for warning in caught))
    return result


def _adjust_logits(y_train, y_test, y_proba):
    """Divide the probabilities of a classifier by the class frequencies that it was trained on.

    The rival that needs no sampling. With tau 1, as here, it has nothing to choose; its decisions
    are those of moving the thresholds.
    """
    classes, counts = np.unique(y_train, return_counts=True)
    adjusted = y_proba / counts
    adjusted /= adjusted.sum(axis=1, keepdims=True)
    result = MethodResult()
    evaluate(result, y_train, y_test, classes[adjusted.argmax(axis=1)], adjusted)
    return result


def evaluate(result, y_train, y_test, y_pred, y_proba):
    """Fill in scores, calibration and recall; columns of y_proba are the classes of y_train."""
    classes, train_counts = np.unique(y_train, return_counts=True)
    result.scores = {name: float(metric(y_test, y_pred)) for name, metric in METRICS.items()}
    confusion = confusion_matrix(y_test, y_pred, labels=classes)
    test_counts = confusion.sum(axis=1)
    frequencies = train_counts / np.maximum(test_counts, 1)
    weights = {
        "": np.ones(len(y_test)),
        "_at_training_frequencies": frequencies[np.searchsorted(classes, y_test)],
    }
    one_hot = y_test[:, np.newaxis] == classes
    for suffix, weight in weights.items():
        error = expected_calibration_error(y_test, y_proba, labels=classes, sample_weight=weight)
        brier = np.average(((y_proba - one_hot) ** 2).sum(axis=1), weights=weight)
        for name, value in zip(CALIBRATION, (error, brier), strict=True):
            result.calibration[name + suffix] = float(value)
    recall = confusion.diagonal() / np.maximum(test_counts, 1)
    result.recall = {str(label): float(r) for label, r in zip(classes, recall, strict=True)}
    result.details.confusion = confusion


def _macro_gaps(gap):
    names = ("before", "size_matched", "after", "label_noise")
    return {name: float(np.nanmean(gap[name].all)) for name in names}
