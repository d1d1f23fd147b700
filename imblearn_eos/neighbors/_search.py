"""Exact k-nearest-neighbor search, coarse to fine.

Engines find candidates with estimates of their distances, direct differences in float64 measure
those whose order is in doubt (``_order.py``), and the certificate (``_certificate.py``) states for
which queries that is proven to be all. The other queries go to the next engine, and at last to a
search in float64. So the answer is exact, and has the same bits on every device, with every engine
and for every tile size.
"""

import math
import threading
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from scipy.sparse import issparse

from imblearn_eos._device import free_bytes
from imblearn_eos._threads import one_thread
from imblearn_eos.neighbors._base import SELECTION, SPARE_CANDIDATES
from imblearn_eos.neighbors._certificate import bound_of_products
from imblearn_eos.neighbors._choose import (
    Size,
    choose_engines,
    coarse_dtype,
    count_work,
    make_engines,
)
from imblearn_eos.neighbors._exact import Rows, as_slice, first_by_distance, measure
from imblearn_eos.neighbors._selection import in_lines

# The most rows and queries that are looked at together in float64. A GPU waits at each tile.
TILE_AGAIN = {"cpu": 1024, "cuda": 2**17}
QUERIES_AGAIN = {"cpu": 128, "cuda": 4096}
# Tiles are smaller where less than so many queries fit into memory, but not smaller than this.
ENOUGH_QUERIES_AGAIN, LEAST_TILE_AGAIN = 1024, 1024
# Multiplications from which on more than one thread pays.
PRODUCTS_FOR_THREADS = 2**21
# Engines serve searches for similar numbers of candidates: of as many bits, divided by this.
BITS_OF_WANTED = 3
# Of the memory that is free on a CUDA device, for temporary arrays.
SHARE_OF_FREE = 0.5
# MiB for temporary arrays. With less, a search would take one row after the other, for hours.
LEAST_MEMORY = 4


def _are_same(rows, others):
    """Return whether two tensors are views of the same memory with the same layout."""
    if issparse(rows) or issparse(others):
        return False
    layouts = [
        (x.data_ptr(), x.device, x.shape, x.stride(), x.dtype, x.is_neg()) for x in (rows, others)
    ]
    return layouts[0] == layouts[1]


class Task(NamedTuple):
    """What is asked for, as in :meth:`ExactSearch.nearest`."""

    queries: Rows
    n_neighbors: int
    own: torch.Tensor | None
    allowed: torch.Tensor | None
    n_allowed: int
    reach: torch.Tensor | None
    result: str


