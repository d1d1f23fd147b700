"""The engine for many rows without numba: boxes around cells rule out most of the rows."""

from dataclasses import dataclass

import torch

from imblearn_eos.neighbors._base import Block, in_full, squared_lengths
from imblearn_eos.neighbors._cells import SketchedRows, squared_gaps
from imblearn_eos.neighbors._tiles import Tiles

# A block of queries that needs more than this share of the cells reads all rows, in order.
DENSE_SHARE = 0.6
# Principal directions of a sketch. Eight carry 90 % of the variance of trained embeddings.
N_DIRECTIONS = 8


@dataclass
class BoxedBlock(Block):
    """Queries, boxes around a few of them each, and which queries of the block a box holds."""

    low: torch.Tensor
    high: torch.Tensor
    members: torch.Tensor


class Boxes(Tiles):
    """Multiply a block of queries with the cells of rows that may be near, the nearest first.

    Parameters
    ----------
    coarse : CoarseRows
    """

    # Queries in a box, and rows in a cell.
    box_queries = 4
    cell_rows = 64
    # Rows that are searched before cells are ruled out.
    first_rows = 4096

    def __init__(self, coarse):
        self.sketched = SketchedRows(coarse, self.box_queries, N_DIRECTIONS)
        self.cells = self.sketched.cells.merged(self.cell_rows)
        super().__init__(coarse, self.sketched.kept)

    def pays(self, n_wanted):
        """Return whether cells are ruled out, for one block in 32 of half of the rows."""
        rows = self.coarse.rows
        blocks = list(self.blocks(rows, self.sketched.numbers, n_wanted))
        is_sparse = []
        for block in blocks[len(blocks) // 2 :: -32]:
            queries = self.coarse.centred(rows[block.numbers]).to(self.coarse.dtype)
            best = self.selection(len(queries), n_wanted, queries)
            is_sparse.append(self._search_cells(best, block, queries, None))
        return 2 * sum(is_sparse) >= len(is_sparse)

    def blocks(self, queries, numbers, n_kept):
        """Split queries into blocks of neighbors, as :meth:`Engine.blocks`."""
        n_queries = min(self.shape(n_kept)[0], self.n_affordable(n_kept))
        for part, _, cells in self.sketched.parts(queries, numbers):
            members = cells.padded()
            step = max(1, n_queries // members.shape[1])
            for start in range(0, len(cells), step):
                block = slice(start, start + step)
                first = members[start, 0]
                places = cells.order[first : cells.stops[block][-1]]
                yield BoxedBlock(
                    part[places], cells.low[block], cells.high[block], members[block] - first
                )

    def candidates(self, block, queries, n_kept, allowed):
        """Find rows of least estimate, as :meth:`Engine.candidates`."""
        queries = queries.to(self.coarse.dtype)
        best = self.selection(len(queries), n_kept, queries)
        if not self._search_cells(best, block, queries, allowed):
            best = self.search_tiles(queries, n_kept, allowed)
        return in_full(best.rows, best.scores, best.limit, queries)

    def _search_cells(self, best, block, queries, allowed):
        """Search cell after cell, the nearest first; give up if too many are needed."""
        cells, kept = self.cells, self.source
        norms = squared_lengths(queries).to(queries.dtype)
        low, high = block.low.amin(0)[None], block.high.amax(0)[None]
        around = squared_gaps(low, high, cells.low, cells.high)[0]
        waiting = around.argsort()
        tile_rows = self.coarse.tile_rows
        n_columns = max(tile_rows, self.first_rows) + self.cell_rows
        buffer = queries.new_empty(len(queries) * n_columns)
        n_rows = self.first_rows
        while len(waiting):
            n_cells = max(1, n_rows // cells.max_rows)
            places = cells.places(waiting[:n_cells])
            waiting = waiting[n_cells:]
            tile = kept.values[places], kept.norms[places], kept.order[places]
            self.offer(best, queries, tile, allowed, buffer)
            reach = (best.limit + norms)[block.members].amax(1)
            waiting = waiting[around[waiting] < reach.max()]
            gaps = squared_gaps(block.low, block.high, cells.low[waiting], cells.high[waiting])
            waiting = waiting[(gaps < reach[:, None]).any(0)]
            if len(waiting) > DENSE_SHARE * len(cells):
                return False
            n_rows = tile_rows
        return True
