"""The engine in bfloat16, for processors whose products in it are faster, such as twice as fast.

The largest estimate
--------------------
Let u be the unit roundoff of bfloat16, q and x a query and a row of coarse coordinates, q' and x'
the same rounded to bfloat16, r the largest |x - x'| and X the largest |x| of all rows. The product
of q' and x' is accumulated in float32. The two squared norms take part in it as two bfloat16
numbers each, which leaves out at most u^2 of them. So before the result is rounded to bfloat16 it
differs from D = |q - x|^2 by at most

    e(q) = 2 (|q - q'| X + |q'| r) + (u^2 + g) (|q|^2 + X^2),

with g, the bound of the float32 steps, of ``_certificate.py``. A row at a distance of at most D
thus has an estimate of at most m(D) = (1 + u) (D + e(q)), and one with an estimate E >= 0 has a
distance of at most E / (1 - u) + e(q).

Estimates are compared by their bits, as integers. These have the order of the numbers that they
stand for, except that all negative ones, which rounding may produce for near duplicates, come first
in any order. So a query is in doubt if the largest estimate kept is negative.
"""

import math

import torch

from imblearn_eos.neighbors._base import Block, Candidates, Engine, finite_or_nan
from imblearn_eos.neighbors._certificate import Bound, tolerance, vanished
from imblearn_eos.neighbors._selection import SmallestScores
from imblearn_eos.neighbors._tiles import Tiles

UNIT_ROUNDOFF = torch.finfo(torch.bfloat16).eps / 2
INFINITY_BITS = 0x7F80
# The trial counts candidates of a few queries among so many rows.
N_SAMPLE = 64
MAX_CANDIDATES = 128
N_NEAREST = 17


def bytes_kept(n_rows, n_features):
    """Return the memory that rows in bfloat16 take."""
    return 2 * n_rows * (n_features + 4)


class SmallestBits(SmallestScores):
    """The smallest scores offered so far, as the integers that have the bits of bfloat16."""

    infinity = INFINITY_BITS

    @staticmethod
    def below(limit):
        """Return the next smaller number."""
        return limit - (limit > torch.iinfo(torch.int16).min).short()


class Bfloat16(Engine):
    """Multiply a block of queries with tiles of rows in bfloat16.

    Parameters
    ----------
    coarse : CoarseRows
    """

    selection: type = SmallestBits
    # Candidates for the nearest N_NEAREST rows, up to which these products pay.
    most_candidates = 2 * N_NEAREST
    # Scores take half the memory of those in float32, and fewer offers less of Python's time.
    tiles_at_once = 4

    def __init__(self, coarse):
        super().__init__(coarse)
        n_rows, n_features = coarse.rows.shape
        self.tolerance = tolerance(n_features, torch.float32)
        self.residual = longest = 0.0
        self.rows = torch.ones(n_rows, n_features + 4, dtype=torch.bfloat16)
        parts = self.rows.split(coarse.tile_rows)
        for part, (rows, norms, _) in zip(parts, coarse.kept.tiles(), strict=True):
            rounded = part[:, :n_features].copy_(rows)
            part[:, n_features : n_features + 2] = _two_parts(norms)
            self.residual = max(self.residual, float(_lengths(rows - rounded).max()))
            longest = max(longest, float(norms.max()))
        self.longest = longest**0.5 * (1 + self.tolerance)
        self.candidates_per_neighbor = max(1, self._count_candidates() / N_NEAREST)

    def _count_candidates(self):
        """Count the rows that estimates cannot tell from the nearest, for most of a few queries."""
        rows = self.coarse.kept.values
        queries = rows[:: -(-len(rows) // N_SAMPLE)]
        n_kept = min(MAX_CANDIDATES, len(rows))
        block = Block(torch.arange(len(queries)))
        found = Tiles(self.coarse).candidates(block, queries.double(), n_kept, None)
        squared = found.estimates.clamp(min=0).sort(dim=1).values[:, :n_kept]
        nearest = squared[:, min(N_NEAREST, n_kept) - 1]
        # Half as much again, because estimates of rows beyond may be too small.
        reach = nearest + self.error(queries) * 1.5
        return (squared <= reach[:, None]).sum(1).double().quantile(0.9).item()

    def pays(self, n_wanted):
        """Return whether estimates tell near rows from others."""
        is_sharp = self.candidates_per_neighbor * N_NEAREST < self.most_candidates
        return is_sharp and len(self.rows) >= MAX_CANDIDATES

    def n_candidates(self, n_wanted):
        """Return more candidates than wanted, because the estimates are rough."""
        return math.ceil(n_wanted * self.candidates_per_neighbor)

    def error(self, queries):
        """Compute e(q) of the bound: float64 of shape (n_queries,)."""
        rounded = queries.bfloat16().double()
        lengths = _lengths(queries)
        return 2 * (
            _lengths(queries - rounded) * self.longest + _lengths(rounded) * self.residual
        ) + (UNIT_ROUNDOFF**2 + self.tolerance) * (lengths.square() + self.longest**2)

    def bound(self, queries):
        """Return the bound of the estimates, as :meth:`Engine.bound`."""
        error = self.error(queries) + vanished(queries.shape[1], torch.float32, self.coarse.unit)
        return Bound(UNIT_ROUNDOFF, (1 + UNIT_ROUNDOFF) * error)

    def candidates(self, block, queries, n_kept, allowed):
        """Find rows of least estimate, as :meth:`Engine.candidates`."""
        queries = queries.float()
        ones = torch.ones(len(queries), 2, dtype=torch.bfloat16)
        norms = _two_parts(queries.square().sum(1))
        factors = torch.cat([-2 * queries.bfloat16(), ones, norms], dim=1)
        best = self.selection(len(queries), n_kept, torch.empty(0, dtype=torch.int16))
        tile_rows = min(self.tiles_at_once * self.coarse.tile_rows, len(self.rows))
        buffer = torch.empty(len(queries) * tile_rows, dtype=torch.bfloat16)
        tiles = (x.split(tile_rows) for x in (self.rows, torch.arange(len(self.rows))))
        for rows, numbers in zip(*tiles, strict=True):
            if allowed is not None:
                rows = rows.clone()
                rows[~allowed[numbers], -4] = math.inf
            scores = buffer[: len(queries) * len(rows)].view(len(queries), len(rows))
            torch.mm(factors, rows.T, out=scores)
            best.offer(scores.view(torch.int16), numbers)
        bits, kept = best.merge()
        estimates = bits.view(torch.bfloat16).double().clamp_(min=0)
        limit = best.limit.view(torch.bfloat16).double().masked_fill_(best.limit < 0, math.nan)
        return Candidates(kept, estimates, finite_or_nan(limit))


def _lengths(rows):
    return torch.linalg.vector_norm(rows.double(), dim=1)


def _two_parts(norms):
    """Write float32 numbers as sums of two bfloat16 numbers."""
    first = norms.bfloat16()
    return torch.stack([first, (norms - first).bfloat16()], dim=1)
