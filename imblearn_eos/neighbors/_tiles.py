"""The plain engine: products with all rows, tile by tile."""

import math

from imblearn_eos.neighbors._base import TERMS, Engine, in_full, multiply
from imblearn_eos.neighbors._selection import SmallestScores


class Tiles(Engine):
    """Multiply a block of queries with tiles of rows. Works for any data, size and device.

    Parameters
    ----------
    coarse : CoarseRows
    source : KeptRows, default=None
        The rows in another order.
    """

    selection = SmallestScores
    n_terms: int | None = TERMS

    def __init__(self, coarse, source=None):
        super().__init__(coarse)
        self.source = coarse.kept if source is None else source

    def candidates(self, block, queries, n_kept, allowed):
        """Find rows of least estimate, as :meth:`Engine.candidates`."""
        queries = queries.to(self.coarse.dtype)
        return in_full(self.search_tiles(queries, n_kept, allowed), queries)

    def search_tiles(self, queries, n_kept, allowed):
        """Return the smallest scores of queries in the coarse dtype: SmallestScores."""
        best = self.selection(len(queries), n_kept, queries)
        _, tile_rows = self.shape(n_kept)
        buffer = queries.new_empty(len(queries) * tile_rows)
        for tile in self.source.tiles(tile_rows):
            self.offer(best, queries, tile, allowed, buffer)
        return best

    def offer(self, best, queries, tile, allowed, buffer):
        """Offer the scores of one tile: squared distances less the query's squared length."""
        rows, norms, numbers = tile
        if allowed is not None:
            norms = norms.masked_fill(~allowed[numbers], math.inf)
        scores = buffer[: len(queries) * len(rows)].view(len(queries), len(rows))
        best.offer(multiply(norms, queries, rows, self.n_terms, scores), numbers)
