"""Neighbors that the samplers of one split share."""

from __future__ import annotations

import hashlib
from numbers import Integral
from typing import Any

import numpy as np
from imblearn.over_sampling import ADASYN, SMOTE
from sklearn.base import BaseEstimator
from sklearn.neighbors import NearestNeighbors

from imblearn_eos._device import resolve_device
from imblearn_eos.compare._adasyn import LenientADASYN
from imblearn_eos.over_sampling import EOS

# Larger results are found again rather than kept.
MAX_KEPT = 2**27


class Found(dict):
    """Positions of neighbors by digest of the rows. A clone of a sampler keeps the same."""

    def __sklearn_clone__(self) -> Found:
        return self


class SharedNeighbors(BaseEstimator):
    """Search once for the neighbors that several samplers, or settings of one, need.

    Parameters
    ----------
    n_neighbors : int
    found : Found
        What was found so far.
    n_searched : int
        Search at least for so many, because they will be needed.
    """

    def __init__(self, n_neighbors: int, found: Found, n_searched: int) -> None:
        self.n_neighbors = n_neighbors
        self.found = found
        self.n_searched = n_searched

    def fit(self, X: np.ndarray, y: Any = None) -> SharedNeighbors:
        self.finder_ = NearestNeighbors(n_neighbors=self.n_neighbors).fit(X)
        self.digest_ = digest(X)
        return self

    def kneighbors(self, X, n_neighbors=None, return_distance=True):
        n_neighbors = self.n_neighbors if n_neighbors is None else n_neighbors
        if return_distance:
            return self.finder_.kneighbors(X, n_neighbors)
        key = self.digest_, digest(X)
        positions = self.found.get(key)
        if positions is None or positions.shape[1] < n_neighbors:
            # scikit-learn's error names the numbers if there are too few rows.
            n_searched = max(n_neighbors, min(self.n_searched, self.finder_.n_samples_fit_))
            positions = self.finder_.kneighbors(X, n_searched, return_distance=False)
            if positions.size <= MAX_KEPT:
                self.found[key] = positions.astype(np.int32)
        return positions[:, :n_neighbors]

    def kneighbors_graph(self, X=None, n_neighbors=None, mode="connectivity"):
        return self.finder_.kneighbors_graph(X, n_neighbors, mode)


def share_neighbors(sampler, found, n_searched):
    """Let a sampler share its plain search for neighbors; return the parameters it had."""
    before = dict(_searches(sampler))
    for name, n_neighbors in before.items():
        # One more by imbalanced-learn's convention, because each row finds itself.
        shared = SharedNeighbors(n_neighbors + 1, found=found, n_searched=n_searched)
        sampler.set_params(**{name: shared})
    return before


def max_neighbors(samplers):
    """Return the most neighbors that one of the samplers looks for."""
    return max((n + 1 for sampler in samplers for _, n in _searches(sampler)), default=0)


def _searches(sampler):
    """Yield the parameters that are a plain number of neighbors."""
    # What others do with their parameters is not known.
    is_known = type(sampler) in (SMOTE, ADASYN, LenientADASYN, EOS)
    if not is_known or resolve_device(getattr(sampler, "device", "cpu")).type != "cpu":
        return
    for name in ("n_neighbors", "k_neighbors"):
        n_neighbors = getattr(sampler, name, None)
        if isinstance(n_neighbors, Integral):
            yield name, n_neighbors


def digest(X):
    """Return what identifies an array."""
    return hashlib.blake2b(np.ascontiguousarray(X).data, digest_size=16).digest(), X.shape
