"""The fused engine: compiled where there is a CUDA device, else through the interpreter."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
from emulated_cuda import DEVICE as EMULATED
from emulated_cuda import EmulatedCuda
from numpy.testing import assert_allclose, assert_array_equal

from imblearn_eos import EOS, TorchNearestNeighbors
from imblearn_eos.neighbors import _base, _choose, _search, _topk
from imblearn_eos.neighbors._exact import Rows
from imblearn_eos.neighbors._search import SPARE_CANDIDATES, ExactSearch

pytest.importorskip("triton", reason="needs Triton, which CUDA builds of torch bring")
import lanes

from imblearn_eos.neighbors import _triton

HAS_CUDA = torch.cuda.is_available()
# With its number, as searches name it.
DEVICE = torch.device("cuda", torch.cuda.current_device()) if HAS_CUDA else torch.device("cpu")
needs_cuda = pytest.mark.skipif(not HAS_CUDA, reason="needs a CUDA device")
WIDTHS = [16, 32, 64, 128, 160]
rng = np.random.RandomState(0)


@pytest.fixture(autouse=True)
def _compiled_or_interpreted(monkeypatch):
    if not HAS_CUDA:
        # Parts of Triton are imported at the first call.
        monkeypatch.setenv("TRITON_INTERPRET", "1")


class AnyFused(_triton.Fused):
    """What does not pay is right too."""

    def pays(self, n_wanted):
        return True


@pytest.fixture
def fused(monkeypatch):
    """Make every search use the fused engine, on the CPU too; return the sizes of its calls."""
    sizes = []
    find_smallest = _triton.find_smallest

    def count(factors, lengths, rows, norms, n_kept, n_bytes):
        sizes.append((len(factors), n_kept))
        return find_smallest(factors, lengths, rows, norms, n_kept, n_bytes)

    monkeypatch.setattr(_search, "choose_engines", lambda size: [(AnyFused, _topk.TopkTiles)])
    monkeypatch.setattr(_triton, "find_smallest", count)
    return sizes


@pytest.fixture
def without_kernel(monkeypatch):
    """Compute in torch what the kernel does, many times as fast as the interpreter."""
    if not HAS_CUDA:
        monkeypatch.setattr(_triton, "_launch", lanes.keep_smallest)


def clustered(n, d):
    """Twenty rows at a time lie together and stand together."""
    return np.repeat(rng.randn(-(-n // 20), d), 20, axis=0)[:n] + 1e-3 * rng.randn(n, d)


DATA = {
    "random": lambda n, d: rng.randn(n, d),
    "clustered": clustered,
    "tied": lambda n, d: rng.randint(0, 3, (n, d)).astype(float),
    "duplicated": lambda n, d: np.repeat(rng.randn(-(-n // 7), d), 7, axis=0)[:n],
    "all equal": lambda n, d: np.ones((n, d)),
    "near in one lane": lambda n, d: rng.randn(n, d) + 5.0 * (np.arange(n) % 32 != 3)[:, None],
}


def make_engine(X, make=_triton.Fused):
    rows = torch.as_tensor(X, dtype=torch.float64, device=DEVICE)
    return make(_base.CoarseRows(Rows(rows, DEVICE), torch.float32, 2**28))


def candidates_of(engine, Q, n_kept, allowed=None):
    """Return candidates, their estimates, the limit, the bound, and all squared distances."""
    queries = engine.coarse.centred(torch.as_tensor(Q, dtype=torch.float64, device=DEVICE))
    allowed = None if allowed is None else torch.as_tensor(allowed, device=DEVICE)
    found = engine.candidates(None, queries, n_kept, allowed)
    rows = engine.coarse.centred(engine.coarse.rows[:])
    squared = (queries[:, None] - rows).square().sum(2)
    return found[:3], engine.bound(queries).of(slice(None)), squared


# --- the kernel -----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("n_blocks", "n_tiles", "n_chunks"), [(2, 5, 2), (1, 3, 3)])
def test_the_kernel_keeps_the_smallest_numbers_of_each_lane(width, n_blocks, n_tiles, n_chunks):
    """On small integers, whose products and sums are exact."""
    variant = _triton.variant_for(width)
    n_queries, n_rows = n_blocks * variant.block_queries, n_tiles * variant.block_rows
    factors, rows = (
        torch.from_numpy(rng.randint(-4, 5, (n, width)).astype(np.float32)).to(DEVICE)
        for n in (n_queries, n_rows)
    )
    lengths, norms = factors.square().sum(1) / 4, rows.square().sum(1)
    norms[5] = math.inf
    lengths[3], lengths[7] = math.inf, -4096
    kept = _triton._launch(factors, lengths, rows, norms, n_chunks, variant)
    expected = lanes.keep_smallest(factors, lengths, rows, norms, n_chunks, variant)
    assert (expected < 0).any()
    assert_array_equal(kept.cpu(), expected.cpu())


def compiled(capabilities, widths):
    """Return what the script says of the kernel, for each capability and width."""
    script = Path(__file__).with_name("compile_kernel.py")
    arguments = [sys.executable, "-W", "ignore", script, json.dumps([capabilities, widths])]
    environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": "/usr/bin:/bin"}
    lines = subprocess.run(
        arguments, check=True, capture_output=True, text=True, env=environment
    ).stdout.splitlines()
    assert len(lines) == len(capabilities) * len(widths)
    return map(json.loads, lines)


# Shared memory of a multiprocessor, less 1 KiB for each of two programs.
SHARED = {80: 162 * 2**10, 90: 226 * 2**10, 100: 226 * 2**10}
PRODUCTS = {80: "HMMA", 90: "HGMMA", 100: "UTCHMMA"}


def check_compiled(found):
    capability = found["capability"]
    variant = _triton.variant_for(found["width"])
    assert found["STACK"] == found["LOCAL"] == 0
    assert found["tf32"]
    # Products of wide rows need not be those of the newest kind.
    assert (
        PRODUCTS[capability] in found["loop"] if variant.is_whole else "FFMA" not in found["loop"]
    )
    n_programs = 16 // variant.n_warps
    assert found["REG"] * 32 * variant.n_warps * n_programs <= 2**16
    assert found["shared"] * (n_programs if capability >= 90 else 1) <= SHARED[capability]
    if "wavefronts" in found:
        # For a warp and 64 features of a tile; without conflicts in shared memory.
        assert sum(found["wavefronts"].values()) <= 64 * max(1, found["width"] / 64)


@pytest.mark.skipif(sys.platform != "linux", reason="Triton compiles on Linux")
def test_the_kernel_compiles_for_an_h100():
    for found in compiled([90], [64]):
        check_compiled(found)
        assert found["REG"] <= 106
        assert found["wavefronts"]


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90, 100])
def test_every_variant_compiles_without_spills_and_with_tensor_cores(capability):
    for found in compiled([capability], WIDTHS):
        check_compiled(found)


def test_the_launcher_asks_for_no_other_variant():
    variants = {_triton.variant_for(n_features) for n_features in range(1, 3000)}
    assert variants == {_triton.variant_for(width) for width in WIDTHS}
    assert len(variants) == len(WIDTHS)
    for n_features in range(1, 3000, 7):
        width = _triton.width_of(n_features)
        assert width >= n_features
        assert _triton.variant_for(width) == _triton.variant_for(n_features)
        assert width % _triton.variant_for(width).block_features == 0


# --- candidates and their limit -------------------------------------------------------------------


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize(
    ("n_queries", "n_rows", "n_features", "n_kept"),
    [
        (1, 3, 1, 1),
        (5, 3, 1, 3),
        (70, 64, 5, 64),
        (64, 65, 64, 9),
        (3, 500, 70, 20),
        (130, 500, 5, 20),
        (2, 500, 1, 200),
        (1, 500, 150, 499),
    ],
)
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_no_other_row_is_below_the_limit(
    kind, n_queries, n_rows, n_features, n_kept, share, without_kernel
):
    X, Q = DATA[kind](n_rows, n_features), DATA[kind](n_queries, n_features)
    allowed = np.arange(n_rows) >= (1 - share) * n_rows
    n_kept = min(n_kept, allowed.sum())
    engine = make_engine(X)
    found, bound, squared = candidates_of(engine, Q, n_kept, allowed if share < 1 else None)
    rows, estimates, limit = found
    assert rows.shape == estimates.shape == (n_queries, n_kept)
    assert rows.dtype == torch.int64
    assert limit.shape == (n_queries,)
    is_found = estimates.isfinite()
    # Where a lane kept no more, the query is in doubt.
    assert_array_equal(limit.isnan().cpu(), (~is_found).any(1).cpu())
    nearest = squared.gather(1, rows)
    assert (estimates <= bound.largest_estimate(nearest))[is_found].all()
    assert (nearest <= bound.largest_distance(estimates))[is_found].all()
    is_other = torch.as_tensor(allowed, device=DEVICE).repeat(n_queries, 1)
    for query in range(n_queries):
        some = rows[query, is_found[query]]
        assert len(some.unique()) == len(some)
        assert is_other[query, some].all()
        is_other[query, some] = False
    is_less = bound.largest_estimate(squared) < limit[:, None]
    assert not (is_less & is_other).any()


def test_lanes_that_dropped_rows_lower_the_limit(without_kernel, monkeypatch):
    monkeypatch.setattr(_triton, "_n_programs", lambda device: 1)
    n_lanes = _triton.chunks(9, 1000, 32) * 32
    numbers = np.arange(10 * n_lanes)
    X = np.where(numbers % n_lanes == 3, numbers / n_lanes, 1000)[:, None]
    (rows, _, limit), bound, squared = candidates_of(make_engine(X), [[0.0]], 9)
    is_near = squared[0] < squared[0].max() / 4
    assert is_near.sum() == 10
    assert is_near[rows[0]].sum() == _triton.DEPTH
    assert limit[0] <= bound.largest_estimate(squared).sort(1).values[0, _triton.DEPTH]


@pytest.mark.parametrize("k", [1, 11, 32, 150])
@pytest.mark.parametrize("n_features", [5, 64])
def test_nearly_all_queries_are_certain_on_random_data(n_features, k, without_kernel):
    engine, Q = make_engine(rng.randn(2000, n_features)), rng.randn(200, n_features)
    n_kept = engine.n_candidates(k + SPARE_CANDIDATES)
    (rows, _, limit), bound, squared = candidates_of(engine, Q, n_kept)
    nearest = squared.gather(1, rows).sort(1).values[:, k - 1, None]
    is_certain = limit[:, None] > bound.largest_estimate(nearest)
    assert is_certain.double().mean() > 0.97
    expected = squared.sort(1).values[:, k - 1, None]
    assert_array_equal(nearest[is_certain].cpu(), expected[is_certain].cpu())


def test_near_rows_that_stand_together_are_not_lost(without_kernel):
    """Rows sorted by class are dealt out to different lanes."""
    X = np.repeat(10.0 * np.arange(15), 200)[:, None] + rng.randn(3000, 5)
    (_, _, limit), bound, squared = candidates_of(make_engine(X), X[::10], 14)
    farthest = bound.largest_distance(limit[:, None])[:, 0]
    assert (farthest >= squared.sort(1).values[:, 13]).double().mean() > 0.97


@pytest.mark.parametrize("n_kept", [3, 11, 20, 48, 262, 1209])
def test_the_number_of_lanes_costs_least(n_kept):
    def cost(n_lanes):
        return n_lanes + _triton.LANES_PER_LOSS * _triton.losses(n_kept, n_lanes)

    n_lanes = _triton.lanes(n_kept)
    assert cost(n_lanes) <= min(cost(n_lanes * 1.05), cost(n_lanes / 1.05))
    assert _triton.chunks(n_kept, 10**6, 32) * 32 >= n_lanes


@pytest.mark.parametrize("n_rows", [1, 32, 10**6, _triton.MAX_ROWS])
@pytest.mark.parametrize("block_rows", [32, 64])
def test_every_tile_of_a_chunk_has_a_number(n_rows, block_rows):
    n_tiles, n_chunks = -(-n_rows // block_rows), _triton.chunks(48, n_rows, block_rows)
    assert n_chunks <= n_tiles
    assert n_chunks <= _triton.MAX_CHUNKS
    assert -(-n_tiles // n_chunks) <= _triton.MAX_TILES
    # Row numbers of the last tile, too.
    assert (n_tiles + n_chunks) * block_rows < 2**31


def test_pays_by_time():
    assert _triton.pays(10**6, 64, 20)
    assert _triton.pays(10**5, 64, 20)
    assert _triton.pays(10**6, 64, 1009)
    # The lanes of few rows, or of many candidates, take longer than the scores.
    assert not _triton.pays(1000, 64, 20)
    assert not _triton.pays(3 * 10**5, 64, 1009)
    assert not _triton.pays(2**31, 64, 20)


@pytest.mark.parametrize(("cluster", "expected"), [(1, True), (20, True), (200, False)])
def test_pays_where_few_rows_are_in_doubt(cluster, expected, without_kernel, monkeypatch):
    """Large clusters have more rows that TF32 cannot tell apart than there are candidates."""
    monkeypatch.setattr(_triton, "SECONDS_KEPT", 0)
    X = np.repeat(rng.randn(2000 // cluster, 64), cluster, axis=0) + 1e-3 * rng.randn(2000, 64)
    assert make_engine(X).pays(20) == expected


def test_memory_for_more_chunks_than_needed_is_kept_to(monkeypatch):
    seen = []

    def launch(factors, lengths, rows, norms, n_chunks, variant):
        seen.append(n_chunks)
        return lanes.keep_smallest(factors, lengths, rows, norms, n_chunks, variant)

    monkeypatch.setattr(_triton, "_n_programs", lambda device: 1000)
    monkeypatch.setattr(_triton, "_launch", launch)
    rows = torch.randn(640, 16, device=DEVICE)
    norms = rows.square().sum(1)
    each = _triton.bytes_per_query(1, 32) * 5
    for n_bytes, n_chunks in [(0, 1), (4.5 * each, 4), (1e9, 20)]:
        found, _, _ = _triton.find_smallest(-2 * rows[:5], norms[:5], rows, norms, 2, n_bytes)
        assert (found == torch.arange(5, device=DEVICE)[:, None]).any(1).all()
        assert seen.pop() == n_chunks


# --- searches -------------------------------------------------------------------------------------

random_state = np.random.RandomState(1)
N = 700


def outliers(scale):
    X = random_state.randn(N, 4) * scale
    X[0], X[1] = 1, -1
    return X


HARD = {
    "offset 1e8": random_state.randn(N, 5) + 1e8,
    "offset 1e15": random_state.randn(N, 5) + 1e15,
    "float32, offset 1e7": (random_state.randn(N, 5) + 1e7).astype("f4"),
    "float16 near the largest": (random_state.rand(N, 8) * 65000).astype("f2"),
    "float16 denormal": (random_state.rand(N, 8) * 6e-6).astype("f2"),
    "float32 denormal": (random_state.rand(N, 8) * 1e-41).astype("f4"),
    "float32 near the largest": (random_state.randn(N, 8) * 1e38)
    .clip(-3.4e38, 3.4e38)
    .astype("f4"),
    "float64 denormal": random_state.rand(N, 4) * 1e-310,
    **{
        f"outliers, others {scale}": outliers(scale)
        for scale in (1e-18, 1e-19, 1e-20, 1e-22, 1e-30)
    },
    "ties on a grid": random_state.randint(0, 2, (N, 6)).astype(float),
    "ties of signs": random_state.choice([-1.0, 1.0], (N, 17)),
    "copies of two": np.repeat(random_state.randn(2, 3), N // 2, axis=0),
    "one feature": random_state.randn(N, 1),
    "one feature, ties": random_state.randint(0, 9, (N, 1)).astype(float),
    "17 features": random_state.randn(N, 17),
    "150 features": random_state.randn(N, 150),
    "constant column": np.c_[np.full(N, 1e6), random_state.randn(N, 2) * 1e-6],
    "near in one lane": np.where(
        (np.arange(N) % 32 == 5)[:, None], random_state.randn(N, 3) * 1e-3, random_state.randn(N, 3)
    ),
    **{f"{n} rows": random_state.randn(n, 3) for n in (2, 12, 31, 33, 64, 129)},
    "integers": random_state.randint(-128, 127, (N, 4)).astype("f4"),
}
OFTEN = {"offset 1e15", "outliers, others 1e-20", "33 rows"}


def check_search(X, k, device=DEVICE):
    X = np.asarray(X)
    neighbors = TorchNearestNeighbors(k, device=str(device), working_memory=256).fit(X)
    distances, indices = neighbors.kneighbors()
    expected = oracle.neighbors(X.astype("f8"), X.astype("f8"), k, exclude_self=True)
    assert_array_equal(indices, expected[1])
    assert_allclose(distances, expected[0], rtol=1e-12)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in OFTEN else pytest.mark.slow) for name in HARD],
)
def test_equals_float64_brute_force(name, fused):
    """Through the kernel itself, interpreted where there is no device."""
    X = HARD[name]
    for k in (1, 11, 60):
        if k < len(X):
            check_search(X, k)
    assert fused


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("k", [1, 7])
def test_equals_float64_brute_force_on_other_data(kind, k, fused, without_kernel):
    check_search(DATA[kind](400, 5), k)
    assert fused


@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul:RuntimeWarning")
def test_queries_that_overflow_float32(fused):
    X, Q = rng.randn(100, 4), rng.randn(5, 4) * 10.0 ** np.array([[0], [18], [20], [30], [60]])
    neighbors = TorchNearestNeighbors(5, device=str(DEVICE)).fit(X)
    distances, _ = neighbors.kneighbors(Q)
    assert_allclose(distances, oracle.neighbors(Q, X, 5)[0], rtol=1e-12)
    assert fused


@pytest.mark.parametrize("k", [1, 7, 8, 16])
def test_only_allowed_rows_are_found(k, fused, without_kernel):
    """Thirty-two rows are allowed, all in one lane."""
    X = torch.as_tensor(clustered(1024, 5))
    allowed = torch.arange(1024) % 32 == 3
    _, indices = ExactSearch(X, DEVICE, 64).nearest(X[:20], k, allowed=allowed)
    rows = allowed.nonzero()[:, 0].numpy()
    assert_array_equal(indices.cpu(), rows[oracle.neighbors(X[:20], X[rows], k)[1]])
    assert fused


def test_little_memory_makes_small_blocks(fused, without_kernel, monkeypatch):
    monkeypatch.setattr(_search, "LEAST_MEMORY", 0)
    X = rng.randn(300, 3)
    search = ExactSearch(torch.as_tensor(X), DEVICE, 1)
    _, indices = search.nearest(torch.as_tensor(X), 3)
    assert_array_equal(indices.cpu(), oracle.neighbors(X, X, 3)[1])
    n_kept = _triton.n_candidates(3 + SPARE_CANDIDATES)
    needed = _triton.bytes_per_query(_triton.chunks(n_kept, 300, 32), 32)
    assert len(fused) > 1
    assert max(n_queries for n_queries, _ in fused) * needed <= 2**18


# --- where there is no Triton ---------------------------------------------------------------------


def test_the_cpu_does_not_import_triton():
    script = """
