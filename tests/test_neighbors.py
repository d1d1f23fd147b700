import pickle
import subprocess
import sys
from inspect import signature

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling import SMOTEN, SMOTENC, KMeansSMOTE
from imblearn.under_sampling import (
    CondensedNearestNeighbour,
    EditedNearestNeighbours,
    NearMiss,
    NeighbourhoodCleaningRule,
    OneSidedSelection,
)
from imblearn.utils.testing import all_estimators
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import make_classification
from sklearn.neighbors import NearestNeighbors

from imblearn_eos import TorchNearestNeighbors
from imblearn_eos.neighbors import _choose, _exact, _search
from imblearn_eos.neighbors._nearest_neighbors import nearest_sets, nearest_squared

rng = np.random.RandomState(0)


@pytest.fixture(autouse=True)
def _any_memory(monkeypatch):
    """Let few rows exceed the memory of a test."""
    monkeypatch.setattr(_search, "LEAST_MEMORY", 0)


def scattered(n=200, d=5):
    return np.random.RandomState(1).randn(n, d)


def assert_same_neighbors(X, k, **params):
    fitted = TorchNearestNeighbors(k, **params).fit(X)
    distances, indices = fitted.kneighbors()
    expected_distances, expected = oracle.neighbors(X, X, k, exclude_self=True)
    assert_array_equal(indices, expected)
    assert_allclose(distances, expected_distances, rtol=1e-12)
    # Less is measured for less.
    assert_array_equal(fitted.kneighbors(return_distance=False), expected)
    found = nearest_sets(fitted, np.arange(len(X)), k)
    assert_array_equal(found, np.sort(expected, axis=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 7, 200])
@pytest.mark.parametrize("X", [scattered(), rng.randint(0, 3, (200, 3))], ids=["any", "ties"])
def test_rows_within_reach_are_found_by_their_squared_distances(X, k, dtype, engine):
    X = X.astype(dtype)
    queries, is_allowed = X[::7], rng.uniform(size=len(X)) < 0.9
    k = min(k, int(is_allowed.sum()))
    squared = oracle.squared_distances(queries, X[is_allowed])
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    expected = np.take_along_axis(squared, order, axis=1)
    # Some reach no row, some a few, as far as the last of them, and some all.
    reach = np.take_along_axis(expected, rng.randint(0, k, (len(queries), 1)), axis=1)[:, 0]
    reach[::5], reach[1::5] = -1, np.inf
    found, rows = nearest_squared(
        TorchNearestNeighbors().fit(X),
        queries,
        k,
        allowed=torch.from_numpy(is_allowed),
        reach=torch.from_numpy(reach),
    )
    # The oracle sums in another order.
    is_near = expected <= reach[:, None] * (1 + 1e-12)
    assert_array_equal(found <= reach[:, None] * (1 + 1e-12), is_near)
    assert_allclose(found[is_near], expected[is_near], rtol=1e-12)
    assert_array_equal(rows[is_near], np.flatnonzero(is_allowed)[order][is_near])


def test_different_squares_of_one_root_are_told_apart():
    far = np.sqrt(2.5) + np.arange(20, 0, -1) * 2.0**-52
    X = np.column_stack([np.ones(20), far])
    squared = oracle.squared_distances(np.zeros((1, 2)), X)[0]
    assert len(np.unique(np.sqrt(squared))) < len(np.unique(squared))
    found, rows = nearest_squared(TorchNearestNeighbors().fit(X), np.zeros((1, 2)), 20)
    assert_array_equal(rows[0], np.argsort(squared, kind="stable"))
    assert_array_equal(found[0], np.sort(squared))


def test_distances_are_correctly_rounded_roots():
    squared, rows = nearest_squared(
        fitted := TorchNearestNeighbors().fit(scattered()), scattered(), 9
    )
    distances, indices = fitted.kneighbors(scattered(), 9)
    assert_array_equal(distances, np.sqrt(squared))
    assert_array_equal(indices, rows)


