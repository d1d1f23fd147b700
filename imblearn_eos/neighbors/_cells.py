"""Which rows cannot be near: boxes around cells of rows, in a space of few dimensions.

Shared by the engines that rule rows out, ``_boxes.py`` and ``_compiled_boxes.py``.
"""

import copy
import math

import torch

from imblearn_eos.neighbors._base import BYTES_BESIDE_ROW, KeptRows

# Rows from which the directions of sketches are computed.
MAX_SAMPLE = 4096


class Sketch:
    """A map to few dimensions that never lengthens a distance.

    The first coordinates of a row x are its projection ``P x`` on orthonormal directions, the last
    is the length ``r(x)`` of the rest of it. As |r(q) - r(x)| is at most the length of the rest of
    q - x,

        |P q - P x|^2 + (r(q) - r(x))^2 <= |q - x|^2.

    A sketch is as long as its row, so the product of two is at least that of the rows. The
    directions are the principal ones of a sample: any would be right, these rule out most.

    Parameters
    ----------
    sample : torch.Tensor of shape (n_rows, n_features), dtype=float64
        Centred rows.
    n_directions : int
    """

    def __init__(self, sample, n_directions):
        n_features = sample.shape[1]
        self.directions = None
        if n_features > n_directions + 1:
            generator = torch.Generator().manual_seed(0)
            start = torch.randn(n_features, n_directions, dtype=torch.float64, generator=generator)
            self.directions = start.to(sample.device)
            for _ in range(4):
                self.directions = torch.linalg.qr(sample.T @ (sample @ self.directions)).Q

    def __call__(self, centred):
        """Map centred rows of float64 to sketches of float32, (n_rows, n_dimensions)."""
        if self.directions is None:
            return centred.float()
        projected = centred @ self.directions
        rest = torch.linalg.vector_norm(centred - projected @ self.directions.T, dim=1)
        return torch.cat([projected, rest[:, None]], dim=1).float()


class SketchedRows:
    """Rows to search among in the order of compact cells, with their sketches.

    Parameters
    ----------
    coarse : CoarseRows
    cell_rows : int
        The most rows of a cell, and the most queries.
    n_directions : int
        Principal directions of a sketch.

    Attributes
    ----------
    sketches : torch.Tensor of shape (n_rows, n_dimensions), dtype=float32
    cells : Cells
    kept : KeptRows
        In the order of the cells.
    """

    def __init__(self, coarse, cell_rows, n_directions):
        self.coarse = coarse
        self.cell_rows = cell_rows
        step = -(-len(coarse.rows) // MAX_SAMPLE)
        self.sketch = Sketch(coarse.centred(coarse.rows[slice(0, None, step)]), n_directions)
        self.numbers = torch.arange(len(coarse.rows), device=coarse.rows.device)
        self.sketches = self._sketch(coarse.rows, self.numbers)
        self.cells = Cells(self.sketches, cell_rows)
        self.kept = KeptRows(coarse, self.cells.order)

    def parts(self, queries, numbers):
        """Yield numbers of queries, their sketches and cells, for as many as memory allows."""
        if queries is self.coarse.rows and torch.equal(numbers, self.numbers):
            yield numbers, self.sketches, self.cells
            return
        bytes_per_query = BYTES_BESIDE_ROW[numbers.device.type]
        for part in numbers.split(max(1, int(self.coarse.n_bytes / 8 / bytes_per_query))):
            sketches = self._sketch(queries, part)
            yield part, sketches, Cells(sketches, self.cell_rows)

    def _sketch(self, rows, numbers):
        parts = numbers.split(self.coarse.tile_rows)
        return torch.cat([self.sketch(self.coarse.centred(rows[part])) for part in parts])


class Cells:
    """Rows in such an order that compact cells of rows are consecutive.

    All rows are split at the median of their widest coordinate, then each half again, until no
    cell has more than ``cell_rows`` rows. Sizes of cells differ by one at most.

    Parameters
    ----------
    sketches : torch.Tensor of shape (n_rows, n_dimensions)
    cell_rows : int

    Attributes
    ----------
    order : torch.Tensor of shape (n_rows,), dtype=int64
        Row numbers.
    starts, stops : torch.Tensor of shape (n_cells,), dtype=int64
        Cell i holds ``order[starts[i]:stops[i]]``. The number of cells is a power of two, and each
        half, quarter, ... of the cells is a compact cell too.
    low, high : torch.Tensor of shape (n_cells, n_dimensions)
        Corners of the box around each cell.
    """

    def __init__(self, sketches, cell_rows):
        n_rows = len(sketches)
        self.order = torch.arange(n_rows, device=sketches.device)
        bounds = torch.tensor([0, n_rows], device=sketches.device)
        self.starts, self.stops = bounds[:-1], bounds[1:]
        for _ in range(max(0, math.ceil(math.log2(n_rows / cell_rows)))):
            self._sort_along_widest(sketches)
            middles = (bounds[:-1] + bounds[1:]) // 2
            bounds = torch.cat([bounds, middles]).sort().values
            self.starts, self.stops = bounds[:-1], bounds[1:]
        members = sketches[self.order[self.padded()]]
        self.low, self.high = members.amin(1), members.amax(1)

    def _sort_along_widest(self, sketches):
        """Sort the rows of each cell by its widest coordinate."""
        rows = self.order[self.padded()]
        is_filled = self.is_filled()
        members = sketches[rows]
        widest = members.var(1).argmax(1)
        values = members[torch.arange(len(members)), :, widest]
        # After every number, and after every NaN of the cell, because it stands behind them.
        values[~is_filled] = math.nan
        self.order = rows.gather(1, values.argsort(dim=1, stable=True))[is_filled]

    def merged(self, max_rows):
        """Merge cells two by two as long as they have no more rows than this."""
        cells = copy.copy(self)
        while len(cells) > 1 and 2 * cells.max_rows <= max_rows:
            cells.starts, cells.stops = cells.starts[::2], cells.stops[1::2]
            cells.low = cells.low.view(len(cells), 2, -1).amin(1)
            cells.high = cells.high.view(len(cells), 2, -1).amax(1)
        return cells

    def __len__(self):
        return len(self.starts)

    @property
    def max_rows(self):
        """Rows of the largest cell."""
        return int((self.stops - self.starts).max())

    def padded(self):
        """Return places in the order, a line for each cell; a short cell's last place twice."""
        places = self.starts[:, None] + torch.arange(self.max_rows, device=self.starts.device)
        return torch.minimum(places, self.stops[:, None] - 1)

    def is_filled(self):
        """Return which places of :meth:`padded` are not repetitions."""
        sizes = (self.stops - self.starts)[:, None]
        return torch.arange(self.max_rows, device=sizes.device) < sizes

    def places(self, cells):
        """Return the places in the order of all rows of some cells."""
        places = self.starts[cells, None] + torch.arange(self.max_rows, device=cells.device)
        return places[places < self.stops[cells, None]]


def squared_gaps(low, high, other_low, other_high):
    """Compute squared distances between boxes: corners (n, m) and (k, m) to (n, k)."""
    gaps = low.new_zeros(len(low), len(other_low))
    for axis in range(low.shape[1]):
        gap = torch.maximum(
            low[:, axis, None] - other_high[:, axis], other_low[:, axis] - high[:, axis, None]
        ).clamp_(min=0)
        gaps.addcmul_(gap, gap)
    return gaps
