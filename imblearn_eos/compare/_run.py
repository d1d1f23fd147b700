"""One comparison: each sampler on the same rows, and a head fitted to each result."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score
from sklearn.utils import Bunch, check_consistent_length, column_or_1d

from imblearn_eos._compat import Interval, StrOptions
from imblearn_eos._device import DEVICE_CONSTRAINT
from imblearn_eos.compare._scores import MethodResult, score
from imblearn_eos.compare._splits import check_classes, count, make_splits
from imblearn_eos.metrics import generalization_gap_report

# Parameters that the comparisons of images and of tables share.
CONSTRAINTS = {
    "X": ["array-like"],
    "y": ["array-like"],
    "samplers": ["array-like", None],
    "seeds": [Interval(Integral, 1, None, closed="left")],
    "test_size": [Interval(Real, 0, 1, closed="neither")],
    "imbalance_ratio": [Interval(Real, 1, None, closed="left"), None],
    "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    "enemy_search": [StrOptions({"neighborhood", "nearest"})],
    "device": DEVICE_CONSTRAINT,
}


@dataclass
class SeedResult:
    """One seed of a comparison: the split, the fitted estimators and the results.

    Attributes
    ----------
    seed : int
        Seed of the split, the network and the samplers.
    train_counts, test_counts : dict of str to int
        Rows per class.
    test_size : float
        Share of each class's rows in the test part, before the training part was made long-tailed.
    train_loss : float or None
        Mean loss in the last epoch of the network; None without a network.
    train_balanced_accuracy : float
        Balanced accuracy of the network, or else of the classifier, on its training rows. It shows
        whether the network was trained long enough, without use of the test rows.
    seconds_train, seconds_embed : float
        Time to train the network, or to fit the scaling of the features, and to embed all rows.
    methods : dict of str to MethodResult
        One for each sampler, "none" among them, and for the methods without a sampler:
        "logit_adjustment" of the head or classifier of "none" and, on images, "network", the
        network's own head.
    validation : dict of str to list of float
        Balanced accuracy of each method on the validation rows, one value for each fold inside the
        training rows, or one for a given validation part. Methods that failed on a fold are left
        out. Empty if there are no validation rows.
    test_is_given : bool
        Whether the test part was given. Then all seeds share it, and intervals come from its rows.
        A method without error but with empty ``scores`` was not scored, because there are no test
        rows.
    warnings : list of str
        What is doubtful about the data or the comparison as a whole, one sentence or two each.
    fitted : :class:`~sklearn.utils.Bunch` or None
        What is not written to files: ``embedder``, ``classes``, the training rows as ``Z_train``
        and ``y_train``, the test rows as ``Z_test`` and ``y_test``, the positions of both in the
        data as ``train`` and ``test``, and by method the ``samplers``, the ``heads`` and the
        ``predictions``, labels of the test rows. Set it to None to save memory.
    """

    seed: int
    train_counts: dict[str, int]
    test_counts: dict[str, int]
    test_size: float
    train_loss: float | None
    train_balanced_accuracy: float | None
    seconds_train: float
    seconds_embed: float
    methods: dict[str, MethodResult]
    validation: dict[str, list[float]] = field(default_factory=dict)
    test_is_given: bool = False
    warnings: list[str] = field(default_factory=list)
    fitted: Bunch | None = field(default=None, repr=False)


@dataclass
class Embedded:
    """The rows of one split as samplers and heads see them.

    ``own_head`` is the head that the embedding network was trained with, a classifier of
    embeddings, or None without a network.
    """

    embedder: object
    Z_train: np.ndarray
    Z_test: np.ndarray
    seconds_embed: float
    own_head: object = None
    train_loss: float | None = None
    seconds_train: float = 0.0


def run(X, y, embed, head, samplers, *, seeds, test_size, imbalance_ratio):
    """Check the labels and make the splits now; return an iterator that runs seed after seed.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
    y : array-like of shape (n_samples,)
    embed : callable
        Called as ``embed(seed, X_train, X_test, y_train)``; returns `Embedded`.
    head : estimator object
        Classifier of embeddings, cloned for each sampler.
    samplers : dict of str to estimator object
    seeds, test_size, imbalance_ratio
        As in `compare`.

    Returns
    -------
    iterator of SeedResult
    """
    y = column_or_1d(y)
    check_consistent_length(X, y)
    check_classes(y)
    splits = make_splits(y, seeds, test_size, imbalance_ratio)

    def run_seed(seed, train, test):
        y_train, y_test = y[train], y[test]
        embedded = embed(seed, X[train], X[test], y_train)
        Z_train, Z_test = embedded.Z_train, embedded.Z_test
        methods, own_head = {}, embedded.own_head
        if own_head is not None:
            y_pred, y_proba = own_head.predict(Z_test), own_head.predict_proba(Z_test)
            methods["network"] = score(y_train, y_test, y_pred, y_proba)
        rows = Z_train, Z_test, y_train, y_test
        results, fitted = run_samplers(samplers, head, rows, seed)
        y_fitted = (own_head or fitted.heads["none"]).predict(Z_train)
        return SeedResult(
            seed=seed,
            train_counts=count(y_train),
            test_counts=count(y_test),
            test_size=test_size,
            train_loss=embedded.train_loss,
            train_balanced_accuracy=float(balanced_accuracy_score(y_train, y_fitted)),
            seconds_train=embedded.seconds_train,
            seconds_embed=embedded.seconds_embed,
            methods={**methods, **results},
            fitted=Bunch(
                embedder=embedded.embedder,
                classes=np.unique(y_train),
                Z_train=Z_train,
                y_train=y_train,
                **fitted,
            ),
        )

    return (run_seed(seed, *split) for seed, split in enumerate(splits))


def run_samplers(samplers, head, rows, seed):
    """Fit a head to the result of each sampler on the same rows.

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
        For each sampler, and for logit adjustment of the head without a sampler.
    fitted : :class:`~sklearn.utils.Bunch`
        The fitted ``samplers`` and ``heads`` of the methods that did not fail.

    Raises
    ------
    ValueError
        When the head cannot be fitted to the rows without over-sampling.
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


