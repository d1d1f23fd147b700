"""Seconds that searches take on an H200, estimated without one.

Each step takes as long as the unit of the device that is busiest. What the kernel's loop does is
counted in the compiled code, what torch reads and writes in memory is counted from its algorithms.
Launches, waits, and sorts of what was found are left out, and so is all that keeps a unit from
being busy: seconds are at least these, on both sides.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import _data
import _grid

from imblearn_eos.neighbors import _base, _triton

SCRIPT = Path(__file__).resolve().parent.parent / "tests" / "compile_kernel.py"

# An H200 as NVIDIA describes it: float operations, of TF32 without sparsity, bytes of memory, and
# cycles, all per second. A multiprocessor starts four instructions of a warp in a cycle, two of
# them minima or logic, and has one wavefront of shared memory.
TF32, FLOAT32, BYTES, CYCLES = 1979e12 / 4, 67e12, 4.8e12, 132 * 1.98e9
STARTED, MINIMA, WAVEFRONTS = 4, 2, 1
# NVIDIA says nothing of the cache: as the cost model has it.
CACHE_BYTES = 1 / _triton.SECONDS_BYTE

# Bytes of memory for each number. topk reads it in four passes for eight bits each, and once more.
WRITE, READ, TOPK = 4, 4, 5 * 4
# A number that is gathered from anywhere is read with its sector, copied, and selected from.
GATHERED = 32 + WRITE + READ + WRITE + TOPK
# Distances in float64: a row and a query are gathered, subtracted, squared and folded.
MEASURED = 84


def compiled(n_features):
    """Return what the compiled kernel does for a tile on a device of capability 9.0."""
    command = [sys.executable, "-W", "ignore", SCRIPT, json.dumps([[90], [n_features]])]
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return json.loads(subprocess.check_output(command, env=os.environ | path, text=True))


def seconds_of_kernel(n_rows, n_features, found):
    """Return the seconds for a query by units, from what :func:`compiled` found."""
    variant = _triton.variant_for(n_features)
    # Of the warps of a program, for each of its queries.
    tiles = n_rows / variant.block_rows * variant.n_warps / variant.block_queries
    loop = {name: n for name, n in found["loop"].items() if name}
    minima = sum(n for name, n in loop.items() if name in ("VIMNMX", "IMNMX", "LOP3"))
    return {
        "tensor cores": 2 * n_rows * n_features / TF32,
        "instructions": tiles * sum(loop.values()) / STARTED / CYCLES,
        "minima and logic": tiles * minima / MINIMA / CYCLES,
        "shared memory": tiles * sum(found["wavefronts"].values()) / WAVEFRONTS / CYCLES,
        "cache": 4 * n_rows * n_features / variant.block_queries / CACHE_BYTES,
    }


def seconds_of_torch(n_rows, n_features):
    """Return the seconds of a product and topk for a query."""
    return n_rows * (2 * n_features / FLOAT32 + (WRITE + TOPK) / BYTES)


def seconds_of_tiles(n_rows, n_features, n_kept):
    """Return the seconds of our plain engine, :mod:`imblearn_eos.neighbors._topk`, for a query."""
    tile_rows = min(_base.TILE_ROWS["cuda"], n_rows)
    depth = max(1, math.isqrt(tile_rows // n_kept))
    n_bytes = (WRITE + READ) * tile_rows + (WRITE + TOPK) * tile_rows / depth
    n_bytes += GATHERED * (depth + 1) * n_kept
    return n_rows * (2 * n_features / FLOAT32 + n_bytes / tile_rows / BYTES)


def seconds_of_search(n_rows, n_features, k, is_sorted, found):
    """Return the seconds of the kernel's engine for a query, with what lanes lose, by parts."""
    n_wanted = k + 1 + _base.SPARE_CANDIDATES
    n_kept = _triton.n_candidates(n_wanted)
    # Without an order, only those that may be the last are measured.
    n_measured = n_kept if is_sorted else 2 * (n_kept - n_wanted)
    block_rows = _triton.variant_for(n_features).block_rows
    n_lanes = _triton.chunks(n_kept, n_rows, block_rows) * block_rows
    again = min(1, _triton.losses(n_kept, n_lanes))
    return {
        "kernel": max(seconds_of_kernel(n_rows, n_features, found).values()),
        "selection": _triton.DEPTH * n_lanes * (WRITE + TOPK) / BYTES,
        "distances": n_measured * MEASURED * n_features / BYTES,
        "searched again": again * seconds_of_tiles(n_rows, n_features, n_wanted),
    }


def report(n_rows=10**6, n_features=64):
    """Return the estimate in Markdown."""
    found = compiled(n_features)
    # EOS does not search for the rows of the largest class, and needs no order.
    n_tail = n_rows - int(_data.tail_counts(n_rows)[0])
    cases = {
        "all neighbors, k = 11": (n_rows, 11, True),
        "EOS, K = 1000": (n_tail, 1000, False),
    }
    rows = []
    for name, (n_queries, k, is_sorted) in cases.items():
        parts = seconds_of_search(n_rows, n_features, k, is_sorted, found)
        ours = n_queries * sum(parts.values())
        same, every = (n * seconds_of_torch(n_rows, n_features) for n in (n_queries, n_rows))
        row = {f"estimated, {n_rows:,} x {n_features}": name, "queries": f"{n_queries:,}"}
        row |= {part: f"{n_queries * seconds:.2f}" for part, seconds in parts.items()}
        row |= {"ours": f"{ours:.2f}", "torch, same queries": f"{same:.2f} ({same / ours:.1f}x)"}
        rows.append(row | {"torch, all rows": f"{every:.2f} ({every / ours:.1f}x)"})
    units = seconds_of_kernel(n_rows, n_features, found)
    busy = ", ".join(f"{name} {n_rows * seconds:.2f}" for name, seconds in units.items())
    n_instructions = sum(n for name, n in found["loop"].items() if name)
    return (
        "**Estimated, not measured**: seconds on an H200, at least. Of each step, the unit that is"
        " busiest counts.\n\n"
        f"{_grid.markdown(rows)}\n\n"
        f"- The kernel for all neighbors, by units: {busy}.\n"
        f"- Compiled for sm_90: {found['REG']} registers, {found['STACK'] + found['LOCAL']} bytes"
        f" spilled; for each tile of {_triton.BLOCK_QUERIES} x {_triton.BLOCK_ROWS} a warp has"
        f" {n_instructions} instructions and {sum(found['wavefronts'].values()):.0f} wavefronts of"
        " shared memory.\n"
        f"- Limits: {TF32 / 1e12:.0f} TFLOP/s in TF32 and {FLOAT32 / 1e12:.0f} in float32,"
        f" {BYTES / 1e12} TB/s, 132 multiprocessors at 1.98 GHz, and {CACHE_BYTES / 1e12:.0f} TB/s"
        " from the cache, which is assumed.\n"
        "- torch: a product in float32 that writes all scores, and topk, which reads them five"
        " times.\n"
        "- Launches, waits and sorts are left out, on both sides."
    )
