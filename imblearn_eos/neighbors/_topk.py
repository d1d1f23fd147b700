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
from imblearn_eos.neighbors._selection import SmallestScores
from imblearn_eos.neighbors._tiles import Tiles


class TopkScores(SmallestScores):
    """The smallest scores offered so far, without waits."""

    def __init__(self, n_queries, n_kept, like):
        super().__init__(n_queries, n_kept, like)
        self.scores = like.new_full((n_queries, n_kept), math.inf)
        self.rows = torch.zeros(n_queries, n_kept, dtype=torch.int64, device=like.device)

    def offer(self, scores, rows):
        """Keep what is smaller among the scores of more rows."""
        n_rows = scores.shape[1]
        # Minima and members of the groups chosen are about as many.
        depth = max(1, math.isqrt(n_rows // self.n_kept))
        n_groups = n_rows // depth
        n_chosen, n_grouped = min(self.n_kept, n_groups), depth * n_groups
        grouped = scores[:, :n_grouped].unflatten(1, (depth, n_groups))
        groups = grouped.amin(1).topk(n_chosen, largest=False, sorted=False).indices
        members = grouped.gather(2, groups[:, None].expand(-1, depth, -1)).flatten(1)
        some = torch.cat([self.scores, members, scores[:, n_grouped:]], dim=1)
        self.scores, place = some.topk(self.n_kept, largest=False, sorted=False)
        # Before the members are the scores of earlier offers, behind them those without a group.
        member, n_members = place - self.n_kept, members.shape[1]
        layer = member.div(n_chosen, rounding_mode="floor")
        column = layer * n_groups + groups.gather(1, member % n_chosen)
        column = torch.where(member < n_members, column, member + (n_grouped - n_members))
        earlier = self.rows.gather(1, place.clamp(max=self.n_kept - 1))
        self.rows = torch.where(member < 0, earlier, rows[column.clamp(min=0)])
        self.limit = self.scores.amax(1)


class TopkTiles(Tiles):
    """Multiply a block of queries with tiles of rows, and select by topk."""

    selection = TopkScores
    # A GPU writes scores and reads them again for each part.
    n_terms = None

    def __init__(self, coarse):
        Engine.__init__(self, coarse)

    @cached_property
    def source(self):
        """The rows; made when they are needed, which an engine before may leave no query for."""
        return self.coarse.kept
