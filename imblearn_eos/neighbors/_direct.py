"""The engines for few rows: products with all of them at once."""

import torch

from imblearn_eos.neighbors import _certificate
from imblearn_eos.neighbors._base import Engine, in_full
from imblearn_eos.neighbors._selection import SmallestScores


class Direct(Engine):
    """Multiply a block of queries with all rows, in float32.

    Parameters
    ----------
    coarse : CoarseRows
    """

    dtype = torch.float32

    def __init__(self, coarse):
        super().__init__(coarse)
        self.values = coarse.centred(coarse.rows[:]).to(self.dtype)
        self.norms = self.values.square().sum(1)
        self.numbers = torch.arange(len(self.norms), device=self.norms.device)

    def shape(self, n_kept):
        """Return how many queries and how many rows are multiplied at once."""
        coarse, n_rows = self.coarse, len(self.numbers)
        n_bytes = coarse.block_queries * coarse.tile_rows * coarse.dtype.itemsize
        n_affordable = n_bytes // (n_rows * self.dtype.itemsize)
        return max(1, min(coarse.block_queries, n_affordable)), n_rows

    def candidates(self, block, queries, n_kept, allowed):
        """Find rows of least estimate, as :meth:`Engine.candidates`."""
        queries, norms = queries.to(self.dtype), self.norms
        if allowed is not None:
            norms = norms.masked_fill(~allowed, torch.inf)
        best = SmallestScores(len(queries), n_kept, queries)
        best.offer(torch.addmm(norms, queries, self.values.T, alpha=-2), self.numbers)
        return in_full(best.rows, best.scores, best.limit, queries)

    def bound(self, queries):
        """Return the bound of the estimates of some queries, a ``Bound``."""
        return _certificate.bound_of_products(queries, self.dtype, self.coarse.unit)


class DoubleDirect(Direct):
    """Multiply in float64, which leaves next to no neighbors in doubt."""

    dtype = torch.float64

    def centred(self, queries, numbers):
        """Read some queries, centre and scale them."""
        if queries is self.coarse.rows:
            return self.values[numbers]
        return super().centred(queries, numbers)
