"""The fused engine: compiled where there is a CUDA device, else through the interpreter."""

import math
import subprocess
import sys

import numpy as np
import oracle
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from imblearn_eos import TorchNearestNeighbors
from imblearn_eos.neighbors import _base, _certificate, _choose, _search
from imblearn_eos.neighbors._exact import Rows
from imblearn_eos.neighbors._search import SPARE_CANDIDATES, ExactSearch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

pytest.importorskip("triton", reason="needs Triton, which CUDA builds of torch bring")
from imblearn_eos.neighbors import _triton  # noqa: E402

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
rng = np.random.RandomState(0)


@pytest.fixture(autouse=True)
def _compiled_or_interpreted(monkeypatch):
    if DEVICE.type == "cpu":
        # Parts of Triton are imported at the first call.
        monkeypatch.setenv("TRITON_INTERPRET", "1")


@pytest.fixture
def fused(monkeypatch):
    """Make every search use the fused engine, on the CPU too; return the sizes of its calls."""
    sizes = []
    find_smallest = _triton.find_smallest

    def choose(size):
        return [(_triton.Fused,)]

    def count(queries, rows, norms, n_kept, n_bytes):
        sizes.append((len(queries), len(rows), n_kept))
        return find_smallest(queries, rows, norms, n_kept, n_bytes)

    if DEVICE.type == "cuda":
        # Its trial run is not counted.
        _choose._load_triton(DEVICE)
    monkeypatch.setattr(_search, "choose_engines", choose)
    monkeypatch.setattr(_triton, "find_smallest", count)
    return sizes


