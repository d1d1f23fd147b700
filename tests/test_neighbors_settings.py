"""Neighbors stay exact whatever torch was told, after Ctrl-C, and for numbers of any size."""

import contextlib
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracle
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.neighbors import NearestNeighbors

from imblearn_eos import EOS, LinearHead, TorchNearestNeighbors
from imblearn_eos.neighbors import _base, _cells, _choose, _search


def scattered(n=200, d=5):
    return np.random.RandomState(1).randn(n, d)


@pytest.mark.parametrize("setting", ["high", "medium"])
def test_products_of_low_precision_are_not_trusted(setting, engine):
    X = scattered(200, 30).astype("float32") + 5
    before = torch.get_float32_matmul_precision()
    fitted = TorchNearestNeighbors(5).fit(X)
    expected = fitted.kneighbors()
    torch.set_float32_matmul_precision(setting)
    try:
        result = fitted.kneighbors()
    finally:
        torch.set_float32_matmul_precision(before)
    assert_array_equal(result[0], expected[0])
    assert_array_equal(result[1], expected[1])


def test_sketches_in_float32_rule_out_no_row_of_a_search_in_float64(engine):
    # Neighbors that float32 cannot tell apart, as soon as coordinates are rounded to it.
    steps = 1.5e-9 * np.arange(1200)
    X = np.r_[-0.51 - steps, 0.51 + steps][:, None]
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        distances, _ = TorchNearestNeighbors(418).fit(X).kneighbors(X[::100])
    finally:
        torch.set_float32_matmul_precision(before)
    expected, _ = NearestNeighbors(n_neighbors=418).fit(X).kneighbors(X[::100])
    assert_allclose(distances, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "X",
    [
        pytest.param(np.c_[np.ones(16), np.arange(16) * 1e-134], id="tiny beside an offset"),
        pytest.param(scattered(40, 3) * 1e-133, id="tiny"),
        pytest.param(scattered(40, 3) * 2e149, id="just below the limit"),
        pytest.param(np.r_[scattered(64, 3), [[1e150] * 3]], id="huge outlier"),
    ],
)
def test_numbers_of_any_size_that_is_accepted(X, engine):
    fitted = TorchNearestNeighbors(3).fit(X)
    expected = oracle.neighbors(X, X, 3, exclude_self=True)[1]
    assert_array_equal(fitted.kneighbors()[1], expected)
    expected = fitted.kneighbors(X[:5])
    huge = np.full((1, X.shape[1]), 1e150)
    assert_allclose(fitted.kneighbors(huge)[0], oracle.neighbors(huge, X, 3)[0], rtol=1e-12)
    for part, expected_part in zip(fitted.kneighbors(X[:5]), expected, strict=True):
        assert_array_equal(part, expected_part)


def test_distances_below_1e_162_are_documented_to_be_0(engine):
    distances, _ = TorchNearestNeighbors(3).fit(scattered(40, 3) * 1e-165).kneighbors()
    assert_array_equal(distances, 0)


@pytest.mark.parametrize("huge", [1.01e150, -1e200, np.finfo(float).max])
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix, torch.from_numpy])
def test_larger_numbers_are_refused(huge, convert):
    X = scattered()
    outlier = X.copy()
    outlier[7, 2] = huge
    fitted = TorchNearestNeighbors(4).fit(convert(X))
    for call in (
        lambda: TorchNearestNeighbors(4).fit(convert(outlier)),
        lambda: fitted.kneighbors(convert(outlier)),
        lambda: EOS().fit_resample(convert(outlier), np.arange(len(X)) > 20),
    ):
        with pytest.raises(ValueError, match=r"X contains a number of size .* at most 1e\+150"):
            call()


def test_defaults_of_torch_change_nothing(engine):
    X, y = scattered(), (np.arange(200) < 30).astype(int)
    expected = TorchNearestNeighbors(5, device="cpu").fit(X).kneighbors()
    resampled = EOS(random_state=0, device="cpu").fit_resample(torch.from_numpy(X), y)[0]
    head = LinearHead(device="cpu").fit(X, y)
    # Where nothing may be put unasked.
    torch.set_default_device("meta")
    torch.set_default_dtype(torch.float64)
    try:
        found = TorchNearestNeighbors(5, device="cpu").fit(X).kneighbors()
        again = EOS(random_state=0, device="cpu").fit_resample(torch.from_numpy(X), y)[0]
        other_head = LinearHead(device="cpu").fit(X, y)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    for part, expected_part in zip(found, expected, strict=True):
        assert_array_equal(part, expected_part)
    assert torch.equal(again, resampled)
    assert_array_equal(other_head.coef_, head.coef_)


