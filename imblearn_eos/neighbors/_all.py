"""The engine for a handful of rows: every row is a candidate."""

import math

import torch

from imblearn_eos.neighbors._base import Engine


class AllRows(Engine):
    """Measure all rows, where they are fewer than the candidates that others would keep."""

    def candidates(self, block, queries, n_kept, allowed):
        """Return all rows, as :meth:`Engine.candidates`; no other row limits them."""
        rows = torch.arange(len(self.coarse.rows), device=queries.device)
        rows = rows if allowed is None else rows[allowed]
        return rows.expand(len(queries), -1), queries.new_full((len(queries),), math.inf)
