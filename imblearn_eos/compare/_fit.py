"""The methods of a comparison, fitted to the training rows of one split."""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import InitVar, dataclass, field, replace
from itertools import chain, groupby
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from imblearn_eos.compare._candidates import Candidate
from imblearn_eos.compare._neighbors import Found, max_neighbors, share_neighbors
from imblearn_eos.compare._parallel import record_warnings
from imblearn_eos.embedding import LinearHead
from imblearn_eos.embedding._averaged_head import average_heads
from imblearn_eos.embedding._head import fit_path
from imblearn_eos.embedding._head_classes import predicted_shares, row_weights


@dataclass
class Fitted:
    """A candidate fitted to training rows, and the rows that its head was fitted to."""

    head: Any = None
    sampler: Any = None
    Z: np.ndarray | None = field(default=None, repr=False)
    y: np.ndarray | None = field(default=None, repr=False)
    seconds_resample: float = 0.0
    seconds_refit: float = 0.0
    error: str | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass
class TrainingRows:
    """The training rows of one split, to which candidates are fitted.

    Attributes
    ----------
    Z : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    seed : int
        Of samplers and heads.
    own_head : object or None
        The head of the network that embedded the rows.
    candidates : iterable of Candidate
        All that will be fitted; they share their search for neighbors.
    """

    Z: np.ndarray
    y: np.ndarray
    seed: int
    own_head: Any = None
    candidates: InitVar[Iterable[Candidate]] = ()

    def __post_init__(self, candidates):
        candidates = list(chain.from_iterable((c, c.averaged_with) for c in candidates))
        candidates = [candidate for candidate in candidates if candidate is not None]
        self.found, self.n_searched = Found(), max_neighbors(c.sampler for c in candidates)
        # Logit adjustment starts from the heads of no over-sampling, an average from two others.
        times = Counter((id(c.sampler), id(c.head)) for c in candidates)
        self.kept = {key: None for key, count in times.items() if count > 1}

    def fit(self, candidates: Iterable[Candidate]) -> Iterator[Fitted]:
        """Fit the candidates of one method, those that share a sampler next to each other."""
        for _, group in groupby(candidates, key=lambda candidate: id(candidate.sampler)):
            yield from self._fit_sampler(list(group))

    def _fit_sampler(self, candidates):
        """Fit candidates that share a sampler."""
        sampler, heads = candidates[0].sampler, {id(c.head): c.head for c in candidates}
        known = {key: fitted for key in heads if (fitted := self.kept.get((id(sampler), key)))}
        if candidates[0].head is None:
            known[id(None)] = Fitted(self.own_head)
        if len(known) < len(heads):
            known = self._fit_heads(heads, self._resample(sampler))
        for candidate in candidates:
            key, fitted = (id(sampler), id(candidate.head)), known[id(candidate.head)]
            if key in self.kept:
                # Without the rows, which would fill the memory.
                self.kept[key] = replace(fitted, Z=None, y=None)
            if candidate.tau and fitted.error is None:
                fitted = Fitted(
                    adjust_logits(fitted.head, self.y, candidate.tau),
                    seconds_refit=fitted.seconds_refit,
                )
            if candidate.costs is not None and fitted.error is None:
                fitted = Fitted(
                    candidate.costs.decide_by(fitted.head), seconds_refit=fitted.seconds_refit
                )
            if candidate.averaged_with is not None and fitted.error is None:
                (other,) = self.fit([candidate.averaged_with])
                if other.error is None:
                    other = replace(
                        fitted, head=average_heads(fitted.sampler, fitted.head, other.head)
                    )
                fitted = other
            yield fitted

    def _resample(self, sampler):
        fitted = Fitted(sampler=clone_with_seed(sampler, self.seed))
        params = share_neighbors(fitted.sampler, self.found, self.n_searched)
        with record_warnings() as caught:
            start = time.perf_counter()
            try:
                fitted.Z, fitted.y = fitted.sampler.fit_resample(self.Z, self.y)
            # A sampler that cannot handle these data is a result, not the end of the comparison.
            except (ValueError, RuntimeError) as error:
                fitted.error = f"{type(error).__name__}: {error}"
            fitted.seconds_resample = time.perf_counter() - start
        fitted.sampler.set_params(**params)
        fitted.warnings = list(dict.fromkeys(caught))
        return fitted

    def _fit_heads(self, heads, resampled):
        """Return what is fitted to the same rows, by the key of each head."""
        if resampled.Z is None:
            return dict.fromkeys(heads, resampled)
        made = {key: clone_with_seed(head, self.seed) for key, head in heads.items()}
        if len(made) == 1 or any(type(head) is not LinearHead for head in made.values()):
            return {key: self._fit_head(resampled, head) for key, head in made.items()}
        by_penalty = sorted(made.values(), key=lambda head: -head.alpha)
        path = self._fit_head(resampled, *by_penalty)
        seconds = path.seconds_refit / len(made)
        return {key: replace(path, head=head, seconds_refit=seconds) for key, head in made.items()}

    def _fit_head(self, resampled, head, *others):
        """Fit a head, or several that differ in their penalty."""
        fitted = replace(resampled, head=head, error=None)
        with record_warnings() as caught:
            start = time.perf_counter()
            try:
                if others:
                    fit_path([head, *others], fitted.Z, fitted.y)
                else:
                    head.fit(fitted.Z, fitted.y)
            except (ValueError, RuntimeError) as error:
                fitted.error = f"{type(error).__name__}: {error}"
            fitted.seconds_refit = time.perf_counter() - start
        fitted.warnings = list(dict.fromkeys([*resampled.warnings, *caught]))
        return fitted


def clone_with_seed(estimator, seed):
    """Clone an estimator and set the seed of it and of its parts, where they take one."""
    estimator = clone(estimator)
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]
    return estimator.set_params(**dict.fromkeys(names, seed))


def adjust_logits(head, y, tau=1.0):
    """Return a copy of a fitted classifier with adjusted logits.

    With tau 1 it predicts as if its classes were balanced.
    """
    classes, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    if not isinstance(head, LinearHead):
        adjusted = AdjustedClassifier(head, tau)
        adjusted.classifier_, adjusted.counts_ = head, counts
        return adjusted
    # The same as a refit with this tau, which would repeat the optimization.
    head = copy.deepcopy(head).set_params(tau=head.tau + tau)
    counts = np.bincount(codes, row_weights(codes, classes, None, head.class_weight))
    head.intercept_ -= tau * np.log(predicted_shares(head, classes, counts))
    head.intercept_ -= head.intercept_.mean()
    return head


class AdjustedClassifier(ClassifierMixin, BaseEstimator):
    """Divide the probabilities of a classifier by powers of the class frequencies.

    Its decisions are those of moved thresholds.

    Parameters
    ----------
    classifier : estimator object
        With ``predict_proba``.
    tau : float, default=1.0
        The power.

    Attributes
    ----------
    classifier_ : estimator object
        Fitted.
    counts_ : ndarray of shape (n_classes,)
        Rows of each class that it was fitted to.
    """

    def __init__(self, classifier: BaseEstimator, tau: float = 1.0) -> None:
        self.classifier = classifier
        self.tau = tau

    def fit(self, X, y):
        self.classifier_ = clone(self.classifier).fit(X, y)
        self.counts_ = np.unique(y, return_counts=True)[1]
        return self

    @property
    def classes_(self):
        return self.classifier_.classes_

    def predict_proba(self, X):
        proba = self.classifier_.predict_proba(X) / self.counts_**self.tau
        return proba / proba.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
