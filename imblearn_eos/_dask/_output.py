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
    plans : list of ClassPlan
    max_step : float
    """

    def __init__(self, rows, plans, max_step):
        self.rows = rows
        self.stage = Stage(*rows.blocks[:1])
        self.codes, self.sizes, self.drawn = [], [], []
        for plan in plans:
            table = self.stage.add("eos-table", partial(constant, plan.table))
            for n_rows, states in zip(plan.sizes, plan.states, strict=True):
                redraw = partial(draw_again, n_rows=n_rows, max_step=max_step, states=states)
                self.codes.append(plan.code)
                self.sizes.append(n_rows)
                self.drawn.append(self.stage.add("eos-draw", redraw, table))
        used = np.unique(np.concatenate([np.empty(0, np.int64), *(plan.ends for plan in plans)]))
        ends = self._add_ends(used)
        self.new = []
        for drawn in self.drawn:
            picked = [self.stage.add("eos-pick", pick_ends, part, drawn) for part in ends]
            self.new.append(self.stage.add("eos-synthesize", synthesize, drawn, picked))

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
        repeat = repeat_label if is_series else np.full
        stage = Stage()
        new = [
            stage.add("eos-labels", partial(repeat, n_rows, classes[code], dtype))
            for code, n_rows in zip(self.codes, self.sizes, strict=True)
        ]
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
        """Add tasks that read used rows, ascending, in blocks; return their keys."""
        starts = starts_of(self.rows.sizes)
        itemsize = getattr(getattr(self.rows.meta, "dtype", None), "itemsize", 8)
        n_rows = max(1, ENDS_BYTES // (self.rows.n_features * itemsize))
        keys = []
        for start in range(0, len(used), n_rows):
            part = used[start : start + n_rows]
            cuts = np.searchsorted(part, starts)
            taken = [
                self.stage.add(
                    "eos-ends",
                    partial(take_ends, rows=part[a:b] - first, first=int(first)),
                    block.key,
                )
                for block, first, a, b in zip(
                    self.rows.blocks, starts[:-1], cuts[:-1], cuts[1:], strict=True
                )
                if a < b
            ]
            keys.append(self.stage.add("eos-join", join_ends, taken))
        return keys


# --- in tasks -------------------------------------------------------------------------------------


def take_ends(x, *, rows, first):
    """Return numbers of rows, and these rows of a block."""
    values = x.iloc[rows] if hasattr(x, "iloc") else np.asarray(x)[rows]
    return rows + first, values


def join_ends(parts):
    """Join rows of several blocks, with their numbers."""
    rows, values = zip(*parts, strict=True)
    if hasattr(values[0], "iloc"):
        import pandas as pd

        return np.concatenate(rows), pd.concat(values, ignore_index=True)
    return np.concatenate(rows), np.concatenate(values)


def pick_ends(ends, segments):
    """Take the rows that some segments begin or end in."""
    rows, values = ends
    is_wanted = np.isin(rows, np.concatenate(segments[:2]))
    return rows[is_wanted], values[is_wanted]


def synthesize(segments, picked):
    """Make the rows on some segments, in the container of the picked rows."""
    rows, values = join_ends(picked)
    base, enemy, steps = segments
    segments = np.searchsorted(rows, base), np.searchsorted(rows, enemy), steps
    if not hasattr(values, "iloc"):
        return interpolate(values, *segments)
    frame = PandasFrame(values)
    new = interpolate(frame.to_array(), *segments)
    return frame.append(new, segments).iloc[len(values) :]


def repeat_label(n_rows, label, dtype):
    """Return a Series of one label."""
    import pandas as pd

    return pd.Series(label, index=range(n_rows), dtype=dtype)


def number_rows(first, name, frame):
    """Set the index of a frame, or the index and the name of a Series, to numbers of rows."""
    import pandas as pd

    frame = frame.set_axis(pd.RangeIndex(first, first + len(frame)))
    return frame if frame.ndim == 2 else frame.rename(name)
