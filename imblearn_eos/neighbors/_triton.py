"""The engine for CUDA: one fused kernel on tensor cores that never writes the matrix of scores.

Scores are those of ``_tf32.py``, with its bound. The selection is loose, so that it needs no order
and no communication between threads. Tiles of rows are dealt out in turn to chunks, a chunk and a
block of queries are one program, and a program keeps for each query and each column of its tiles, a
*lane*, the three smallest scores that it saw there. A kept number is an int32: a score's first 22
bits, and the number of the tile within the chunk in place of the others, which tells the row. So to
keep a score takes five minima and maxima. The candidates are the smallest numbers that all lanes
kept.

Why the limit holds
-------------------
Scores that are not negative have the order of their bits as integers. Negative ones, which rounding
makes for near duplicates, come first, in any order. Every row that may be found has one lane. A row
that is not a candidate was either

- kept by its lane, but not selected: then its number is at least the largest of the candidates'; or
- dropped by its lane, when the lane was full with numbers that were at most as large. What a full
  lane keeps only ever decreases, so the row's number is at least the largest that the lane kept in
  the end.

So the smaller of the largest candidate's number and of the least of the full lanes' largest numbers
is a limit: no other row has a smaller one, and none has a smaller estimate, the number without the
tile's number. A negative limit certifies nothing, as no distance is less than it. The limit is
useful unless one lane has more than three of the nearest rows. With m nearest rows and n lanes,
that is expected to happen C(m, 3) / n**2 times if rows are dealt out at random, and then the query
is searched again. If that takes as long as c lanes, n = (2 c C(m, 3))**(1 / 3) costs least. Tiles
are dealt out in turn because near rows often stand together, as the rows of a class do.

A score that is infinite or NaN is never a candidate. It comes only from rows that are not allowed,
and from an overflow, by which the squared length of the query is infinite.
"""

import math
from functools import cached_property
from typing import NamedTuple

import torch
import triton
import triton.language as tl

from imblearn_eos.neighbors._base import Block, Candidates, CoarseRows, Engine
from imblearn_eos.neighbors._exact import Rows
from imblearn_eos.neighbors._tf32 import NUMBER_BITS, Tf32Rows

# Scores that a lane keeps; the kernel is written for it.
DEPTH = 3
# To search again for a query takes plain torch as long as so many lanes, among 10**6 rows of 64
# features.
LANES_PER_LOSS = 2**17
# Programs for each multiprocessor, so that none of them waits long for the last.
PROGRAMS_EACH = 8
# A chunk's tiles have a number each, and a grid has at most so many chunks.
MAX_TILES, MAX_CHUNKS = 2**NUMBER_BITS, 2**16 - 1
# Row numbers are int32 in the kernel, also those of tiles that a chunk would have next.
MAX_ROWS = 2**30
INFINITY_BITS = 0x7F800000
NUMBER_MASK = MAX_TILES - 1

QUERIES_AT_ONCE = 2**15
# Candidates beyond those wanted, for the root of their number, because the estimates are rough: 48
# for 11 neighbors and 1209 for 1001, of which 99 % of queries need 22 and 1137 on clusters, at
# 500,000 and 300,000 rows and 64 features. On Gaussian data they need 15 and 1062.
SPARE_PER_ROOT = 6.25
# The trial searches for so many rows among all.
N_SAMPLE, N_NEAREST = 64, 17

# What an H200 takes, estimated, in seconds with the whole device busy: in the kernel for a product,
# for a byte from the cache of the device, and to select a score; with plain torch for a product,
# and to write and select a score; for a number that lanes keep, which is written, and read five
# times by topk. The step "calibration" of benchmarks/gpu_day.py measures them.
SECONDS_TF32, SECONDS_BYTE, SECONDS_SELECTED = 4e-15, 0.2e-12, 0.47e-12
SECONDS_FLOAT32, SECONDS_SCORE = 40e-15, 2e-12
SECONDS_KEPT = 12e-12


