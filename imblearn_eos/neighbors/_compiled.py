"""The plain engine with compiled loops, for the CPU where numba is installed."""

from weakref import ref

import numpy as np
import torch

from imblearn_eos.neighbors import _exact, _kernels, _order_kernels
from imblearn_eos.neighbors._base import TERMS, Block, Candidates, Engine, multiply
from imblearn_eos.neighbors._order import in_threads, sort_by, sort_lines

# Products with fewer queries are slower; in small tiles, many scores are kept in vain.
LEAST_QUERIES, LEAST_TILE_ROWS, TILE_ROWS_PER_KEPT = 32, 4096, 64
# Candidates or features of a query, up to which blocks are larger than what is multiplied at once.
NUMBERS_PER_QUERY = 1024


def measure(queries, rows, query, found, pairs_at_once):
    """Measure as :func:`_exact.measure` does, to the same bits."""
    if (array := rows.as_array()) is None:
        return _exact.measure(queries, rows, query, found, pairs_at_once)
    with _kernels.torch_threads():
        squared = _order_kernels.measure(queries.numpy(), array, query.numpy(), found.numpy())
    return torch.from_numpy(squared)


class CompiledEngine(Engine):
    """An engine whose candidates are measured and ordered by compiled loops."""

    measure = staticmethod(measure)

    def select(self, found, bound, n_neighbors, result, queries, numbers):
        """Select the nearest of candidates, as :meth:`Engine.select`."""
        if (array := self.coarse.rows.as_array()) is None:
            return super().select(found, bound, n_neighbors, result, queries, numbers)
        some, query_array = _exact.as_slice(numbers), queries.as_array()
        if query_array is None:
            # For each other layout the loops would be compiled once more.
            query_array = queries[some].contiguous().numpy()
        else:
            query_array = query_array[some if isinstance(some, slice) else some.numpy()]
        rows, estimates = found.rows, found.estimates
        if not found.is_sorted:
            estimates, rows = sort_by(estimates, rows)
        farthest = torch.empty(len(rows), dtype=torch.float64)
        with _kernels.torch_threads():
            _order_kernels.select(
                query_array,
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


class CompiledTiles(CompiledEngine):
    """Multiply a block of queries with tiles of rows, and keep what is below a threshold.

    Parameters
    ----------
    coarse : CoarseRows
    """

    n_terms: int | None = TERMS

    def shape(self, n_kept):
        """Return how many queries and how many rows are multiplied at once."""
        # These loops take less memory beside the scores than other engines.
        n_scores = 2 * self.coarse.block_queries * self.coarse.tile_rows
        tile_rows = min(
            max(LEAST_TILE_ROWS, TILE_ROWS_PER_KEPT * n_kept), n_scores // LEAST_QUERIES
        )
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
        """Find rows of least estimate, as :meth:`Engine.candidates`."""
        # Where anything overflows, no estimate is a number.
        lengths = self.lengths(queries)
        lengths = lengths.masked_fill(lengths > torch.finfo(self.coarse.dtype).max, torch.nan)
        queries = queries.to(self.coarse.dtype)
        own = np.full(len(queries), -1) if block.own is None else block.own.numpy()
        n_queries, tile_rows = self.shape(n_kept)
        n_places = min(3 * n_kept, len(self.coarse.rows)) + _kernels.FLAGS_IN_WORD
        keys = np.empty((len(queries), n_places), dtype=np.int64)
        counts = np.zeros(len(queries), dtype=np.int64)
        limits = np.full(len(queries), np.inf, dtype=np.float32)
        buffer = queries.new_empty(min(n_queries, len(queries)) * tile_rows)
        with _kernels.torch_threads():
            for start in range(0, len(queries), n_queries):
                some = slice(start, start + n_queries)
                part = queries[some]
                for rows, norms, numbers in self.coarse.kept.tiles(tile_rows):
                    first = int(numbers[0])
                    if allowed is not None:
                        norms = norms.masked_fill(~allowed[first : first + len(norms)], torch.inf)
                    scores = buffer[: len(part) * len(rows)].view(len(part), len(rows))
                    multiply(norms, part, rows, self.n_terms, scores)
                    _kernels.keep_smallest(
                        scores.numpy(),
                        own[some],
                        first,
                        n_kept,
                        keys[some],
                        counts[some],
                        limits[some],
                    )
            # At an infinite distance. They are found only where there are no others.
            keys = keys[:, : max(counts.max(), n_kept)]
            _kernels.fill(keys, counts, _kernels.LAST_KEY)
            if keys.shape[1] > n_kept:
                in_threads(lambda lines: lines.partition(n_kept - 1, axis=1), keys)
            keys = keys[:, :n_kept].copy()
            in_threads(lambda lines: lines.sort(axis=1), keys)
            estimates = torch.empty(keys.shape, dtype=torch.float64)
            _kernels.unpack(keys, lengths.numpy(), estimates.numpy())
        limit = estimates[:, -1].clone()
        return Candidates(torch.from_numpy(keys), estimates, limit, is_sorted=True)
