"""Synthetic rows below the rows of a Dask collection, lazily."""

from functools import partial
from operator import itemgetter

import dask.array as da
import numpy as np

from imblearn_eos._compat import meta_of
from imblearn_eos._dask._blocks import count_rows, is_frame
from imblearn_eos._dask._draws import draw_again
from imblearn_eos._dask._graph import Stage, constant, starts_of
from imblearn_eos._frames import PandasFrame
from imblearn_eos._interpolation import interpolate

# Rows that are bases or enemies are read once and kept in blocks of this size, so that the tasks
# are as many as blocks of X and, for each block of new rows, these.
ENDS_BYTES = 2**28


class Output:
    """The synthetic rows of a sampler.

    Parameters
    ----------
    rows : Rows
        All rows, counted.
    plan : Plan
    max_step : float
    """

    def __init__(self, rows, plan, max_step):
        self.rows = rows
        self.stage = Stage(*rows.blocks[:1])
        self.blocks = plan.blocks
        self.sizes = [sum(piece.n_rows for piece in pieces) for pieces in plan.blocks]
        numbers = self.stage.add("eos-numbers", partial(constant, plan.ends))
        ends = self._add_ends(plan.ends)
        tables = {
            code: self.stage.add("eos-table", partial(constant, table))
            for code, table in plan.tables.items()
        }
        self.drawn, self.new = [], []
        for pieces in plan.blocks:
            # Drawn in each task that needs it, which is cheaper than to send it around.
            again = partial(draw_again, pieces=pieces, max_step=max_step)
            mine = [tables[piece.code] for piece in pieces]
            number = partial(number_ends, draw=again)
            self.drawn.append(self.stage.add("eos-draw", number, mine, numbers))
            self.new.append(self._add_new(ends, mine, again))

    def segments(self):
        """Return the bases, the enemies and the steps of all synthetic rows, as arrays."""
        names = ("eos-bases", np.int64), ("eos-enemies", np.int64), ("eos-steps", np.float64)
        return [
            self._array(name, self.drawn, itemgetter(part), np.empty(0, dtype))
            for part, (name, dtype) in enumerate(names)
        ]

    def append_rows(self):
        """Return all rows with the synthetic ones below them."""
        rows = self.rows
        if is_frame(rows.collection):
            return self._frame(rows.collection, rows.sizes, self.stage, self.new)
        like = np.empty((0, rows.n_features), rows.meta.dtype)
        return da.concatenate([rows.collection, self._array("eos-rows", self.new, constant, like)])

    def append_labels(self, y, classes):
        """Return all labels with those of the synthetic rows below them."""
        is_series = is_frame(y)
        dtype = meta_of(y).dtype
        if is_series and dtype == "category" and not y.cat.known:
            # Its categories stand for those of the partitions.
            dtype = "category"
        stage, new = Stage(), []
        for pieces in self.blocks:
            labels = classes[[piece.code for piece in pieces]]
            n_rows = [piece.n_rows for piece in pieces]
            repeat = partial(repeat_labels, labels, n_rows, dtype, is_series=is_series)
            new.append(stage.add("eos-labels", repeat))
        if is_series:
            sizes = self.rows.sizes if is_frame(self.rows.collection) else None
            return self._frame(y, sizes, stage, new)
        like = np.empty(0, dtype)
        return da.concatenate([y, self._array("eos-y", new, constant, like, stage)])

    def _array(self, name, keys, function, like, stage=None):
        if not keys:
            return da.from_array(like)
        return (stage or self.stage).array(name, keys, function, self.sizes, like)

    def _frame(self, given, sizes, stage, new):
        """Append partitions; the index is 0, 1, ... as that of a frame in memory."""
        import dask.dataframe as dd

        parts = given.to_delayed(optimize_graph=False)
        sizes = count_rows(parts) if sizes is None else sizes
        sizes = [*map(int, sizes), *self.sizes]
        starts = starts_of(sizes)
        stage = Stage(parts[0], *stage.delayed(new[:1]))
        meta = meta_of(given)
        name = getattr(meta, "name", None)
        keys = [
            stage.add("eos-partition", partial(number_rows, int(start), name), key)
            for key, start, size in zip(
                [*(part.key for part in parts), *new], starts[:-1], sizes, strict=True
            )
            if size
        ]
        divisions = [int(a) for a, size in zip(starts, sizes, strict=False) if size]
        divisions.append(int(starts[-1]) - 1)
        return dd.from_delayed(
            stage.delayed(keys), meta=meta, divisions=tuple(divisions), verify_meta=False
        )

    def _add_ends(self, used):
        """Add tasks that read used rows, ascending, in blocks; return them by their first place."""
        starts = starts_of(self.rows.sizes)
        itemsize = getattr(getattr(self.rows.meta, "dtype", None), "itemsize", 8)
        n_rows = max(1, ENDS_BYTES // (self.rows.n_features * itemsize))
        ends = {}
        for start in range(0, len(used), n_rows):
            part = used[start : start + n_rows]
            cuts = np.searchsorted(part, starts)
            taken = [
                self.stage.add("eos-take", partial(take_rows, rows=part[a:b] - first), block.key)
                for block, first, a, b in zip(
                    self.rows.blocks, starts[:-1], cuts[:-1], cuts[1:], strict=True
                )
                if a < b
            ]
            ends[start] = self.stage.add("eos-ends", join_rows, taken)
        return ends

    def _add_new(self, ends, tables, draw):
        """Add the tasks that make one block of synthetic rows; return the key of the last."""
        if len(ends) == 1:
            make = partial(synthesize, draw=draw)
            return self.stage.add("eos-synthesize", make, *ends.values(), tables)
        # No task has several blocks of ends.
        picked = [
            self.stage.add("eos-pick", partial(pick_ends, first=first, draw=draw), key, tables)
            for first, key in ends.items()
        ]
        make = partial(synthesize_picked, draw=draw)
        return self.stage.add("eos-synthesize", make, picked, tables)


# --- in tasks -------------------------------------------------------------------------------------


def number_ends(tables, numbers, *, draw):
    """Draw the bases and the enemies, as row numbers, and the steps of a block."""
    base, enemy, steps = draw(tables)
    return numbers[base], numbers[enemy], steps


def take_rows(x, *, rows):
    """Return some rows of a block."""
    return x.iloc[rows] if hasattr(x, "iloc") else np.asarray(x)[rows]


def join_rows(parts):
    """Join rows of several blocks."""
    if hasattr(parts[0], "iloc"):
        import pandas as pd

        return pd.concat(parts, ignore_index=True)
    return np.concatenate(parts)


def pick_ends(ends, tables, *, first, draw):
    """Return the places of those of some ends that a block of synthetic rows needs, and these."""
    places = np.unique(np.concatenate(draw(tables)[:2]))
    a, b = np.searchsorted(places, [first, first + len(ends)])
    return places[a:b], take_rows(ends, rows=places[a:b] - first)


def synthesize(ends, tables, *, draw):
    """Make a block of synthetic rows of all ends."""
    return make_rows(ends, draw(tables))


def synthesize_picked(picked, tables, *, draw):
    """Make a block of synthetic rows of the ends that were picked for it."""
    places, ends = zip(*picked, strict=True)
    base, enemy, steps = draw(tables)
    base, enemy = (np.searchsorted(np.concatenate(places), each) for each in (base, enemy))
    return make_rows(join_rows(ends), (base, enemy, steps))


def make_rows(ends, segments):
    """Make the rows on some segments, in the container of the ends."""
    if not hasattr(ends, "iloc"):
        return interpolate(ends, *segments)
    frame = PandasFrame(ends)
    return frame.append(interpolate(frame.to_array(), *segments), segments).iloc[len(ends) :]


def repeat_labels(labels, n_rows, dtype, *, is_series):
    """Return an array or a Series of labels, each as often as said."""
    repeated = np.repeat(labels, n_rows)
    if not is_series:
        return repeated.astype(dtype, copy=False)
    import pandas as pd

    return pd.Series(repeated, dtype=dtype)


def number_rows(first, name, frame):
    """Set the index of a frame, or the index and the name of a Series, to numbers of rows."""
    import pandas as pd

    frame = frame.set_axis(pd.RangeIndex(first, first + len(frame)))
    return frame if frame.ndim == 2 else frame.rename(name)