class Variant(NamedTuple):
    """One of the ways in which the kernel is compiled.

    Attributes
    ----------
    block_queries, block_rows, block_features : int
        The shape of a product.
    is_whole : bool
        Whether a product spans all features, so that queries are read once.
    n_warps, n_stages : int
    """

    block_queries: int
    block_rows: int
    block_features: int
    is_whole: bool
    n_warps: int
    n_stages: int


# With these, all that programs keep stays in registers on devices of capability 8.0, 9.0 and 10.0,
# and 16 warps share a multiprocessor: while some multiply, others select.
BLOCK_QUERIES, BLOCK_ROWS, N_WARPS = 128, 32, 8
# Stages by the width of rows that products span as a whole, and the variant for all other rows.
STAGES = {16: 4, 32: 4, 64: 3, 128: 2}
WIDE = Variant(128, 64, 32, False, 16, 3)


def variant_for(n_features):
    """Return the variant for rows of so many features: the narrowest that takes them."""
    for width, n_stages in STAGES.items():
        if n_features <= width:
            return Variant(BLOCK_QUERIES, BLOCK_ROWS, width, True, N_WARPS, n_stages)
    return WIDE


def width_of(n_features):
    """Return the width that rows are filled up to."""
    block = variant_for(n_features).block_features
    return -(-n_features // block) * block


def lanes(n_kept):
    """Return the number of lanes that costs least, with what it loses."""
    return math.ceil(math.cbrt(2 * LANES_PER_LOSS * math.comb(n_kept, DEPTH)))


def losses(n_kept, n_lanes):
    """Return how often, in expectation, a lane has dropped one of a query's nearest rows."""
    return math.comb(n_kept, DEPTH) / n_lanes ** (DEPTH - 1)


def chunks(n_kept, n_rows, block_rows):
    """Return the number of chunks that has so many lanes, and numbers for all tiles."""
    n_tiles = -(-n_rows // block_rows)
    n_chunks = max(1, -(-lanes(n_kept) // block_rows), -(-n_tiles // MAX_TILES))
    return min(n_chunks, n_tiles)


def bytes_per_query(n_chunks, block_rows):
    """Return the memory that :func:`find_smallest` takes for a query, selection included."""
    return 16 * DEPTH * n_chunks * block_rows


def seconds_fused(n_rows, n_features, n_kept):
    """Estimate the time for a query: kernel, selection, and the search for what lanes lose."""
    variant = variant_for(n_features)
    n_lanes = chunks(n_kept, n_rows, variant.block_rows) * variant.block_rows
    # Queries that are read once for all rows cost nothing.
    n_reads = 1 / variant.block_queries + (not variant.is_whole) / variant.block_rows
    product = max(SECONDS_TF32, 4 * n_reads * SECONDS_BYTE)
    # Tensor cores multiply while other units select.
    score = max(width_of(n_features) * product, SECONDS_SELECTED)
    again = min(1, losses(n_kept, n_lanes)) * seconds_plain(n_rows, n_features)
    return n_rows * score + DEPTH * n_lanes * SECONDS_KEPT + again


def seconds_plain(n_rows, n_features):
    """Estimate the time that plain torch takes for a query: product, then selection."""
    return n_rows * (SECONDS_FLOAT32 * n_features + SECONDS_SCORE)


def pays(n_rows, n_features, n_wanted):
    """Return whether the kernel is faster than plain torch, if few queries are left in doubt."""
    if n_rows > MAX_ROWS:
        return False
    n_kept = n_candidates(n_wanted)
    return seconds_fused(n_rows, n_features, n_kept) < seconds_plain(n_rows, n_features)


def n_candidates(n_wanted):
    """Return how many candidates to keep."""
    return math.ceil(n_wanted + SPARE_PER_ROOT * math.sqrt(n_wanted))


class Fused(Engine):
    """Multiply queries with rows in TF32 and select in one kernel.

    Parameters
    ----------
    coarse : CoarseRows
    """

    @cached_property
    def rows(self):
        """The rows in TF32: Tf32Rows."""
        n_features = self.coarse.rows.shape[1]
        variant = variant_for(n_features)
        return Tf32Rows(self.coarse, width_of(n_features), variant.block_rows)

    def pays(self, n_wanted):
        """Return whether to search again what is left in doubt leaves the kernel faster."""
        rows = self.coarse.rows
        n_kept = min(n_candidates(N_NEAREST), len(rows))
        numbers = torch.arange(0, len(rows), -(-len(rows) // N_SAMPLE), device=rows.device)
        queries = rows[numbers]
        centred = self.coarse.centred(queries)
        found = self.candidates(None, centred, n_kept, None)
        # A query is its own nearest row.
        n_nearest = min(N_NEAREST, n_kept)
        query = torch.arange(len(numbers), device=rows.device)
        query = query.repeat_interleave(n_kept)
        squared = self.measure(queries, rows, query, found.rows.flatten(), len(query))
        farthest = squared.view(-1, n_kept).sort(dim=1).values[:, n_nearest - 1]
        reach = self.bound(centred).largest_estimate(farthest * self.coarse.unit)
        is_certain = found.limit > reach
        in_doubt = 1 - is_certain.double().mean().item()
        plain = seconds_plain(*rows.shape)
        return seconds_fused(*rows.shape, n_kept) + in_doubt * plain < plain

    def n_candidates(self, n_wanted):
        """Return more candidates than wanted, because the estimates are rough."""
        return n_candidates(n_wanted)

    def blocks(self, queries, numbers, n_kept):
        """Split queries into blocks, as :meth:`Engine.blocks`: as large as memory allows."""
        for part in numbers.split(min(QUERIES_AT_ONCE, self.n_affordable(n_kept))):
            yield Block(part)

    def bytes_per_query(self, n_kept):
        """Return the memory for a query: itself, and what the lanes keep."""
        n_rows, n_features = self.coarse.rows.shape
        block_rows = variant_for(n_features).block_rows
        n_bytes = bytes_per_query(chunks(n_kept, n_rows, block_rows), block_rows)
        return super().bytes_per_query(n_kept) + n_bytes + 40 * n_features

    def candidates(self, block, queries, n_kept, allowed):
        """Find rows of least estimate, as :meth:`Engine.candidates`."""
        factors, lengths = self.rows.factors(queries)
        norms = self.rows.norms_of(allowed)
        n_bytes = self.coarse.n_bytes / 4
        found = find_smallest(factors, lengths, self.rows.values, norms, n_kept, n_bytes)
        rows, estimates, limit = found
        return Candidates(rows, estimates.double(), limit.double())

    def bound(self, queries):
        """Return the bound of the estimates, as :meth:`Engine.bound`."""
        return self.rows.bound(queries)


def check(device, variant):
    """Compile a variant of the kernel, and compare what it finds with the bound.

    Raises
    ------
    Exception
        If it cannot be compiled, does not run, or is less precise than the bound assumes.
    """
    n_rows, n_kept = 20 * variant.block_rows + 1, 16
    n_features = variant.block_features if variant.is_whole else 200
    numbers = torch.arange(n_rows * n_features, dtype=torch.float64, device=device)
    rows = numbers.sin().view(n_rows, n_features)
    # The terms of a product have one sign, so that truncation adds up.
    rows = rows.abs() * rows[:, :1].sign()
    # With little memory there are fewer chunks than tiles.
    engine = Fused(CoarseRows(Rows(rows, device), torch.float32, 2.0**18))
    queries = engine.coarse.centred(rows[:32])
    found, estimates, limit = engine.candidates(None, queries, n_kept, None)[:3]
    bound = engine.bound(queries)
    others = engine.coarse.centred(rows)
    squared = (queries[:, None] - others).square().sum(2)
    largest, nearest = bound.of(slice(None)).largest_estimate(squared), squared.gather(1, found)
    is_right = estimates <= largest.gather(1, found)
    is_right &= nearest <= bound.of(slice(None)).largest_distance(estimates)
    largest = largest.scatter(1, found, math.inf)
    if not (is_right.all() and (largest >= limit[:, None]).all()):
        raise RuntimeError("its products are less precise than they should be")


def find_smallest(factors, lengths, rows, norms, n_kept, n_bytes):
    """Find rows of small score.

    Parameters
    ----------
    factors : torch.Tensor of shape (n_queries, width), dtype=float32
        Queries in TF32, times -2.
    lengths : torch.Tensor of shape (n_queries,), dtype=float32
        Squared lengths of the queries.
    rows : torch.Tensor of shape (n_rows, width), dtype=float32
        In TF32. The number of rows is a multiple of the block's of :func:`variant_for`, and the
        width one of :func:`width_of`.
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
    estimates : torch.Tensor of shape (n_queries, n_kept), dtype=float32
        Infinity where fewer rows were kept; their numbers are arbitrary then.
    limit : torch.Tensor of shape (n_queries,), dtype=float32
        No other row has a smaller estimate. NaN where fewer than ``n_kept`` rows were kept.
    """
    n_queries, width = factors.shape
    variant = variant_for(width)
    n_blocks = triton.cdiv(n_queries, variant.block_queries)
    n_tiles = len(rows) // variant.block_rows
    n_wanted = triton.cdiv(_n_programs(rows.device), n_blocks)
    n_affordable = int(n_bytes / (bytes_per_query(1, variant.block_rows) * n_queries))
    n_chunks = chunks(n_kept, len(rows), variant.block_rows)
    n_chunks = min(max(n_chunks, min(n_wanted, n_affordable)), n_tiles, MAX_CHUNKS)
    n_filling = n_blocks * variant.block_queries - n_queries
    kept = _launch(
        torch.nn.functional.pad(factors, (0, 0, 0, n_filling)),
        torch.nn.functional.pad(lengths, (0, n_filling)),
        rows,
        norms,
        n_chunks,
        variant,
    )[:n_queries]
    limit = kept[:, -1].amin(1)
    numbers, places = kept.flatten(1).topk(n_kept, largest=False, sorted=False)
    limit = _estimate(torch.minimum(limit, numbers.amax(1)))
    estimates = _estimate(numbers)
    is_overflow = ~lengths.isfinite() | estimates.isinf().any(1)
    lane, tile = places % kept.shape[2], numbers & NUMBER_MASK
    chunk = lane.div(variant.block_rows, rounding_mode="floor")
    found = (tile * n_chunks + chunk) * variant.block_rows + lane % variant.block_rows
    return (
        found.masked_fill_(estimates.isinf(), 0),
        estimates,
        limit.masked_fill_(is_overflow, math.nan),
    )


def _estimate(numbers):
    """Return the scores of kept numbers; infinity where nothing was kept, or NaN."""
    is_nothing = (numbers & INFINITY_BITS) == INFINITY_BITS
    scores = (numbers & ~NUMBER_MASK).view(torch.float32)
    return scores.masked_fill_(is_nothing, math.inf)


def _n_programs(device):
    if device.type != "cuda":
        return 1
    properties = torch.cuda.get_device_properties(device)
    return PROGRAMS_EACH * properties.multi_processor_count


def _launch(factors, lengths, rows, norms, n_chunks, variant):
    """Return what the kernel keeps.

    Returns
    -------
    torch.Tensor of shape (n_queries, DEPTH, n_chunks * block_rows), dtype=int32
        For each lane its smallest numbers, ascending.
    """
    n_queries, width = factors.shape
    shape = n_queries, DEPTH, n_chunks * variant.block_rows
    # The kernel writes every place.
    kept = torch.empty(shape, dtype=torch.int32, device=rows.device)
    # Triton starts kernels on the current device, which need not be the tensors'.
    with torch.cuda.device_of(rows):
        _keep_smallest[n_queries // variant.block_queries, n_chunks](
            factors,
            lengths,
            rows,
            norms,
            kept,
            len(rows) // variant.block_rows,
            width // variant.block_features,
            **constants(variant),
            **options(variant),
        )
    return kept


def constants(variant):
    """Return the arguments that the kernel is compiled for."""
    return {
        "BLOCK_QUERIES": variant.block_queries,
        "BLOCK_ROWS": variant.block_rows,
        "BLOCK_FEATURES": variant.block_features,
        "IS_WHOLE": variant.is_whole,
        "NUMBER_MASK": NUMBER_MASK,
        "N_STAGES": variant.n_stages,
    }


def options(variant):
    """Return the options that the kernel is compiled with."""
    # There is nothing to fuse, but recent versions of Triton warn where this is not said.
    fusion = {"enable_fp_fusion": False}
    return {"num_warps": variant.n_warps, "num_stages": variant.n_stages, **fusion}


# Sizes that say nothing about alignment would only have the kernel compiled again.
@triton.jit(do_not_specialize=["n_tiles", "n_steps"])
def _keep_smallest(
    factors,
    lengths,
    rows,
    norms,
    kept,
    n_tiles,
    n_steps,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr,
    IS_WHOLE: tl.constexpr,
    NUMBER_MASK: tl.constexpr,
    N_STAGES: tl.constexpr,
):
    """Keep the three smallest numbers of each lane.

    The grid is (blocks of queries, chunks), so that programs that run together read the same rows.
    """
    chunk = tl.program_id(1)
    n_chunks = tl.num_programs(1)
    query = tl.program_id(0) * BLOCK_QUERIES + tl.arange(0, BLOCK_QUERIES)
    column = tl.arange(0, BLOCK_ROWS)
    feature = tl.arange(0, BLOCK_FEATURES)
    width = BLOCK_FEATURES if IS_WHOLE else n_steps * BLOCK_FEATURES
    # Numbers of elements may exceed 2**31.
    left_at = factors + query.to(tl.int64)[:, None] * width + feature[None, :]
    right_at = rows + column[:, None] * width + feature[None, :]
    length = tl.load(lengths + query)
    if IS_WHOLE:
        left = tl.load(left_at)

    nothing = tl.full((BLOCK_QUERIES, BLOCK_ROWS), 0x7FFFFFFF, tl.int32)
    first, second, third = nothing, nothing, nothing
    for tile in tl.range(0, tl.cdiv(n_tiles - chunk, n_chunks), num_stages=N_STAGES):
        start = (tile * n_chunks + chunk) * BLOCK_ROWS
        tile_at = right_at + start.to(tl.int64) * width
        if IS_WHOLE:
            right = tl.load(tile_at)
            products = tl.dot(left, tl.trans(right), input_precision="tf32")
        else:
            products = tl.full((BLOCK_QUERIES, BLOCK_ROWS), 0, tl.float32)
            for step in range(0, n_steps):
                left = tl.load(left_at + step * BLOCK_FEATURES)
                right = tl.load(tile_at + step * BLOCK_FEATURES)
                products = tl.dot(left, tl.trans(right), products, input_precision="tf32")
        norm = tl.load(norms + start + column)
        score = (products + norm[None, :]) + length[:, None]
        number = (score.to(tl.int32, bitcast=True) & ~NUMBER_MASK) | tile
        third = tl.minimum(third, tl.maximum(second, number))
        second = tl.minimum(second, tl.maximum(first, number))
        first = tl.minimum(first, number)

    n_lanes = n_chunks * BLOCK_ROWS
    lane = query.to(tl.int64)[:, None] * (3 * n_lanes) + (chunk * BLOCK_ROWS + column)[None, :]
    tl.store(kept + lane, first)
    tl.store(kept + lane + n_lanes, second)
    tl.store(kept + lane + 2 * n_lanes, third)
