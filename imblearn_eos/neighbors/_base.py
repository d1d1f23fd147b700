"""What all engines share: rows of low precision, and the methods that the exact search calls.

An engine is a way to find candidates: rows that may be among the nearest. To add one, write a file
with a subclass of :class:`Engine` and name it in ``_choose.py``.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple
from weakref import ref

import torch

from imblearn_eos.neighbors import _certificate, _exact, _order

# Columns of scores that stay in the processor's cache while the selection reads them again. A GPU
# waits once or twice for each block, and selects few of the scores of a long line.
TILE_ROWS = {"cpu": 2048, "cuda": 2**17}
BLOCK_QUERIES = {"cpu": 512, "cuda": 8192}
# Numbers in float64 that stay in the cache while they are read several times.
NUMBERS_IN_CACHE = {"cpu": 2**17, "cuda": 2**30}
# Numbers of pairs that are measured at once.
NUMBERS_MEASURED = {"cpu": 2**18, "cuda": 2**26}
# To select among products takes as long as so many more of their features.
SELECTION = 32
# Products of so many features are rounded less than longer ones, and on the CPU as fast.
TERMS = 64
# Candidates kept beyond k, for rows that float32 cannot tell from the k-th, and for ties.
SPARE_CANDIDATES = 8
# Of the largest coordinate, in powers of two. The square of its inverse must stay in range.
LEAST_EXPONENT = -500
# A tile has so many rows for each that is kept; fewer would be kept in vain, tile after tile.
ROWS_PER_KEPT = 16


# Bytes that a row takes beyond its coordinates: on the CPU, sketches several times over.
BYTES_BESIDE_ROW = {"cpu": 250, "cuda": 16}


def bytes_kept(n_rows, n_features, dtype, device):
    """Return the memory that coarse rows take on a device, with what engines compute from them."""
    return n_rows * (n_features * dtype.itemsize + BYTES_BESIDE_ROW[device.type])


class CoarseRows:
    """The rows to search among, centred, scaled and rounded.

    Coordinates are divided by a power of two so that none exceeds 1, and rounded to ``dtype``.

    Parameters
    ----------
    rows : Rows
        The rows to search among.
    dtype : torch.dtype
        float32, or float64 where float32 products are imprecise.
    n_bytes : float
        Memory for temporary arrays.
    """

    def __init__(self, rows, dtype, n_bytes):
        self.rows = rows
        self.dtype = dtype
        self.n_bytes = n_bytes
        n_rows, n_features = rows.shape
        self.tile_rows = TILE_ROWS[rows.device.type]
        self.block_queries = BLOCK_QUERIES[rows.device.type]
        # A tile's scores and what the selection takes; its rows, read in float64.
        while self.tile_rows > 32 and (
            self.block_queries * self.tile_rows * 3 * dtype.itemsize
            + (self.tile_rows + self.block_queries) * n_features * 24
            > n_bytes / 4
        ):
            self.tile_rows //= 2
            self.block_queries = max(8, self.block_queries // 2)
        self.tile_rows = min(self.tile_rows, n_rows)
        # What stays in the processor's cache is measured several times faster.
        numbers = min(n_bytes / 4 / 32, NUMBERS_MEASURED[rows.device.type])
        self.pairs_at_once = int(max(1, numbers / n_features))
        self.rows_in_cache = max(
            1, min(self.tile_rows, NUMBERS_IN_CACHE[rows.device.type] // n_features)
        )

    @cached_property
    def centre_and_scale(self):
        """The centre, and what coordinates are multiplied with."""
        centre = torch.zeros(self.rows.shape[1], dtype=torch.float64, device=self.rows.device)
        low, high = centre + math.inf, centre - math.inf
        for tile in self.slices(self.rows_in_cache):
            part = self.rows[tile]
            centre += part.sum(0) / len(self.rows)
            part_low, part_high = part.aminmax(dim=0)
            low, high = torch.minimum(low, part_low), torch.maximum(high, part_high)
        largest = float(torch.maximum(high - centre, centre - low).max())
        return centre, 0.5 ** max(math.frexp(largest)[1], LEAST_EXPONENT)

    @property
    def unit(self):
        """Squared distances times this are in the unit of coarse coordinates."""
        return self.centre_and_scale[1] ** 2

    def centred(self, rows):
        """Centre and scale float64 rows."""
        centre, inverse_scale = self.centre_and_scale
        return (rows - centre).mul_(inverse_scale)

    def write(self, rows, numbers, values, norms):
        """Write some of any rows as coarse rows, and their squared lengths.

        Parameters
        ----------
        rows : Rows
        numbers : torch.Tensor of shape (n_rows,), dtype=int64
        values : torch.Tensor of shape (n_rows, n_features), dtype=self.dtype
        norms : torch.Tensor of shape (n_rows,), dtype=self.dtype
        """
        values.copy_(self.centred(rows[_exact.as_slice(numbers)]))
        norms.copy_(squared_lengths(values))

    def tiles(self, tile_rows=None):
        """Yield coarse rows, their squared lengths and their row numbers, tile by tile."""
        # Of a fixed size, because they are made from rows of float64.
        for tile in self.slices(self.tile_rows):
            part = self.centred(self.rows[tile]).to(self.dtype)
            stop = tile.start + len(part)
            numbers = torch.arange(tile.start, stop, device=self.rows.device)
            yield part, squared_lengths(part).to(self.dtype), numbers

    @cached_property
    def kept(self):
        """The same tiles, kept in memory if they fit."""
        n_rows, n_features = self.rows.shape
        if bytes_kept(n_rows, n_features, self.dtype, self.rows.device) >= self.n_bytes / 2:
            return self
        return KeptRows(self, torch.arange(n_rows, device=self.rows.device))

    def slices(self, n_rows):
        """Yield slices of this many rows."""
        for start in range(0, len(self.rows), n_rows):
            yield slice(start, min(start + n_rows, len(self.rows)))


class KeptRows:
    """Coarse rows in memory.

    Parameters
    ----------
    coarse : CoarseRows
    order : torch.Tensor of shape (n_rows,), dtype=int64
        Row numbers: the order in which the rows are kept.

    Attributes
    ----------
    values : torch.Tensor of shape (n_rows, n_features), dtype=coarse.dtype
    norms : torch.Tensor of shape (n_rows,)
        Squared lengths.
    """

    def __init__(self, coarse, order):
        self.order = order
        self.tile_rows = coarse.tile_rows
        rows = coarse.rows
        self.values = torch.empty(rows.shape, dtype=coarse.dtype, device=rows.device)
        self.norms = self.values.new_empty(len(rows))
        for part in coarse.slices(coarse.tile_rows):
            coarse.write(rows, order[part], self.values[part], self.norms[part])

    def tiles(self, tile_rows=None):
        """Yield coarse rows, their squared lengths and their row numbers, tile by tile."""
        arrays = self.values, self.norms, self.order
        yield from zip(*(x.split(tile_rows or self.tile_rows) for x in arrays), strict=True)


@dataclass
class Block:
    """Queries that are searched together. Engines that know more about them extend it."""

    numbers: torch.Tensor
    # The row that each query is, and that is not its neighbor. Engines need not leave it out.
    own: torch.Tensor | None = field(default=None, kw_only=True)
    # Whether neighbors are wanted as sets, not in order.
    is_set: bool = field(default=False, kw_only=True)


class Candidates(NamedTuple):
    """Rows that may be among the nearest.

    Attributes
    ----------
    rows : torch.Tensor of shape (n_queries, n_kept), dtype=int64
        Row numbers.
    estimates : torch.Tensor of shape (n_queries, n_kept), dtype=float64
        Their estimated squared distances, in the unit of the coarse coordinates.
    limit : torch.Tensor of shape (n_queries,), dtype=float64
        Every other row's estimate is at least this. NaN where estimates overflowed; the rows
        found are arbitrary then.
    is_sorted : bool, default=False
        Whether estimates are in ascending order.
    has_own : bool, default=True
        Whether the query itself may be found.
    """

    rows: torch.Tensor
    estimates: torch.Tensor
    limit: torch.Tensor
    is_sorted: bool = False
    has_own: bool = True


class Engine(ABC):
    """One way to find candidates.

    Parameters
    ----------
    coarse : CoarseRows
        The rows to search among.
    """

    # How pairs are measured: compiled or not, with the same bits.
    measure = staticmethod(_exact.measure)
    # Features that are multiplied at once. None means all.
    n_terms: int | None = None
    # What makes coarse rows of an array in memory.
    rows_type = CoarseRows

    def __init__(self, coarse):
        self.coarse = coarse
        # A reference to the last queries, and their squared lengths.
        self._last = None

    def pays(self, n_wanted):
        """Return whether the engine is worth its cost on these rows, by a trial on a few.

        Parameters
        ----------
        n_wanted : int
            Candidates for each query, where the trial depends on it; at most the number of rows.
        """
        return True

    def answer(self, task):
        """Return all that :meth:`ExactSearch.nearest` does, or None: most find candidates only."""
        return None

    def n_candidates(self, n_wanted):
        """Return how many candidates to keep so that most queries are certain at once."""
        return n_wanted

    def blocks(self, queries, numbers, n_kept):
        """Split queries into blocks.

        Parameters
        ----------
        queries : Rows
        numbers : torch.Tensor of shape (n_searched,), dtype=int64
            The queries to search for.
        n_kept : int
            How many candidates each will have.

        Yields
        ------
        Block
        """
        for part in numbers.split(min(self.shape(n_kept)[0], self.n_affordable(n_kept))):
            yield Block(part)

    def shape(self, n_kept):
        """Return how many queries and how many rows are multiplied at once."""
        n_queries, n_rows = self.coarse.block_queries, self.coarse.tile_rows
        tile_rows = min(max(n_rows, ROWS_PER_KEPT * n_kept), len(self.coarse.rows))
        return max(1, n_queries * n_rows // tile_rows), tile_rows

    def n_affordable(self, n_kept):
        """Return how many queries fit into memory with this many candidates."""
        return max(1, int(self.coarse.n_bytes / 4 / self.bytes_per_query(n_kept)))

    def bytes_per_query(self, n_kept):
        """Return the memory for a query: candidates and their rows, and what sorts them."""
        return 100 * n_kept

    def centred(self, queries, numbers):
        """Read some queries, centre and scale them."""
        return self.coarse.centred(queries[numbers])

    def lengths(self, queries):
        """Return the squared lengths of such queries in float64. They are asked for twice."""
        if self._last is None or self._last[0]() is not queries:
            self._last = ref(queries), squared_lengths(queries)
        return self._last[1]

    @abstractmethod
    def candidates(self, block, queries, n_kept, allowed):
        """Find rows of least estimated distance.

        Parameters
        ----------
        block : Block
            One of :meth:`blocks`.
        queries : torch.Tensor of shape (n_queries, n_features)
            The queries of the block, as :meth:`centred` returns them.
        n_kept : int
            At most the number of rows allowed.
        allowed : torch.Tensor of shape (n_rows,), dtype=bool, or None
            Rows that may be found.

        Returns
        -------
        Candidates
            Or what the engine's own :meth:`select` takes, with ``limit`` and ``has_own``.
        """

    def select(self, found, bound, n_neighbors, result, queries, numbers):
        """Select the nearest of candidates that :meth:`candidates` found, as ``_order.select``.

        Parameters
        ----------
        found : Candidates
        bound : Bound
            Of the candidates' estimates.
        n_neighbors : int
        result : {"distances", "order", "sets"}
        queries : Rows
        numbers : torch.Tensor of shape (n_searched,), dtype=int64
            The queries whose candidates these are.
        """
        coarse = self.coarse

        def measure(query, row):
            some = numbers
            if row.device.type == "cpu":
                # Few queries may be in doubt. A GPU would wait for their number.
                doubtful, query = query.unique_consecutive(return_inverse=True)
                some = numbers[doubtful]
            return self.measure(queries[some], coarse.rows, query, row, coarse.pairs_at_once)

        return _order.select(found, bound, coarse.unit, n_neighbors, result, measure)

    def bound(self, queries):
        """Return the bound of the estimates of some queries, a ``Bound``.

        Parameters
        ----------
        queries : torch.Tensor of shape (n_queries, n_features)
            As :meth:`centred` returns them.
        """
        return _certificate.bound_of_lengths(
            self.lengths(queries),
            queries.shape[1],
            self.coarse.dtype,
            self.coarse.unit,
            self.n_terms,
        )


def squared_lengths(rows):
    """Return the squared lengths of rows: squares in their dtype, summed in float64."""
    return rows.square().sum(1, dtype=torch.float64)


def multiply(norms, queries, rows, n_terms, out):
    """Compute squared distances less the query's squared length.

    Parameters
    ----------
    norms : torch.Tensor of shape (n_rows,)
        Squared lengths of the rows.
    queries : torch.Tensor of shape (n_queries, n_features)
    rows : torch.Tensor of shape (n_rows, n_features)
    n_terms : int or None
        Features that are multiplied at once.
    out : torch.Tensor of shape (n_queries, n_rows)
        Overwritten, and returned.
    """
    n_features = rows.shape[1]
    for first in range(0, n_features, n_terms or n_features):
        part = slice(first, first + (n_terms or n_features))
        added = out if first else norms
        torch.addmm(added, queries[:, part], rows[:, part].T, alpha=-2, out=out)
    return out


def in_full(best, queries):
    """Complete scores, squared distances without the query's own squared length.

    Parameters
    ----------
    best : SmallestScores
    queries : torch.Tensor of shape (n_queries, n_features)
        In the coarse dtype.

    Returns
    -------
    Candidates
        The limit is NaN where anything overflowed.
    """
    lengths = squared_lengths(queries)
    scores, rows = best.merge()
    # Engines may look at no more rows for queries whose squared length overflows.
    limit = lengths.masked_fill(lengths > torch.finfo(queries.dtype).max, math.nan) + best.limit
    return Candidates(rows, scores.double().add_(lengths[:, None]), finite_or_nan(limit))


def finite_or_nan(limit):
    """Replace infinity, which comes from an overflow, by NaN."""
    return limit.masked_fill(limit.isinf(), math.nan)
