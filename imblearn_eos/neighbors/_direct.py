"""The engines for few rows: products with all of them at once.

NumPy sorts short lines of integers faster than anything selects. So the least estimates are found
among the minima of groups first, and then among the members of the groups that have them. In each
sort an estimate, a float64 that is not negative, is read as an integer whose last bits give way to
its column.
"""

from weakref import ref

import torch

from imblearn_eos.neighbors._base import TERMS, Candidates, Engine, multiply, squared_lengths
from imblearn_eos.neighbors._certificate import Bound, bound_of_lengths
from imblearn_eos.neighbors._exact import as_slice

# Columns of a group, and the fewest groups, also for each estimate that is kept.
GROUP, LEAST_GROUPS, GROUPS_PER_KEPT = 4, 72, 1.5
# Longer lines are partitioned before they are sorted.
SHORT_LINE = 256
# Scores that are selected before they leave the cache, from so many queries if rows are wide.
CHUNK_BYTES, CHUNK_QUERIES = 2**21, 256


class Direct(Engine):
    """Multiply a block of queries with all rows, in float32.

    Parameters
    ----------
    coarse : CoarseRows
    """

    dtype = torch.float32
    n_terms: int | None = TERMS

    def __init__(self, coarse):
        super().__init__(coarse)
        n_rows, n_features = coarse.rows.shape
        # Columns beyond the rows make all groups whole, and are at an infinite distance.
        n_columns = n_rows + -n_rows % GROUP**3
        self.values = torch.empty(n_columns, n_features, dtype=self.dtype)
        self.values[n_rows:] = 0
        self.norms = torch.full((n_columns,), torch.inf, dtype=self.dtype)
        for part in coarse.slices(coarse.rows_in_cache):
            self.values[part] = coarse.centred(coarse.rows[part])
            self.norms[part] = squared_lengths(self.values[part])
        self.column_bits = 2 ** n_columns.bit_length() - 1

    def shape(self, n_kept):
        """Return how many queries and how many rows are searched at once."""
        return self.coarse.block_queries, len(self.norms)

    def candidates(self, block, queries, n_kept, allowed):
        """Find rows of least estimate, as :meth:`Engine.candidates`."""
        norms, lengths = self.norms, self.lengths(queries)
        if allowed is not None:
            norms = norms.clone()
            norms[: len(allowed)].masked_fill_(~allowed, torch.inf)
        # Where anything overflows, no estimate is a number.
        lengths = lengths.masked_fill(lengths > torch.finfo(self.dtype).max, torch.nan)
        n_columns, n_features = self.values.shape
        n_queries = max(
            CHUNK_BYTES // (n_columns * self.dtype.itemsize), min(n_features, CHUNK_QUERIES), 64
        )
        buffer = torch.empty(min(n_queries, len(queries)), n_columns, dtype=self.dtype)
        keys = torch.empty(len(queries), n_kept, dtype=torch.int64)
        for start in range(0, len(queries), n_queries):
            chunk = slice(start, start + n_queries)
            some = queries[chunk].to(self.dtype)
            scores = multiply(norms, some, self.values, self.n_terms, buffer[: len(some)])
            if block.own is not None:
                scores.scatter_(1, block.own[chunk, None], torch.inf)
            keys[chunk] = self._smallest(scores, lengths[chunk, None], n_kept)
        # Columns beyond the rows are found only where estimates are no numbers.
        rows = (keys & self.column_bits).clamp_(max=len(self.coarse.rows) - 1)
        estimates = keys.bitwise_and_(~self.column_bits).view(torch.float64)
        return Candidates(rows, estimates, estimates[:, -1], is_sorted=True, has_own=False)

    def _smallest(self, scores, lengths, n_kept):
        """Return the integers of the least sums of scores and the query's length, ascending."""
        levels, n_groups = [scores], scores.shape[1] // GROUP
        while n_groups >= max(GROUPS_PER_KEPT * n_kept, LEAST_GROUPS):
            # Group j has the columns j, j + n_groups, ...
            levels.append(levels[-1].view(len(scores), GROUP, n_groups).amin(1))
            n_groups = 0 if n_groups % GROUP else n_groups // GROUP
        columns = torch.arange(levels[-1].shape[1])
        while True:
            scores = levels.pop()
            if columns.ndim > 1:
                scores = scores.gather(1, columns)
            keys = (scores + lengths).clamp_(min=0).view(torch.int64)
            keys = keys.bitwise_and_(~self.column_bits).bitwise_or_(columns).numpy()
            if keys.shape[1] > SHORT_LINE:
                keys.partition(n_kept - 1, axis=1)
                keys = keys[:, :n_kept]
            keys.sort(axis=1)
            keys = torch.from_numpy(keys)[:, :n_kept]
            if not levels:
                return keys
            members = torch.arange(GROUP) * (levels[-1].shape[1] // GROUP)
            columns = ((keys & self.column_bits)[:, :, None] + members).view(len(keys), -1)

    def bound(self, queries):
        """Return the bound of the estimates of some queries, a ``Bound``."""
        n_features = self.values.shape[1]
        bound = bound_of_lengths(
            self.lengths(queries), n_features, self.dtype, self.coarse.unit, self.n_terms
        )
        # Columns take the last bits.
        rounded = 2 * self.column_bits * torch.finfo(torch.float64).eps
        return Bound(bound.slope + rounded, bound.offset)


class DoubleDirect(Direct):
    """Multiply in float64, which leaves next to no neighbors in doubt."""

    dtype = torch.float64
    n_terms = None

    def centred(self, queries, numbers):
        """Read some queries, centre and scale them."""
        if queries is not self.coarse.rows:
            return super().centred(queries, numbers)
        some = as_slice(numbers)
        centred = self.values[some]
        self._last = ref(centred), self.norms[some]
        return centred
