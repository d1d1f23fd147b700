"""The methods of a comparison, fitted to the training rows of one split."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from imblearn_eos.compare._parallel import record_warnings
from imblearn_eos.embedding import LinearHead


@dataclass
class Fitted:
    """A method fitted to training rows, and the rows that its head was fitted to."""

    head: Any
    sampler: Any = None
    Z: np.ndarray | None = field(default=None, repr=False)
    y: np.ndarray | None = field(default=None, repr=False)
    seconds_resample: float = 0.0
    seconds_refit: float = 0.0
    error: str | None = None
    warnings: list[str] = field(default_factory=list)


def fit_methods(samplers, head, Z, y, seed, own_head=None) -> Iterator[tuple[str, Fitted]]:
    """Fit a head to the result of each sampler on the same rows.

    Parameters
    ----------
    samplers : dict of str to estimator object
    head : estimator object
        A classifier with ``predict_proba``.
    Z : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    seed : int
    own_head : object, default=None
        The head of the network that embedded the rows.

    Yields
    ------
    name : str
        Of the sampler; "network" for ``own_head``, "logit_adjustment" for the head without a
        sampler.
    fitted : Fitted
        With an ``error`` if the method failed.
    """
    if own_head is not None:
        yield "network", Fitted(own_head)
    for name, sampler in samplers.items():
        fitted = Fitted(*(clone_with_seed(part, seed) for part in (head, sampler)))
        _fit(fitted, Z, y)
        yield name, fitted
        if name == "none" and fitted.error is None:
            yield "logit_adjustment", Fitted(adjust_logits(fitted.head, y))


def clone_with_seed(estimator, seed):
    """Clone an estimator and set the seed of it and of its parts, where they take one."""
    estimator = clone(estimator)
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]
    return estimator.set_params(**dict.fromkeys(names, seed))


def _fit(fitted, Z, y):
    with record_warnings() as caught:
        try:
            start = time.perf_counter()
            fitted.Z, fitted.y = fitted.sampler.fit_resample(Z, y)
            resampled = time.perf_counter()
            fitted.head.fit(fitted.Z, fitted.y)
            refitted = time.perf_counter()
            fitted.seconds_resample, fitted.seconds_refit = resampled - start, refitted - resampled
        # A sampler that cannot handle these data is a result, not the end of the comparison.
        except (ValueError, RuntimeError) as error:
            fitted.error = f"{type(error).__name__}: {error}"
    fitted.warnings = list(dict.fromkeys(caught))


def adjust_logits(head, y):
    """Return a copy of a fitted classifier that predicts as if its classes were balanced.

    With tau 1, as here, logit adjustment has nothing to tune.
    """
    counts = np.unique(y, return_counts=True)[1]
    if not isinstance(head, LinearHead):
        return AdjustedClassifier(head, counts)
    # The same as a refit with tau=1, which would repeat the optimization.
    head = copy.deepcopy(head).set_params(tau=head.tau + 1)
    head.intercept_ -= np.log(counts / len(y))
    head.intercept_ -= head.intercept_.mean()
    return head


class AdjustedClassifier(ClassifierMixin, BaseEstimator):
    """Divide the probabilities of a fitted classifier by the frequencies of its classes.

    Its decisions are those of moved thresholds.

    Parameters
    ----------
    classifier : estimator object
        Fitted, with ``predict_proba``.
    counts : ndarray of shape (n_classes,)
        Rows of each class that it was fitted to.
    """

    def __init__(self, classifier: BaseEstimator, counts: np.ndarray) -> None:
        self.classifier = classifier
        self.counts = counts

    @property
    def classes_(self):
        return self.classifier.classes_

    def predict_proba(self, X):
        proba = self.classifier.predict_proba(X) / self.counts
        return proba / proba.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