@pytest.mark.parametrize(
    "X",
    [
        pytest.param(scattered(), id="float64"),
        pytest.param(scattered().astype("float32"), id="float32"),
        pytest.param(scattered().astype("float16"), id="float16"),
        pytest.param((scattered() + 1e4).astype("float32"), id="float32 offset 1e4"),
        pytest.param((scattered() * 1e7).astype("float32"), id="float32 scale 1e7"),
        pytest.param(scattered() + 1e9, id="float64 offset 1e9"),
        pytest.param(scattered() * np.array([1e7, 1, 1, 1, 1e-7]), id="mixed scales"),
        pytest.param(np.r_[scattered(), [[1e12] * 5]], id="one distant outlier"),
        pytest.param(rng.randint(0, 3, (200, 3)), id="exact ties on a grid"),
        pytest.param(rng.randint(0, 3, (200, 3)) / 8 + 1024, id="exact ties on a dyadic grid"),
        pytest.param(np.zeros((100, 4)), id="all rows equal"),
        pytest.param(np.repeat(scattered(20), 10, axis=0), id="ten copies of each row"),
        pytest.param(scattered(30, 1), id="one feature"),
        pytest.param(scattered(30, 700), id="more features than rows"),
        pytest.param(scattered() * 1e140, id="squares near overflow"),
        pytest.param(scattered() * 1e-140, id="squares near underflow"),
    ],
)
@pytest.mark.parametrize("working_memory", [None, 0.05])
def test_equals_float64_brute_force_with_ties_by_index(X, working_memory, engine):
    for k in (1, 7):
        assert_same_neighbors(X, k, working_memory=working_memory)


def test_clustered_rows_of_many_features(engine):
    random_state = np.random.RandomState(0)
    centres = random_state.randn(12, 40) * 9
    X = (centres[random_state.randint(12, size=900)] + random_state.randn(900, 40)).astype(
        "float32"
    )
    assert_same_neighbors(X, 11)
    queries = X[::7] + 0.1
    result = TorchNearestNeighbors(3).fit(X).kneighbors(queries, return_distance=False)
    assert_array_equal(result, oracle.neighbors(queries, X, 3)[1])


def test_one_fit_serves_few_queries_and_then_many(monkeypatch):
    sizes = []

    def choose(size):
        sizes.append(size)
        return [(_choose.Tiles,)] if size.n_queries < 100 else [(_choose.Boxes,), (_choose.Tiles,)]

    monkeypatch.setattr(_search, "choose_engines", choose)
    X = scattered(400)
    fitted = TorchNearestNeighbors(5, device="cpu").fit(X)
    for queries in (X[:3], X, X[:3], X[100:200]):
        result = fitted.kneighbors(queries, return_distance=False)
        assert_array_equal(result, oracle.neighbors(queries, X, 5)[1])
    assert [size.n_queries for size in sizes] == [3, 400, 400, 400]
    assert_array_equal(
        pickle.loads(pickle.dumps(fitted)).kneighbors(X[:9])[1], fitted.kneighbors(X[:9])[1]
    )


