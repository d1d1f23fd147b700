"""The engine for rows of few features: SciPy's k-d tree.

It takes float64 coordinates and sums squares of their differences, so the bound of float64 products
(``_certificate.py``) holds, and only ties are in doubt. The tree updates the gap between a query
and a box from level to level, with two roundings each; the limit is lowered by a factor that allows
for thousands of levels.

Rows and queries are in the order of a tree's leaves: what is looked at together then is in the
processor's cache, which makes large searches three times as fast.
"""

import time

import numpy as np
import torch
from scipy.spatial import KDTree

from imblearn_eos._threads import one_thread
from imblearn_eos.neighbors._base import SPARE_CANDIDATES, Block, Candidates, Engine, finite_or_nan
from imblearn_eos.neighbors._certificate import bound_of_products
from imblearn_eos.neighbors._tiles import Tiles

LEAF_ROWS = 64
BLOCK_QUERIES = 4096
ROUNDED_GAPS = 1 - 2.0**-40
# Queries of the trial.
N_TRIED = 64


def bytes_kept(n_rows, n_features):
    """Return the memory for two trees, over all rows and over those allowed, while one is made."""
    return n_rows * (32 * n_features + 100)


class KDTrees(Engine):
    """Descend a k-d tree over the rows that may be found.

    Parameters
    ----------
    coarse : CoarseRows
    """

    def __init__(self, coarse):
        super().__init__(coarse)
        values = self._centred(coarse.rows, torch.arange(len(coarse.rows)))
        self.order = _leaf_order(values)
        self.values = values[self.order]
        self.tree = KDTree(self.values, LEAF_ROWS)
        # The last rows allowed, their numbers, and the tree over them.
        self._subset = None, None, None
        self.n_spare = 1

    def _centred(self, rows, numbers):
        """Return some rows, centred and scaled, as an array."""
        values = torch.empty(len(numbers), rows.shape[1], dtype=torch.float64)
        parts = (x.split(self.coarse.tile_rows) for x in (values, numbers))
        for part, part_numbers in zip(*parts, strict=True):
            part.copy_(self.coarse.centred(rows[part_numbers]))
        return values.numpy()

    def pays(self, n_wanted):
        """Return whether the tree takes less time than products, for a few of the rows."""
        n_rows = len(self.values)
        sample = torch.arange(0, n_rows, -(-n_rows // N_TRIED))
        queries = torch.from_numpy(self.values)[sample]
        seconds = []
        with one_thread():
            for engine in Tiles(self.coarse), self:
                # The time of this thread, however busy the processor is.
                start = time.thread_time()
                found = engine.candidates(Block(sample), queries, n_wanted, None)
                seconds.append(time.thread_time() - start)
        if (found.estimates[:, 1:] == found.estimates[:, :-1]).any():
            self.n_spare = SPARE_CANDIDATES
        return seconds[1] < seconds[0]

    def n_candidates(self, n_wanted):
        """Return one candidate more than neighbors, or some more where there are ties."""
        return n_wanted - SPARE_CANDIDATES + self.n_spare

    def blocks(self, queries, numbers, n_kept):
        """Split queries into blocks of neighbors, as :meth:`Engine.blocks`."""
        n_sorted = max(1, int(self.coarse.n_bytes / 8 / (24 * queries.shape[1] + 50)))
        n_queries = min(BLOCK_QUERIES, self.n_affordable(n_kept))
        for part in numbers.split(n_sorted):
            order = torch.from_numpy(_leaf_order(self._centred(queries, part)))
            yield from (Block(numbers) for numbers in part[order].split(n_queries))

    def candidates(self, block, queries, n_kept, allowed):
        """Find rows of least estimate, as :meth:`Engine.candidates`."""
        order, tree = self.order, self.tree
        if allowed is not None:
            if self._subset[0] is not allowed:
                is_allowed = allowed.numpy()[order]
                tree = KDTree(self.values[is_allowed], LEAF_ROWS)
                self._subset = allowed, order[is_allowed], tree
            _, order, tree = self._subset
        ranks = np.arange(1, n_kept + 1)
        distances, places = tree.query(queries.numpy(), ranks, workers=torch.get_num_threads())
        estimates = torch.from_numpy(distances).square_()
        # Distances that overflow are infinite, and their places are behind the last.
        rows = torch.from_numpy(order[np.minimum(places, len(order) - 1)])
        return Candidates(rows, estimates, finite_or_nan(estimates[:, -1] * ROUNDED_GAPS))

    def bound(self, queries):
        """Return the bound of the estimates, as :meth:`Engine.bound`."""
        return bound_of_products(queries, torch.float64, self.coarse.unit)


def _leaf_order(values):
    """Return rows leaf by leaf."""
    return KDTree(values, LEAF_ROWS).indices
