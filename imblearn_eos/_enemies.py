"""Which rows of other classes a synthetic row may be moved toward."""

from collections.abc import Callable
from functools import cached_property, partial
from itertools import groupby
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from sklearn.base import clone

from imblearn_eos._validation import to_array
from imblearn_eos.neighbors import TorchNearestNeighbors
from imblearn_eos.neighbors._nearest_neighbors import nearest_sets

# Neighbors that are looked at together: as many as fit into a few tens of megabytes, and on a
# device, which the host waits for each time, into a few hundred.
NEIGHBORS_AT_ONCE, NEIGHBORS_ON_DEVICE = 2**21, 2**25


class Enemies(NamedTuple):
    """The rows of one class that can be bases, and the enemies of each.

    Attributes
    ----------
    bases : ndarray of shape (n_bases,), dtype=int64
        Row numbers, ascending.
    counts : ndarray of shape (n_bases,), dtype=int64
        The number of enemies of each, at least 1.
    rows : {ndarray, torch.Tensor} of shape (sum of counts,), dtype=int32 or int64
        Row numbers of the first base's enemies, ascending, then those of the second, and so on. A
        tensor where the rows to over-sample are on another device than the CPU.
    """

    bases: np.ndarray
    counts: np.ndarray
    rows: np.ndarray | torch.Tensor

    def pick(self, base, enemy):
        """Return the row numbers of bases and enemies that are given as :func:`draw` does."""
        starts = self.counts.cumsum() - self.counts
        return self.bases[base], _to_array(self.rows[starts[base] + enemy]).astype(np.int64)


class NearestEnemies(NamedTuple):
    """The rows of one class, each a base. Their enemies are searched when bases are picked.

    Attributes
    ----------
    bases, counts : ndarray of shape (n_bases,), dtype=int64
        As those of :class:`Enemies`.
    search : callable
        Takes some bases, ascending, and returns their :class:`Enemies`.
    """

    bases: np.ndarray
    counts: np.ndarray
    search: Callable

    def pick(self, base, enemy):
        """Return what :meth:`Enemies.pick` returns; search the enemies of no other bases."""
        is_picked = np.zeros(len(self.bases), dtype=bool)
        is_picked[base] = True
        place = is_picked.cumsum() - 1
        return self.search(self.bases[is_picked]).pick(place[base], enemy)


def draw(counts, n_rows, max_step, for_bases, for_enemies, for_steps):
    """Draw the segments on which synthetic rows of one class lie.

    Parameters
    ----------
    counts : ndarray of shape (n_bases,), dtype=int64
        The number of enemies of each base.
    n_rows : int
        Number of rows to make.
    max_step : float
        Upper end of the steps, at most 1.
    for_bases, for_enemies, for_steps : RandomState
        One object draws all bases, then all enemies, then all steps.

    Returns
    -------
    base, enemy : ndarray of shape (n_rows,), dtype=int64
        The position of each base among the bases, drawn uniformly, and of each enemy among the
        enemies of its base, drawn uniformly, too.
    steps : ndarray of shape (n_rows,), dtype=float64
        Uniform on [0, max_step).
    """
    base = for_bases.randint(len(counts), size=n_rows)
    enemy = for_enemies.randint(counts[base])
    return base, enemy, for_steps.uniform(0, max_step, size=n_rows)


def make_finder(n_neighbors, device):
    """Return a neighbors object that is set to K + 1, of K or of such an object.

    Raises
    ------
    ValueError
        When an object is not set to at least 2 neighbors.
    """
    if isinstance(n_neighbors, Integral):
        return TorchNearestNeighbors(int(n_neighbors) + 1, device=device)
    n_found = getattr(n_neighbors, "n_neighbors", None)
    if not isinstance(n_found, Integral) or n_found < 2:
        raise ValueError(
            f"The 'n_neighbors' parameter is {n_neighbors!r}. An object must be set to "
            "K + 1 neighbors, at least 2, because each row finds itself."
        )
    return clone(n_neighbors)