PEAK = """
import resource, sys
import numpy as np, torch
from imblearn_eos import TorchNearestNeighbors
torch.set_num_threads(1)
kind, n_rows, n_features, k, n_queries, memory = sys.argv[1], *map(int, sys.argv[2:7])
if sys.argv[7:] == ["without numba"]:
    sys.modules["numba"] = None
# Made in place: a larger array in between would hide what the search takes.
X = np.random.default_rng(0).random((n_rows, n_features), dtype="float32")
X *= {"random": 1, "equal": 0, "grid": 3, "flat": 1}[kind]
if kind == "flat":
    for part in np.array_split(X, 100):
        part[:, 8:] = part[:, :8] @ np.ones((8, n_features - 8), dtype="float32")
if kind == "grid":
    np.round(X, out=X)
warm = TorchNearestNeighbors(2).fit(X[:500]).kneighbors(X[:100])
neighbors = TorchNearestNeighbors(k, working_memory=memory).fit(X)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
distances, indices = neighbors.kneighbors(X[:n_queries])
output = (distances.nbytes + indices.nbytes + X[:n_queries].nbytes) / 2**20
assert peak() - before < memory + output + 8, (peak() - before, memory, output)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory as Linux gives it")
@pytest.mark.parametrize(
    "arguments",
    [
        ("random", 100_000, 64, 11, 2000, 64),
        ("random", 1_000_000, 64, 11, 300, 256),
        ("random", 1_000_000, 64, 11, 300, 1024),
        ("random", 20_000, 256, 9000, 4, 32),
        ("random", 20_000, 512, 5, 50, 90),
        ("equal", 8000, 16, 6, 8000, 64),
        ("grid", 8000, 3, 6, 8000, 32),
        # Products in bfloat16 where they are fast.
        ("random", 40_000, 64, 11, 5000, 64, "without numba"),
        # Boxes, with and without what sketches rule out.
        ("flat", 30_000, 64, 11, 10_000, 64, "without numba"),
        ("equal", 12_000, 64, 6, 12_000, 64, "without numba"),
        ("equal", 12_000, 64, 200, 2000, 64, "without numba"),
    ],
    ids=str,
)
def test_peak_memory_stays_under_working_memory(arguments):
    subprocess.run([sys.executable, "-c", PEAK, *map(str, arguments)], check=True)


@pytest.mark.parametrize("n_rows", [5, 12, 13, 300])
@pytest.mark.parametrize("distance", [1e17, 1e60])
def test_queries_far_from_all_rows(n_rows, distance, engine):
    # Beyond what float32 can square, and beyond what it can hold.
    random_state = np.random.RandomState(0)
    X, queries = random_state.randn(n_rows, 3), random_state.randn(40, 3) * distance
    result = TorchNearestNeighbors(5).fit(X).kneighbors(queries)
    expected = oracle.neighbors(queries, X, 5)
    assert_array_equal(result[1], expected[1])
    assert_allclose(result[0], expected[0], rtol=1e-12)


@pytest.mark.parametrize("huge", [1e30, -1e60, 1e60, 1e149])
def test_one_huge_number_of_one_query_changes_no_other(huge, engine):
    random_state = np.random.RandomState(0)
    X, queries = random_state.randn(400, 20), random_state.randn(60, 20)
    # Its products with all rows overflow to the same side.
    X[:, 3] = np.abs(X[:, 3]) + 1
    queries[7, 3] = huge
    result = TorchNearestNeighbors(5).fit(X).kneighbors(queries)
    expected = oracle.neighbors(queries, X, 5)
    assert_array_equal(result[1], expected[1])
    assert_allclose(result[0], expected[0], rtol=1e-12)


@settings(max_examples=150, deadline=None)
@given(
    n_rows=st.integers(2, 40),
    n_features=st.integers(1, 6),
    levels=st.integers(1, 5),
    offset=st.sampled_from([0, 1, 1e4, 1e7]),
    scale=st.sampled_from([1, 2.0**-20, 2.0**30]),
    working_memory=st.sampled_from([1e-4, 1e-2, 1]),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_any_grid_of_ties_equals_the_oracle(
    n_rows, n_features, levels, offset, scale, working_memory, seed, data
):
    random_state = np.random.RandomState(seed)
    X = (random_state.randint(0, levels, (n_rows, n_features)) + offset) * scale
    k = data.draw(st.integers(1, n_rows - 1))
    assert_same_neighbors(X, k, working_memory=working_memory)


def test_more_ties_than_spare_candidates_across_tiles(monkeypatch, engine):
    monkeypatch.setitem(_search.TILE_AGAIN, "cpu", 7)
    X = np.random.RandomState(0).randint(0, 2, (150, 2)).astype(float)
    assert len(X) / 4 > 5 + _search.SPARE_CANDIDATES
    assert_same_neighbors(X, 5)


def test_outliers_far_away_hide_no_neighbors(engine):
    X = scattered(400, 3)
    X[[7, 8]] = [[1e6], [-1e6]]
    assert_same_neighbors(X, 150)


@pytest.mark.parametrize("name", ["tiles", "compiled tiles", "compiled tiles, sorting"])
def test_ordinary_rows_are_certain_at_once(name, monkeypatch, use_engine):
    use_engine(name)
    monkeypatch.setattr(_search.ExactSearch, "_search_again", None)
    assert_same_neighbors(scattered(500, 20), 40)


def test_wide_rows_are_read_again_for_many_queries_at_once(monkeypatch, use_engine):
    # So wide and long that float32 proves nothing, and every query is searched in float64.
    use_engine("tiles")
    X, n_queries = np.random.RandomState(0).randn(150, 5000), []
    X[:75, 0] += 100_000
    search_again = _search.ExactSearch._search_again

    def count(self, coarse, task, numbers, *rest):
        n_queries.append(len(numbers))
        return search_again(self, coarse, task, numbers, *rest)

    monkeypatch.setattr(_search.ExactSearch, "_search_again", count)
    assert_same_neighbors(X, 5)
    # Three searches: with distances, without, and without an order.
    assert sum(n_queries) == 3 * 150
    assert len(n_queries) <= 3 * 2


def test_queries_other_than_the_fitted_rows_may_equal_them():
    X, queries = scattered(), scattered(50)
    distances, indices = TorchNearestNeighbors(3).fit(X).kneighbors(queries)
    expected_distances, expected = oracle.neighbors(queries, X, 3)
    assert_array_equal(indices, expected)
    assert_allclose(distances, expected_distances, atol=1e-300)
    assert_array_equal(distances[:, 0], 0)


def test_rows_that_are_searched_for_themselves_are_prepared_once(monkeypatch):
    pytest.importorskip("numba", reason="needs numba, the extra 'fast'")
    from imblearn_eos.neighbors import _cells, _kernels  # noqa: F401

    n_cells = []
    init = _cells.Cells.__init__

    def count(self, *args):
        n_cells.append(1)
        init(self, *args)

    monkeypatch.setattr(_cells.Cells, "__init__", count)
    monkeypatch.setattr("imblearn_eos.neighbors._choose.has_bfloat16", lambda device: False)
    X = np.repeat(20 * scattered(40, 20), 125, axis=0) + scattered(5000, 20)
    fitted = TorchNearestNeighbors(5, device="cpu").fit(X)
    own = fitted.kneighbors(X)
    assert len(n_cells) == 1
    # Equal rows elsewhere, and rows in another order, are other queries.
    equal, reverse = fitted.kneighbors(X.copy()), fitted.kneighbors(X[::-1])
    assert len(n_cells) == 3
    for found, others, reverse_found in zip(own, equal, reverse, strict=True):
        assert_array_equal(found, others)
        assert_array_equal(found, reverse_found[::-1])


def test_results_over_ranges_of_rows_can_be_merged():
    X = np.random.RandomState(0).randint(0, 3, (200, 4)) / 3
    queries = np.r_[X[:50], scattered(20, 4)]
    distances, indices = TorchNearestNeighbors(6).fit(X).kneighbors(queries)
    parts = []
    for start, stop in ((0, 70), (70, 200)):
        found = TorchNearestNeighbors(6).fit(X[start:stop]).kneighbors(queries)
        parts.append((found[0], found[1] + start))
    both, rows = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    nearest = np.lexsort((rows, both))[:, :6]
    assert_array_equal(np.take_along_axis(rows, nearest, axis=1), indices)
    assert_array_equal(np.take_along_axis(both, nearest, axis=1), distances)


def test_without_queries_a_duplicate_is_a_neighbor_and_the_row_itself_is_not():
    indices = TorchNearestNeighbors(2).fit(np.zeros((3, 2))).kneighbors(return_distance=False)
    assert_array_equal(indices, [[1, 2], [0, 2], [0, 1]])


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("working_memory", [2e-2, 1e-1, 100])
def test_bits_do_not_depend_on_threads_or_tiles(n_threads, working_memory):
    X = np.random.RandomState(3).rand(300, 37).astype("float32")
    reference = TorchNearestNeighbors(9).fit(X).kneighbors()
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        result = TorchNearestNeighbors(9, working_memory=working_memory).fit(X).kneighbors()
    finally:
        torch.set_num_threads(before)
    assert_array_equal(result[0], reference[0])
    assert_array_equal(result[1], reference[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_features", [1, 2, 7, 64, 101])
def test_compiled_distances_have_the_bits_of_torchs(dtype, n_features):
    compiled = pytest.importorskip(
        "imblearn_eos.neighbors._compiled", reason="needs numba, the extra 'fast'"
    )
    X = torch.from_numpy(scattered(50, n_features).astype(dtype))
    rows = _exact.Rows(X, X.device)
    queries = torch.from_numpy(scattered(9, n_features))
    query, found = torch.from_numpy(np.random.RandomState(0).randint(0, [[9], [50]], (2, 200)))
    expected = _exact.measure(queries, rows, query, found, 16)
    assert torch.equal(compiled.measure(queries, rows, query, found, 16), expected)


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_sparse_input_gives_the_neighbors_of_the_dense(container):
    X = np.where(np.random.RandomState(0).rand(80, 6) < 0.3, scattered(80, 6), 0)
    expected = TorchNearestNeighbors(4).fit(X).kneighbors()
    result = TorchNearestNeighbors(4).fit(container(X)).kneighbors()
    assert_array_equal(result[1], expected[1])
    assert_array_equal(result[0], expected[0])
    assert_array_equal(TorchNearestNeighbors(4).fit(X).kneighbors(container(X))[1][:, 0].size, 80)


@pytest.mark.parametrize("order", ["C", "F", "reversed", "big-endian", "read-only"])
def test_memory_layout_does_not_matter(order):
    X = scattered()
    expected = TorchNearestNeighbors(4).fit(X).kneighbors(return_distance=False)
    if order == "reversed":
        X = X[::-1].copy()[::-1]
    elif order == "big-endian":
        X = X.astype(">f8")
    else:
        X = np.array(X, order="F" if order == "F" else "C")
        X.flags.writeable = order != "read-only"
    assert_array_equal(TorchNearestNeighbors(4).fit(X).kneighbors(return_distance=False), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int32])
def test_tensors_give_tensors(dtype):
    X = torch.from_numpy(scattered() * 8).to(dtype).requires_grad_(dtype.is_floating_point)
    distances, indices = TorchNearestNeighbors(4).fit(X).kneighbors()
    assert isinstance(distances, torch.Tensor)
    assert indices.dtype == torch.int64
    assert not distances.requires_grad
    expected = oracle.neighbors(*[X.detach().double().numpy()] * 2, 4, exclude_self=True)
    assert_array_equal(indices, expected[1])


def test_the_queries_decide_between_tensors_and_arrays():
    X = scattered()
    fitted = TorchNearestNeighbors(2).fit(X)
    assert isinstance(fitted.kneighbors(torch.from_numpy(X))[0], torch.Tensor)
    assert isinstance(fitted.kneighbors(X)[0], np.ndarray)
    assert isinstance(fitted.fit(torch.from_numpy(X)).kneighbors(X)[0], np.ndarray)


@pytest.mark.parametrize("mode", ["connectivity", "distance"])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_graph_is_that_of_scikit_learn(mode, as_tensor):
    X = scattered()
    ours = TorchNearestNeighbors(3).fit(torch.from_numpy(X) if as_tensor else X)
    theirs = NearestNeighbors(n_neighbors=3).fit(X)
    for queries in (None, X[:10]):
        graph = ours.kneighbors_graph(queries, mode=mode)
        assert sparse.issparse(graph)
        expected = theirs.kneighbors_graph(queries, mode=mode)
        assert_allclose(graph.toarray(), expected.toarray(), atol=1e-12)


def test_working_memory_defaults_to_scikit_learns(monkeypatch):
    seen = []
    original = _search.ExactSearch.__init__

    def spy(self, rows, device, working_memory):
        seen.append(working_memory)
        original(self, rows, device, working_memory)

    monkeypatch.setattr(_search.ExactSearch, "__init__", spy)
    with config_context(working_memory=17):
        TorchNearestNeighbors(2, device="cpu").fit(scattered()).kneighbors()
    TorchNearestNeighbors(2, working_memory=3, device="cpu").fit(scattered()).kneighbors()
    assert seen == [17, 3]


# These call predict of scikit-learn's KNeighborsClassifier.
NEED_CLASSIFIER = {CondensedNearestNeighbour, NeighbourhoodCleaningRule, OneSidedSelection}
# This searches in a matrix of its own distances between categories.
NEEDS_DISTANCES = {SMOTEN}
SETTINGS = {
    SMOTENC: {"categorical_features": [3]},
    KMeansSMOTE: {"cluster_balance_threshold": 0.05},
    NearMiss: {"version": 3},
}
TAKES_OBJECT = [
    (sampler, parameter)
    for _, sampler in all_estimators(type_filter="sampler")
    for parameter in signature(sampler).parameters
    if "neighbors" in parameter
]


def make_sampler(kind, **params):
    sampler = kind(**SETTINGS.get(kind, {}), **params)
    return sampler.set_params(**{"random_state": 0} if "random_state" in vars(sampler) else {})


def rows_for_samplers():
    X, y = make_classification(400, weights=[0.85], class_sep=0.6, random_state=0)
    # Few categories, for the sampler that needs some.
    X[:, 3] = X[:, 3].round().clip(-1, 1)
    return X, y


def test_every_sampler_that_takes_a_neighbors_object_is_known():
    assert len(TAKES_OBJECT) >= 17
    assert {kind for kind, _ in TAKES_OBJECT} >= NEED_CLASSIFIER | NEEDS_DISTANCES


@pytest.mark.parametrize(
    ("kind", "parameter"),
    [pair for pair in TAKES_OBJECT if pair[0] not in NEED_CLASSIFIER | NEEDS_DISTANCES],
)
def test_samplers_of_imbalanced_learn_give_the_same_rows_with_either_search(kind, parameter):
    X, y = rows_for_samplers()
    k = signature(kind).parameters[parameter].default + 1
    expected, result = (
        make_sampler(kind, **{parameter: neighbors}).fit_resample(X, y)
        for neighbors in (NearestNeighbors(n_neighbors=k), TorchNearestNeighbors(k))
    )
    assert len(result[0]) != len(X)
    assert_allclose(result[0], expected[0])
    assert_array_equal(result[1], expected[1])


@pytest.mark.parametrize("kind", sorted(NEED_CLASSIFIER | NEEDS_DISTANCES, key=str))
def test_samplers_that_cannot_use_the_search_are_documented(kind):
    assert kind.__name__ in TorchNearestNeighbors.__doc__
    parameter = next(name for other, name in TAKES_OBJECT if other is kind)
    sampler = make_sampler(kind, **{parameter: TorchNearestNeighbors()})
    with pytest.raises((AttributeError, UnboundLocalError, ValueError)) as caught:
        sampler.fit_resample(*rows_for_samplers())
    if kind in NEEDS_DISTANCES:
        assert "Invalid parameter 'metric'" in str(caught.value)


def test_neighbourhood_cleaning_rule_takes_an_inner_sampler_that_uses_the_search():
    X, y = rows_for_samplers()
    expected, result = (
        NeighbourhoodCleaningRule(
            edited_nearest_neighbours=EditedNearestNeighbours(
                n_neighbors=neighbors, kind_sel="mode"
            )
        ).fit_resample(X, y)[0]
        for neighbors in (3, TorchNearestNeighbors(4))
    )
    assert_array_equal(result, expected)


@pytest.mark.parametrize(("queries", "available"), [(None, 4), (scattered(9), 5)])
def test_more_neighbors_than_rows_is_refused(queries, available):
    fitted = TorchNearestNeighbors(available).fit(scattered(5))
    fitted.kneighbors(queries)
    with pytest.raises(ValueError, match=f"n_neighbors <= {available}, got n_neighbors = 6"):
        fitted.kneighbors(queries, n_neighbors=6)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (torch.zeros(3), "shape"),
        (torch.zeros(3, 2, 2), "shape"),
        (torch.zeros(0, 2), "at least one row"),
        (torch.tensor([[1.0], [float("nan")]]), "NaN"),
        (torch.tensor([[1.0], [float("inf")]]), "infinity"),
        (torch.zeros(3, 2, dtype=torch.bool), "torch.bool"),
        (torch.zeros(3, 2, dtype=torch.complex64), "complex64"),
        (torch.zeros(3, 2).to_sparse(), "to_dense"),
        (torch.zeros(3, 2, dtype=torch.uint16), "uint16"),
        (torch.zeros(3, 2).to(torch.float8_e4m3fn), "float8"),
    ],
)
def test_unusable_tensors_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        TorchNearestNeighbors().fit(X)


def test_queries_of_another_width_are_refused():
    fitted = TorchNearestNeighbors(1).fit(scattered(5, 3))
    for queries in (scattered(2, 4), torch.zeros(2, 4)):
        with pytest.raises(
            ValueError, match="4 features, but TorchNearestNeighbors is expecting 3"
        ):
            fitted.kneighbors(queries)


@pytest.mark.parametrize("device", ["tpu", "mps", "meta", "cuda:99"])
def test_unknown_device_names_the_parameter(device):
    with pytest.raises(ValueError, match=f"'device' parameter .*{device}"):
        TorchNearestNeighbors(device=device).fit(scattered(5))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_cuda_gives_the_bits_of_the_cpu(dtype):
    X = torch.from_numpy(scattered(500, 33)).to(dtype)
    expected = TorchNearestNeighbors(5).fit(X).kneighbors()
    result = TorchNearestNeighbors(5).fit(X.cuda()).kneighbors()
    assert result[0].is_cuda
    assert torch.equal(result[0].cpu(), expected[0])
    assert torch.equal(result[1].cpu(), expected[1])