def test_autocast_does_not_round_the_search(engine):
    X = scattered(200, 30).astype("float32") + 5
    expected = TorchNearestNeighbors(5).fit(X).kneighbors()
    with torch.autocast("cpu", torch.bfloat16):
        result = TorchNearestNeighbors(5).fit(X).kneighbors()
    assert_array_equal(result[0], expected[0])
    assert_array_equal(result[1], expected[1])


@pytest.mark.parametrize("kind", ["scattered", "ties"])
@pytest.mark.parametrize("setting", [{"working_memory": 1e-3}, {}])
def test_a_working_memory_of_next_to_nothing_counts_as_4_mib(setting, kind, monkeypatch):
    X = np.random.RandomState(0).randn(2000, 3)
    X = X.round() if kind == "ties" else X
    expected = TorchNearestNeighbors(5, working_memory=4, device="cpu").fit(X)
    n_blocks = []
    search_block = _search.ExactSearch._search_block

    def count(*args):
        n_blocks.append(1)
        return search_block(*args)

    monkeypatch.setattr(_search.ExactSearch, "_search_block", count)
    with config_context(working_memory=0):
        found = TorchNearestNeighbors(5, **setting, device="cpu").fit(X).kneighbors()
        n_expected = len(n_blocks)
        for part, expected_part in zip(found, expected.kneighbors(), strict=True):
            assert_array_equal(part, expected_part)
    assert len(n_blocks) == 2 * n_expected < 100


def test_threads_of_python_may_share_a_fitted_search(engine):
    X = scattered(300, 20)
    fitted = TorchNearestNeighbors(5).fit(X)
    expected = fitted.kneighbors(X)[1]
    fitted = TorchNearestNeighbors(5).fit(X)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: fitted.kneighbors(X)[1], range(8)):
            assert_array_equal(result, expected)


@pytest.mark.parametrize(("least", "expected"), [(0, 2), (2**60, 1)])
def test_little_work_uses_one_thread(least, expected, monkeypatch):
    seen = []
    nearest = _search.ExactSearch._nearest

    def spy(self, task):
        seen.append(torch.get_num_threads())
        return nearest(self, task)

    monkeypatch.setattr(_search.ExactSearch, "_nearest", spy)
    monkeypatch.setattr(_search, "PRODUCTS_FOR_THREADS", least)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        TorchNearestNeighbors(5, device="cpu").fit(scattered()).kneighbors()
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    assert seen == [expected]
    assert after == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "Direct"),
        ({"n_wanted": 110}, "DoubleDirect"),
        ({"n_wanted": 110, "is_sorted": False}, "Direct"),
        ({"dtype": torch.float64}, "DoubleDirect"),
        ({"n_bytes": 2**22}, "Tiles"),
        ({"n_rows": 10_000, "n_queries": 100, "n_features": 4000}, "Tiles"),
    ],
)
def test_few_rows_are_multiplied_at_once_where_memory_allows(change, expected, monkeypatch):
    monkeypatch.setattr(_choose, "_has_numba", lambda: False)
    size = _choose.Size(1000, 64, 1000, 20, True, torch.device("cpu"), torch.float32, 2**28)
    ((engine,),) = _choose.choose_engines(size._replace(**change))
    assert engine.__name__ == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "FewRows"),
        ({"n_wanted": 150}, "CompiledTiles"),
        ({"n_wanted": 150, "is_sorted": False}, "FewRows"),
        ({"n_wanted": 500}, "DoubleDirect"),
        ({"n_wanted": 500, "is_sorted": False}, "FewRows"),
        ({"n_rows": 3000, "n_queries": 100}, "CompiledTiles"),
        ({"n_queries": 3000}, "CompiledTiles"),
        ({"n_bytes": 2**23}, "CompiledTiles"),
        ({"n_rows": 40, "n_queries": 50_000, "n_wanted": 9}, "FewRows"),
        ({"n_rows": 40, "n_queries": 50_000, "n_wanted": 9, "n_features": 2000}, "CompiledTiles"),
    ],
)
def test_few_rows_are_searched_at_once_by_compiled_loops(change, expected):
    pytest.importorskip("imblearn_eos.neighbors._kernels", reason="needs numba, the extra 'fast'")
    size = _choose.Size(1000, 64, 1000, 20, True, torch.device("cpu"), torch.float32, 2**28)
    ((engine,),) = _choose.choose_engines(size._replace(**change))
    assert engine.__name__ == expected


