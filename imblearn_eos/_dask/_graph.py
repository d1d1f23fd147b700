"""Stages of a computation on Dask: tasks that share one layer of a graph."""

from itertools import accumulate

import dask
import dask.array as da
import numpy as np
from dask.base import get_scheduler, tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from distributed import futures_of, wait


class Stage:
    """Tasks on the results of other tasks.

    Tasks are collected in one layer: with a layer for each, Dask would need time and memory that
    grow with the square of their number.

    Parameters
    ----------
    *dependencies : dask.delayed.Delayed
        Their graphs have all that the tasks use.
    """

    def __init__(self, *dependencies):
        self.dependencies = dependencies
        self.tasks = {}

    def add(self, name, function, *inputs):
        """Add a task and return its key, which depends on the function and its inputs only.

        Parameters
        ----------
        name : str
            Shown on Dask's dashboard.
        function : callable
            Pure; a ``functools.partial`` holds what are no keys.
        *inputs : key, list of keys or None
        """
        key = f"{name}-{tokenize(function, inputs)}"
        self.tasks[key] = (function, *map(_as_input, inputs))
        return key

    def delayed(self, keys):
        """Return the results of tasks as Delayed objects."""
        layer = f"stage-{tokenize(sorted(self.tasks))}"
        graph = HighLevelGraph.from_collections(layer, self.tasks, dependencies=self.dependencies)
        return [Delayed(key, graph, layer=layer) for key in keys]

    def compute(self, keys):
        """Return the results of tasks."""
        return dask.compute(*self.delayed(keys), **_scheduler())

    def persist(self, keys):
        """Compute tasks, and leave their results where they are: a list of Delayed objects."""
        results = list(dask.persist(*self.delayed(keys), **_scheduler()))
        # Else the inputs would be kept for a stage that is begun in the meantime.
        if futures := futures_of(results):
            wait(futures)
        return results

    def array(self, name, keys, function, sizes, like):
        """Return an array of chunks of rows, lazily.

        Parameters
        ----------
        name : str
            Shown on Dask's dashboard.
        keys : list of keys
            Tasks of this stage, at least one.
        function : callable
            Takes the result of a task and returns its rows.
        sizes : list of int
            The number of rows of each.
        like : ndarray of shape (0, ...)
            Has the dtype and the number of columns.
        """
        name = f"{name}-{tokenize(function, keys)}"
        rest = like.shape[1:]
        zeros = (0,) * len(rest)
        tasks = {(name, i, *zeros): (function, key) for i, key in enumerate(keys)}
        graph = HighLevelGraph.from_collections(name, tasks, dependencies=self.delayed(keys[:1]))
        return da.Array(graph, name, (tuple(map(int, sizes)), *((n,) for n in rest)), meta=like)


def _as_input(keys):
    return list(keys) if isinstance(keys, list) else keys


def _scheduler():
    # The compiled search takes one thread of Python at a time, so threads would gain nothing.
    return {} if get_scheduler() else {"scheduler": "synchronous"}


def starts_of(sizes):
    """Return the first row number of each block, and behind them the number of rows."""
    return np.array(list(accumulate(map(int, sizes), initial=0)), dtype=np.int64)
