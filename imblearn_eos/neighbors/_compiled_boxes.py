"""The engine for many rows with structure: boxes rule out most of them, in compiled loops."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import pad

from imblearn_eos.neighbors import _heap_kernels, _kernels
from imblearn_eos.neighbors._base import SELECTION, Block, Candidates, finite_or_nan
from imblearn_eos.neighbors._cells import SketchedRows
from imblearn_eos.neighbors._compiled import CompiledEngine

BLOCK_QUERIES = 4096
# Groups of queries look at all boxes, so there are no more of these.
MAX_CELLS = 2**15
# Of a sketch, which has one number more: a multiple of what compiled loops read at once.
N_DIRECTIONS = 11
# What a compiled loop does with one coordinate takes as long as so many in a product.
COST = 10


@dataclass
class SketchedBlock(Block):
    """Queries and their sketches."""

    sketches: torch.Tensor


class CompiledBoxes(CompiledEngine):
    """Search the cells of rows whose boxes are near each query.

    Parameters
    ----------
    coarse : CoarseRows
    """

    cell_rows = 128

    def __init__(self, coarse):
        super().__init__(coarse)
        cell_rows = max(self.cell_rows, -(-len(coarse.rows) // MAX_CELLS))
        self.sketched = SketchedRows(coarse, cell_rows, N_DIRECTIONS)
        cells = self.sketched.cells
        self.starts = cells.starts.numpy()
        members = self.sketched.sketches[cells.order[cells.padded()]]
        members[~cells.is_filled()] = torch.inf
        n_missing = -members.shape[1] % _heap_kernels.ROWS_AT_ONCE
        members = pad(_widened(members), (0, 0, 0, n_missing), value=torch.inf)
        self.sketches = members.transpose(1, 2).contiguous().numpy()
        self.low, self.high = (_widened(x).T.contiguous().numpy() for x in (cells.low, cells.high))

    def pays(self, n_wanted):
        """Return whether boxes take less time than products, on a few of the rows."""
        n_rows, n_features = self.coarse.rows.shape
        kept = self.sketched.kept
        sample = torch.arange(0, n_rows, max(1, n_rows // 64))
        sketches = self.sketched.sketches[kept.order[sample]]
        _, _, work = self._search(kept.values[sample], sketches, n_wanted, None)
        n_sketches, n_measured = work.mean(0)
        n_looked = n_sketches + len(self.sketched.cells) / _heap_kernels.GROUP_QUERIES
        cost = n_looked * self.sketches.shape[1] + n_measured * n_features
        return COST * cost < n_rows * (n_features + SELECTION)

    def blocks(self, queries, numbers, n_kept):
        """Split queries into blocks of neighbors, as :meth:`Engine.blocks`."""
        n_queries = min(BLOCK_QUERIES, self.n_affordable(n_kept))
        for part, sketches, cells in self.sketched.parts(queries, numbers):
            for places in cells.order.split(n_queries):
                yield SketchedBlock(part[places], sketches[places])

    def candidates(self, block, queries, n_kept, allowed):
        """Find rows of least estimate, as :meth:`Engine.candidates`."""
        queries = queries.to(self.coarse.dtype)
        rows, scores, _ = self._search(queries, block.sketches, n_kept, allowed)
        return Candidates(rows, scores.double(), finite_or_nan(scores[:, 0].double()))

    def _search(self, queries, sketches, n_kept, allowed):
        """Return rows, scores, and how many sketches and rows were looked at for each query."""
        kept = self.sketched.kept
        is_allowed = np.ones(len(kept.order), bool) if allowed is None else allowed[kept.order]
        scores = np.full((len(queries), n_kept), np.inf, dtype=np.float32)
        places = np.zeros((len(queries), n_kept), dtype=np.int64)
        with _kernels.torch_threads():
            work = _heap_kernels.search_cells(
                kept.values.numpy(),
                self.sketches,
                self.starts,
                self.low,
                self.high,
                np.asarray(is_allowed),
                queries.numpy(),
                _widened(sketches).numpy(),
                scores,
                places,
            )
        return kept.order[torch.from_numpy(places)], torch.from_numpy(scores), work


def _widened(sketches):
    """Add coordinates of zero, for compiled loops that read several at once."""
    return pad(sketches, (0, -sketches.shape[-1] % _heap_kernels.AXES_AT_ONCE))
