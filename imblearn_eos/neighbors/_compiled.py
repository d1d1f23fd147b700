"""The plain engine with compiled loops, for the CPU where numba is installed."""

from functools import cached_property
from typing import NamedTuple
from weakref import ref

import numpy as np
import torch

from imblearn_eos.neighbors import _exact, _kernels, _order_kernels
from imblearn_eos.neighbors._base import TERMS, Block, Candidates, CoarseRows, Engine, multiply
from imblearn_eos.neighbors._order import sort_by, sort_lines

# Products with few queries are slow, so tiles are not large.
LEAST_QUERIES, MOST_TILE_ROWS = 32, 2048
# Candidates or features of a query, up to which blocks are larger than what is multiplied at once.
NUMBERS_PER_QUERY = 1024


def measure(queries, rows, query, found, pairs_at_once):
    """Measure as :func:`_exact.measure` does, to the same bits."""
    if (array := rows.as_array()) is None:
        return _exact.measure(queries, rows, query, found, pairs_at_once)
    with _kernels.torch_threads():
        squared = _order_kernels.measure(queries.numpy(), array, query.numpy(), found.numpy())
    return torch.from_numpy(squared)


class CompiledRows(CoarseRows):
    """Coarse rows that compiled loops make, in float32, of rows that are an array in memory."""

    @cached_property
    def centre_and_scale(self):
        """The centre, and what coordinates are multiplied with."""
        with _kernels.torch_threads():
            centre, inverse_scale = _kernels.centre_and_scale(self.rows.as_array())
        return torch.from_numpy(centre), inverse_scale

    def write(self, rows, numbers, values, norms):
        """Write rows that are an array in memory, as :meth:`CoarseRows.write`."""
        centre, inverse_scale = self.centre_and_scale
        numbers, centre, values, norms = (x.numpy() for x in (numbers, centre, values, norms))
        with _kernels.torch_threads():
            _kernels.make_coarse(rows.as_array(), numbers, centre, inverse_scale, values, norms)


class CompiledEngine(Engine):
    """An engine whose candidates are measured and ordered by compiled loops."""

    measure = staticmethod(measure)
    rows_type = CompiledRows

    def select(self, found, bound, n_neighbors, result, queries, numbers):
        """Select the nearest of candidates, as :meth:`Engine.select`."""
        if (array := self.coarse.rows.as_array()) is None:
            return super().select(found, bound, n_neighbors, result, queries, numbers)
        rows, estimates = found.rows, found.estimates
        if not found.is_sorted:
            estimates, rows = sort_by(estimates, rows)
        farthest = torch.empty(len(rows), dtype=torch.float64)
        with _kernels.torch_threads():
            _order_kernels.select(
                _array_of(queries, numbers),
                array,
                rows.numpy(),
                estimates.numpy(),
                bound.slope,
                bound.offset.numpy(),
                self.coarse.unit,
                n_neighbors,
                _order_kernels.RESULTS[result],
                farthest.numpy(),
            )
        rows, estimates = rows[:, :n_neighbors], estimates[:, :n_neighbors]
        if result == "sets":
            rows = sort_lines(rows)
        return rows, estimates if result == "distances" else None, farthest


def _array_of(queries, numbers):
    """Return some queries as an array that compiled loops can read."""
    some = _exact.as_slice(numbers)
    if (array := queries.as_array()) is None:
        # For each other layout the loops would be compiled once more.
        return queries[some].contiguous().numpy()
    return array[some if isinstance(some, slice) else some.numpy()]


class Kept(NamedTuple):
    """Rows that may be among the nearest, ascending.

    Attributes
    ----------
    scores : ndarray of shape (n_queries, n_places), dtype=float32
        Estimated squared distances, without the query's own squared length.
    rows : ndarray of shape (n_queries, n_places), dtype=int32
        Row numbers.
    counts : ndarray of shape (n_queries,), dtype=int64
        How many there are.
    limits : ndarray of shape (n_queries,), dtype=float32
        The score of every other row is at least this.
    lengths : torch.Tensor of shape (n_queries,), dtype=float64
        Squared lengths of the queries. NaN where estimates overflowed.
    has_own : bool
        Whether the query itself may be among them.
    """

    scores: np.ndarray
    rows: np.ndarray
    counts: np.ndarray
    limits: np.ndarray
    lengths: torch.Tensor
    has_own: bool = False

    @property
    def limit(self):
        """The limit of :class:`Candidates`."""
        return torch.from_numpy(self.limits).double().add_(self.lengths)


