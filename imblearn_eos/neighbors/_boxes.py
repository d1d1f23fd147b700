"""The engine for many rows without numba: boxes around cells, and sketches, rule out most rows."""

import math
from dataclasses import dataclass

import torch

from imblearn_eos.neighbors._base import Block, in_full, multiply, squared_lengths
from imblearn_eos.neighbors._cells import SketchedRows, squared_gaps
from imblearn_eos.neighbors._tiles import Tiles

# A block that needs all features for more than this share of the cells reads all rows, in order.
DENSE_SHARE = 0.6
# Tiles of rows for which sketches may leave too much before a block does without them.
SKETCH_TRIALS = 2
# A block has so many times the queries of other engines, because it rules cells out only once.
TIMES_QUERIES = 2


@dataclass
class BoxedBlock(Block):
    """Queries, boxes around a few of them each, and which queries of the block a box holds."""

    sketches: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    members: torch.Tensor


class Boxes(Tiles):
    """Multiply a block of queries with the cells of rows that may be near, the nearest first.

    Where sketches tell which rows may be near, only these are multiplied in full.

    Parameters
    ----------
    coarse : CoarseRows
    """

    # Queries in a box, and rows in a cell.
    box_queries = 4
    cell_rows = 64
    # Rows that are searched before cells are ruled out.
    first_rows = 4096
    # Principal directions of a sketch. These carry nearly all variance of trained embeddings.
    n_directions = 12
    # Where sketches leave more than this share of the pairs, products of all features are faster.
    near_share = 1 / 64

    def __init__(self, coarse):
        self.sketched = SketchedRows(coarse, self.box_queries, self.n_directions)
        self.cells = self.sketched.cells.merged(self.cell_rows)
        super().__init__(coarse, self.sketched.kept)
        # The product of sketches must take much less time than that of rows.
        is_short = 2 * self.sketched.sketches.shape[1] <= coarse.rows.shape[1]
        self.n_trials = SKETCH_TRIALS if is_short else 0

    def pays(self, n_wanted):
        """Return whether rows are ruled out, for one block in 32 of half of the rows."""
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
        n_queries = min(TIMES_QUERIES * self.shape(n_kept)[0], self.n_affordable(n_kept))
        for part, sketches, cells in self.sketched.parts(queries, numbers):
            members = cells.padded()
            step = max(1, n_queries // members.shape[1])
            for start in range(0, len(cells), step):
                block = slice(start, start + step)
                first = members[start, 0]
                places = cells.order[first : cells.stops[block][-1]]
                yield BoxedBlock(
                    part[places],
                    sketches[places],
                    cells.low[block],
                    cells.high[block],
                    members[block] - first,
                )

    def candidates(self, block, queries, n_kept, allowed):
        """Find rows of least estimate, as :meth:`Engine.candidates`."""
        queries = queries.to(self.coarse.dtype)
        best = self.selection(len(queries), n_kept, queries)
        if not self._search_cells(best, block, queries, allowed):
            best = self.search_tiles(queries, n_kept, allowed)
        return in_full(best, queries)

    def _search_cells(self, best, block, queries, allowed):
        """Search cell after cell, the nearest first; return False if too many are needed."""
        cells, tile_rows = self.cells, self.coarse.tile_rows
        buffer = queries.new_empty(len(queries) * max(tile_rows, cells.max_rows))
        norms = squared_lengths(queries).to(queries.dtype)
        low, high = block.low.amin(0)[None], block.high.amax(0)[None]
        around = squared_gaps(low, high, cells.low, cells.high)[0]
        order = around.argsort()
        n_first = max(1, self.first_rows // cells.max_rows)
        for places in cells.places(order[:n_first]).split(tile_rows):
            self._offer_all(best, queries, places, allowed, buffer)
            best.merge()

        def within_reach(order):
            # Queries whose estimates overflow are in doubt in any case.
            reach = (best.limit + norms).masked_fill_(norms.isinf(), -math.inf)
            reach = reach[block.members].amax(1)
            order = order[around[order] < reach.max()]
            gaps = squared_gaps(block.low, block.high, cells.low[order], cells.high[order])
            return order[(gaps < reach[:, None]).any(0)]

        order, n_trials, n_full = within_reach(order[n_first:]), self.n_trials, 0
        n_cells = max(1, tile_rows // cells.max_rows)
        while len(order):
            places, order = cells.places(order[:n_cells]), order[n_cells:]
            if n_trials:
                if self._offer_near(best, queries, block.sketches, places, allowed, buffer):
                    continue
                n_trials -= 1
            if len(order) > DENSE_SHARE * len(cells):
                return False
            self._offer_all(best, queries, places, allowed, buffer)
            n_full += 1
            # After 1, 2, 4, ... tiles, because it takes as long for many cells as a tile.
            if n_full & (n_full - 1) == 0:
                best.merge()
                order = within_reach(order)
        return True

    def _offer_all(self, best, queries, places, allowed, buffer):
        """Offer the scores of all rows at some places in the order."""
        kept = self.source
        tile = kept.values[places], kept.norms[places], kept.order[places]
        self.offer(best, queries, tile, allowed, buffer)

    def _offer_near(self, best, queries, sketches, places, allowed, buffer):
        """Offer the scores that sketches do not rule out; return False if these are too many.

        A sketch is as long as its row. So the score of two sketches is at most that of the rows.
        """
        kept = self.source
        norms, numbers = kept.norms[places], kept.order[places]
        if allowed is not None:
            norms = norms.masked_fill(~allowed[numbers], math.inf)
        bounds = buffer[: len(queries) * len(norms)].view(len(queries), len(norms))
        row_sketches = self.sketched.sketches.index_select(0, numbers)
        multiply(norms, sketches, row_sketches, self.n_terms, bounds)
        found = best.find_by_bounds(bounds, self.near_share * bounds.numel())
        if found is None:
            return False
        query, column = found
        scores = norms[column]
        parts = (x.split(self.coarse.pairs_at_once) for x in (query, places[column], scores))
        for some, place, part in zip(*parts, strict=True):
            products = queries.index_select(0, some).mul_(kept.values.index_select(0, place))
            part.sub_(products.sum(1, dtype=torch.float64), alpha=2)
        is_small = scores < best.limit[query]
        best.add(query[is_small], scores[is_small], numbers[column[is_small]])
        return True