class ExactSearch:
    """The nearest rows of any queries, nearest first, equal distances by row index.

    Parameters
    ----------
    rows : torch.Tensor or CSR of shape (n_rows, n_features)
        The rows to search among: real numbers of any dtype, at most 1e150 in size.
    device : torch.device
        Where to compute.
    working_memory : float or None
        MiB for temporary arrays, beyond the input, its copy on the device and the output; at least
        ``LEAST_MEMORY`` are taken. None, on CUDA only, means a share of what is free there then.
    """

    def __init__(self, rows, device, working_memory):
        self.given = rows
        self.device = device
        self.rows = Rows(rows, device)
        if working_memory is None:
            working_memory = SHARE_OF_FREE * free_bytes(device) / 2**20
        self.n_bytes = max(working_memory, LEAST_MEMORY) * 2**20
        self._most_queries = 0
        self._prepared = {}
        self._lock = threading.Lock()

    def nearest(
        self, queries, n_neighbors, *, own=None, allowed=None, reach=None, result="distances"
    ):
        """Find the nearest rows.

        Parameters
        ----------
        queries : torch.Tensor or CSR of shape (n_queries, n_features)
            Real numbers of at most 1e150 in size.
        n_neighbors : int
            At most the number of rows that each query may have as neighbors.
        own : torch.Tensor of shape (n_queries,), dtype=int64, default=None
            The row that each query is, and that is not its neighbor.
        allowed : torch.Tensor of shape (n_rows,), dtype=bool, default=None
            Which rows may be neighbors. None means all.
        reach : torch.Tensor of shape (n_queries,), dtype=float64, default=None
            Squared distances beyond which neighbors are not needed: what is returned beyond them
            is arbitrary. Only for results with distances. None means infinity.
        result : {"distances", "order", "sets"}, default="distances"
            What is needed: neighbors in order with their distances, neighbors in order, or
            neighbors by row number. Less is measured for less.

        Returns
        -------
        squared : torch.Tensor of shape (n_queries, n_neighbors), dtype=float64
            Squared Euclidean distances, for "distances" only; else None. Unlike their roots, they
            tie only where rows do.
        indices : torch.Tensor of shape (n_queries, n_neighbors), dtype=int64
            Row numbers.
        """
        # Threads that wait for each other cost more than they bring where there is little to do.
        n_products = queries.shape[0] * len(self.rows) * (self.rows.shape[1] + SELECTION)
        is_little = self.device.type == "cpu" and n_products < PRODUCTS_FOR_THREADS
        with self._lock, self._as_torch_is(), one_thread(is_little):
            # Elsewhere the rows are a copy, of which the caller's memory may differ by now.
            is_here = self.rows.data is self.given
            is_own = queries is self.given or (is_here and _are_same(queries, self.given))
            queries = self.rows if is_own else Rows(queries, self.device)
            own, allowed, reach = (
                None if x is None else x.to(self.device) for x in (own, allowed, reach)
            )
            n_allowed = len(self.rows) if allowed is None else int(allowed.sum())
            return self._nearest(Task(queries, n_neighbors, own, allowed, n_allowed, reach, result))

    @contextmanager
    def _as_torch_is(self):
        """Set aside what the user has told torch to do by default."""
        # A device that is set sends each call of torch through Python.
        is_default = torch.get_default_device() == self.device
        is_autocast = torch.is_autocast_enabled(self.device.type)
        # Autocast would round what the bounds take for float32.
        with (
            nullcontext() if is_default else self.device,
            torch.autocast(self.device.type, enabled=False) if is_autocast else nullcontext(),
        ):
            yield

    def _engines_for(self, n_queries, n_wanted, is_sorted):
        """Make engines, or take those of the last call if they are the same."""
        # What was prepared for many queries also serves few.
        self._most_queries = max(self._most_queries, n_queries)
        dtype = coarse_dtype()
        shape, most = self.rows.shape, self._most_queries
        size = Size(*shape, most, n_wanted, is_sorted, self.device, dtype, self.n_bytes)
        count_work(n_queries, *shape)
        chains = choose_engines(size)
        # Which engine pays differs between few neighbors and many.
        n_bits = n_wanted.bit_length() // BITS_OF_WANTED if len(chains) > 1 else 0
        key = (dtype, n_bits, *chains)
        if key not in self._prepared:
            # What other engines hold is freed before more is made.
            self._prepared.clear()
            self._prepared[key] = make_engines(chains, self.rows, size)
        return self._prepared[key]

    def _nearest(self, task):
        n_queries, k = len(task.queries), task.n_neighbors
        squared = (
            torch.empty(n_queries, k, dtype=torch.float64) if task.result == "distances" else None
        )
        indices = torch.empty(n_queries, k, dtype=torch.int64)
        if not n_queries:
            return squared, indices
        n_allowed = task.n_allowed
        n_wanted = k + (task.own is not None) + SPARE_CANDIDATES
        engines = self._engines_for(n_queries, n_wanted, task.result != "sets")
        if (answer := engines[0].answer(task)) is not None:
            return answer
        # At least the k-th distance of each query, in the unit of coarse coordinates.
        bound = torch.full((n_queries,), math.inf, dtype=torch.float64)
        waiting = torch.arange(n_queries)
        for engine in engines:
            n_kept = min(engine.n_candidates(n_wanted), n_allowed)
            # Collected over all blocks, because a GPU would wait for the number of each.
            is_doubtful = torch.zeros(n_queries, dtype=torch.bool)
            for block in engine.blocks(task.queries, waiting, n_kept):
                some = as_slice(block.numbers)
                found = self._search_block(engine, block, task, n_kept)
                indices[some], measured, bound[some], is_certain = found
                if squared is not None:
                    squared[some] = measured
                is_doubtful[some] = ~is_certain
            waiting = is_doubtful.nonzero()[:, 0]
            if not len(waiting):
                return squared, indices
        n_at_once, tile_rows = self._shape_again(k, len(waiting))
        for numbers in waiting.split(n_at_once):
            measured, found = self._search_again(
                engines[-1].coarse, task, numbers, bound[numbers], tile_rows
            )
            indices[numbers] = found.sort(dim=1).values if task.result == "sets" else found
            if squared is not None:
                squared[numbers] = measured
        return squared, indices

    def _shape_again(self, k, n_queries):
        """Return how many queries and rows the search in float64 looks at together."""
        kind, n_features = self.device.type, self.rows.shape[1]
        enough, tile_rows = min(n_queries, ENOUGH_QUERIES_AGAIN), TILE_AGAIN[kind]
        while True:
            # Every row is read again for each part of the queries. A pair takes 100 bytes where all
            # rows are near.
            n_bytes = 100 * (k + tile_rows) + 24 * n_features
            n_affordable = int(self.n_bytes / 4 / n_bytes)
            is_tight = max(enough * n_bytes, 24 * n_features * tile_rows) > self.n_bytes / 4
            if not is_tight or tile_rows <= LEAST_TILE_AGAIN:
                return max(1, min(QUERIES_AGAIN[kind], n_affordable)), tile_rows
            tile_rows //= 2

    def _search_block(self, engine, block, task, n_kept):
        """Compare an engine's candidates with each other, and with what it left out."""
        centred = engine.centred(task.queries, block.numbers)
        if task.own is not None:
            block.own = task.own[block.numbers]
        block.is_set = task.result == "sets"
        found = engine.candidates(block, centred, n_kept, task.allowed)
        if block.own is not None and found.has_own:
            found.estimates.masked_fill_(found.rows == block.own[:, None], math.inf)

        bound, unit, k = engine.bound(centred), engine.coarse.unit, task.n_neighbors
        indices, squared, farthest = engine.select(
            found, bound, k, task.result, task.queries, block.numbers
        )
        if task.reach is not None:
            farthest = torch.minimum(farthest, task.reach[block.numbers])
        farthest = farthest * unit
        is_certain = found.limit > bound.largest_estimate(farthest)
        is_overflow = found.limit.isnan()
        if n_kept == task.n_allowed:
            is_certain = ~is_overflow
        # Where estimates overflowed, candidates may be repeated and bound nothing.
        return indices, squared, farthest.masked_fill(is_overflow, math.inf), is_certain

    def _search_again(self, coarse, task, numbers, bound, tile_rows):
        """Measure every row that may be nearer than a bound, or as near, by float64 estimates."""
        k, queries = task.n_neighbors, task.queries[numbers]
        centred = coarse.centred(queries)
        norms = centred.square().sum(1)
        margin = bound_of_products(centred, torch.float64, coarse.unit)
        squared = queries.new_empty(len(queries), 0)
        indices = torch.empty(len(queries), 0, dtype=torch.int64)
        every = torch.arange(len(queries))
        for start in range(0, len(self.rows), tile_rows):
            tile = slice(start, start + tile_rows)
            rows = coarse.centred(self.rows[tile])
            lengths = rows.square().sum(1)
            if task.allowed is not None:
                # Not infinity, which is as near as an infinite bound.
                lengths.masked_fill_(~task.allowed[tile], math.nan)
            estimates = torch.addmm(lengths, centred, rows.T, alpha=-2).add_(norms[:, None])
            limit = margin.largest_estimate(bound)
            if squared.shape[1] == k:
                # Nothing is nearer than a copy, and equal distances go to the rows found before.
                limit.masked_fill_(squared[:, -1] == 0, -math.inf)
            is_near = estimates <= limit[:, None]
            if task.own is not None:
                own = task.own[numbers] - start
                place = own.clamp(0, len(rows) - 1)
                is_near[every, place] &= own != place
            query, position = is_near.nonzero(as_tuple=True)
            if not len(query):
                continue
            found = position + start
            measured = measure(queries, self.rows, query, found, coarse.pairs_at_once)
            lines = in_lines(query, len(queries), (measured, math.inf), (found, 0))
            squared, indices = first_by_distance(
                torch.cat([squared, lines[0]], dim=1), torch.cat([indices, lines[1]], dim=1), k
            )
            if squared.shape[1] == k:
                bound = torch.minimum(bound, squared[:, -1] * coarse.unit)
        # Fewer than k may be within reach.
        missing = (0, k - squared.shape[1])
        pad = torch.nn.functional.pad
        return pad(squared, missing, value=math.inf), pad(indices, missing)