def test_compiled_loops_are_loaded_when_searches_have_taken_long(monkeypatch):
    pytest.importorskip("numba", reason="needs numba, the extra 'fast'")
    monkeypatch.delitem(sys.modules, "imblearn_eos.neighbors._kernels", raising=False)
    monkeypatch.setattr(_choose, "_work", 0)
    size = _choose.Size(3000, 768, 3000, 20, True, torch.device("cpu"), torch.float32, 2**28)
    chosen = []
    for _ in range(5):
        _choose.count_work(3000, 3000, 768)
        chosen.append(_choose.choose_engines(size)[0][0].__name__)
    assert chosen == ["Direct"] * 3 + ["CompiledTiles"] * 2


def test_only_the_queries_of_a_search_count_as_its_work(monkeypatch):
    monkeypatch.setattr(_choose, "_work", 0)
    fitted = TorchNearestNeighbors(5).fit(scattered(300, 20))
    fitted.kneighbors()
    before = _choose._work
    fitted.kneighbors(scattered(3, 20))
    assert _choose._work - before == before / 100


@pytest.mark.parametrize(("n_rows", "expected"), [(10_000, "Direct"), (20_000, "Tiles")])
def test_without_numba_more_rows_are_multiplied_at_once(n_rows, expected, monkeypatch):
    monkeypatch.setattr(_choose, "_has_numba", lambda: False)
    device = torch.device("cpu")
    size = _choose.Size(n_rows, 64, n_rows, 20, True, device, torch.float32, 2**30)
    assert [engine.__name__ for engine in _choose.choose_engines(size)[-1]] == [expected]


@pytest.mark.parametrize(
    ("owner", "step"),
    [
        (_choose.CoarseRows, "__init__"),
        (_base.KeptRows, "__init__"),
        (_cells.SketchedRows, "__init__"),
        (_search, "make_engines"),
    ],
)
def test_interrupted_preparation_leaves_nothing_half_prepared(owner, step, monkeypatch, engine):
    X = scattered(300, 20)
    expected = TorchNearestNeighbors(5).fit(X).kneighbors()[1]
    fitted = TorchNearestNeighbors(5).fit(X)
    whole = getattr(owner, step)

    def interrupted(*args):
        whole(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, interrupted)
        with contextlib.suppress(KeyboardInterrupt):  # Not every engine takes every step.
            fitted.kneighbors()
    assert_array_equal(fitted.kneighbors()[1], expected)


def test_interrupted_search_leaves_no_thread_and_can_be_repeated(monkeypatch, engine):
    X = scattered(300, 20)
    expected = TorchNearestNeighbors(5).fit(X).kneighbors()[1]
    fitted = TorchNearestNeighbors(5).fit(X)
    n_threads = threading.active_count()
    owner, step = _search.ExactSearch, "_search_block"
    if engine == "few rows":
        from imblearn_eos.neighbors import _few

        owner, step = _few, "multiply"
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, lambda *args: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            fitted.kneighbors()
    assert threading.active_count() == n_threads
    assert_array_equal(fitted.kneighbors()[1], expected)


def test_rows_that_are_not_allowed_are_not_found_from_afar(engine):
    """Estimates of such distances are infinite."""
    X = scattered(300, 20)
    is_allowed = np.random.RandomState(0).rand(300) < 0.3
    queries = X[:3] * 1e25
    search = _search.ExactSearch(torch.from_numpy(X), torch.device("cpu"), 1024)
    found = search.nearest(torch.from_numpy(queries), 10, allowed=torch.from_numpy(is_allowed))[1]
    assert is_allowed[found].all()


def test_no_queries_have_no_neighbors(engine):
    search = _search.ExactSearch(torch.from_numpy(scattered(300, 20)), torch.device("cpu"), 1024)
    squared, found = search.nearest(torch.empty(0, 20, dtype=torch.float64), 4)
    assert squared.shape == found.shape == (0, 4)


def test_engines_are_chosen_anew_for_many_more_neighbors(monkeypatch):
    wanted = []

    def pays(self, n_wanted):
        wanted.append(n_wanted - _base.SPARE_CANDIDATES)
        return False

    monkeypatch.setattr(_choose, "_is_compiled", lambda: False)
    monkeypatch.setattr(_choose, "MAX_PAIRS_DIRECT", 0)
    monkeypatch.setattr(_choose.Boxes, "pays", pays)
    X = scattered(6000, 20)
    fitted = TorchNearestNeighbors(device="cpu").fit(X)
    for k in (5, 10, 5, 100, 50, 1000, 2000):
        found = fitted.kneighbors(X[:4000], k)[1]
        assert_array_equal(found[:9], oracle.neighbors(X[:9], X, k)[1])
    # The most that a trial searches for.
    assert wanted == [5, 100, 256 - _base.SPARE_CANDIDATES]
