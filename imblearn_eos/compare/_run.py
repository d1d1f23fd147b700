"""One comparison: each sampler on the same rows, and a head fitted to each result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from numbers import Integral, Real

import numpy as np
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.utils import Bunch, check_consistent_length, column_or_1d

from imblearn_eos._compat import Interval, StrOptions
from imblearn_eos._device import DEVICE_CONSTRAINT
from imblearn_eos._validation import to_array
from imblearn_eos.compare._fit import fit_methods
from imblearn_eos.compare._scores import MethodResult, score
from imblearn_eos.compare._splits import (
    N_FOLDS,
    check_classes,
    count,
    make_splits,
    warn_of_copies,
)
from imblearn_eos.metrics import generalization_gap_report

# Parameters that all comparisons share.
CONSTRAINTS = {
    "X": ["array-like"],
    "y": ["array-like"],
    "groups": ["array-like", None],
    "test": ["array-like", None],
    "validation": ["array-like", None],
    "samplers": ["array-like", None],
    "seeds": [Interval(Integral, 1, None, closed="left")],
    "test_size": [Interval(Real, 0, 1, closed="neither")],
    "imbalance_ratio": [Interval(Real, 1, None, closed="left"), None],
    "validation_folds": [Interval(Integral, 0, N_FOLDS, closed="both")],
    "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    "enemy_search": [StrOptions({"neighborhood", "nearest"})],
    "device": DEVICE_CONSTRAINT,
    "n_jobs": [Interval(Integral, 1, None, closed="left"), None],
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
    validation_errors : dict of str to str
        The first error of each method that failed on a fold.
    test_is_given : bool
        Whether the test part was given. Then all seeds share it, and intervals come from its rows.
        A method without error but with empty ``scores`` was not scored, because there are no test
        rows.
    warnings : list of str
        What is doubtful about the data or the comparison as a whole, one sentence or two each.
    unit : str or None
        What a row is, in the plural, for example "photos". None means images of a network, and
        else rows.
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
    validation_errors: dict[str, str] = field(default_factory=dict)
    test_is_given: bool = False
    warnings: list[str] = field(default_factory=list)
    unit: str | None = None
    fitted: Bunch | None = field(default=None, repr=False)


@dataclass
class Embedded:
    """What embeds the rows of one split.

    ``embedder`` has ``transform``. ``own_head`` is the head that an embedding network was trained
    with, a classifier of embeddings, or None without a network.
    """

    embedder: object
    own_head: object = None
    train_loss: float | None = None


def run(X, y, embed, head, samplers, *, seeds, cores, inspect=None, notes=(), **params):
    """Check the labels and make the splits now; return an iterator that runs seed after seed.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
    y : array-like of shape (n_samples,)
    embed : callable
        Called as ``embed(seed, X_train, y_train)`` for the training rows of a split, and for the
        rows of each fold inside of them; returns `Embedded`.
    head : estimator object
        Classifier of embeddings, cloned for each sampler.
    samplers : dict of str to estimator object
    seeds : int
    cores : Cores
    inspect : callable or None, default=None
        Called with the ``fitted`` of the first seed, if it has test rows; returns a list of
        warnings.
    notes : sequence of str, default=()
        Warnings on the comparison as a whole.
    **params : dict
        Of `make_splits`.

    Returns
    -------
    iterator of SeedResult
    """
    y = column_or_1d(to_array(y, "y"))
    check_consistent_length(X, y)
    check_classes(y)
    splits = make_splits(y, seeds, **params)
    parts = [part for part in ("test", "validation") if params.get(part) is not None]
    notes = [*notes, *warn_of_copies(X, splits, parts)]
    comparison = _Comparison(X, y, embed, head, samplers)

    def run_seed(seed, split):
        tasks = [partial(comparison.run_split, seed, split)]
        tasks += [partial(comparison.validate, seed, *fold) for fold in split.folds]
        result, *folds = cores.map(tasks)
        if folds:
            scores, errors = zip(*folds, strict=True)
            kept = [name for name in result.methods if all(name in fold for fold in scores)]
            result.validation = {name: [fold[name] for fold in scores] for name in kept}
            # The first fold overrides the others.
            result.validation_errors = dict(chain.from_iterable(e.items() for e in errors[::-1]))
        result.test_is_given = params.get("test") is not None
        is_plain = params.get("groups") is None and not result.test_is_given
        result.test_size = params["test_size"] if is_plain else len(split.test) / len(y)
        result.warnings = list(notes)
        if inspect is not None and seed == 0 and len(split.test):
            result.warnings += inspect(result.fitted)
        return result

    return (run_seed(seed, split) for seed, split in enumerate(splits))


@dataclass(frozen=True)
class _Comparison:
    """The data and the methods that all splits share."""

    X: np.ndarray
    y: np.ndarray
    embed: Callable[..., Embedded]
    head: object
    samplers: dict[str, object]

    def run_split(self, seed, split):
        """Fit all methods to the training rows, and score them on the test rows."""
        y_train, y_test = self.y[split.train], self.y[split.test]
        start = time.perf_counter()
        embedded = self.embed(seed, self.X[split.train], y_train)
        trained = time.perf_counter()
        Z_train, Z_test, Z_validation = (
            # Not every embedder takes zero rows.
            embedded.embedder.transform(self.X[rows]) if len(rows) else None
            for rows in (split.train, split.test, split.validation)
        )
        seconds_embed = time.perf_counter() - trained
        methods, validation, kept = {}, {}, Bunch(samplers={}, heads={}, predictions={})
        own_head = embedded.own_head
        for name, fitted in fit_methods(self.samplers, self.head, Z_train, y_train, seed, own_head):
            if fitted.error is None:
                kept.heads[name] = fitted.head
                if fitted.sampler is not None:
                    kept.samplers[name] = fitted.sampler
                if Z_validation is not None:
                    rows = Z_validation, self.y[split.validation]
                    validation[name] = [_balanced_accuracy(fitted.head, *rows)]
            elif name == "none":
                raise ValueError(
                    f"The classifier {self.head!r} cannot be fitted to the training rows as they "
                    f"are. It says: {fitted.error}"
                )
            methods[name], kept.predictions[name] = _score(fitted, Z_train, y_train, Z_test, y_test)
        classes = np.unique(y_train)
        y_fitted = (own_head or kept.heads["none"]).predict(Z_train)
        return SeedResult(
            seed=seed,
            train_counts=count(y_train, classes),
            test_counts=count(y_test, classes),
            test_size=0.0,
            train_loss=embedded.train_loss,
            train_balanced_accuracy=float(balanced_accuracy_score(y_train, y_fitted)),
            seconds_train=trained - start,
            seconds_embed=seconds_embed,
            methods=methods,
            validation=validation,
            fitted=Bunch(
                embedder=embedded.embedder,
                classes=classes,
                train=split.train,
                test=split.test,
                Z_train=Z_train,
                y_train=y_train,
                Z_test=Z_test,
                y_test=y_test,
                **kept,
            ),
        )

    def validate(self, seed, fit, held):
        """Return the scores on rows held out of the training, and the errors of failed methods."""
        embedded = self.embed(seed, self.X[fit], self.y[fit])
        Z_fit, Z_held = (embedded.embedder.transform(self.X[rows]) for rows in (fit, held))
        methods = fit_methods(self.samplers, self.head, Z_fit, self.y[fit], seed, embedded.own_head)
        scores, errors = {}, {}
        for name, fitted in methods:
            if fitted.error is None:
                scores[name] = _balanced_accuracy(fitted.head, Z_held, self.y[held])
            else:
                errors[name] = fitted.error
        return scores, errors


def _balanced_accuracy(head, Z, y):
    # As scikit-learn's, without its warning where a class of the training rows is absent from y.
    return float(recall_score(y, head.predict(Z), labels=np.unique(y), average="macro"))


def _score(fitted, Z_train, y_train, Z_test, y_test):
    """Return the result of a fitted method on the test rows, and its predictions for them."""
    if fitted.error is not None:
        return MethodResult(error=fitted.error, warnings=fitted.warnings), None
    result, y_pred = MethodResult(), None
    if Z_test is not None:
        y_pred = fitted.head.predict(Z_test)
        result = score(y_train, y_test, y_pred, fitted.head.predict_proba(Z_test))
    if fitted.sampler is not None:
        result.rows_added = len(fitted.Z) - len(Z_train)
        if Z_test is not None:
            rows = Z_train, y_train, fitted.Z, fitted.y, Z_test, y_test
            result.details.gap = generalization_gap_report(*rows, y_pred=y_pred)
            result.gap = _macro_gaps(result.details.gap)
    result.seconds_resample, result.seconds_refit = fitted.seconds_resample, fitted.seconds_refit
    result.warnings = fitted.warnings
    return result, y_pred


def _macro_gaps(gap):
    names = ("before", "size_matched", "after", "label_noise")
    return {name: float(np.nanmean(gap[name].all)) for name in names}
