"""Exact k-nearest-neighbour search, coarse to fine.

A coarse pass in float32 estimates squared distances, by matrix products or by differences, rules
out most rows without a look at them, and keeps a few candidates for each query. The candidates are
measured again by direct differences in float64, and only these measurements decide. A bound tells
for which queries that is proven to be all; the others are searched again in float64. So the answer
is exact, and the same bits on every device and for every tile size.

The bound
---------
Let u be the unit roundoff of the coarse dtype, q and x a centred query and row, |.| their lengths,
D = |q - x|^2, and E the coarse estimate of D. Its errors, all in multiples of |q|^2 + |x|^2:

- rounding the coordinates moves q and x by at most u|q| and u|x|, hence D by at most 4u, and u^2;
- the product and the two norms are sums of d terms, in any order: at most 2du + 2du^2;
- adding the three: at most 6u. (With direct differences instead: at most 2(d + 2)u in all.)

A box in the space of sketches (see ``_tree.py``) has a distance of at most D before rounding, and
sums fewer terms. So, with more than a factor of 1.5 to spare for u^2 and for the float64 steps,

    |E - D| <= g (|q|^2 + |x|^2),    g = 4 (d + 16) u.

The length of x is not known for rows that were ruled out unseen, but |x| <= |q| + |q - x| gives
|x|^2 <= 2|q|^2 + 2D, and so

    E <= (1 + 2g) D + 3g |q|^2.

The coarse pass returns L such that E >= L for every row that is no candidate. With D_k the k-th
smallest distance measured among the candidates, no other row can be as near as that if

    L > (1 + 2g) D_k + 3g |q|^2.

The comparison is strict, so rows tied with the k-th are candidates too; and it is false, as it
should be, where the coarse pass overflowed to infinity or NaN.

Where it is false, every row with E <= (1 + 2g) D_k + 3g |q|^2 is measured, E from a product in
float64: D_k bounds the k-th smallest distance of all, so these are all rows that matter. Where the
processor multiplies bfloat16 numbers, a first pass in these is tried before the one in float32;
it has a bound of its own, in ``_half.py``.
"""

import math
import threading
from contextlib import contextmanager

import torch

from imblearn_eos.neighbors._coarse import CoarseSearch, coarse_dtype
from imblearn_eos.neighbors._exact import (
    Rows,
    first_by_distance,
    power_of_two_scale,
    squared_distances,
    sum_of_squares,
)
from imblearn_eos.neighbors._selection import in_lines

# Candidates kept beyond k, for rows that float32 cannot tell from the k-th, and for ties.
SPARE_CANDIDATES = 8
# Rows that are looked at together in float64.
TILE_AGAIN = 1024
# Of squared distances in scaled units: below, sums of squares may have lost digits, or all.
SMALLEST_EXACT = 2.0**-900


