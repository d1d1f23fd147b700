"""What all engines share: rows of low precision, and the methods that the exact search calls.

An engine is a way to find candidates: rows that may be among the nearest. To add one, write a file
with a subclass of :class:`Engine` and name it in ``_choose.py``.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch

from imblearn_eos.neighbors import _certificate, _exact

# Columns of scores that stay in the processor's cache while the selection reads them again.
TILE_ROWS = {"cpu": 4096, "cuda": 65536}
BLOCK_QUERIES = {"cpu": 512, "cuda": 4096}


def bytes_kept(n_rows, n_features, dtype):
    """Return the memory that coarse rows take, with sketches several times over."""
    return n_rows * (n_features * dtype.itemsize + 250)


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
        self.centre = sum(rows[tile].sum(0) / n_rows for tile in self._slices())
        largest = max(float((rows[tile] - self.centre).abs().max()) for tile in self._slices())
        # Limited, because its square must stay in range.
        self.inverse_scale = 0.5 ** max(math.frexp(largest)[1], -500)

    def centred(self, rows):
        """Centre and scale float64 rows."""
        return (rows - self.centre).mul_(self.inverse_scale)

    def tiles(self):
        """Yield coarse rows, their squared lengths and their row numbers, tile by tile."""
        for tile in self._slices():
            part = self.centred(self.rows[tile]).to(self.dtype)
            stop = tile.start + len(part)
            numbers = torch.arange(tile.start, stop, device=self.rows.device)
            yield part, part.square().sum(1), numbers

    @cached_property
    def kept(self):
        """The same tiles, kept in memory if they fit."""
        n_rows, n_features = self.rows.shape
        if bytes_kept(n_rows, n_features, self.dtype) >= self.n_bytes / 2:
            return self
        return KeptRows(self, torch.arange(n_rows, device=self.rows.device))

    def _slices(self):
        for start in range(0, len(self.rows), self.tile_rows):
            yield slice(start, start + self.tile_rows)


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
        for values, numbers in zip(self._split(self.values), self._split(order), strict=True):
            values.copy_(coarse.centred(rows[numbers]))
        self.norms = self.values.square().sum(1)

    def tiles(self):
        """Yield coarse rows, their squared lengths and their row numbers, tile by tile."""
        yield from zip(*map(self._split, (self.values, self.norms, self.order)), strict=True)

    def _split(self, values):
        return values.split(self.tile_rows)


@dataclass
class Block:
    """Queries that are searched together. Engines that know more about them extend it."""

    numbers: torch.Tensor


class Engine(ABC):
    """One way to find candidates.

    Parameters
    ----------
    coarse : CoarseRows
        The rows to search among.
    """

    # How candidates are measured: compiled or not, with the same bits.
    squared_distances = staticmethod(_exact.squared_distances)

    def __init__(self, coarse):
        self.coarse = coarse

    def pays(self):
        """Return whether the engine is worth its cost on these rows, by a trial on a few."""
        return True

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
        n_queries = min(self.coarse.block_queries, self.n_affordable(n_kept))
        for part in numbers.split(n_queries):
            yield Block(part)

    def n_affordable(self, n_kept):
        """Return how many queries fit into memory with this many candidates."""
        return max(1, int(self.coarse.n_bytes / 4 / self.bytes_per_query(n_kept)))

    def bytes_per_query(self, n_kept):
        """Return the memory for a query: candidates and their rows, and what sorts them."""
        return 100 * n_kept

    @abstractmethod
    def candidates(self, block, queries, n_kept, allowed):
        """Find rows of least estimated distance.

        Parameters
        ----------
        block : Block
            One of :meth:`blocks`.
        queries : torch.Tensor of shape (n_queries, n_features), dtype=float64
            The queries of the block, centred and scaled.
        n_kept : int
            At most the number of rows allowed.
        allowed : torch.Tensor of shape (n_rows,), dtype=bool, or None
            Rows that may be found.

        Returns
        -------
        rows : torch.Tensor of shape (n_queries, n_kept), dtype=int64
            Row numbers.
        limit : torch.Tensor of shape (n_queries,), dtype=float64
            Every other row's estimated squared distance is at least this. NaN where estimates
            overflowed; the rows found are arbitrary then.
        """

    def largest_estimate(self, squared, queries):
        """Return the largest estimate that a row at a given distance can have.

        Parameters
        ----------
        squared : torch.Tensor of shape (n_queries,), dtype=float64
            Squared distances, in the unit of the coarse coordinates.
        queries : torch.Tensor of shape (n_queries, n_features), dtype=float64
            Centred and scaled.

        Returns
        -------
        torch.Tensor of shape (n_queries,), dtype=float64
        """
        return _certificate.largest_estimate(squared, queries, self.coarse.dtype)


def in_full(scores, queries):
    """Complete scores, squared distances without the query's own squared length.

    Parameters
    ----------
    scores : torch.Tensor of shape (n_queries,)
    queries : torch.Tensor of shape (n_queries, n_features)
        In the coarse dtype.

    Returns
    -------
    torch.Tensor of shape (n_queries,), dtype=float64
        NaN where anything overflowed.
    """
    return finite_or_nan(scores.double() + queries.square().sum(1).double())


def finite_or_nan(limit):
    """Replace infinity, which comes from an overflow, by NaN."""
    return limit.masked_fill(limit.isinf(), math.nan)
