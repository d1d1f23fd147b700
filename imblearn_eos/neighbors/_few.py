"""The engine for few rows with compiled loops: it answers at once, without candidates."""

import numpy as np
import torch

from imblearn_eos.neighbors import _kernels, _order_kernels
from imblearn_eos.neighbors._base import multiply
from imblearn_eos.neighbors._certificate import bound_of_lengths
from imblearn_eos.neighbors._compiled import CompiledTiles


class FewRows(CompiledTiles):
    """Multiply all queries with all rows, and select among all products in one loop.

    Parameters
    ----------
    coarse : CoarseRows
    """

    def answer(self, task):
        """Answer a task as :meth:`ExactSearch.nearest`, or return None where estimates overflow."""
        coarse, kept = self.coarse, self.coarse.kept
        array, queries = coarse.rows.as_array(), task.queries.as_array()
        if array is None or queries is None:
            return None
        values, lengths = kept.values, kept.norms
        if task.queries is not coarse.rows:
            values, lengths = values.new_empty(queries.shape), lengths.new_empty(len(queries))
            coarse.write(task.queries, torch.arange(len(queries)), values, lengths)
            if not lengths.isfinite().all():
                return None
        norms, lengths = kept.norms, lengths.double()
        if task.allowed is not None:
            norms = norms.masked_fill(~task.allowed, torch.inf)
        scores = norms.new_empty(len(queries), len(norms))
        multiply(norms, values, kept.values, self.n_terms, scores)
        bound = bound_of_lengths(lengths, values.shape[1], scores.dtype, coarse.unit, self.n_terms)
        own = np.full(len(queries), -1) if task.own is None else task.own.numpy()
        indices = np.empty((len(queries), task.n_neighbors), dtype=np.int64)
        is_measured = task.result == "distances"
        squared = np.empty(indices.shape if is_measured else (0, 0))
        with _kernels.torch_threads():
            _order_kernels.select_all(
                queries,
                array,
                scores.numpy(),
                own,
                lengths.numpy(),
                bound.slope,
                bound.offset.numpy(),
                coarse.unit,
                _order_kernels.RESULTS[task.result],
                indices,
                squared,
            )
        return torch.from_numpy(squared) if is_measured else None, torch.from_numpy(indices)
