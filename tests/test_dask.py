"""Dask arrays: the bits of the single machine, whatever the chunks are."""

import threading
import warnings

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from skorch import NeuralNetClassifier

from imblearn_eos import (
    EOS,
    AveragedHead,
    Embedder,
    FeatureExtractor,
    GaussianOverSampler,
    LinearHead,
    TorchNearestNeighbors,
    make_embedding_pipeline,
)
from imblearn_eos.metrics import generalization_gap, generalization_gap_report

dask = pytest.importorskip("dask", reason="needs dask, the extra 'dask'")
da = pytest.importorskip("dask.array")
pytest.importorskip("distributed", reason="needs distributed, the extra 'dask'")

from imblearn_eos._dask import _graph, _output, _search  # noqa: E402

MODES = ["neighborhood", "nearest"]
N_ROWS = 91
LAYOUTS = {
    "one chunk": (91,),
    "7 x 13": (13,) * 7,
    "ragged": (1, 0, 17, 0, 0, 72, 1, 0),
}


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def data(dtype=np.float64, seed=0):
    """Three classes that overlap, with copies of rows in their own and in other classes."""
    X, y = oracle.three_classes(seed, (55, 24, 12))
    random_state = np.random.RandomState(seed)
    X[random_state.choice(N_ROWS, 12)] = X[random_state.choice(N_ROWS, 12)]
    return X.astype(dtype), np.array(["common", "rare", "rarest"])[y]


def chunked(X, chunks, *, unknown=False):
    X = da.from_array(X, chunks=(chunks, 2)[: X.ndim])
    return X[da.ones(len(X), dtype=bool, chunks=(chunks,))] if unknown else X


