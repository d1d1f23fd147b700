"""Stages of a computation on Dask: tasks that share one layer of a graph."""

from functools import partial
from itertools import accumulate
from uuid import uuid4

import dask
import dask.array as da
import numpy as np
from dask.base import get_scheduler, tokenize
from dask.callbacks import Callback
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from distributed import futures_of, progress, wait

# Results that one task combines.
FAN_IN = 8


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
        self.settled = []

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
        self.tasks[key] = (function, *inputs)
        return key

    def hold(self, name, value):
        """Add a task that returns a value, and return its key, which is new each time.

        For what takes long to be hashed, such as a network.
        """
        key = f"{name}-{uuid4().hex}"
        self.tasks[key] = (partial(constant, value),)
        return key

    def fold(self, name, function, keys, fan_in=FAN_IN):
        """Add the tasks that combine results in a tree, in their order; return the last key.

        The order is that of the keys and not of arrival, so sums are the same after a lost worker.

        Parameters
        ----------
        name : str
            Shown on Dask's dashboard.
        function : callable
            Takes a list of results, of tasks or of itself.
        keys : list of keys
            At least one.
        fan_in : int
            Results that one task combines.
        """
        while len(keys) > 1:
            groups = [keys[i : i + fan_in] for i in range(0, len(keys), fan_in)]
            keys = [self.add(name, function, group) for group in groups]
        return keys[0]

    def delayed(self, keys, *, cull=False):
        """Return the results of tasks as Delayed objects; culled, with only what these need."""
        layer = f"stage-{tokenize(sorted(self.tasks))}"
        dependencies = *self.dependencies, *self.settled
        graph = HighLevelGraph.from_collections(layer, self.tasks, dependencies=dependencies)
        if not cull:
            return [Delayed(key, graph, layer=layer) for key in keys]
        # Layers stay layers, which Dask sends once, with their annotations; they are renamed.
        graph = graph.cull(set(keys))
        layers = {key: name for name, layer in graph.layers.items() for key in layer}
        return [Delayed(key, graph, layer=layers[key]) for key in keys]

    def compute(self, keys):
        """Return the results of tasks."""
        results = [part.dask[part.key] for part in self.persist(keys)]
        futures = futures_of(results)
        return futures[0].client.gather(results) if futures else results

    def settle(self, keys):
        """Compute tasks before any others are begun, and forget all but these.

        Tasks wait for one another, but what they read does not: Dask would read and keep the blocks
        of tasks that cannot begin yet.
        """
        self.settled = self.persist(keys)
        self.tasks = {}

    def persist(self, keys):
        """Compute tasks, and leave their results where they are: a list of Delayed objects.

        Of several tasks that raise ValueError, the error of the first is raised.
        """
        # A client would send all labels and rows in memory to the scheduler.
        parts = self.delayed(keys, cull=True)
        try:
            results = list(dask.persist(*parts, **_scheduler()))
            # Without a cluster there are none.
            if futures := futures_of(results):
                _wait(futures)
        except ValueError:
            for part in parts:
                dask.compute(part, **_scheduler())
            raise
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
        sizes : list of int or NaN
            The number of rows of each, NaN if it is not known.
        like : ndarray of shape (0, ...)
            Has the dtype and the number of columns.
        """
        name = f"{name}-{tokenize(function, keys)}"
        rest = like.shape[1:]
        zeros = (0,) * len(rest)
        tasks = {(name, i, *zeros): (function, key) for i, key in enumerate(keys)}
        graph = HighLevelGraph.from_collections(name, tasks, dependencies=self.delayed(keys[:1]))
        sizes = tuple(size if size != size else int(size) for size in sizes)
        return da.Array(graph, name, (sizes, *((n,) for n in rest)), meta=like)


def _wait(futures):
    """Wait for all futures; raise the error of one that has any."""
    if Callback.active:
        # A bar of Dask's local schedulers was asked for, and knows of no cluster.
        progress(futures, notebook=False)
    # Else the inputs would be kept for a stage that is begun in the meantime.
    wait(futures)
    for future in futures:
        if future.status == "error":
            future.result()


def _scheduler():
    # The compiled search takes one thread of Python at a time, so threads would gain nothing.
    return {} if get_scheduler() else {"scheduler": "synchronous"}


def constant(value):
    """Return a value, as a task whose result several others use."""
    return value


def starts_of(sizes):
    """Return the first row number of each block, and behind them the number of rows."""
    return np.array(list(accumulate(map(int, sizes), initial=0)), dtype=np.int64)
