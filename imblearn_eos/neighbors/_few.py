"""The engine for few rows with compiled loops: each row is a candidate, and nothing is ruled out.

Preparation and selection are one loop each, because hundreds of calls of torch take longer than the
work that they do on a few hundred rows.
"""

import numpy as np
import torch

from imblearn_eos.neighbors import _kernels, _order_kernels
from imblearn_eos.neighbors._base import multiply
from imblearn_eos.neighbors._certificate import bound_of_lengths
from imblearn_eos.neighbors._compiled import CompiledTiles


class FewRows(CompiledTiles):
    """Multiply all queries with all rows, and select among all products.

    Parameters
    ----------
    coarse : CoarseRows
    """

    def __init__(self, coarse):
        super().__init__(coarse)
        self.array = coarse.rows.as_array()
        if self.array is not None:
            self.centre_and_scale = _kernels.centre_and_scale(self.array)
            self.values, self.squares = self.make_coarse(self.array)

    def make_coarse(self, rows):
        """Return coarse rows, a tensor, and their squared lengths, an array."""
        values, squares = np.empty(rows.shape, dtype=np.float32), np.empty(len(rows))
        _kernels.make_coarse(rows, *self.centre_and_scale, values, squares)
        return torch.from_numpy(values), squares

    def answer(self, task):
        """Answer a task as :meth:`ExactSearch.nearest`, or return None where estimates overflow."""
        queries = task.queries.as_array()
        if self.array is None or queries is None:
            return None
        is_own = task.queries is self.coarse.rows
        values, squares = (self.values, self.squares) if is_own else self.make_coarse(queries)
        if not is_own and not squares.max(initial=0) <= np.finfo(np.float32).max:
            return None
        norms = torch.from_numpy(self.squares).float()
        if task.allowed is not None:
            norms.masked_fill_(~task.allowed, torch.inf)
        scores = norms.new_empty(len(queries), len(norms))
        multiply(norms, values, self.values, self.n_terms, scores)
        unit = self.centre_and_scale[1] ** 2
        bound = bound_of_lengths(squares, values.shape[1], torch.float32, unit, self.n_terms)
        own = np.full(len(queries), -1) if task.own is None else task.own.numpy()
        indices = np.empty((len(queries), task.n_neighbors), dtype=np.int64)
        squared = np.empty(indices.shape if task.result == "distances" else (0, 0))
        with _kernels.torch_threads():
            _order_kernels.select_all(
                queries,
                self.array,
                scores.numpy(),
                own,
                squares,
                bound.slope,
                bound.offset,
                unit,
                _order_kernels.RESULTS[task.result],
                indices,
                squared,
            )
        return torch.from_numpy(squared), torch.from_numpy(indices)
