"""Exact k-nearest-neighbour search on torch, tile by tile.

A matrix product bounds the distance of every pair; the few pairs that the bound cannot rule out are
measured again by direct differences, and only these measurements decide. So the answer is exact,
and the same bits on every device and for every tile size.

The bound
---------
Let q and x be centred rows, u = 2**-53, and C the float64 value of ``|x|^2 - 2 q.x``. Centring
rounds each coordinate by at most u times its size, the norm and the product by at most
``(d + 3) u`` times ``|x|^2 + 2 |q| |x|`` in any order of summation, and direct differences by at
most ``(log2(d) + 4) u`` times ``|q - x|^2``. Together, with a factor of two to spare, the directly
measured squared distance D obeys

    |C + |q|^2 - D| <= 2 (d + 16) u (|q| + |x|)^2 <= g (|q|^2 + |x|^2),    g = 4 (d + 16) u.

With the score ``s = C - g |x|^2``, then,

    s - g |q|^2 <= D - |q|^2 <= s + 2 g |x|^2 + g |q|^2.

Any k rows bound the k-th smallest D from above, so each of the k nearest rows, and each row tied
with them, has

    s <= max over those k rows of (s + 2 g |x|^2)  +  2 g |q|^2.

Rows with scores above this limit cannot be among the neighbours.
"""

import math

import torch
from scipy.sparse import issparse

# Candidates kept beyond k: rows with ties or near-ties across the k-th place need a second look
# only when there are more of these than that.
SPARE_CANDIDATES = 8
# A tile of scores that stays in the processor's cache is read again, by the selection, for free.
MAX_TILE_BYTES = {"cpu": 2**25, "cuda": 2**29}
MAX_TILE_ROWS = 8192


def exact_neighbors(queries, rows, n_neighbors, *, own=None, device, working_memory):
    """Find the nearest rows of each query, nearest first, equal distances by row index.

    Parameters
    ----------
    queries : torch.Tensor or CSR of shape (n_queries, n_features)
        Finite real numbers of any floating dtype.
    rows : torch.Tensor or CSR of shape (n_rows, n_features)
        The rows to search among.
    n_neighbors : int
        At most n_rows, or n_rows - 1 with ``own``.
    own : torch.Tensor of shape (n_queries,), dtype=int64, default=None
        The row that each query is, and that is not its neighbour.
    device : torch.device
        Where to compute.
    working_memory : float
        MiB for temporary arrays, beyond the input, its copy on the device and the output.

    Returns
    -------
    distances : torch.Tensor of shape (n_queries, n_neighbors), dtype=float64
        Euclidean distances, on ``device``.
    indices : torch.Tensor of shape (n_queries, n_neighbors), dtype=int64
        Row numbers, on ``device``.
    """
    scale = _power_of_two_scale(rows, queries)
    search = _TiledSearch(_Rows(rows, device, scale), working_memory)
    queries = search.rows if queries is rows else _Rows(queries, device, scale)
    own = None if own is None else own.to(device)

    distances = torch.empty(len(queries), n_neighbors, dtype=torch.float64, device=device)
    indices = torch.empty(len(queries), n_neighbors, dtype=torch.int64, device=device)
    step = search.queries_per_tile(n_neighbors)
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        squared, indices[block] = search.nearest(
            queries[block], n_neighbors, None if own is None else own[block]
        )
        distances[block] = squared.sqrt_().mul_(scale)
    return distances, indices


class _Rows:
    """Rows of a tensor or CSR matrix, read as scaled float64 tensors on one device."""

    def __init__(self, data, device, scale):
        self.data = data if issparse(data) else data.to(device)
        self.device = device
        self.inverse_scale = 1 / scale
        self.shape = data.shape

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        if issparse(self.data):
            index = index.cpu().numpy() if isinstance(index, torch.Tensor) else index
            part = torch.from_numpy(self.data[index].toarray())
        else:
            part = self.data[index]
        part = part.to(device=self.device, dtype=torch.float64)
        return part if self.inverse_scale == 1 else part * self.inverse_scale


