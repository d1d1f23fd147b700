"""Which engine searches: the one place that decides, from data, size and device."""

import sys
import warnings
from functools import cache
from typing import NamedTuple

import torch

from imblearn_eos._device import has_bfloat16
from imblearn_eos.neighbors import _bfloat16, _kd_tree
from imblearn_eos.neighbors._base import SELECTION, CoarseRows, bytes_kept
from imblearn_eos.neighbors._boxes import Boxes
from imblearn_eos.neighbors._direct import CHUNK_QUERIES, Direct, DoubleDirect
from imblearn_eos.neighbors._tiles import Tiles
from imblearn_eos.neighbors._topk import TopkTiles

# Ruling rows out, or more than one engine, pays from about this many pairs and rows on.
MIN_PAIRS = 2**24
# Without compiled loops, up to about this many.
MAX_PAIRS_DIRECT = 2**27
MIN_ROWS = 4096
# With fewer rows, or numbers in rows, for each neighbor wanted, products in float64 pay.
ROWS_PER_WANTED, NUMBERS_PER_WANTED = 32, 2**11
# Up to so many rows, pairs, and neighbors wanted in order, all pairs are multiplied at once.
MAX_FEW_ROWS, MAX_FEW_PAIRS, MAX_FEW_SORTED = 2**11, 2**21, 128
# With fewer rows for each neighbor wanted in order, compiled loops have nothing to leave out.
ROWS_TO_SELECT = 4
# Candidates beyond which boxes are not tried: for sets without compiled loops, and with these.
MAX_WANTED, MAX_WANTED_COMPILED = 512, 256
# Candidates beyond which more of them cost more than products in bfloat16 save, and the least
# numbers in rows for which these save more than the search for more candidates costs.
MAX_WANTED_BFLOAT16, MIN_NUMBERS_BFLOAT16 = 40, 2**21
# Features up to which the k-d tree is tried, and those beside compiled boxes.
MAX_KD_FEATURES, MAX_KD_FEATURES_BESIDE_COMPILED = 16, 4
# Making boxes takes at least as long as products with so many queries, in float32 or bfloat16.
MIN_BOX_QUERIES, MIN_BOX_QUERIES_BESIDE_BFLOAT16 = 1024, 4096
# The most candidates of a trial. That of boxes in torch searches for one row in so many.
MAX_WANTED_TRIED, ROWS_PER_TRIED = 256, 64
# Loading the compiled loops takes a second, once they are in numba's cache. So they are loaded
# when the searches without them, all in all, have multiplied so many numbers, which takes
# about as long.
WORK_TO_LOAD = 2.5e10
_work = 0


class Size(NamedTuple):
    """What the choice depends on.

    Attributes
    ----------
    n_rows, n_features : int
        Shape of the rows to search among.
    n_queries : int
        The most queries so far.
    n_wanted : int
        Candidates for each query.
    is_sorted : bool
        Whether neighbors are wanted in order, not as a set.
    device : torch.device
    dtype : torch.dtype
        The dtype of products that are not in bfloat16.
    n_bytes : float
        Memory for temporary arrays.
    """

    n_rows: int
    n_features: int
    n_queries: int
    n_wanted: int
    is_sorted: bool
    device: torch.device
    dtype: torch.dtype
    n_bytes: float


def choose_engines(size):
    """Return chains of engines, the best first; the first that pays on the rows is used.

    A chain lists engines from rough to precise: what one leaves in doubt goes to the next. The last
    chain must pay on any rows.
    """
    n_bytes = bytes_kept(size.n_rows, size.n_features, size.dtype, size.device)
    if size.device.type == "cuda":
        return _choose_on_cuda(size, n_bytes)
    # Sketches, and the bounds of the other engines, are in float32.
    is_kept = n_bytes < size.n_bytes / 2 and size.dtype == torch.float32
    is_compiled = is_kept and _is_compiled()
    if size.n_queries * size.n_rows < MIN_PAIRS:
        is_most = size.is_sorted and size.n_rows < ROWS_TO_SELECT * size.n_wanted
        if _is_small(size) and (is_most or not is_compiled):
            return [_choose_direct(size)]
        if is_compiled:
            from imblearn_eos.neighbors import _compiled, _few

            return [(_few.FewRows if _is_few(size) else _compiled.CompiledTiles,)]
    if not is_kept:
        return [(Tiles,)]
    chains = _choose_products(size, n_bytes, is_compiled)
    n_bytes = _kd_tree.bytes_kept(size.n_rows, size.n_features)
    most_features = MAX_KD_FEATURES_BESIDE_COMPILED if is_compiled else MAX_KD_FEATURES
    if size.n_features <= most_features and n_bytes < size.n_bytes / 2:
        chains.insert(0, (_kd_tree.KDTrees,))
    return chains


def count_work(n_queries, n_rows, n_features):
    """Note that a search is made, for :func:`choose_engines`."""
    global _work
    _work += n_queries * n_rows * (n_features + SELECTION)


def _is_compiled():
    """Return whether compiled loops search: where they are loaded, or worth it by now."""
    is_loaded = "imblearn_eos.neighbors._kernels" in sys.modules
    return (is_loaded or _work >= WORK_TO_LOAD) and _has_numba()


def _choose_on_cuda(size, n_bytes):
    """Return chains of engines for a GPU, where coarse rows would take so many bytes."""
    triton = _load_triton(size)
    if triton is None:
        return [(TopkTiles,)]
    # Its rows are in TF32, whatever the dtype of others.
    width = triton.width_of(size.n_features)
    n_rough = bytes_kept(size.n_rows, width, torch.float32, size.device)
    if n_rough >= size.n_bytes / 2:
        return [(TopkTiles,)]
    is_room = n_rough + n_bytes < size.n_bytes / 2
    return [(triton.Fused, TopkTiles) if is_room else (triton.Fused,), (TopkTiles,)]