def clustered(n, d):
    """Twenty rows at a time lie together and stand together."""
    return np.repeat(rng.randn(-(-n // 20), d), 20, axis=0)[:n] + 1e-3 * rng.randn(n, d)


DATA = {
    "random": lambda n, d: rng.randn(n, d),
    "clustered": clustered,
    "tied": lambda n, d: rng.randint(0, 3, (n, d)).astype(float),
    "duplicated": lambda n, d: np.repeat(rng.randn(-(-n // 7), d), 7, axis=0)[:n],
    "all equal": lambda n, d: np.ones((n, d)),
    "near in one lane": lambda n, d: rng.randn(n, d) + 5.0 * (np.arange(n) % 64 != 3)[:, None],
}


def make_engine(X):
    rows = torch.as_tensor(X, dtype=torch.float64, device=DEVICE)
    coarse = _base.CoarseRows(Rows(rows, DEVICE), torch.float32, 2**28)
    return _triton.Fused(coarse)


def candidates_of(engine, Q, n_kept, allowed=None):
    """Return candidates, limit, and what the limit is about: estimates as if in exact numbers."""
    queries = engine.coarse.centred(torch.as_tensor(Q, dtype=torch.float64, device=DEVICE))
    allowed = None if allowed is None else torch.as_tensor(allowed, device=DEVICE)
    found = engine.candidates(None, queries, n_kept, allowed)
    left, right = queries.float().double(), engine.source.values.double()
    estimates = (left[:, None] - right[None]).square().sum(2)
    return found.rows.cpu().numpy(), found.limit.cpu().numpy(), estimates.cpu().numpy()


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize(
    ("n_queries", "n_rows", "n_features", "n_kept"),
    [
        (1, 3, 1, 1),
        (5, 3, 1, 3),
        (70, 64, 5, 64),
        (64, 65, 64, 9),
        (3, 500, 70, 20),
        (70, 500, 5, 20),
        (2, 500, 1, 200),
        (1, 500, 64, 499),
    ],
)
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_no_other_row_is_below_the_limit(kind, n_queries, n_rows, n_features, n_kept, share, fused):
    X, Q = DATA[kind](n_rows, n_features), DATA[kind](n_queries, n_features)
    engine = make_engine(X)
    allowed = np.arange(n_rows) >= (1 - share) * n_rows
    n_kept = min(n_kept, allowed.sum())
    found, limit, estimates = candidates_of(engine, Q, n_kept, allowed if share < 1 else None)
    assert fused == [(n_queries, n_rows, n_kept)]
    assert found.shape == (n_queries, n_kept)
    assert found.dtype == np.int64
    assert limit.shape == (n_queries,)
    assert np.isfinite(limit).all()
    is_other = np.tile(allowed, (n_queries, 1))
    for query, rows in enumerate(found):
        assert len(set(rows)) == n_kept
        assert allowed[rows].all()
        is_other[query, rows] = False
    # The roundings of float32, as the search's bound counts them, on lengths of up to sqrt(d).
    tolerance = _certificate.tolerance(n_features, torch.float32) * (n_features + estimates)
    assert (estimates + tolerance >= limit[:, None])[is_other].all()


@pytest.mark.parametrize(("n_kept", "depth"), [(9, 3), (48, 4)])
def test_lanes_keep_their_smallest(n_kept, depth):
    n_chunks = _triton.lanes(n_kept)[1]
    n_lanes = n_chunks * _triton.BLOCK_ROWS
    numbers = torch.arange(10 * n_lanes + 17) % n_lanes
    # In a few lanes there are more near rows than these can keep.
    rows = torch.as_tensor(rng.randn(len(numbers), 3)).float()
    rows *= torch.where(numbers % 50 == 3, 0.3, 3.0)[:, None]
    queries = torch.as_tensor(0.3 * rng.randn(8, 3)).float()
    norms = rows.square().sum(1)
    found, _, limit = _triton.find_smallest(
        *(part.to(DEVICE) for part in (queries, rows, norms)), n_kept, 0
    )
    scores = norms - 2 * queries @ rows.T
    shorter = torch.stack([scores[:, numbers == lane] for lane in range(17, n_lanes)], 1)
    longer = torch.stack([scores[:, numbers == lane] for lane in range(17)], 1)
    kept = [part.sort(2).values[:, :, :depth] for part in (shorter, longer)]
    full = torch.cat([part[:, :, -1] for part in kept], 1).amin(1)
    smallest = torch.cat([part.flatten(1) for part in kept], 1).sort(1).values[:, :n_kept]
    assert (full < smallest[:, -1]).any()
    assert_allclose(limit.cpu(), torch.minimum(full, smallest[:, -1]), atol=1e-5)
    assert_allclose(scores.gather(1, found.cpu()).sort(1).values, smallest, atol=1e-5)


def test_lanes_that_dropped_rows_lower_the_limit(fused, monkeypatch):
    monkeypatch.setattr(_triton, "_n_programs", lambda device: 1)
    depth, n_chunks = _triton.lanes(9)
    n_lanes = n_chunks * _triton.BLOCK_ROWS
    numbers = np.arange(10 * n_lanes)
    X = np.where(numbers % n_lanes == 3, numbers / n_lanes, 1000)[:, None]
    found, limit, estimates = candidates_of(make_engine(X), [[0.0]], 9)
    is_near = estimates[0] < estimates[0].max() / 4
    assert is_near.sum() == 10
    assert is_near[found[0]].sum() == depth
    assert limit[0] <= np.sort(estimates[0])[depth]


@pytest.mark.parametrize("k", [1, 11, 40])
@pytest.mark.parametrize("n_features", [5, 64])
def test_nearly_all_queries_are_certain_on_random_data(n_features, k, fused):
    engine, Q = make_engine(rng.randn(2000, n_features)), rng.randn(200, n_features)
    found, limit, estimates = candidates_of(engine, Q, k + SPARE_CANDIDATES)
    nearest = np.sort(np.take_along_axis(estimates, found, axis=1), axis=1)[:, k - 1]
    queries = engine.coarse.centred(torch.as_tensor(Q, device=DEVICE)).cpu()
    is_certain = limit > engine.bound(queries).largest_estimate(torch.as_tensor(nearest)).numpy()
    assert is_certain.mean() > 0.97
    assert_array_equal(nearest[is_certain], np.sort(estimates, axis=1)[is_certain, k - 1])


def test_near_rows_that_stand_together_are_not_lost(fused):
    """Rows sorted by class are dealt out to different lanes."""
    X = np.repeat(100.0 * np.arange(15), 200)[:, None] + rng.randn(3000, 5)
    _, limit, estimates = candidates_of(make_engine(X), X[::10], 14)
    assert (limit >= np.sort(estimates, axis=1)[:, 13] - 1e-6).mean() > 0.97


@pytest.mark.parametrize("n_kept", [1, 3, 11, 20, 50, 109, 1009, _triton.MAX_KEPT])
def test_expected_losses_are_few_and_memory_grows_gently(n_kept):
    depth, n_chunks = _triton.lanes(n_kept)
    n_lanes = n_chunks * _triton.BLOCK_ROWS
    assert depth * n_lanes >= n_kept
    assert math.comb(n_kept, depth) / n_lanes ** (depth - 1) <= _triton.LOSSES
    assert _triton.bytes_per_query(n_kept) == 16 * depth * n_lanes


def test_pays_only_beside_many_rows():
    assert _triton.pays(10_000, 20)
    assert not _triton.pays(1000, 20)
    assert not _triton.pays(50_000, 1009)
    assert _triton.pays(1_000_000, 1009)
    assert not _triton.pays(10**9, _triton.MAX_KEPT + 1)


def test_memory_for_more_chunks_than_needed_is_kept_to(monkeypatch):
    monkeypatch.setattr(_triton, "_n_programs", lambda device: 1000)
    rows = torch.randn(640, 3, device=DEVICE)
    norms = rows.square().sum(1)
    seen = []
    kernel = _triton._keep_smallest

    class Spy:
        def __getitem__(self, grid):
            seen.append(grid)
            return kernel[grid]

    monkeypatch.setattr(_triton, "_keep_smallest", Spy())
    each = _triton.bytes_per_query(2, 1) * 5
    for n_bytes, n_chunks in [(0, 1), (4.5 * each, 4), (1e9, 10)]:
        found, _, _ = _triton.find_smallest(rows[:5], rows, norms, 2, n_bytes)
        assert (found == torch.arange(5, device=DEVICE)[:, None]).any(1).all()
        assert seen.pop() == (1, n_chunks)


@pytest.mark.parametrize(
    "X",
    [
        pytest.param(rng.randn(300, 5), id="random"),
        pytest.param((rng.randn(300, 70) + 1e4).astype("float32"), id="float32 offset 1e4"),
        pytest.param(rng.randint(0, 3, (300, 3)) / 8 + 1024, id="exact ties on a dyadic grid"),
        pytest.param(np.zeros((200, 4)), id="all rows equal"),
        pytest.param(np.repeat(rng.randn(20, 5), 10, axis=0), id="ten copies of each row"),
        pytest.param(np.r_[rng.randn(200, 5), [[1e12] * 5]], id="one distant outlier"),
        pytest.param(DATA["near in one lane"](400, 5), id="near in one lane"),
        pytest.param(rng.randn(200, 5) * 1e-140, id="squares near underflow"),
        pytest.param(rng.randn(12, 3), id="few rows"),
    ],
)
def test_equals_float64_brute_force(X, fused):
    for k in (1, 7):
        neighbors = TorchNearestNeighbors(k, device=str(DEVICE)).fit(X)
        distances, indices = neighbors.kneighbors()
        expected_distances, expected = oracle.neighbors(X, X, k, exclude_self=True)
        assert_array_equal(indices, expected)
        assert_allclose(distances, expected_distances, rtol=1e-12)
    assert fused


@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul:RuntimeWarning")
def test_queries_that_overflow_float32(fused):
    X, Q = rng.randn(100, 4), rng.randn(5, 4) * 10.0 ** np.array([[0], [18], [20], [30], [60]])
    neighbors = TorchNearestNeighbors(5, device=str(DEVICE)).fit(X)
    distances, _ = neighbors.kneighbors(Q)
    assert_allclose(distances, oracle.neighbors(Q, X, 5)[0], rtol=1e-12)
    assert fused


@pytest.mark.parametrize("k", [1, 7, 8, 16])
def test_only_allowed_rows_are_found(k, fused):
    """Sixteen rows are allowed, all in one lane; with 8 spare candidates, k = 16 needs them all."""
    X = torch.as_tensor(clustered(1024, 5))
    allowed = torch.arange(1024) % 64 == 3
    _, indices = ExactSearch(X, DEVICE, 64).nearest(X[:20], k, allowed=allowed)
    rows = allowed.nonzero()[:, 0].numpy()
    assert_array_equal(indices.cpu(), rows[oracle.neighbors(X[:20], X[rows], k)[1]])
    assert fused


def test_little_memory_makes_small_blocks(fused, monkeypatch):
    monkeypatch.setattr(_search, "LEAST_MEMORY", 0)
    X = rng.randn(300, 3)
    search = ExactSearch(torch.as_tensor(X), DEVICE, 0.4)
    _, indices = search.nearest(torch.as_tensor(X), 3)
    assert_array_equal(indices.cpu(), oracle.neighbors(X, X, 3)[1])
    needed = _triton.bytes_per_query(3 + SPARE_CANDIDATES)
    assert len(fused) > 1
    assert max(n_queries for n_queries, _, _ in fused) * needed <= 0.1 * 2**20


def test_the_cpu_does_not_import_triton():
    script = """
import sys
from imblearn_eos import TorchNearestNeighbors
X = [[float(i)] for i in range(3000)]
TorchNearestNeighbors(2, device="cpu").fit(X).kneighbors()
assert "imblearn_eos.neighbors._triton" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("error", [ImportError, RuntimeError])
def test_plain_torch_where_triton_is_missing_or_fails(error, monkeypatch):
    def fail(*args):
        raise error("no C compiler")

    monkeypatch.setattr(_choose, "_load_triton", _choose._load_triton.__wrapped__)
    if error is ImportError:
        monkeypatch.setitem(sys.modules, "imblearn_eos.neighbors._triton", None)
        monkeypatch.delattr("imblearn_eos.neighbors._triton")
        assert _choose._load_triton(DEVICE) is None
    else:
        monkeypatch.setattr(_triton, "find_smallest", fail)
        with pytest.warns(RuntimeWarning, match="no C compiler"):
            assert _choose._load_triton(DEVICE) is None


@needs_cuda
@pytest.mark.parametrize("n_features", [1, 64, 100])
@pytest.mark.parametrize("k", [5, 100])
def test_cuda_takes_the_fused_pass_and_equals_the_cpu(n_features, k, monkeypatch):
    calls = []
    find_smallest = _triton.find_smallest
    X = rng.randn(20_000, n_features)
    expected = TorchNearestNeighbors(k, device="cpu").fit(X).kneighbors(X[:1000])
    neighbors = TorchNearestNeighbors(k, device="cuda").fit(X)
    _choose._load_triton(DEVICE)
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
    n_rows = 2**31 // n_features + 1000
    if torch.cuda.get_device_properties(DEVICE).total_memory < 12 * 2**30:
        pytest.skip("needs 12 GiB of device memory")
    rows = torch.zeros(n_rows, n_features, device=DEVICE)
    rows[-3:, :3] = torch.eye(3)
    norms = torch.zeros(n_rows, device=DEVICE)
    norms[-3:] = 1
    found, _, _ = _triton.find_smallest(rows[-3:], rows, norms, 1, 0)
    assert_array_equal(found[:, 0].cpu(), np.arange(n_rows - 3, n_rows))