class EnemySearch:
    """The two ways to find enemies, as methods named like ``enemy_search``.

    Both take encoded classes and yield the enemies of each.

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
        self.finder = make_finder(n_neighbors, device)
        if not isinstance(self.finder, TorchNearestNeighbors):
            # Other libraries' objects take arrays.
            X = to_array(X)
        # By imbalanced-learn's convention an object is set to K + 1, for the row itself.
        self.n_neighbors = self.finder.n_neighbors - 1
        self.X = X
        self.codes = codes
        # There are many neighbors and few draws, so neighbors stay where the rows are.
        self.is_away = isinstance(X, torch.Tensor) and X.device.type != "cpu"
        if self.is_away:
            self.codes_there = torch.from_numpy(codes).to(X.device)
        else:
            # Those of many neighbors are compared, and few bytes take less time.
            self.codes_there = codes.astype(np.min_scalar_type(codes.max()))
        self.n_at_once = NEIGHBORS_ON_DEVICE if self.is_away else NEIGHBORS_AT_ONCE

    def neighborhood(self, classes):
        """Find the rows of other classes among the K nearest rows of each row of the classes."""
        n_neighbors = min(self.n_neighbors, len(self.codes) - 1)
        # Classes of few rows are searched together, because a search has a cost of its own.
        n_found = np.bincount(self.codes)[classes].cumsum() * n_neighbors
        searches = dict(zip(classes, n_found // self.n_at_once, strict=True))
        for _, together in groupby(classes, searches.get):
            members = [self._members(code) for code in together]
            _, counts, rows = self._search(np.concatenate(members), n_neighbors, self._nearest)
            for own in members:
                mine, counts = np.split(counts, [len(own)])
                n_enemies = mine.sum()
                enemies, rows = rows[:n_enemies], rows[n_enemies:]
                yield Enemies(own[mine > 0], mine[mine > 0], enemies)

    def nearest(self, classes):
        """Return the K nearest rows of other classes of each row of the classes."""
        for code in classes:
            is_other = self.codes != code
            n_neighbors = min(self.n_neighbors, int(is_other.sum()))
            if isinstance(self.finder, TorchNearestNeighbors):
                # What was computed from all rows serves every class.
                nearest = partial(self._nearest, allowed=torch.from_numpy(is_other))
            else:
                others = np.flatnonzero(is_other)
                finder = clone(self.finder).fit(self.X[others])
                nearest = partial(self._nearest_others, finder, others)
            search = partial(self._search, n_neighbors=n_neighbors, nearest=nearest)
            members = self._members(code)
            yield NearestEnemies(members, np.full(len(members), n_neighbors), search)

    def _members(self, code):
        return np.flatnonzero(self.codes == code)

    def _search(self, members, n_neighbors, nearest):
        """Find the enemies of some rows among their nearest rows, block by block.

        Returns
        -------
        Enemies
            Of all of them, also where there are none.
        """
        kind = torch if self.is_away else np
        dtype = kind.int32 if len(self.codes) <= np.iinfo(np.int32).max else kind.int64
        counts, rows = [], []
        n_members = max(1, self.n_at_once // n_neighbors)
        for start in range(0, len(members), n_members):
            block = members[start : start + n_members]
            found = nearest(block, n_neighbors)
            is_enemy = self.codes_there[found] != self.codes_there[block][:, None]
            counts.append(is_enemy.sum(1))
            rows.append(kind.asarray(found[is_enemy], dtype=dtype))
        return Enemies(members, _to_array(kind.concatenate(counts)), kind.concatenate(rows))

    def _nearest(self, members, n_neighbors, allowed=None):
        """Find the nearest rows of some rows, themselves excluded: row numbers, ascending."""
        if isinstance(self.finder, TorchNearestNeighbors):
            found = nearest_sets(self._fitted_finder, members, n_neighbors, allowed=allowed)
            return found if self.is_away else _to_array(found)
        found = self._kneighbors(self._fitted_finder, members, n_neighbors + 1)
        # With duplicates a row need not find itself; then the last of the K + 1 is one too many.
        surplus = found == members[:, None]
        surplus[~surplus.any(axis=1), -1] = True
        return np.sort(found[~surplus].reshape(len(members), -1), axis=1)

    def _nearest_others(self, finder, others, members, n_neighbors):
        """Find the nearest of some other rows."""
        return np.sort(others[self._kneighbors(finder, members, n_neighbors)], axis=1)

    @cached_property
    def _fitted_finder(self):
        return self.finder.fit(self.X)

    def _kneighbors(self, finder, members, n_neighbors):
        return _to_array(
            finder.kneighbors(self.X[members], n_neighbors=n_neighbors, return_distance=False)
        )


def _to_array(indices):
    return indices.cpu().numpy() if isinstance(indices, torch.Tensor) else np.asarray(indices)
