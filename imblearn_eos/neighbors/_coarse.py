"""The coarse pass: rows that may be near, by products of low precision with few of the rows."""

import math
import sys
import warnings
from functools import cache
from typing import NamedTuple

import torch

from imblearn_eos.neighbors._half import make_half_rows
from imblearn_eos.neighbors._selection import SmallestScores
from imblearn_eos.neighbors._tree import Cells, Sketch, squared_gaps

# Columns of scores that stay in the processor's cache while the selection reads them again.
TILE_ROWS = {"cpu": 4096, "cuda": 65536}
BLOCK_QUERIES = {"cpu": 512, "cuda": 4096}
# A tree pays from about this many pairs and rows on.
MIN_TREE_PAIRS = 2**24
MIN_TREE_ROWS = 4096
CELL_ROWS = 64
# Compiled loops pay from about this many pairs on; the first time from more, because loading them
# takes a second. What they do with one coordinate takes as long as so many in a product.
MIN_KERNEL_PAIRS = 2**24
MIN_PAIRS_TO_LOAD = 2**28
KERNEL_BLOCK_QUERIES = 4096
KERNEL_COST = 15
CELL_QUERIES = 4
# Rows that are searched before cells are ruled out.
FIRST_ROWS = 4096
# A block of queries that needs more than this share of the cells reads all rows, in order.
DENSE_SHARE = 0.6
MAX_SAMPLE = 4096


class Boxes(NamedTuple):
    """Boxes around few queries each: corners in the space of sketches, and which queries."""

    low: torch.Tensor
    high: torch.Tensor
    members: torch.Tensor


