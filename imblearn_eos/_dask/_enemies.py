"""The two ways to find the enemies of a class, among blocks of rows."""

from functools import partial

import numpy as np

from imblearn_eos._dask._blocks import check_block, check_lengths, to_array
from imblearn_eos._dask._graph import Stage, starts_of
from imblearn_eos._dask._search import (
    Queries,
    Search,
    add_search,
    for_workers,
    queries_at_once,
    without_own,
)
from imblearn_eos._enemies import Enemies


class LaterEnemies:
    """The rows of one class, each a base, whose enemies are searched when bases are drawn.

    Parameters
    ----------
    counts : ndarray of shape (n_bases,), dtype=int64
        The number of enemies of each.
    """

    def __init__(self, counts):
        self.counts = counts


class BlockEnemySearch:
    """What :class:`imblearn_eos._enemies.EnemySearch` is for rows in memory.

    Parameters
    ----------
    rows : Rows
        All rows, counted.
    labels : list of dask.delayed.Delayed
        Their labels, block by block.
    counts : ndarray of shape (n_blocks, n_classes), dtype=int64
        How many rows of each class a block has.
    classes : ndarray of shape (n_classes,)
        In sorted order.
    finder : TorchNearestNeighbors
        Set to K + 1.
    estimator : estimator object
        Named in errors.
    """

    def __init__(self, rows, labels, counts, classes, finder, estimator):
        self.rows = rows
        self.labels = labels
        self.counts = counts
        self.classes = classes
        self.finder = for_workers(finder)
        self.n_neighbors = finder.n_neighbors - 1
        self.estimator = type(estimator).__name__
        self.is_checked = False

    def neighborhood(self, classes):
        """Find the rows of other classes among the K nearest rows of each row of the classes."""
        n_found = min(self.n_neighbors + 1, int(self.rows.sizes.sum()))
        counts = self.counts.sum(axis=0)
        found = self._search({code: np.arange(counts[code]) for code in classes}, n_found, False)
        return [found[code] for code in classes]

    def nearest(self, classes):
        """Return the rows of the classes as bases; :meth:`search_nearest` searches.

        Whatever their enemies are, they are as many for each.
        """
        counts = self.counts.sum(axis=0)
        n_enemies = np.minimum(self.n_neighbors, counts.sum() - counts)
        return [LaterEnemies(np.full(counts[code], n_enemies[code])) for code in classes]

    def search_nearest(self, bases):
        """Find the K nearest rows of other classes: enemies of each class.

        Parameters
        ----------
        bases : dict of int to ndarray of int64
            The bases of each class, as ascending positions among its rows.
        """
        return self._search(bases, min(self.n_neighbors, int(self.rows.sizes.sum())), True)

    def check(self):
        """Check all rows, unless they were when queries were taken."""
        if not self.is_checked:
            self._take({})

    def _search(self, wanted, n_neighbors, of_others):
        if not wanted:
            return {}
        search = Search(n_neighbors, self.finder, self.estimator, self.classes, of_others)
        n_queries = sum(map(len, wanted.values()))
        n_rows = int(self.rows.sizes.sum())
        dtype = np.int32 if n_rows <= np.iinfo(np.int32).max else np.int64
        row_bytes = self.rows.n_features * 8
        # The table of enemies, and the part of it that is read while it is put together.
        kept_bytes = 2 * np.dtype(dtype).itemsize
        at_once = queries_at_once(n_queries, row_bytes, n_neighbors, kept_bytes=kept_bytes)
        taken, sizes = self._take(wanted)
        found = []
        # One after the other, so that only one has partial results.
        for start in range(0, n_queries, at_once):
            stage = Stage(*self.rows.blocks[:1], *self.labels[:1], *taken)
            parts, spans = _parts(sizes, start, min(start + at_once, n_queries))
            queries = stage.add(
                "eos-queries", partial(join_queries, spans=spans), [taken[i].key for i in parts]
            )
            merged = add_search(stage, self.rows, self.labels, queries, search, lazy=False)
            pick = partial(pick_enemies, has_own=not of_others, dtype=dtype)
            found += stage.compute([stage.add("eos-enemies", pick, merged, queries)])
        codes, rows, counts, enemies = map(np.concatenate, zip(*found, strict=True))
        tables = {}
        for code in wanted:
            is_base = (codes == code) & (counts > 0)
            table = Enemies(rows[is_base], counts[is_base], enemies[np.repeat(is_base, counts)])
            tables[code] = table
        return tables

    def _take(self, wanted):
        """Read queries, apart from the search: together, all blocks would be kept in memory.

        Returns
        -------
        taken : list of dask.delayed.Delayed
            The queries of each block, or of each that has any once all rows were checked.
        sizes : list of int
            Their numbers.
        """
        starts = starts_of(self.rows.sizes)
        counts = self.counts
        # Before each block and behind the last.
        before = np.vstack([np.zeros_like(counts[:1]), counts.cumsum(axis=0)])
        stage = Stage(*self.rows.blocks[:1], *self.labels[:1])
        keys, sizes = [], []
        for i, (x, y) in enumerate(zip(self.rows.blocks, self.labels, strict=True)):
            mine = {}
            for code, positions in wanted.items():
                a, b = np.searchsorted(positions, before[i : i + 2, code])
                if a < b:
                    mine[code] = positions[a:b] - before[i, code]
            if not mine and self.is_checked:
                continue
            take = partial(
                take_queries,
                classes=self.classes,
                wanted=mine,
                first=int(starts[i]),
                estimator=self.estimator,
            )
            keys.append(stage.add("eos-take", take, x.key, y.key))
            sizes.append(sum(map(len, mine.values())))
        if not wanted:
            # For its errors.
            stage.persist([stage.add("eos-check", len, key) for key in keys])
            return [], []
        self.is_checked = True
        return stage.persist(keys), sizes


def _parts(sizes, start, stop):
    """Return which parts have queries of a range, and of each part from where to where."""
    starts = starts_of(sizes)[:-1]
    cuts = np.clip([start - starts, stop - starts], 0, sizes)
    parts = np.flatnonzero(cuts[0] < cuts[1]).tolist()
    return parts, cuts[:, parts].T.tolist()


# --- in tasks -------------------------------------------------------------------------------------


def take_queries(x, y, *, classes, wanted, first, estimator):
    """Take rows of a block by class and position in the class; check all rows on the way."""
    check_lengths(x, y)
    check_block(x, first, estimator)
    codes = np.searchsorted(classes, np.asarray(y))
    is_wanted = np.zeros(len(codes), dtype=bool)
    for code, positions in wanted.items():
        is_wanted[np.flatnonzero(codes == code)[positions]] = True
    rows = np.flatnonzero(is_wanted)
    return Queries(np.ascontiguousarray(to_array(x)[rows]), codes[rows], rows + first)


def join_queries(parts, *, spans):
    """Join parts of the queries of several blocks."""
    parts = [[x[a:b] for x in part] for part, (a, b) in zip(parts, spans, strict=True)]
    return Queries(*map(np.concatenate, zip(*parts, strict=True)))


def pick_enemies(neighbors, queries, *, has_own, dtype):
    """Return the class and the row of each query, the number of its enemies, and all enemies."""
    if has_own:
        neighbors = without_own(neighbors, queries.rows)
    is_enemy = neighbors.key % 2 == 1
    query, rows = neighbors.query[is_enemy], neighbors.key[is_enemy] >> 1
    counts = np.bincount(query, minlength=len(queries.rows))
    return queries.codes, queries.rows, counts, rows[np.lexsort((rows, query))].astype(dtype)