import sys
from imblearn_eos import TorchNearestNeighbors
X = [[float(i)] for i in range(3000)]
TorchNearestNeighbors(2, device="cpu").fit(X).kneighbors()
assert "imblearn_eos.neighbors._triton" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def large(n_features, device=DEVICE):
    """Return the size of a search for which the kernel pays."""
    return _choose.Size(10**6, n_features, 10**6, 20, True, device, torch.float32, 2**33)


@pytest.fixture
def unchecked(monkeypatch):
    monkeypatch.setattr(_choose, "_is_right", _choose._is_right.__wrapped__)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    return _choose._load_triton


def test_plain_torch_where_triton_is_missing(unchecked, monkeypatch):
    monkeypatch.setitem(sys.modules, "imblearn_eos.neighbors._triton", None)
    monkeypatch.delattr("imblearn_eos.neighbors._triton")
    assert unchecked(large(64)) is None


def test_plain_torch_on_devices_without_tf32(unchecked, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert unchecked(large(64)) is None


@pytest.mark.parametrize("width", WIDTHS)
def test_plain_torch_for_variants_that_fail(width, unchecked, without_kernel, monkeypatch):
    """A variant that works does not vouch for another."""
    assert all(unchecked(large(other)) is _triton for other in WIDTHS)
    launch = _triton._launch

    def fail(*args):
        if args[-1] == _triton.variant_for(width):
            raise RuntimeError("no C compiler")
        return launch(*args)

    monkeypatch.setattr(_triton, "_launch", fail)
    with pytest.warns(RuntimeWarning, match="no C compiler"):
        assert unchecked(large(width)) is None
    assert all(unchecked(large(other)) is _triton for other in WIDTHS if other != width)


@pytest.mark.parametrize("error", [3e-3, -3e-3])
def test_plain_torch_where_products_are_imprecise(error, unchecked, without_kernel, monkeypatch):
    launch = _triton._launch

    def launch_wrongly(factors, *args):
        return launch(factors * (1 + error), *args)

    monkeypatch.setattr(_triton, "_launch", launch_wrongly)
    with pytest.warns(RuntimeWarning, match="less precise"):
        assert unchecked(large(64)) is None


# --- on a device, emulated or not -----------------------------------------------------------------


@pytest.fixture
def emulated(monkeypatch, without_kernel):
    """A device on which what the kernel computes is computed in torch."""
    monkeypatch.setattr(_triton, "pays", lambda *size: True)
    monkeypatch.setattr(_triton.Fused, "pays", AnyFused.pays)
    monkeypatch.setattr(_choose, "_is_right", lambda *variant: True)
    monkeypatch.setattr(_triton, "QUERIES_AT_ONCE", 256)
    with EmulatedCuda() as cuda:
        yield cuda


@pytest.mark.parametrize("result", ["distances", "order", "sets"])
@pytest.mark.parametrize(("precision", "k"), [("highest", 5), ("high", 5), ("highest", 150)])
def test_a_search_waits_at_most_twice_for_each_block(emulated, result, precision, k):
    """Whatever torch may use TF32 for; the kernel does anyway."""
    X = torch.from_numpy(rng.randn(1024, 20).astype(np.float32))
    expected = ExactSearch(X, torch.device("cpu"), 64).nearest(
        X, k, own=torch.arange(1024), result=result
    )
    own, X = torch.arange(1024).cuda(), X.cuda()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        search = ExactSearch(X, EMULATED, None)
        search.nearest(X, k, own=own, result=result)
        emulated.reset()
        found = search.nearest(X, k, own=own, result=result)
    finally:
        torch.set_float32_matmul_precision(before)
    ((engine, _),) = search._prepared.values()
    assert isinstance(engine, _triton.Fused)
    # Four blocks; one wait more for what is in doubt.
    assert emulated.waits.total() <= (2 * 4 if result == "sets" else 0) + 1
    assert not emulated.copies_to_host
    assert not emulated.copies_to_device
    assert_array_equal(found[1].cpu(), expected[1])
    if result == "distances":
        assert_array_equal(found[0].cpu(), expected[0])


def test_eos_copies_no_rows_to_the_host(emulated):
    X = rng.randn(900, 20).astype(np.float32)
    y = np.repeat([0, 1, 2], [600, 200, 100])
    expected = EOS(random_state=0, device="cpu").fit_resample(X, y)[0]
    rows, labels = torch.from_numpy(X).cuda(), torch.from_numpy(y).cuda()
    emulated.reset()
    found, _ = EOS(random_state=0).fit_resample(rows, labels)
    # Labels, and numbers of neighbors.
    assert max(emulated.copies_to_host) < X.nbytes
    assert_array_equal(found.cpu(), expected)


@needs_cuda
@pytest.mark.parametrize("n_features", [1, 64, 100, 200])
@pytest.mark.parametrize("k", [5, 30])
def test_cuda_takes_the_fused_pass_and_equals_the_cpu(n_features, k, monkeypatch):
    calls = []
    find_smallest = _triton.find_smallest
    X = rng.randn(50_000, n_features)
    expected = TorchNearestNeighbors(k, device="cpu").fit(X).kneighbors(X[:1000])
    neighbors = TorchNearestNeighbors(k, device="cuda").fit(X)
    # Neither its check nor its trial is counted.
    assert _choose._load_triton(large(n_features)) is _triton
    monkeypatch.setattr(_triton, "pays", lambda *size: True)
    monkeypatch.setattr(_triton.Fused, "pays", AnyFused.pays)
    monkeypatch.setattr(
        _triton, "find_smallest", lambda *args: calls.append(1) or find_smallest(*args)
    )
    distances, indices = neighbors.kneighbors(X[:1000])
    assert calls
    assert_array_equal(indices, expected[1])
    assert_allclose(distances, expected[0], rtol=1e-12)


@needs_cuda
def test_cuda_beyond_two_to_the_31_numbers():
    n_features = 4096
    n_rows = 2**31 // n_features + 1024
    if torch.cuda.get_device_properties(DEVICE).total_memory < 12 * 2**30:
        pytest.skip("needs 12 GiB of device memory")
    rows = torch.zeros(n_rows, n_features, device=DEVICE)
    rows[-3:, :3] = torch.eye(3)
    norms = torch.zeros(n_rows, device=DEVICE)
    norms[-3:] = 1
    found, _, _ = _triton.find_smallest(-2 * rows[-3:], norms[-3:], rows, norms, 1, 0)
    assert_array_equal(found[:, 0].cpu(), np.arange(n_rows - 3, n_rows))
