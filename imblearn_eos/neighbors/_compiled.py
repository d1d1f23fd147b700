"""The plain engine with compiled loops, for the CPU where numba is installed."""

import torch

from imblearn_eos.neighbors import _exact, _kernels
from imblearn_eos.neighbors._base import Engine
from imblearn_eos.neighbors._selection import SmallestScores, group_minima
from imblearn_eos.neighbors._tiles import Tiles

GROUP_ROWS = 64


def measure(queries, rows, query, found, pairs_at_once):
    """Measure as :func:`_exact.measure` does, to the same bits."""
    if (array := rows.as_array()) is None:
        return _exact.measure(queries, rows, query, found, pairs_at_once)
    with _kernels.torch_threads():
        squared = _kernels.measure(queries.numpy(), array, query.numpy(), found.numpy())
    return torch.from_numpy(squared)


class CompiledEngine(Engine):
    """An engine whose candidates are measured by a compiled loop."""

    measure = staticmethod(measure)


class CompiledScores(SmallestScores):
    """The smallest scores, looked at one by one in a compiled loop."""

    def __init__(self, n_queries, n_kept, like):
        super().__init__(n_queries, n_kept, like)
        self.scores = like.new_full((n_queries, n_kept), torch.inf)
        self.rows = torch.zeros(n_queries, n_kept, dtype=torch.int64)

    def offer(self, scores, rows):
        """Keep what is smaller among the scores of more rows."""
        minima = group_minima(scores, -(-scores.shape[1] // GROUP_ROWS))
        with _kernels.torch_threads():
            _kernels.keep_smallest(
                scores.numpy(),
                minima.numpy(),
                rows.numpy(),
                self.scores.numpy(),
                self.rows.numpy(),
            )
        self.limit = self.scores[:, 0]


class CompiledTiles(CompiledEngine, Tiles):
    """Multiply a block of queries with tiles of rows, and select in a compiled loop."""

    selection = CompiledScores
