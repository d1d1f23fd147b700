"""The coarse pass in bfloat16: products at twice the speed, for processors that have them.

How wrong they are
------------------
Let u be the unit roundoff of bfloat16, q and x a query and a row of coarse coordinates, q' and x'
the same rounded to bfloat16, r the largest |x - x'| and X the largest |x| of all rows. The product
is that of q' and x', accumulated in float32, in which the two squared norms stand as two bfloat16
numbers each, which leaves out at most u^2 of them. So before the result is rounded to bfloat16 it
differs from D = |q - x|^2 by at most

    e(q) = 2 (|q - q'| X + |q'| r) + (u^2 + g) (|q|^2 + X^2),

g being the bound of the float32 steps in ``_search.py``. A row with a distance of at most D_k thus
has an estimate of at most (1 + u) (D_k + e(q)); any row whose estimate is larger is farther.

Estimates are compared by their bits, as integers. These have the order of the numbers they stand
for, except that all negative ones, which rounding may give to near duplicates, come first in any
order. So a query is in doubt if the largest estimate kept is negative.
"""

import math

import torch

from imblearn_eos._device import has_bfloat16
from imblearn_eos.neighbors._selection import KERNEL_GROUP_ROWS, SmallestScores, group_minima

UNIT_ROUNDOFF = torch.finfo(torch.bfloat16).eps / 2
INFINITY_BITS = 0x7F80
# On a few queries, candidates are counted among so many rows.
N_SAMPLE = 64
MAX_CANDIDATES = 128
N_NEAREST = 17


class HalfRows:
    """Rows in bfloat16, with what bounds the error of estimates from them.

    Parameters
    ----------
    coarse : torch.Tensor of shape (n_rows, n_features), dtype=float32
    norms : torch.Tensor of shape (n_rows,), dtype=float32
        Squared lengths of the rows.
    tolerance : float
        g of the bound.
    tile_rows : int
        Rows of one product.
    kernels : module
        ``_kernels``.
    """

    def __init__(self, coarse, norms, tolerance, tile_rows, kernels):
        self.tolerance = tolerance
        self.tile_rows = tile_rows
        self.kernels = kernels
        self.longest = float(norms.max()) ** 0.5 * (1 + tolerance)
        self.residual = 0.0
        n_rows, n_features = coarse.shape
        self.rows = torch.ones(n_rows, n_features + 4, dtype=torch.bfloat16)
        for start in range(0, n_rows, tile_rows):
            tile = slice(start, start + tile_rows)
            rounded = self.rows[tile, :n_features].copy_(coarse[tile])
            self.residual = max(self.residual, float(_lengths(coarse[tile] - rounded).max()))
            self.rows[tile, n_features : n_features + 2] = _two_parts(norms[tile])

    def error(self, queries):
        """e(q) of the bound, for queries of coarse coordinates: float64 of shape (n_queries,)."""
        rounded = queries.bfloat16().double()
        lengths = _lengths(queries)
        return 2 * (
            _lengths(queries - rounded) * self.longest + _lengths(rounded) * self.residual
        ) + (UNIT_ROUNDOFF**2 + self.tolerance) * (lengths.square() + self.longest**2)

    def largest_estimate(self, squared, queries):
        """Bound the estimates of all rows that are as near as ``squared``, of (n_queries,)."""
        return (1 + UNIT_ROUNDOFF) * (squared + self.error(queries))

    def search(self, queries, n_kept, allowed):
        """Find rows of least estimate.

        Parameters
        ----------
        queries : torch.Tensor of shape (n_queries, n_features), dtype=float32
        n_kept : int
        allowed : torch.Tensor of shape (n_rows,), dtype=bool, or None

        Returns
        -------
        places : torch.Tensor of shape (n_queries, n_kept), dtype=int64
        limit : torch.Tensor of shape (n_queries,), dtype=float64
            Every other row's estimate is at least this; NaN for queries in doubt.
        """
        ones = torch.ones(len(queries), 2, dtype=torch.bfloat16)
        norms = _two_parts(queries.square().sum(1))
        factors = torch.cat([-2 * queries.bfloat16(), ones, norms], dim=1)
        bits = torch.full((len(queries), n_kept), INFINITY_BITS, dtype=torch.int16)
        places = torch.zeros(len(queries), n_kept, dtype=torch.int64)
        buffer = torch.empty(len(queries) * self.tile_rows, dtype=torch.bfloat16)
        with self.kernels.torch_threads():
            for start in range(0, len(self.rows), self.tile_rows):
                tile = self.rows[start : start + self.tile_rows]
                if allowed is not None:
                    tile = tile.clone()
                    tile[~allowed[start : start + len(tile)], -4] = math.inf
                scores = buffer[: len(queries) * len(tile)].view(len(queries), len(tile))
                scores = torch.mm(factors, tile.T, out=scores).view(torch.int16)
                self.kernels.keep_smallest(
                    scores.numpy(),
                    group_minima(scores, -(-len(tile) // KERNEL_GROUP_ROWS)).numpy(),
                    torch.arange(start, start + len(tile)).numpy(),
                    bits.numpy(),
                    places.numpy(),
                )
        limit = bits[:, 0].clone().view(torch.bfloat16).double()
        return places, limit.masked_fill_(bits[:, 0] < 0, math.nan)


def make_half_rows(coarse, norms, tolerance, tile_rows, kernels):
    """Give rows in bfloat16, and how many candidates they take for each neighbour.

    None if the processor has no bfloat16, or if these estimates cannot tell near rows from others.
    """
    n_rows = len(coarse)
    if not has_bfloat16(coarse.device.type) or n_rows < MAX_CANDIDATES:
        return None, 1
    half = HalfRows(coarse, norms, tolerance, tile_rows, kernels)
    queries = coarse[:: -(-n_rows // N_SAMPLE)]
    best = SmallestScores(len(queries), MAX_CANDIDATES, coarse, kernels)
    for start in range(0, n_rows, tile_rows):
        tile = slice(start, start + tile_rows)
        scores = torch.addmm(norms[tile], queries, coarse[tile].T, alpha=-2)
        best.offer(scores, torch.arange(start, start + len(scores.T)))
    squared = best.scores.double() + queries.double().square().sum(1, keepdim=True)
    squared = squared.clamp_(min=0).sort(dim=1).values
    # Twice, because estimates of rows beyond may be too small by as much.
    reach = squared[:, N_NEAREST - 1] + half.error(queries) * 1.5
    n_candidates = (squared <= reach[:, None]).sum(1).double().quantile(0.9).item()
    if n_candidates >= MAX_CANDIDATES / 2:
        return None, 1
    return half, n_candidates / N_NEAREST


def _lengths(rows):
    return torch.linalg.vector_norm(rows.double(), dim=1)


def _two_parts(norms):
    """Write float32 numbers as sums of two bfloat16 numbers."""
    first = norms.bfloat16()
    return torch.stack([first, (norms - first).bfloat16()], dim=1)