class _TiledSearch:
    """The rows searched among, with all that is computed from them once."""

    def __init__(self, rows, working_memory):
        n_rows, n_features = rows.shape
        self.rows = rows
        # Half is for the scores and the selection among them, half for the direct differences.
        budget = working_memory * 2**20 / 2
        self.tile_bytes = min(budget / 3, MAX_TILE_BYTES[rows.device.type])
        self.tile_rows = int(max(1, min(n_rows, MAX_TILE_ROWS, budget / (24 * n_features))))
        self.pairs_per_chunk = int(max(1, budget / (32 * n_features)))
        self.tolerance = 4 * (n_features + 16) * 2.0**-53
        self.centre = sum(rows[tile].sum(0) / n_rows for tile in self._tiles())
        self.norms = torch.cat([self._centred(tile).square_().sum(1) for tile in self._tiles()])

    def queries_per_tile(self, n_neighbors):
        """How many queries make one block."""
        width = max(self.tile_rows, 4 * (n_neighbors + SPARE_CANDIDATES), 3 * self.rows.shape[1])
        return int(max(1, self.tile_bytes / (8 * width)))

    def nearest(self, queries, n_neighbors, own):
        """Squared distances and row numbers of one block of queries."""
        centred = queries - self.centre
        candidates, limit, certain = self._candidates(centred, n_neighbors, own)
        squared = self._squared_distances(queries, candidates)
        if own is not None:
            squared.masked_fill_(candidates == own[:, None], math.inf)
        squared, indices = _first_by_distance(squared, candidates, n_neighbors)
        doubtful = (~certain).nonzero()[:, 0]
        if len(doubtful):
            own = None if own is None else own[doubtful]
            squared[doubtful], indices[doubtful] = self._nearest_below(
                queries[doubtful], centred[doubtful], limit[doubtful], n_neighbors, own
            )
        return squared, indices

    def _candidates(self, centred, n_neighbors, own):
        """Collect rows of least score, the limit, and whether all rows up to it were collected."""
        n_kept = min(n_neighbors + SPARE_CANDIDATES, len(self.rows))
        scores = centred.new_empty(len(centred), 0)
        candidates = torch.empty(len(centred), 0, dtype=torch.int64, device=centred.device)
        for tile, tile_scores in self._score_tiles(centred, own):
            best, position = tile_scores.topk(min(n_kept, tile_scores.shape[1]), largest=False)
            scores = torch.cat([scores, best], dim=1)
            candidates = torch.cat([candidates, position + tile.start], dim=1)
            if scores.shape[1] > n_kept:
                scores, position = scores.topk(n_kept, largest=False)
                candidates = candidates.gather(1, position)
        scores, order = scores.sort(dim=1)
        candidates = candidates.gather(1, order)
        nearest = slice(0, n_neighbors)
        limit = (scores[:, nearest] + 2 * self.tolerance * self.norms[candidates[:, nearest]]).amax(
            1
        )
        # The smallest normal number stands for products that underflow to zero.
        limit += 2 * self.tolerance * centred.square().sum(1) + torch.finfo(torch.float64).tiny
        certain = (scores[:, -1] > limit) | (n_kept == len(self.rows))
        return candidates.sort(dim=1).values, limit, certain

    def _nearest_below(self, queries, centred, limit, n_neighbors, own):
        """Search all rows whose score does not exceed the limit, however many they are."""
        squared = queries.new_empty(len(queries), 0)
        indices = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
        for tile, scores in self._score_tiles(centred, own):
            query, position = (scores <= limit[:, None]).nonzero(as_tuple=True)
            scores.fill_(math.inf)
            for start in range(0, len(query), self.pairs_per_chunk):
                part = slice(start, start + self.pairs_per_chunk)
                difference = queries[query[part]] - self.rows[position[part] + tile.start]
                scores[query[part], position[part]] = _sum_of_squares(difference)
            row = torch.arange(tile.start, tile.start + scores.shape[1], device=scores.device)
            squared, indices = _first_by_distance(
                torch.cat([squared, scores], dim=1),
                torch.cat([indices, row.expand(len(queries), -1)], dim=1),
                n_neighbors,
            )
        return squared, indices

    def _squared_distances(self, queries, candidates):
        squared = queries.new_empty(candidates.shape)
        step = max(1, self.pairs_per_chunk // candidates.shape[1])
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            rows = self.rows[candidates[part].flatten()].view(*candidates[part].shape, -1)
            squared[part] = _sum_of_squares(queries[part, None] - rows)
        return squared

    def _score_tiles(self, centred, own):
        """Yield each tile of rows and its scores, in a buffer that the next tile overwrites."""
        buffer = centred.new_empty(len(centred) * self.tile_rows)
        for tile in self._tiles():
            rows = self._centred(tile)
            scores = buffer[: len(centred) * len(rows)].view(len(centred), len(rows))
            norms = self.norms[tile] * (1 - self.tolerance)
            torch.addmm(norms, centred, rows.T, alpha=-2, out=scores)
            if own is not None:
                here = ((own >= tile.start) & (own < tile.stop)).nonzero()[:, 0]
                scores[here, own[here] - tile.start] = math.inf
            yield tile, scores

    def _tiles(self):
        for start in range(0, len(self.rows), self.tile_rows):
            yield slice(start, start + self.tile_rows)

    def _centred(self, tile):
        return self.rows[tile] - self.centre


def _first_by_distance(squared, indices, n_neighbors):
    """Keep the smallest distances; a stable sort leaves ties in the order in which they stand."""
    squared, order = squared.sort(dim=1, stable=True)
    return squared[:, :n_neighbors], indices.gather(1, order[:, :n_neighbors])


def _sum_of_squares(difference):
    """Sum squares over the last axis in one fixed tree of additions: the same bits everywhere."""
    terms = difference.square_()
    while (width := terms.shape[-1]) > 1:
        half = width // 2
        folded = terms[..., :half] + terms[..., half : 2 * half]
        if width % 2:
            folded[..., 0] += terms[..., -1]
        terms = folded
    return terms[..., 0]


def _power_of_two_scale(*data):
    """1, or for huge or tiny numbers a power of two to divide by, so that squares stay in range."""
    largest = 0.0
    for part in data:
        values = torch.from_numpy(part.data) if issparse(part) else part
        if values.numel():
            largest = max(largest, *(abs(value.item()) for value in values.aminmax()))
    exponent = math.frexp(largest)[1]
    if abs(exponent) < 400 or largest == 0:
        return 1.0
    return math.ldexp(1.0, max(-1000, min(exponent, 1000)))