class CoarseSearch:
    """All that the coarse pass computes from the rows once.

    Coarse coordinates are centred, divided by a power of two so that none of the rows exceeds 1,
    and rounded to ``dtype``.

    Parameters
    ----------
    rows : Rows
        The rows to search among.
    working_memory : float
        Bytes for temporary arrays.

    dtype : torch.dtype
        float32, or float64 where float32 products are imprecise.
    """

    def __init__(self, rows, working_memory, dtype):
        self.rows = rows
        self.device = rows.device
        self.dtype = dtype
        self.working_memory = working_memory
        n_rows, n_features = rows.shape
        self.tile_rows = TILE_ROWS[self.device.type]
        self.block_queries = BLOCK_QUERIES[self.device.type]
        # A tile's scores and what the selection takes; its rows, read in float64.
        while self.tile_rows > 32 and (
            self.block_queries * self.tile_rows * 3 * self.dtype.itemsize
            + (self.tile_rows + self.block_queries) * n_features * 24
            > working_memory / 4
        ):
            self.tile_rows //= 2
            self.block_queries = max(8, self.block_queries // 2)
        self.tile_rows = min(self.tile_rows, n_rows)
        self.centre = sum(rows[tile].sum(0) / n_rows for tile in self._tiles())
        largest = max(float((rows[tile] - self.centre).abs().max()) for tile in self._tiles())
        # Limited, for its square must stay in range.
        self.inverse_scale = 0.5 ** max(math.frexp(largest)[1], -500)
        # Coarse rows and their order; sketches, several times over, while the tree is made.
        self._bytes_stored = n_rows * (n_features * self.dtype.itemsize + 250)
        self.is_stored = self._bytes_stored < working_memory / 2
        self.cells = self.coarse = self.kernels = self.tree = self.half = self.fused = None
        self.candidates_per_neighbor = 1

    def prepare(self, n_queries):
        """Prepare for a number of queries: a tree is made once they are enough to pay for it."""
        if not self.is_stored:
            return
        n_rows = len(self.rows)
        n_pairs = n_queries * n_rows
        # Sketches are of float32, which the bound of float64 does not cover.
        can_have_cells = self.device.type == "cpu" and self.dtype == torch.float32
        is_loaded = "imblearn_eos.neighbors._kernels" in sys.modules
        n_needed = MIN_KERNEL_PAIRS if is_loaded else MIN_PAIRS_TO_LOAD
        if can_have_cells and self.kernels is None and n_pairs >= n_needed:
            self.kernels = _load_kernels()
            if self.kernels is not None:
                self._make_cells(CELL_ROWS)
                tree = self.kernels.TreeSearch(self.cells, self.sketches, self.coarse)
                self.tree = tree if self._pays(tree) else None
                if self.tree is None:
                    self._make_half()
        is_large = n_rows >= MIN_TREE_ROWS and n_pairs >= MIN_TREE_PAIRS
        if can_have_cells and self.cells is None and is_large:
            self._make_cells(CELL_QUERIES)
            self.wide_cells = self.cells.merged(CELL_ROWS)
        if self.coarse is None:
            self._store(torch.arange(n_rows, device=self.device))
        if self.device.type == "cuda" and self.dtype == torch.float32:
            self.fused = _load_fused(self.device)

    def _make_cells(self, cell_rows):
        step = -(-len(self.rows) // MAX_SAMPLE)
        self.sketch = Sketch(self.centred(self.rows[slice(0, None, step)]))
        self.sketches = self._sketches(self.rows)
        self.cells = Cells(self.sketches, cell_rows)
        self._store(self.cells.order)

    def _make_half(self):
        n_rows, n_features = self.rows.shape
        if self._bytes_stored + 2 * n_rows * (n_features + 4) < self.working_memory / 2:
            tolerance = self.tolerance_of(self.dtype)
            self.half, self.candidates_per_neighbor = make_half_rows(
                self.coarse, self.norms, tolerance, self.tile_rows, self.kernels
            )

    def _pays(self, tree):
        """Whether a tree takes less time than a product with all rows, on a few of the rows."""
        sample = torch.arange(0, len(self.rows), max(1, len(self.rows) // 64))
        sketches = self.sketches[self.order[sample]]
        everything = torch.ones(len(self.rows), dtype=torch.bool)
        _, _, work = tree.search(self.coarse[sample], sketches, 16, everything)
        n_sketches, n_measured = work.mean(0)
        cost = n_sketches * sketches.shape[1] + n_measured * self.rows.shape[1]
        return KERNEL_COST * cost < len(self.rows) * self.rows.shape[1]

    def tolerance_of(self, dtype):
        """G of the bound in ``_search.py``."""
        return 4 * (self.rows.shape[1] + 16) * torch.finfo(dtype).eps / 2

    def largest_estimate(self, squared, queries, *, is_precise=True, dtype=None):
        """Bound the estimates of all rows that are as near as some distance.

        Parameters
        ----------
        squared : torch.Tensor of shape (n_queries,), dtype=float64
            Squared distances, in the unit of coarse coordinates.
        queries : torch.Tensor of shape (n_queries, n_features), dtype=float64
            Centred and scaled.
        is_precise : bool, default=True
            As for :meth:`candidates`.
        dtype : torch.dtype, default=None
            Of the estimates; None means that of the coarse pass.
        """
        if self.half is not None and not is_precise:
            return self.half.largest_estimate(squared, queries)
        dtype = self.dtype if dtype is None else dtype
        tolerance = self.tolerance_of(dtype)
        # Products of coordinates below the smallest normal number may vanish.
        lost = torch.finfo(dtype).tiny * self.rows.shape[1]
        return (1 + 2 * tolerance) * squared + 3 * tolerance * queries.square().sum(1) + lost

    def centred(self, rows):
        """Centre and scale float64 rows."""
        return (rows - self.centre).mul_(self.inverse_scale)

    def blocks(self, queries, n_kept):
        """Split queries into blocks of such that lie together, if there is a tree.

        Parameters
        ----------
        queries : Rows
        n_kept : int
            How many candidates each will have.

        Yields
        ------
        numbers : torch.Tensor of shape (n_block,), dtype=int64
        boxes : Boxes or None
        """
        # Candidates and their rows, old and new, and what sorts them.
        needed = 100 * n_kept
        if self._is_fused(n_kept):
            needed += self.fused.bytes_per_query(n_kept)
        n_affordable = max(1, int(self.working_memory / 4 / needed))
        block_queries = min(self.block_queries, n_affordable)
        if self.cells is None or (self.kernels is not None and self.tree is None):
            for start in range(0, len(queries), block_queries):
                stop = min(start + block_queries, len(queries))
                yield torch.arange(start, stop, device=self.device), None
            return
        is_own = queries is self.rows
        sketches = self.sketches if is_own else self._sketches(queries)
        if self.tree is not None:
            order = self.cells.order if is_own else Cells(sketches, CELL_ROWS).order
            for numbers in order.split(min(KERNEL_BLOCK_QUERIES, n_affordable)):
                yield numbers, sketches[numbers]
            return
        cells = self.cells if is_own else Cells(sketches, CELL_QUERIES)
        members = cells.padded()
        step = max(1, block_queries // members.shape[1])
        for start in range(0, len(cells), step):
            block = slice(start, start + step)
            first = members[start, 0]
            numbers = cells.order[first : cells.stops[block][-1]]
            yield numbers, Boxes(cells.low[block], cells.high[block], members[block] - first)

    def candidates(self, queries, boxes, n_kept, allowed, *, is_precise=False):
        """Find rows of least score.

        Parameters
        ----------
        queries : torch.Tensor of shape (n_queries, n_features), dtype=float64
            A block of queries, centred and scaled.
        boxes : Boxes or None
            As :meth:`blocks` gives them.
        n_kept : int
            At most the number of rows allowed.
        allowed : torch.Tensor of shape (n_rows,), dtype=bool, or None
            Rows that may be found.
        is_precise : bool, default=False
            Whether estimates in bfloat16 will not do.

        Returns
        -------
        rows : torch.Tensor of shape (n_queries, n_kept), dtype=int64
            Row numbers.
        limit : torch.Tensor of shape (n_queries,), dtype=float64
            Every other row's estimated squared distance is at least this.
        """
        coarse = queries.to(self.dtype)
        norms = coarse.square().sum(1)
        if self.tree is not None:
            everything = torch.ones(len(self.rows), dtype=torch.bool)
            places, limit, _ = self.tree.search(
                coarse, boxes, n_kept, everything if allowed is None else allowed[self.order]
            )
            return self.order[places], limit.double()
        if self.half is not None and not is_precise:
            in_order = None if allowed is None else allowed[self.order]
            places, limit = self.half.search(coarse, n_kept, in_order)
            return self.order[places], limit
        if self._is_fused(n_kept):
            rows, limit = self._search_fused(coarse, n_kept, allowed)
            return rows, limit.double() + norms.double()
        if self.kernels is not None:
            boxes = None
        best = SmallestScores(len(coarse), n_kept, coarse, self.kernels)
        if boxes is None or not self._search_cells(best, coarse, norms, boxes, allowed):
            best = SmallestScores(len(coarse), n_kept, coarse, self.kernels)
            self._search_all(best, coarse, allowed)
        return best.rows, best.limit.double() + norms.double()

    def _is_fused(self, n_kept):
        return self.fused is not None and self.fused.pays(len(self.rows), n_kept)

    def _search_fused(self, coarse, n_kept, allowed):
        norms = self.norms
        if allowed is not None:
            norms = norms.masked_fill(~allowed[self.order], math.inf)
        places, limit = self.fused.find_smallest(
            coarse, self.coarse, norms, n_kept, self.working_memory / 4
        )
        rows = self.order[places]
        missing = limit.isneginf().nonzero()[:, 0]
        if len(missing):
            best = SmallestScores(len(missing), n_kept, coarse)
            self._search_all(best, coarse[missing], allowed)
            rows[missing], limit[missing] = best.rows, best.limit
        return rows, limit

    def _search_cells(self, best, coarse, norms, boxes, allowed):
        """Search cell after cell, nearest first; give up if too many are needed."""
        cells = self.wide_cells
        low, high = boxes.low.amin(0)[None], boxes.high.amax(0)[None]
        around = squared_gaps(low, high, cells.low, cells.high)[0]
        waiting = around.argsort()
        buffer = coarse.new_empty(len(coarse) * (max(self.tile_rows, FIRST_ROWS) + CELL_ROWS))
        n_rows = FIRST_ROWS
        while len(waiting):
            n_cells = max(1, n_rows // cells.max_rows)
            places = cells.places(waiting[:n_cells])
            waiting = waiting[n_cells:]
            rows = self.coarse[places], self.norms[places], self.order[places]
            self._offer(best, coarse, rows, allowed, buffer)
            reach = (best.limit + norms)[boxes.members].amax(1)
            waiting = waiting[around[waiting] < reach.max()]
            gaps = squared_gaps(boxes.low, boxes.high, cells.low[waiting], cells.high[waiting])
            waiting = waiting[(gaps < reach[:, None]).any(0)]
            if len(waiting) > DENSE_SHARE * len(cells):
                return False
            n_rows = self.tile_rows
        return True

    def _search_all(self, best, coarse, allowed):
        buffer = coarse.new_empty(len(coarse) * self.tile_rows)
        for tile in self._tiles():
            if self.is_stored:
                rows = self.coarse[tile], self.norms[tile], self.order[tile]
            else:
                stop = min(tile.stop, len(self.rows))
                part = self.centred(self.rows[tile]).to(self.dtype)
                numbers = torch.arange(tile.start, stop, device=self.device)
                rows = part, part.square().sum(1), numbers
            self._offer(best, coarse, rows, allowed, buffer)

    def _offer(self, best, coarse, tile, allowed, buffer):
        rows, norms, numbers = tile
        if allowed is not None:
            norms = norms.masked_fill(~allowed[numbers], math.inf)
        scores = buffer[: len(coarse) * len(rows)].view(len(coarse), len(rows))
        best.offer(torch.addmm(norms, coarse, rows.T, alpha=-2, out=scores), numbers)

    def _store(self, order):
        self.order = order
        self.coarse = torch.empty(self.rows.shape, dtype=self.dtype, device=self.device)
        for tile in self._tiles():
            self.coarse[tile] = self.centred(self.rows[order[tile]])
        self.norms = self.coarse.square().sum(1)

    def _sketches(self, rows):
        tiles = self._tiles(len(rows))
        return torch.cat([self.sketch(self.centred(rows[tile])) for tile in tiles])

    def _tiles(self, n_rows=None):
        for start in range(0, len(self.rows) if n_rows is None else n_rows, self.tile_rows):
            yield slice(start, start + self.tile_rows)


def coarse_dtype():
    """float32, unless torch was told to multiply float32 numbers with less than their precision."""
    try:
        is_full_precision = torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:
        # torch refuses to answer when its old and its new settings were mixed.
        is_full_precision = False
    return torch.float32 if is_full_precision else torch.float64


def _load_kernels():
    try:
        from imblearn_eos.neighbors import _kernels
    except ImportError:
        return None
    return _kernels


@cache
def _load_fused(device):
    """Give ``_triton`` if it works, for which Triton needs a C compiler and a recent device."""
    try:
        from imblearn_eos.neighbors import _triton
    except ImportError:
        return None
    rows = torch.zeros(1, 1, dtype=torch.float32, device=device)
    try:
        _triton.find_smallest(rows, rows, rows[0], 1, 0)
    except torch.OutOfMemoryError:
        # It says nothing of Triton, and the next time there may be enough.
        raise
    except Exception as error:
        warnings.warn(
            f"Triton does not work on {device}, so plain torch is used: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return _triton