class CompiledTiles(CompiledEngine):
    """Multiply a block of queries with tiles of rows, and keep what is below a threshold.

    Parameters
    ----------
    coarse : CoarseRows
    """

    n_terms: int | None = TERMS
    # Up to so many candidates, to measure all that may be near takes less time than to sort them.
    max_kept_unsorted = 128
    # From so many candidates on, a sample of all rows gives limits, with so many of them in it.
    min_kept_sampled, n_kept_in_sample = 256, 32

    def shape(self, n_kept):
        """Return how many queries and how many rows are multiplied at once."""
        # These loops take less memory beside the scores than other engines.
        n_scores = 2 * self.coarse.block_queries * self.coarse.tile_rows
        tile_rows = min(MOST_TILE_ROWS, n_scores // LEAST_QUERIES)
        # In lines that are a power of two long, columns would share their place in the cache.
        tile_rows = min(tile_rows + _kernels.COLUMNS_AT_ONCE, len(self.coarse.rows))
        return max(1, n_scores // tile_rows), tile_rows

    def blocks(self, queries, numbers, n_kept):
        """Split queries into blocks, as :meth:`Engine.blocks`."""
        n_numbers = max(n_kept, queries.shape[1])
        n_queries = self.coarse.block_queries * max(1, min(8, NUMBERS_PER_QUERY // n_numbers))
        for part in numbers.split(min(n_queries, self.n_affordable(n_kept))):
            yield Block(part)

    def centred(self, queries, numbers):
        """Read some queries, centre and scale them; rows to search among are kept so."""
        if queries is not self.coarse.rows:
            return super().centred(queries, numbers)
        some, kept = _exact.as_slice(numbers), self.coarse.kept
        centred = kept.values[some]
        self._last = ref(centred), kept.norms[some].double()
        return centred

    def candidates(self, block, queries, n_kept, allowed):
        """Find rows of least estimate: :class:`Kept` where they need not be sorted."""
        kept = self.keep(block, queries, n_kept, allowed)
        is_unsorted = block.is_set or n_kept <= self.max_kept_unsorted
        if is_unsorted and self.coarse.rows.as_array() is not None:
            return kept
        return in_order(kept, n_kept)

    def keep(self, block, queries, n_kept, allowed):
        """Find what may be among the rows of least estimate, and return :class:`Kept`."""
        # Where anything overflows, no estimate is a number.
        lengths = self.lengths(queries)
        lengths = lengths.masked_fill(lengths > torch.finfo(self.coarse.dtype).max, torch.nan)
        queries = queries.to(self.coarse.dtype)
        own = np.full(len(queries), -1) if block.own is None else block.own.numpy()
        if self.min_kept_sampled <= n_kept <= len(self.coarse.rows) // 4:
            limits, factor = self._guess_limits(queries, n_kept, allowed), 2
        else:
            limits, factor = np.full(len(queries), np.inf, dtype=np.float32), 3
        n_places = min(factor * n_kept, len(self.coarse.rows)) + _kernels.FLAGS_IN_WORD
        found = self._keep_below(limits, queries, own, n_kept, n_places, allowed)
        # Where the sample was not like the others.
        again = np.flatnonzero((found[2] < n_kept) & (limits < np.inf))
        if len(again):
            limits = np.full(len(again), np.inf, dtype=np.float32)
            more = self._keep_below(limits, queries[again], own[again], n_kept, n_places, allowed)
            for old, new in zip(found, more, strict=True):
                old[again] = new
        return Kept(*found, lengths)

    def _keep_below(self, limits, queries, own, n_kept, n_places, allowed):
        """Find what is below limits, which fall; return what :class:`Kept` begins with."""
        n_queries, tile_rows = self.shape(n_kept)
        scores = np.empty((len(queries), n_places), dtype=np.float32)
        numbers = np.empty((len(queries), n_places), dtype=np.int32)
        counts = np.zeros(len(queries), dtype=np.int64)
        buffer = queries.new_empty(min(n_queries, len(queries)) * tile_rows)
        with _kernels.torch_threads():
            for start in range(0, len(queries), n_queries):
                some = slice(start, start + n_queries)
                part = queries[some]
                for rows, norms, order in self.coarse.kept.tiles(tile_rows):
                    first = int(order[0])
                    if allowed is not None:
                        norms = norms.masked_fill(~allowed[first : first + len(norms)], torch.inf)
                    tile = buffer[: len(part) * len(rows)].view(len(part), len(rows))
                    multiply(norms, part, rows, self.n_terms, tile)
                    _kernels.keep_smallest(
                        tile.numpy(),
                        own[some],
                        first,
                        n_kept,
                        scores[some],
                        numbers[some],
                        counts[some],
                        limits[some],
                    )
        return scores, numbers, counts, limits

    def _guess_limits(self, queries, n_kept, allowed):
        """Guess scores below which there are somewhat more than are kept, from a sample of rows."""
        step, kept = n_kept // self.n_kept_in_sample, self.coarse.kept
        starts = torch.arange(0, len(self.coarse.rows) - step + 1, step)
        # At random within each step, because the order of the rows may have a period.
        sample = starts + torch.randint(
            step, starts.shape, generator=torch.Generator().manual_seed(0)
        )
        rows, norms = kept.values[sample], kept.norms[sample]
        if allowed is not None:
            norms = norms.masked_fill(~allowed[sample], torch.inf)
        limits = np.empty(len(queries), dtype=np.float32)
        n_queries, tile_rows = self.shape(n_kept)
        n_queries = max(1, n_queries * tile_rows // len(sample))
        with _kernels.torch_threads():
            for start in range(0, len(queries), n_queries):
                some = slice(start, start + n_queries)
                tile = norms.new_empty(len(queries[some]), len(rows))
                multiply(norms, queries[some], rows, self.n_terms, tile)
                _kernels.guess_limits(tile.numpy(), n_kept / step, limits[some])
        return limits

    def select(self, found, bound, n_neighbors, result, queries, numbers):
        """Select the nearest of candidates, as :meth:`Engine.select`."""
        if not isinstance(found, Kept):
            return super().select(found, bound, n_neighbors, result, queries, numbers)
        rows = torch.empty(len(numbers), n_neighbors, dtype=torch.int64)
        squared = torch.empty(rows.shape if result == "distances" else (0, 0), dtype=torch.float64)
        farthest = torch.empty(len(rows), dtype=torch.float64)
        with _kernels.torch_threads():
            _order_kernels.select_kept(
                _array_of(queries, numbers),
                self.coarse.rows.as_array(),
                found.scores,
                found.rows,
                found.counts,
                found.lengths.numpy(),
                bound.slope,
                bound.offset.numpy(),
                self.coarse.unit,
                _order_kernels.RESULTS[result],
                rows.numpy(),
                squared.numpy(),
                farthest.numpy(),
            )
        return rows, squared if result == "distances" else None, farthest


def in_order(kept, n_kept):
    """Return the rows of least estimate, in the order of estimates.

    Parameters
    ----------
    kept : Kept
        Overwritten.
    n_kept : int

    Returns
    -------
    Candidates
    """
    rows = torch.empty(len(kept.rows), n_kept, dtype=torch.int64)
    estimates = torch.empty(rows.shape, dtype=torch.float64)
    arrays = kept.scores, kept.rows, kept.counts, kept.limits, kept.lengths.numpy()
    with _kernels.torch_threads():
        _kernels.sort_kept(*arrays, rows.numpy(), estimates.numpy())
    return Candidates(rows, estimates, kept.limit, is_sorted=True, has_own=False)