def resampled(sampler, X, y):
    """Return all results of a sampler, and the warnings it gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = sampler.fit_resample(X, y)
    segments = sampler.base_indices_, sampler.enemy_indices_, sampler.steps_
    return dask.compute(*results, *segments), [str(w.message) for w in caught]


def assert_same_bits(X, y, chunks, *, y_chunks=None, unknown=False, **params):
    single, single_warnings = resampled(EOS(**params), X, y)
    sampler = EOS(**params)
    parts = chunked(X, chunks, unknown=unknown), chunked(y, y_chunks or chunks, unknown=unknown)
    found, found_warnings = resampled(sampler, *parts)
    assert found_warnings == single_warnings
    for a, b in zip(found, single, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    return sampler


@pytest.mark.parametrize("enemy_search", MODES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("unknown", [False, True], ids=["known", "unknown"])
def test_the_bits_of_the_single_machine(enemy_search, dtype, layout, unknown):
    X, y = data(dtype)
    chunks = LAYOUTS[layout]
    assert_same_bits(X, y, chunks, unknown=unknown, enemy_search=enemy_search, random_state=0)


@pytest.mark.parametrize("enemy_search", MODES)
def test_chunks_of_one_row(enemy_search):
    X, y = data()
    X, y = X[:40], y[:40]
    assert_same_bits(X, y, (1,) * 40, n_neighbors=4, enemy_search=enemy_search, random_state=0)


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(0, N_ROWS), max_size=6),
    seed=st.integers(0, 100),
    levels=st.integers(1, 4),
    n_neighbors=st.sampled_from([1, 3, 10, 1000]),
    enemy_search=st.sampled_from(MODES),
    max_step=st.sampled_from([0.3, 1.0]),
    dtype=st.sampled_from([np.int64, np.float16, np.float32, np.float64]),
)
def test_any_chunks_and_ties(cuts, seed, levels, n_neighbors, enemy_search, max_step, dtype):
    random_state = np.random.RandomState(seed)
    X = random_state.randint(0, levels, (N_ROWS, 3)).astype(dtype)
    y = np.r_[0, 1, random_state.choice(3, N_ROWS - 2, p=[0.7, 0.2, 0.1])]
    assert_same_bits(
        X,
        y,
        tuple(np.diff(sorted([0, *cuts, N_ROWS])).tolist()),
        y_chunks=(40, 51),
        n_neighbors=n_neighbors,
        enemy_search=enemy_search,
        max_step=max_step,
        random_state=seed,
    )


@pytest.mark.parametrize("strategy", [{"rare": 30, "common": 60}, "all", "minority"])
@pytest.mark.parametrize("enemy_search", MODES)
def test_sampling_strategies(strategy, enemy_search):
    X, y = data()
    params = {"sampling_strategy": strategy, "enemy_search": enemy_search, "random_state": 1}
    sampler = assert_same_bits(X, y, (13,) * 7, **params)
    expected = EOS(**params)
    expected.fit_resample(X, y)
    assert sampler.sampling_strategy_ == expected.sampling_strategy_


def test_a_callable_sampling_strategy_gets_the_labels_as_they_are():
    X, y = data()
    seen = []

    def strategy(y):
        seen.append(type(y))
        labels, counts = np.unique(np.asarray(y), return_counts=True)
        return dict(zip(labels.tolist(), (counts + 5).tolist(), strict=True))

    assert_same_bits(X, y, (13,) * 7, sampling_strategy=strategy, random_state=0)
    assert seen == [np.ndarray, da.Array]


@pytest.mark.parametrize("far", [["rare"], ["rarest"], ["rare", "rarest"]])
@pytest.mark.parametrize("n_new", [1, 30])
def test_classes_without_enemies_fall_back_with_the_same_warning(far, n_new):
    X, y = data()
    for i, label in enumerate(far):
        X[y == label] += 1000 * (i + 1)
    strategy = {"rare": 24 + n_new, "rarest": 12 + n_new}
    params = {"n_neighbors": 2, "sampling_strategy": strategy, "random_state": 0}
    _, messages = resampled(EOS(**params), X, y)
    assert [message[:40] for message in messages] == [
        f"No row of class {label!r} has a row of another class"[:40] for label in far
    ]
    assert_same_bits(X, y, (13,) * 7, **params)


@pytest.mark.parametrize("enemy_search", MODES)
@pytest.mark.parametrize("limit", [1, 2000])
def test_queries_and_ends_in_several_blocks(enemy_search, limit, monkeypatch):
    monkeypatch.setattr(_search, "QUERY_BYTES", limit)
    monkeypatch.setattr(_search, "FAN_IN", 2)
    monkeypatch.setattr(_output, "ENDS_BYTES", limit)
    X, y = data(np.float32)
    assert_same_bits(X, y, (13,) * 7, enemy_search=enemy_search, random_state=0)


def test_chunks_of_new_rows_are_full_across_classes():
    X, y = data()
    sampler = EOS(random_state=0, sampling_strategy={"rare": 28, "rarest": 34})
    # 4 new rows of one class, then 22 of the other.
    results = sampler.fit_resample(chunked(X, (13,) * 7), chunked(y, (13,) * 7))
    assert [result.chunks[0] for result in results] == [(13,) * 9] * 2
    assert sampler.steps_.chunks == ((13, 13),)


def test_a_neighbors_object_of_this_package():
    X, y = data()
    finder = TorchNearestNeighbors(4, device="cpu", working_memory=16)
    assert_same_bits(X, y, (13,) * 7, n_neighbors=finder, random_state=0)


@pytest.mark.parametrize("as_y", [np.asarray, list])
def test_labels_in_memory_become_a_dask_array(as_y):
    X, y = data()
    expected = EOS(random_state=0).fit_resample(X, y)[1]
    _, found = EOS(random_state=0).fit_resample(chunked(X, (13,) * 7), as_y(y))
    assert isinstance(found, da.Array)
    assert_array_equal(found.compute(), expected)


def test_results_are_lazy_and_always_the_same():
    X, y = data()
    reads = []

    def read(block):
        reads.append(len(block))
        return block

    chunks = (13,) * 7
    lazy = chunked(X, chunks).map_blocks(read, dtype=X.dtype, meta=np.empty((0, 0)))
    sampler = EOS()
    X_resampled, y_resampled = sampler.fit_resample(lazy, chunked(y, chunks))
    assert X_resampled.numblocks[1] == 1
    assert X_resampled.shape == (3 * 55, 4)
    assert y_resampled.dtype == y.dtype
    n_reads = len(reads)
    bases = sampler.base_indices_.compute()
    assert bases.shape == sampler.steps_.shape == (2 * 55 - 36,)
    assert len(reads) == n_reads, "provenance needs no rows"
    first, again = X_resampled.compute(), X_resampled.compute()
    assert first.tobytes() == again.tobytes()
    assert_array_equal(first[:N_ROWS], X)


@pytest.mark.parametrize("scheduler", [None, "threads"])
def test_the_active_scheduler_runs_the_tasks_else_one_thread_does(scheduler):
    X, y = data()
    threads = set()

    def read(block):
        threads.add(threading.current_thread())
        return block

    lazy = chunked(X, (13,) * 7).map_blocks(read, dtype=X.dtype, meta=np.empty((0, 0)))
    sampler = EOS(random_state=0)
    with dask.config.set(scheduler=scheduler):
        X_resampled, _ = sampler.fit_resample(lazy, y)
    is_main = threads == {threading.main_thread()}
    assert is_main == (scheduler is None)
    expected = EOS(random_state=0).fit_resample(X, y)[0]
    assert X_resampled.compute().tobytes() == expected.tobytes()


def test_progress_is_shown_by_the_bar_of_dask(capsys):
    from dask.diagnostics import ProgressBar

    X, y = data()
    X_resampled, _ = EOS(random_state=0, verbose=True).fit_resample(chunked(X, (13,) * 7), y)
    assert "100% Completed" in capsys.readouterr().out
    with ProgressBar():
        X_resampled.compute()
    assert "100% Completed" in capsys.readouterr().out
    EOS(random_state=0).fit_resample(chunked(X, (13,) * 7), y)
    assert capsys.readouterr().out == ""


def test_names_of_tasks_depend_on_the_input_only(monkeypatch):
    X, y = data()
    add, added = _graph.Stage.add, []

    def recorded(stage, name, function, *inputs):
        added.append(add(stage, name, function, *inputs))
        return added[-1]

    monkeypatch.setattr(_graph.Stage, "add", recorded)

    def names(**params):
        added.clear()
        EOS(random_state=0, **params).fit_resample(chunked(X, (50, 41)), chunked(y, (50, 41)))
        return set(added)

    first = names()
    assert len(first) == len(added)
    assert names() == first
    assert names(max_step=0.5) != first
    assert names(n_neighbors=9) != first


def test_the_given_array_is_left_as_it_is():
    X, y = data()
    parts = chunked(X, (13,) * 7, unknown=True), chunked(y, (13,) * 7, unknown=True)
    EOS(random_state=0).fit_resample(*parts)
    TorchNearestNeighbors().fit(parts[0])
    assert np.isnan(parts[0].chunks[0]).all()
    assert np.isnan(parts[1].chunks[0]).all()
    assert parts[0].numblocks == (7, 2)


def test_balanced_classes_are_returned_as_they_are():
    X, y = data()
    sampler = EOS(sampling_strategy={"rare": 24})
    X_resampled, y_resampled = sampler.fit_resample(chunked(X, (13,) * 7), chunked(y, (91,)))
    assert_array_equal(X_resampled.compute(), X)
    assert_array_equal(y_resampled.compute(), y)
    assert sampler.base_indices_.compute().shape == sampler.steps_.shape == (0,)
    X[50, 1] = np.nan
    with pytest.raises(ValueError, match=r"Row 50 of X contains NaN"):
        EOS(sampling_strategy={"rare": 24}).fit_resample(chunked(X, (13,) * 7), y)


# --- neighbors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("unknown", [False, True], ids=["known", "unknown"])
@pytest.mark.parametrize("k", [1, 6, 90])
@pytest.mark.parametrize("queries", ["array", "dask", "own"])
def test_neighbors_have_the_bits_of_the_single_machine(queries, k, unknown):
    X, _ = data(np.float32)
    Q = data(np.float32, seed=1)[0][:20]
    fitted = TorchNearestNeighbors(k).fit(chunked(X, LAYOUTS["ragged"], unknown=unknown))
    assert (fitted.n_samples_fit_, fitted.n_features_in_) == X.shape
    given = {"array": Q, "dask": chunked(Q, (7, 13), unknown=unknown), "own": None}[queries]
    expected = TorchNearestNeighbors(k).fit(X).kneighbors(None if queries == "own" else Q)
    found = fitted.kneighbors(given)
    for a, b in zip(found, expected, strict=True):
        assert isinstance(a, da.Array)
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.compute().tobytes() == b.tobytes()
    assert_array_equal(fitted.kneighbors(given, return_distance=False).compute(), expected[1])


def test_neighbors_are_merged_by_squares_because_different_ones_have_one_root():
    differs = 0
    for seed in range(6):
        random_state = np.random.RandomState(seed)
        row = random_state.uniform(size=12)
        X = np.array([random_state.permutation(row) for _ in range(300)])
        query = np.zeros((1, 12))
        expected = TorchNearestNeighbors(40).fit(X).kneighbors(query)[1]
        distances = np.sqrt(oracle.squared_distances(query, X))
        differs += (np.argsort(distances, axis=1, kind="stable")[:, :40] != expected).any()
        fitted = TorchNearestNeighbors(40).fit(chunked(X, (50,) * 6))
        assert_array_equal(fitted.kneighbors(query)[1].compute(), expected)
    assert differs


def test_neighbors_beyond_the_rows_and_graphs_are_refused():
    X, _ = data()
    fitted = TorchNearestNeighbors().fit(chunked(X, (13,) * 7))
    with pytest.raises(ValueError, match="1 <= n_neighbors <= 91"):
        fitted.kneighbors(X, 92)
    with pytest.raises(ValueError, match="3 features"):
        fitted.kneighbors(chunked(X[:, :3], (91,)))
    with pytest.raises(TypeError, match="Dask collection"):
        fitted.kneighbors_graph(X)
    X[77, 2] = np.inf
    distances, _ = TorchNearestNeighbors().fit(chunked(X, (13,) * 7)).kneighbors(X[:5])
    with pytest.raises(ValueError, match="Row 77 of X contains infinity"):
        distances.compute()


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("enemy_search", MODES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity"), (1e151, "size 1e")],
)
def test_the_row_of_a_bad_number_is_named(value, message, dtype, enemy_search):
    X, y = data()
    X[61, 3] = X[63, 0] = value
    if dtype == np.float32 and message.startswith("size"):
        message = "infinity"
    with np.errstate(over="ignore"):
        X = X.astype(dtype)
    sampler = EOS(enemy_search=enemy_search)
    with pytest.raises(ValueError, match=f"Row 61 of X contains .*{message}.*, but EOS needs"):
        sampler.fit_resample(chunked(X, (13,) * 7), chunked(y, (13,) * 7))


@pytest.mark.parametrize("strategy", ["auto", {"rare": 24}], ids=["queries", "no queries"])
def test_the_first_of_bad_rows_in_several_blocks_is_named(strategy):
    X, y = data()
    # On one thread the order of tasks is that of their names, which depend on the rows.
    for first in (7, 20, 33, 46):
        X[[first, first + 14, first + 28, 90], 1] = np.nan
        sampler = EOS(sampling_strategy=strategy)
        with pytest.raises(ValueError, match=rf"Row {first} of X contains NaN"):
            sampler.fit_resample(chunked(X, (13,) * 7), y)
        X[[first, first + 14, first + 28, 90], 1] = 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, y[:80]), "X has 91 rows, but y has 80"),
        (lambda X, y: (X, np.zeros(91)), "needs to have more than 1 class"),
        (lambda X, y: (X[:0], y[:0]), "needs to have more than 1 class"),
        (lambda X, y: (X, np.linspace(0, 1, 91)), "Unknown label type: continuous"),
        (lambda X, y: (X, np.r_[np.nan, np.zeros(90)]), "NaN"),
        (lambda X, y: (X, np.array([None, *y[1:]], dtype=object)), "cannot be sorted"),
        (lambda X, y: (X, np.eye(2)[(y == "rare").astype(int)]), "y has 2 dimensions"),
        (lambda X, y: (X, None), "y"),
        (lambda X, y: (X.astype(object), y), "dtype object and 2 dimensions"),
        (lambda X, y: (X.astype(complex), y), "dtype complex128"),
        (lambda X, y: (X > 0, y), "dtype bool"),
        (lambda X, y: (X[:, 0], y), "1 dimensions"),
        (lambda X, y: (X.map_blocks(np.ma.asarray), y), "of MaskedArray"),
    ],
)
def test_input_that_cannot_be_used_is_refused(change, message):
    X, y = data()
    X, y = change(chunked(X, (13,) * 7), y)
    with pytest.raises(ValueError, match=message):
        EOS().fit_resample(X, y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_step": 2}, "'max_step' parameter"),
        ({"device": "tpu"}, "device"),
        ({"sampling_strategy": {"rare": 3}}, "number of samples"),
        ({"n_neighbors": TorchNearestNeighbors(1)}, "at least 2"),
        ({"n_neighbors": "neighbors of scikit-learn"}, "needs an int or a TorchNearestNeighbors"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(params, message):
    from sklearn.neighbors import NearestNeighbors

    if params.get("n_neighbors") == "neighbors of scikit-learn":
        params = {"n_neighbors": NearestNeighbors(n_neighbors=4)}
    X, y = data()
    with pytest.raises(ValueError, match=message):
        EOS(**params).fit_resample(chunked(X, (13,) * 7), y)


def test_neighbors_that_exceed_the_memory_are_refused_with_their_size(monkeypatch):
    monkeypatch.setattr(_search, "MEMORY_LIMIT", 5000)
    X, y = data()
    X = chunked(X, (13,) * 7)
    with pytest.raises(ValueError, match="50 neighbors of each of 36 rows need 14400 bytes"):
        EOS(n_neighbors=49).fit_resample(X, y)
    with pytest.raises(ValueError, match=r"80 neighbors of each of 1 rows need 17312 bytes, but a"):
        TorchNearestNeighbors(80).fit(X).kneighbors(X)


def small_net():
    return NeuralNetClassifier(torch.nn.Linear, module__in_features=4, module__out_features=3)


@pytest.mark.parametrize(
    "call",
    [
        lambda X, y: EOS().fit(X, y),
        lambda X, y: EOS().fit_resample(X.compute(), y),
        lambda X, y: GaussianOverSampler().fit_resample(X, y),
        lambda X, y: GaussianOverSampler().fit_resample(X.compute(), y),
        lambda X, y: LinearHead().fit(X.compute(), y),
        lambda X, y: LinearHead().fit(X.compute(), y.compute(), da.ones(91)),
        lambda X, y: LinearHead().fit(X, y).calibrate(X, y),
        lambda X, y: AveragedHead(EOS()).fit(X, y),
        lambda X, y: FeatureExtractor(torch.nn.Flatten()).fit(X),
        lambda X, y: Embedder(small_net()).fit(X, y),
        lambda X, y: Embedder(small_net()).fit(X.compute(), y),
        lambda X, y: make_embedding_pipeline(small_net()).fit(X, y),
        lambda X, y: TorchNearestNeighbors().fit(X.compute()).kneighbors(X),
        lambda X, y: generalization_gap(X.compute(), y, X.compute(), y),
        lambda X, y: generalization_gap_report(X, y, X, y, X, y),
    ],
)
def test_what_needs_rows_in_memory_refuses_a_collection(call):
    X, y = data()
    with pytest.raises(TypeError, match=r"is a Dask collection.* Pass .*\.compute\(\)"):
        call(chunked(X, (13,) * 7), chunked(y, (13,) * 7))