def clone_with_seed(estimator, seed):
    """Clone an estimator and set the seed of it and of its parts, where they take one."""
    estimator = clone(estimator)
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]
    return estimator.set_params(**dict.fromkeys(names, seed))


def _run_sampler(sampler, head, rows):
    Z_train, Z_test, y_train, y_test = rows
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            start = time.perf_counter()
            Z, y = sampler.fit_resample(Z_train, y_train)
            resampled = time.perf_counter()
            head.fit(Z, y)
            refitted = time.perf_counter()
        # A sampler that cannot handle these data is a result, not the end of the comparison.
        except (ValueError, RuntimeError) as error:
            result = MethodResult(error=f"{type(error).__name__}: {error}")
        else:
            y_pred = head.predict(Z_test)
            result = score(y_train, y_test, y_pred, head.predict_proba(Z_test))
            result.seconds_resample, result.seconds_refit = resampled - start, refitted - resampled
            result.rows_added = len(Z) - len(Z_train)
            gap = generalization_gap_report(Z_train, y_train, Z, y, Z_test, y_test, y_pred=y_pred)
            result.details.gap, result.gap = gap, _macro_gaps(gap)
    result.warnings = list(dict.fromkeys(str(warning.message) for warning in caught))
    return result


def _adjust_logits(y_train, y_test, y_proba):
    """Divide the probabilities of a classifier by the class frequencies that it was trained on.

    With tau 1, as here, logit adjustment has nothing to tune. Its decisions are those of
    moved thresholds.
    """
    classes, counts = np.unique(y_train, return_counts=True)
    adjusted = y_proba / counts
    adjusted /= adjusted.sum(axis=1, keepdims=True)
    return score(y_train, y_test, classes[adjusted.argmax(axis=1)], adjusted)


def _macro_gaps(gap):
    names = ("before", "size_matched", "after", "label_noise")
    return {name: float(np.nanmean(gap[name].all)) for name in names}
