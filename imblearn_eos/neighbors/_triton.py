"""The engine for CUDA: one fused kernel that never writes the matrix of scores.

The selection is loose, so that it needs no order and no communication between threads. Tiles of
rows are dealt out in turn to chunks, a chunk and a tile of queries are one program, and a program
keeps for each query and each column of its tiles, a *lane*, the few smallest scores that it saw
there, and their rows. The candidates are the smallest of what all lanes kept.

Why the limit holds
-------------------
Every row that may be found has one lane. A row that is not a candidate was either

- kept by its lane, but not selected: then its score is at least the largest of the
  candidates' scores; or
- dropped by its lane, when the lane was full with scores that were at most as large. What a full
  lane keeps only ever decreases, so the row's score is at least the largest that the lane kept in
  the end.

So the smaller of the largest candidate's score and of the least of the full lanes' largest scores
is a limit: no other row scores less. It is useful unless one lane has as many of the nearest rows
as it can keep. With m nearest rows, n lanes and c scores in a lane, that is expected to happen
C(m, c) / n**(c - 1) times if rows are dealt out at random; the number of lanes is chosen by it.
Tiles are dealt out in turn because near rows often stand together, as the rows of a class do.

A score that is NaN is never kept nor counted. It comes only from an overflow, by which the squared
length of the query is infinite, so that the search knows.
"""

import math

import torch
import triton
import triton.language as tl

from imblearn_eos.neighbors._base import in_full
from imblearn_eos.neighbors._tiles import Tiles

# With these, all that a program keeps stays in registers on devices of capability 8.0 and 9.0.
BLOCK_QUERIES = 64
BLOCK_ROWS = 64
BLOCK_FEATURES = 16
N_WARPS = 8
# Programs for each multiprocessor, so that none of them waits long for the last.
PROGRAMS_EACH = 4
# How often, in expectation, a lane may have dropped one of a query's nearest rows.
LOSSES = 0.01
# With fewer scores in a lane the kernel is faster, up to so many lanes.
SHALLOW_LANES = 1024
MAX_KEPT = 2048


class Fused(Tiles):
    """Multiply queries with rows and select in one kernel.

    Parameters
    ----------
    coarse : CoarseRows
    """

    def bytes_per_query(self, n_kept):
        """Return the memory for a query: what the lanes keep, too."""
        return super().bytes_per_query(n_kept) + bytes_per_query(n_kept)

    def candidates(self, block, queries, n_kept, allowed):
        """Find rows of least estimate, as :meth:`Engine.candidates`."""
        queries = queries.to(self.coarse.dtype)
        kept = self.source
        norms = kept.norms if allowed is None else kept.norms.masked_fill(~allowed, math.inf)
        n_bytes = self.coarse.n_bytes / 4
        rows, scores, limit = find_smallest(queries, kept.values, norms, n_kept, n_bytes)
        missing = limit.isneginf().nonzero()[:, 0]
        if len(missing):
            best = self.search_tiles(queries[missing], n_kept, allowed)
            # More may be kept than was asked for.
            scores[missing], kept = best.scores.topk(n_kept, largest=False, sorted=False)
            rows[missing], limit[missing] = best.rows.gather(1, kept), best.limit
        return in_full(rows, scores, limit, queries)


def lanes(n_kept):
    """Return the number of scores in a lane, and the number of chunks that loses few rows.

    Parameters
    ----------
    n_kept : int

    Returns
    -------
    depth : int
    n_chunks : int
    """
    for depth in (3, 4):
        n_lanes = (math.comb(n_kept, depth) / LOSSES) ** (1 / (depth - 1))
        if n_lanes <= SHALLOW_LANES:
            break
    return depth, max(1, math.ceil(n_lanes / BLOCK_ROWS))


def pays(n_rows, n_kept):
    """Return whether what the lanes keep is small beside the matrix of scores."""
    depth, n_chunks = lanes(n_kept)
    return n_kept <= MAX_KEPT and 2 * depth * n_chunks * BLOCK_ROWS <= n_rows


def bytes_per_query(n_kept, n_chunks=None):
    """Return the memory that :func:`find_smallest` takes for a query, selection included."""
    depth, n_needed = lanes(n_kept)
    return 16 * depth * (n_chunks or n_needed) * BLOCK_ROWS


def find_smallest(queries, rows, norms, n_kept, n_bytes):
    """Find rows of small score.

    Parameters
    ----------
    queries : torch.Tensor of shape (n_queries, n_features), dtype=float32
    rows : torch.Tensor of shape (n_rows, n_features), dtype=float32
        Fewer than 2**31.
    norms : torch.Tensor of shape (n_rows,), dtype=float32
        Squared lengths of the rows; infinity for rows that must not be found.
    n_kept : int
        At most ``n_rows``.
    n_bytes : float
        For more chunks than are needed, where they keep the device busy.

    Returns
    -------
    found : torch.Tensor of shape (n_queries, n_kept), dtype=int64
        Row numbers.
    scores : torch.Tensor of shape (n_queries, n_kept), dtype=float32
    limit : torch.Tensor of shape (n_queries,), dtype=float32
        No other row has a smaller score. Minus infinity where fewer than ``n_kept`` rows were
        kept: the last of the rows found are arbitrary then.
    """
    queries, rows = queries.contiguous(), rows.contiguous()
    n_queries, n_features = queries.shape
    depth, n_chunks = lanes(n_kept)
    n_blocks = triton.cdiv(n_queries, BLOCK_QUERIES)
    n_tiles = triton.cdiv(len(rows), BLOCK_ROWS)
    n_wanted = triton.cdiv(_n_programs(queries.device), n_blocks)
    n_affordable = int(n_bytes / (bytes_per_query(n_kept, 1) * n_queries))
    n_chunks = min(max(n_chunks, min(n_wanted, n_affordable)), n_tiles)
    # The kernel writes every place.
    scores = queries.new_empty(n_queries, depth, n_chunks * BLOCK_ROWS)
    numbers = torch.empty(scores.shape, dtype=torch.int32, device=queries.device)
    # Triton starts kernels on the current device, which need not be the tensors'.
    with torch.cuda.device_of(queries):
        _keep_smallest[n_blocks, n_chunks](
            queries,
            rows,
            norms,
            scores,
            numbers,
            n_queries,
            len(rows),
            n_features,
            depth,
            BLOCK_QUERIES,
            BLOCK_ROWS,
            BLOCK_FEATURES,
            num_warps=N_WARPS,
        )
    limit = scores[:, -1].amin(1)
    scores, places = scores.flatten(1).topk(n_kept, largest=False, sorted=False)
    largest = scores.amax(1)
    limit = torch.where(largest == math.inf, -math.inf, torch.minimum(limit, largest))
    return numbers.flatten(1).gather(1, places).long(), scores, limit


