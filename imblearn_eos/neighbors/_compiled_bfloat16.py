"""The engine in bfloat16 with compiled loops."""

import torch

from imblearn_eos.neighbors import _heap_kernels, _kernels
from imblearn_eos.neighbors._bfloat16 import INFINITY_BITS, MAX_CANDIDATES, Bfloat16
from imblearn_eos.neighbors._compiled import CompiledEngine
from imblearn_eos.neighbors._selection import group_minima

# Rows of a group, whose least estimate is looked at first.
GROUP_ROWS = 64


class Heaps:
    """The smallest scores offered so far, as :class:`SmallestBits`, in a heap for each query."""

    def __init__(self, n_queries, n_kept, like):
        self.scores = like.new_full((n_queries, n_kept), INFINITY_BITS)
        self.rows = torch.zeros(n_queries, n_kept, dtype=torch.int64)

    def offer(self, scores, rows):
        """Keep what is smaller among the scores of more rows."""
        minima = group_minima(scores, -(-len(rows) // GROUP_ROWS))
        arrays = (x.numpy() for x in (scores, minima, rows, self.scores, self.rows))
        _heap_kernels.keep_in_heaps(*arrays)

    def merge(self):
        """Return all that is kept."""
        return self.scores, self.rows

    @property
    def limit(self):
        """The largest score of each query."""
        return self.scores[:, 0]


class CompiledBfloat16(CompiledEngine, Bfloat16):
    """Multiply a block of queries with tiles of rows in bfloat16, and select in compiled loops.

    Parameters
    ----------
    coarse : CoarseRows
    """

    selection = Heaps
    most_candidates = MAX_CANDIDATES // 2
    tiles_at_once = 1

    def candidates(self, block, queries, n_kept, allowed):
        """Find rows of least estimate, as :meth:`Engine.candidates`."""
        with _kernels.torch_threads():
            return super().candidates(block, queries, n_kept, allowed)