def _choose_products(size, n_bytes, is_compiled):
    """Return chains of engines for the CPU and any number of features."""
    if is_compiled:
        from imblearn_eos.neighbors import _compiled, _compiled_bfloat16, _compiled_boxes

        # To select many rows takes longer than to rule out the others saves.
        if size.n_wanted > MAX_WANTED_COMPILED:
            return [(_compiled.CompiledTiles,)]
        chains, min_queries = [(_compiled.CompiledTiles,)], MIN_BOX_QUERIES
        if _bfloat16_may_pay(size, n_bytes):
            chains.insert(0, (_compiled_bfloat16.CompiledBfloat16, _compiled.CompiledTiles))
            min_queries = MIN_BOX_QUERIES_BESIDE_BFLOAT16
        if size.n_queries >= min_queries:
            chains.insert(0, (_compiled_boxes.CompiledBoxes,))
        return chains
    if size.n_wanted > MAX_WANTED and not size.is_sorted:
        return [(Tiles,)]
    n_pairs = size.n_queries * size.n_rows
    if n_pairs < MAX_PAIRS_DIRECT and _is_small(size):
        return [_choose_direct(size)]
    # For fewer queries, the trial would take longer than their search.
    is_worth_trial = size.n_queries >= max(MIN_BOX_QUERIES, size.n_rows / ROWS_PER_TRIED)
    if n_pairs >= MIN_PAIRS and size.n_rows >= MIN_ROWS and is_worth_trial:
        chains = [(Boxes,), (Tiles,)]
        if _bfloat16_may_pay(size, n_bytes):
            chains.insert(1, (_bfloat16.Bfloat16, Tiles))
        return chains
    return [(Tiles,)]


def _bfloat16_may_pay(size, n_bytes):
    """Return whether products in bfloat16 may pay beside coarse rows of so many bytes."""
    n_bytes += _bfloat16.bytes_kept(size.n_rows, size.n_features)
    is_large = size.n_rows * size.n_features >= MIN_NUMBERS_BFLOAT16
    is_few = size.n_wanted <= MAX_WANTED_BFLOAT16
    is_room = n_bytes < size.n_bytes / 2
    return is_large and is_few and is_room and has_bfloat16(size.device.type)


def _choose_direct(size):
    """Return the chain for few rows."""
    # To measure all that float32 leaves in doubt takes longer than products in float64.
    n_rows = max(ROWS_PER_WANTED, NUMBERS_PER_WANTED / size.n_features) * size.n_wanted
    is_double = size.is_sorted and size.n_rows <= n_rows
    return (DoubleDirect if is_double or size.dtype == torch.float64 else Direct,)


def _is_few(size):
    """Return whether compiled loops multiply all rows and select in one pass."""
    # All estimates, and all queries in float32 with a few numbers more.
    n_numbers = size.n_queries * (size.n_rows + size.n_features + 16)
    return (
        size.n_rows <= MAX_FEW_ROWS
        and size.n_queries * size.n_rows <= MAX_FEW_PAIRS
        and 4 * n_numbers <= size.n_bytes / 4
        and not (size.is_sorted and size.n_wanted > MAX_FEW_SORTED)
    )


def _is_small(size):
    """Return whether all rows fit in float64, and the scores of some queries beside."""
    return size.n_rows * (size.n_features + CHUNK_QUERIES) * 12 <= size.n_bytes / 4


def make_engines(chains, rows, size):
    """Make the first chain that pays.

    Parameters
    ----------
    chains : list of tuples of Engine subclasses
        As :func:`choose_engines` returns them.
    rows : Rows
        The rows to search among.
    size : Size

    Returns
    -------
    list of Engine
    """
    is_array = rows.device.type == "cpu" and rows.as_array() is not None
    # Where any chain is compiled, the last is.
    rows_type = chains[-1][0].rows_type if is_array else CoarseRows
    coarse = rows_type(rows, size.dtype, size.n_bytes)
    n_wanted = min(size.n_wanted, MAX_WANTED_TRIED, size.n_rows)
    for first, *others in chains:
        engine = first(coarse)
        if engine.pays(n_wanted):
            return [engine, *(other(coarse) for other in others)]
        # Its memory is freed before the next is made.
        del engine


def coarse_dtype():
    """Return float32, or float64 if torch was told to multiply float32 with less precision."""
    try:
        is_full_precision = torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:
        # torch refuses to answer when its old and its new settings were mixed.
        is_full_precision = False
    return torch.float32 if is_full_precision else torch.float64


def _has_numba():
    try:
        from imblearn_eos.neighbors import _kernels
    except ImportError:
        return False
    return _kernels.is_usable()


def _load_triton(size):
    """Import ``_triton`` if it pays and works: it needs a C compiler, and a device with TF32."""
    if torch.cuda.get_device_capability(size.device) < (8, 0):
        return None
    try:
        from imblearn_eos.neighbors import _triton
    except ImportError:
        return None
    if not _triton.pays(size.n_rows, size.n_features, size.n_wanted):
        return None
    return _triton if _is_right(size.device, _triton.variant_for(size.n_features)) else None


@cache
def _is_right(device, variant):
    """Return whether a variant of the kernel runs on a device, with the precision that is proven.

    Each is compiled by itself, and each can fail.
    """
    from imblearn_eos.neighbors import _triton

    try:
        _triton.check(device, variant)
    except Exception as error:
        warnings.warn(
            f"Triton does not work on {device}, so plain torch is used: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True