def _n_programs(device):
    if device.type != "cuda":
        return 1
    properties = torch.cuda.get_device_properties(device)
    return PROGRAMS_EACH * properties.multi_processor_count


# Sizes that say nothing about alignment would only have the kernel compiled again.
@triton.jit(do_not_specialize=["n_queries", "n_rows"])
def _keep_smallest(
    queries,
    rows,
    norms,
    kept_scores,
    kept_rows,
    n_queries,
    n_rows,
    n_features,
    DEPTH: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr,
):
    """Keep the smallest scores of each lane, ``DEPTH`` of them: 3 or 4.

    The grid is (blocks of queries, chunks), so that programs that run together read the same rows.
    """
    chunk = tl.program_id(1)
    n_chunks = tl.num_programs(1)
    query = tl.program_id(0) * BLOCK_QUERIES + tl.arange(0, BLOCK_QUERIES)
    column = tl.arange(0, BLOCK_ROWS)
    is_query = query < n_queries
    # Numbers of elements may exceed 2**31.
    query_start = query.to(tl.int64) * n_features

    nothing = tl.full((BLOCK_QUERIES, BLOCK_ROWS), float("inf"), tl.float32)
    no_row = tl.full((BLOCK_QUERIES, BLOCK_ROWS), 0, tl.int32)
    score_0, score_1, score_2, score_3 = nothing, nothing, nothing, nothing
    row_0, row_1, row_2, row_3 = no_row, no_row, no_row, no_row

    for tile in range(chunk, tl.cdiv(n_rows, BLOCK_ROWS), n_chunks):
        row = tile * BLOCK_ROWS + column
        is_row = row < n_rows
        row_start = row.to(tl.int64) * n_features
        products = tl.full((BLOCK_QUERIES, BLOCK_ROWS), 0, tl.float32)
        for start in range(0, n_features, BLOCK_FEATURES):
            feature = start + tl.arange(0, BLOCK_FEATURES)
            is_feature = feature < n_features
            left = tl.load(
                queries + query_start[:, None] + feature[None, :],
                mask=is_query[:, None] & is_feature[None, :],
                other=0.0,
            )
            right = tl.load(
                rows + row_start[None, :] + feature[:, None],
                mask=is_row[None, :] & is_feature[:, None],
                other=0.0,
            )
            # The bound counts roundings of float32, not of TF32.
            products = tl.dot(left, right, products, input_precision="ieee")
        norm = tl.load(norms + row, mask=is_row, other=float("inf"))
        score = norm[None, :] - 2.0 * products
        number = row[None, :]

        # Put the score in its place; those after it move on by one. Infinity is never kept.
        before_0, before_1, before_2 = score < score_0, score < score_1, score < score_2
        if DEPTH == 4:
            before_3 = score < score_3
            score_3 = tl.where(before_2, score_2, tl.where(before_3, score, score_3))
            row_3 = tl.where(before_2, row_2, tl.where(before_3, number, row_3))
        score_2 = tl.where(before_1, score_1, tl.where(before_2, score, score_2))
        row_2 = tl.where(before_1, row_1, tl.where(before_2, number, row_2))
        score_1 = tl.where(before_0, score_0, tl.where(before_1, score, score_1))
        row_1 = tl.where(before_0, row_0, tl.where(before_1, number, row_1))
        score_0 = tl.where(before_0, score, score_0)
        row_0 = tl.where(before_0, number, row_0)

    n_lanes = n_chunks * BLOCK_ROWS
    lane = query.to(tl.int64)[:, None] * DEPTH * n_lanes + (chunk * BLOCK_ROWS + column)[None, :]
    mask = is_query[:, None]
    tl.store(kept_scores + lane, score_0, mask=mask)
    tl.store(kept_rows + lane, row_0, mask=mask)
    tl.store(kept_scores + lane + n_lanes, score_1, mask=mask)
    tl.store(kept_rows + lane + n_lanes, row_1, mask=mask)
    tl.store(kept_scores + lane + 2 * n_lanes, score_2, mask=mask)
    tl.store(kept_rows + lane + 2 * n_lanes, row_2, mask=mask)
    if DEPTH == 4:
        tl.store(kept_scores + lane + 3 * n_lanes, score_3, mask=mask)
        tl.store(kept_rows + lane + 3 * n_lanes, row_3, mask=mask)
