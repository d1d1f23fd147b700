"""Which rows of other classes a synthetic row may be moved toward."""

from functools import cached_property
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from sklearn.base import clone

from imblearn_eos._validation import to_array
from imblearn_eos.neighbors import TorchNearestNeighbors
from imblearn_eos.neighbors._nearest_neighbors import kneighbors_among


class Enemies(NamedTuple):
    """The rows of one class that can be bases, and the enemies of each.

    Attributes
    ----------
    bases : ndarray of shape (n_bases,), dtype=int64
        Row numbers, ascending.
    rows : ndarray of shape (n_bases, n_neighbors), dtype=int64
        Row numbers of each base's enemies, ascending, then filling.
    counts : ndarray of shape (n_bases,), dtype=int64
        How many of ``rows`` are enemies, at least 1.
    """

    bases: np.ndarray
    rows: np.ndarray
    counts: np.ndarray


def draw_segments(enemies, n_rows, max_step, random_state):
    """Draw the segments on which synthetic rows of one class lie.

    Parameters
    ----------
    enemies : Enemies
        Of one class, at least one base.
    n_rows : int
        Number of rows to make.
    max_step : float
        Upper end of the steps, at most 1.
    random_state : RandomState
        Draws all bases, then all enemies, then all steps.

    Returns
    -------
    base, enemy : ndarray of shape (n_rows,), dtype=int64
        Row numbers; bases drawn uniformly, then uniformly among the enemies of each.
    steps : ndarray of shape (n_rows,), dtype=float64
        Uniform on [0, max_step).
    """
    drawn = random_state.randint(len(enemies.bases), size=n_rows)
    position = random_state.randint(enemies.counts[drawn])
    steps = random_state.uniform(0, max_step, size=n_rows)
    return enemies.bases[drawn], enemies.rows[drawn, position], steps


class EnemySearch:
    """The two ways to find the enemies of a class, as methods named like ``enemy_search``.

    Parameters
    ----------
    X : ndarray, CSR or CSC matrix, or torch.Tensor of shape (n_samples, n_features)
        All rows.
    codes : ndarray of shape (n_samples,), dtype=int64
        The class of each row, encoded.
    n_neighbors : int or neighbors object
        K, or an object that is set to K + 1.
    device : str or torch.device
        Where to compute, for an int ``n_neighbors``.
    """

    def __init__(self, X, codes, n_neighbors, device):
        if isinstance(n_neighbors, Integral):
            self.finder = TorchNearestNeighbors(int(n_neighbors) + 1, device=device)
        else:
            n_found = getattr(n_neighbors, "n_neighbors", None)
            if not isinstance(n_found, Integral) or n_found < 2:
                raise ValueError(
                    f"The 'n_neighbors' parameter is {n_neighbors!r}. An object must be set to "
                    "K + 1 neighbors, at least 2, because each row finds itself."
                )
            self.finder = clone(n_neighbors)
            if not isinstance(n_neighbors, TorchNearestNeighbors):
                # Other libraries' objects take arrays.
                X = to_array(X)
        # By imbalanced-learn's convention an object is set to K + 1, for the row itself.
        self.n_neighbors = self.finder.n_neighbors - 1
        self.X = X
        self.codes = codes

    def neighborhood(self, code):
        """Find the rows of other classes among the K nearest rows of each row of the class."""
        members = np.flatnonzero(self.codes == code)
        n_found = min(self.n_neighbors + 1, len(self.codes))
        found = self._kneighbors(self._fitted_finder, members, n_found)
        # With duplicates a row need not find itself; then the last of the K + 1 is one too many.
        surplus = found == members[:, None]
        surplus[~surplus.any(axis=1), -1] = True
        found = found[~surplus].reshape(len(members), -1)

        is_enemy = self.codes[found] != code
        counts = is_enemy.sum(axis=1)
        rows = np.sort(np.where(is_enemy, found, len(self.codes)), axis=1)
        is_base = counts > 0
        return Enemies(members[is_base], rows[is_base], counts[is_base])

    def nearest(self, code):
        """Find the K nearest rows of other classes of each row of the class."""
        members = np.flatnonzero(self.codes == code)
        others = np.flatnonzero(self.codes != code)
        n_neighbors = min(self.n_neighbors, len(others))
        if isinstance(self.finder, TorchNearestNeighbors):
            # What was computed from all rows serves every class.
            finder, is_other = self._fitted_finder, torch.from_numpy(self.codes != code)
            found = _to_array(kneighbors_among(finder, self.X[members], n_neighbors, is_other)[1])
        else:
            finder = clone(self.finder).fit(self.X[others])
            found = others[self._kneighbors(finder, members, n_neighbors)]
        counts = np.full(len(members), n_neighbors)
        return Enemies(members, np.sort(found, axis=1), counts)

    @cached_property
    def _fitted_finder(self):
        return self.finder.fit(self.X)

    def _kneighbors(self, finder, members, n_neighbors):
        return _to_array(
            finder.kneighbors(self.X[members], n_neighbors=n_neighbors, return_distance=False)
        )


def _to_array(indices):
    return indices.cpu().numpy() if isinstance(indices, torch.Tensor) else np.asarray(indices)
