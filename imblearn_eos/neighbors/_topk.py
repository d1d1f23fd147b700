"""Products with all rows, and a selection for GPUs: torch's topk, on few scores and without waits.

The n smallest of some scores stand in the n groups whose minima are smallest: every score of
another group is at least as large as n minima, which are scores as well. So topk looks at the
minima, and then at the scores of n groups. How many these are is known beforehand, so that the host
need not wait for the device, as it does for the number of scores below a threshold.
"""

import math
from functools import cached_property

import torch

from imblearn_eos.neighbors._base import Engine
from imblearn_eos.neighbors._selection import SmallestScores, group_minima
from imblearn_eos.neighbors._tiles import Tiles


class TopkScores(SmallestScores):
    """The smallest scores offered so far, without waits."""

    def __init__(self, n_queries, n_kept, like):
        super().__init__(n_queries, n_kept, like)
        self.scores = like.new_full((n_queries, n_kept), math.inf)
        self.rows = torch.zeros(n_queries, n_kept, dtype=torch.int64, device=like.device)

    def offer(self, scores, rows):
        """Keep what is smaller among the scores of more rows."""
        n_queries, n_rows = scores.shape
        # Minima and scores that topk looks at are as many.
        n_groups = math.isqrt(n_rows * self.n_kept)
        if 2 * n_groups < n_rows:
            minima = group_minima(scores, n_groups)
            groups = minima.topk(self.n_kept, largest=False, sorted=False).indices
            depth = torch.arange(-(-n_rows // n_groups), device=scores.device)
            place = (groups[:, :, None] + depth * n_groups).flatten(1)
            # The last member of some groups is missing.
            is_missing = place >= n_rows
            place.masked_fill_(is_missing, 0)
            scores = scores.gather(1, place).masked_fill_(is_missing, math.inf)
            rows = rows[place]
        else:
            rows = rows.expand(n_queries, n_rows)
        scores = torch.cat([self.scores, scores], dim=1)
        self.scores, kept = scores.topk(self.n_kept, largest=False, sorted=False)
        self.rows = torch.cat([self.rows, rows], dim=1).gather(1, kept)
        self.limit = self.scores.amax(1)


class TopkTiles(Tiles):
    """Multiply a block of queries with tiles of rows, and select by topk."""

    selection = TopkScores

    def __init__(self, coarse):
        Engine.__init__(self, coarse)

    @cached_property
    def source(self):
        """The rows; made when they are needed, which an engine before may leave no query for."""
        return self.coarse.kept