class ExactSearch:
    """The nearest rows of any queries, nearest first, equal distances by row index.

    Parameters
    ----------
    rows : torch.Tensor or CSR of shape (n_rows, n_features)
        The rows to search among: finite real numbers of any dtype.
    device : torch.device
        Where to compute.
    working_memory : float
        MiB for temporary arrays, beyond the input, its copy on the device and the output.
    """

    def __init__(self, rows, device, working_memory):
        self.given = rows
        self.device = device
        self.working_memory = working_memory
        self.own_scale = power_of_two_scale(rows)
        self._lock = threading.Lock()
        with self._as_torch_is():
            self._prepare(self.own_scale, coarse_dtype())

    @contextmanager
    def _as_torch_is(self):
        """Set aside what the user has told torch to do by default."""
        # Autocast would round what the bounds take for float32.
        with torch.device(self.device), torch.autocast(self.device.type, enabled=False):
            yield

    def _prepare(self, scale, dtype):
        n_bytes = self.working_memory * 2**20
        rows = self.given
        self.scale = scale
        self.rows = Rows(rows, self.device, scale)
        self.coarse = CoarseSearch(self.rows, n_bytes, dtype)
        # What stays in the processor's cache is measured several times faster.
        numbers = min(n_bytes / 4 / 32, 2**18 if self.device.type == "cpu" else 2**26)
        self.pairs_at_once = int(max(1, numbers / rows.shape[1]))

    def kneighbors(self, queries, n_neighbors, *, own=None, allowed=None):
        """Find neighbours.

        Parameters
        ----------
        queries : torch.Tensor or CSR of shape (n_queries, n_features)
            Finite real numbers.
        n_neighbors : int
            At most the number of rows that each query may have as neighbours.
        own : torch.Tensor of shape (n_queries,), dtype=int64, default=None
            The row that each query is, and that is not its neighbour.
        allowed : torch.Tensor of shape (n_rows,), dtype=bool, default=None
            Which rows may be neighbours. None means all.

        Returns
        -------
        distances : torch.Tensor of shape (n_queries, n_neighbors), dtype=float64
            Euclidean distances.
        indices : torch.Tensor of shape (n_queries, n_neighbors), dtype=int64
            Row numbers.
        """
        with self._lock, self._as_torch_is():
            return self._kneighbors(queries, n_neighbors, own, allowed)

    def _kneighbors(self, queries, n_neighbors, own, allowed):
        device, given = self.device, queries
        scale, dtype = self.own_scale, coarse_dtype()
        if queries is not self.given:
            scale = max(scale, power_of_two_scale(queries))
        if (scale, dtype) != (self.scale, self.coarse.dtype):
            self._prepare(scale, dtype)
        queries = self.rows if queries is self.given else Rows(queries, device, self.scale)
        own, allowed = (None if part is None else part.to(device) for part in (own, allowed))
        if self.scale > 1:
            unscaled_rows = Rows(self.given, device, 1.0)
            is_own = given is self.given
            unscaled_queries = unscaled_rows if is_own else Rows(given, device, 1.0)
        distances = torch.empty(len(queries), n_neighbors, dtype=torch.float64, device=device)
        indices = torch.empty(len(queries), n_neighbors, dtype=torch.int64, device=device)
        self.coarse.prepare(len(queries))
        n_wanted = n_neighbors + (own is not None) + SPARE_CANDIDATES
        n_kept = math.ceil(n_wanted * self.coarse.candidates_per_neighbor)
        for numbers, boxes in self.coarse.blocks(queries, min(n_kept, len(self.rows))):
            squared, found = self._search_block(
                queries[numbers],
                boxes,
                n_neighbors,
                None if own is None else own[numbers],
                allowed,
                is_precise=False,
            )
            if self.scale > 1:
                self._check_range(unscaled_queries[numbers], unscaled_rows, squared, found)
            distances[numbers], indices[numbers] = squared.sqrt_().mul_(self.scale), found
        return distances, indices

    def _check_range(self, queries, rows, squared, found):
        """Raise if distances have vanished beside numbers that are too much larger."""
        query, column = (squared < SMALLEST_EXACT).nonzero(as_tuple=True)
        row = found[query, column]
        # Infinite where the second search found too few rows. Distances to copies are 0 also in
        # truth; copies are equal also where they are not divided by the scale.
        if squared.isinf().any() or any(
            (queries[i] != rows[j]).any()
            for i, j in zip(
                query.split(self.pairs_at_once), row.split(self.pairs_at_once), strict=True
            )
        ):
            raise ValueError(
                f"X has numbers of {self.scale * 2.0**399:.0e} or more, beside which the squared "
                "distances of nearer rows vanish in float64. Clip what stands for infinity or for "
                "missing values, or scale the features."
            )

    def _search_block(self, queries, boxes, n_neighbors, own, allowed, *, is_precise):
        centred = self.coarse.centred(queries.clone())
        n_rows = len(self.rows) if allowed is None else int(allowed.sum())
        n_wanted = n_neighbors + (own is not None) + SPARE_CANDIDATES
        if is_all := n_rows < n_wanted:
            rows = torch.arange(len(self.rows), device=self.device)
            candidates = (rows if allowed is None else rows[allowed]).expand(len(queries), -1)
        else:
            n_kept = n_wanted
            if not is_precise:
                n_kept = min(math.ceil(n_wanted * self.coarse.candidates_per_neighbor), n_rows)
            candidates, limit = self.coarse.candidates(
                centred, boxes, n_kept, allowed, is_precise=is_precise
            )
            candidates = candidates.sort(dim=1).values
        squared = squared_distances(
            queries, self.rows, candidates, self.pairs_at_once, self.coarse.kernels
        )
        if own is not None:
            squared.masked_fill_(candidates == own[:, None], math.inf)
        squared, indices = first_by_distance(squared, candidates, n_neighbors)
        if is_all:
            return squared, indices
        # In the coarse pass's own unit of length.
        nearest = squared[:, -1] * self.coarse.inverse_scale**2
        is_certain = limit > self.coarse.largest_estimate(nearest, centred, is_precise=is_precise)
        # Where float32 overflowed, the candidates are no rows in particular.
        is_known = limit.isfinite()
        doubtful = (~(is_certain & is_known)).nonzero()[:, 0]
        if not len(doubtful):
            return squared, indices
        if self.coarse.half is not None and not is_precise:
            squared[doubtful], indices[doubtful] = self._search_block(
                queries[doubtful],
                None,
                n_neighbors,
                None if own is None else own[doubtful],
                allowed,
                is_precise=True,
            )
            return squared, indices
        bound = torch.where(is_known, nearest, math.inf)
        for part in doubtful.split(self.pairs_at_once // TILE_AGAIN + 1):
            squared[part], indices[part] = self._search_again(
                queries[part],
                centred[part],
                bound[part],
                n_neighbors,
                None if own is None else own[part],
                allowed,
            )
        return squared, indices

    def _search_again(self, queries, centred, bound, n_neighbors, own, allowed):
        """Measure every row that may be nearer than a bound, or as near."""
        coarse = self.coarse
        norms = centred.square().sum(1)
        squared = queries.new_empty(len(queries), 0)
        indices = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
        for start in range(0, len(self.rows), TILE_AGAIN):
            tile = slice(start, start + TILE_AGAIN)
            rows = coarse.centred(self.rows[tile])
            lengths = rows.square().sum(1)
            if allowed is not None:
                lengths.masked_fill_(~allowed[tile], math.inf)
            estimates = torch.addmm(lengths, centred, rows.T, alpha=-2).add_(norms[:, None])
            limit = coarse.largest_estimate(bound, centred, dtype=torch.float64)
            if squared.shape[1] == n_neighbors:
                # Nothing is nearer than a copy, and equal distances go to the rows found before.
                limit.masked_fill_(squared[:, -1] == 0, -math.inf)
            is_near = estimates <= limit[:, None]
            if own is not None:
                here = ((own >= start) & (own < start + len(rows))).nonzero()[:, 0]
                is_near[here, own[here] - start] = False
            query, position = is_near.nonzero(as_tuple=True)
            if not len(query):
                continue
            found = position + start
            measured = torch.cat(
                [
                    sum_of_squares(queries[i] - self.rows[j])
                    for i, j in zip(
                        query.split(self.pairs_at_once),
                        found.split(self.pairs_at_once),
                        strict=True,
                    )
                ]
            )
            lines = in_lines(query, len(queries), (measured, math.inf), (found, 0))
            squared, indices = first_by_distance(
                torch.cat([squared, lines[0]], dim=1),
                torch.cat([indices, lines[1]], dim=1),
                n_neighbors,
            )
            if squared.shape[1] == n_neighbors:
                bound = torch.minimum(bound, squared[:, -1] * coarse.inverse_scale**2)
        return squared, indices
