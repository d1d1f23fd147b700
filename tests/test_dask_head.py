"""LinearHead on Dask: the weights of the single machine, whatever the chunks are."""

import numpy as np
import oracle
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from imblearn_eos import EOS, AveragedHead, LinearHead

dask = pytest.importorskip("dask", reason="needs dask, the extra 'dask'")
da = pytest.importorskip("dask.array", reason="needs dask, the extra 'dask'")
pytest.importorskip("distributed", reason="needs distributed, the extra 'dask'")

from imblearn_eos._dask import _head  # noqa: E402

N_ROWS = 91
LAYOUTS = {
    "one chunk": (91,),
    "7 x 13": (13,) * 7,
    "ragged": (1, 0, 17, 0, 0, 72, 1, 0),
}
METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def data(n_features=4, seed=0, dtype=np.float64):
    """Three classes that overlap, far from 0, with features of several scales."""
    random_state = np.random.RandomState(seed)
    X, y = oracle.three_classes(seed, (55, 24, 12))
    X = X @ random_state.normal(size=(4, n_features)) + random_state.normal(size=(91, n_features))
    X = (X * np.logspace(0, 0.5, n_features) + 100).astype(dtype)
    order = random_state.permutation(N_ROWS)
    return X[order], np.array(["common", "rare", "rarest"])[y][order]


def chunked(X, chunks, *, unknown=False):
    X = da.from_array(X, chunks=(chunks, 2)[: X.ndim])
    return X[da.ones(len(X), dtype=bool, chunks=(chunks,))] if unknown else X


def assert_same_head(head, expected):
    assert_array_equal(head.classes_, expected.classes_)
    # What is promised at alpha=0.01.
    scale = np.abs(expected.coef_).max()
    assert_allclose(head.coef_, expected.coef_, rtol=0, atol=1e-8 * scale)
    assert_allclose(head.intercept_, expected.intercept_, rtol=1e-8, atol=1e-8)
    assert head.n_features_in_ == expected.n_features_in_


@pytest.mark.parametrize(
    ("layout", "unknown"),
    [("one chunk", False), ("7 x 13", False), ("ragged", False), ("ragged", True)],
)
def test_the_weights_of_the_single_machine(layout, unknown):
    X, y = data(dtype=np.float32)
    chunks = LAYOUTS[layout]
    lazy = chunked(X, chunks, unknown=unknown)
    head = LinearHead().fit(lazy, chunked(y, chunks, unknown=unknown))
    expected = LinearHead().fit(X, y)
    assert_same_head(head, expected)
    assert head.n_iter_ == expected.n_iter_
    assert np.isnan(lazy.chunks[0]).all() == unknown, "the given array is left as it is"


@settings(max_examples=10, deadline=None)
@given(
    cuts=st.lists(st.integers(0, N_ROWS), max_size=4),
    seed=st.integers(0, 100),
    n_features=st.sampled_from([1, 6, 120]),
    dtype=st.sampled_from([np.int16, np.float16, np.float32, np.float64]),
    params=st.fixed_dictionaries(
        {},
        optional={
            "tau": st.sampled_from([0.5, 1.0]),
            "class_weight": st.sampled_from(["balanced", {"rare": 3.0}]),
            "target_prior": st.sampled_from(
                [[0.2, 0.3, 0.5], {"common": 0.5, "rare": 0.25, "rarest": 0.25}]
            ),
        },
    ),
    has_weights=st.booleans(),
    tile=st.sampled_from([5, 8192]),
)
def test_any_chunks_weights_and_parameters(
    cuts, seed, n_features, dtype, params, has_weights, tile
):
    X, y = data(n_features, seed, dtype)
    weights = np.random.RandomState(seed).choice([0, 0.5, 1, 3], N_ROWS) if has_weights else None
    expected = LinearHead(**params).fit(X, y, weights)
    chunks = tuple(np.diff(sorted([0, *cuts, N_ROWS])).tolist())
    weights = weights if weights is None else chunked(weights, (41, 50))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_head, "TILE_ROWS", tile)
        head = LinearHead(**params).fit(chunked(X, chunks), chunked(y, (40, 51)), weights)
    assert_same_head(head, expected)


def test_chunks_of_one_row():
    X, y = data()
    X, y = X[:12], y[:12]
    assert_same_head(LinearHead().fit(chunked(X, (1,) * 12), y), LinearHead().fit(X, y))


def test_features_whose_scales_differ_too_much_for_directions():
    X, y = data()
    X[:, 0] *= 1e5
    head = LinearHead().fit(chunked(X, (13,) * 7), y)
    assert_same_head(head, LinearHead().fit(X, y))


def test_classes_whose_rows_weigh_nothing_are_left_out():
    X, y = data()
    weights = (y != "common").astype(float)
    head = LinearHead(class_weight="balanced").fit(chunked(X, (13,) * 7), y, weights)
    assert head.classes_.tolist() == ["rare", "rarest"]
    assert_same_head(head, LinearHead(class_weight="balanced").fit(X, y, weights))


def test_the_number_of_threads_changes_no_bit():
    X, y = data()
    heads = [LinearHead().fit(chunked(X, (13,) * 7), y)]
    with dask.config.set(scheduler="threads", num_workers=3):
        heads.append(LinearHead().fit(chunked(X, (13,) * 7), y))
    assert heads[0].coef_.tobytes() == heads[1].coef_.tobytes()


def test_partitions_of_frames_have_the_names_of_features():
    dd = pytest.importorskip("dask.dataframe")
    X, y = data()
    frame = pd.DataFrame(X, columns=list("abcd")).assign(label=y, weight=np.arange(91.0))
    lazy = dd.from_pandas(frame, npartitions=5)
    expected = LinearHead().fit(frame[list("abcd")], y, frame["weight"])
    for weight in (lazy["weight"], frame["weight"].to_numpy()):
        head = LinearHead().fit(lazy[list("abcd")], lazy["label"], weight)
        assert_same_head(head, expected)
        assert head.feature_names_in_.tolist() == list("abcd")
    found = head.predict_proba(lazy[list("abcd")])
    assert isinstance(found, da.Array)
    assert found.npartitions == 5
    assert_allclose(found.compute(), expected.predict_proba(frame[list("abcd")]), rtol=1e-6)
    with pytest.raises(ValueError, match="feature names"):
        head.predict(lazy[list("abdc")])


def test_a_fit_that_does_not_converge_warns():
    X, y = data()
    with pytest.warns(ConvergenceWarning, match="max_iter=2") as caught:
        LinearHead(max_iter=2).fit(chunked(X, (13,) * 7), y)
    assert caught[0].filename == __file__


# --- predictions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n_classes", "unknown"), [(2, False), (3, False), (3, True)])
def test_predictions_are_lazy(method, n_classes, unknown):
    X, y = data()
    y = np.where(y == "rarest", "rare", y) if n_classes == 2 else y
    head = LinearHead().fit(X, y)
    reads = []

    def read(block):
        reads.append(len(block))
        return block

    lazy = chunked(X, LAYOUTS["ragged"], unknown=unknown).rechunk({1: -1})
    lazy = lazy.map_blocks(read, dtype=X.dtype, meta=np.empty((0, 0)))
    found = getattr(head, method)(lazy)
    assert isinstance(found, da.Array)
    assert not reads
    expected = getattr(head, method)(X)
    assert (found.dtype, found.ndim) == (expected.dtype, expected.ndim)
    if not unknown:
        assert found.chunks[0] == LAYOUTS["ragged"]
        assert found.shape == expected.shape
    found = found.compute()
    assert found.dtype == expected.dtype
    if method == "predict":
        assert_array_equal(found, expected)
    else:
        assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_predictions_are_those_of_the_head_as_it_was():
    X, y = data()
    head = LinearHead().fit(X, y)
    expected = head.predict_proba(X)
    lazy = head.predict_proba(chunked(X, (13,) * 7))
    head.fit(X, y[::-1]).calibrate(X, y)
    assert_allclose(lazy.compute(), expected)


def test_an_averaged_head_predicts_on_dask():
    X, y = data()
    head = AveragedHead(EOS(random_state=0)).fit(X, y)
    assert_array_equal(head.predict(chunked(X, (13,) * 7)).compute(), head.predict(X))


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "NaN"), (-np.inf, "infinity"), (1e151, "size 1e")]
)
def test_the_row_of_a_bad_number_is_named(value, message):
    X, y = data()
    head = LinearHead().fit(X, y)
    X[61, 3] = X[63, 0] = value
    message = f"Row 61 of X contains .*{message}.*, but LinearHead needs"
    with pytest.raises(ValueError, match=message):
        LinearHead().fit(chunked(X, (13,) * 7), y)
    found = head.predict(chunked(X, (13,) * 7))
    with pytest.raises(ValueError, match=message):
        found.compute()
    found = head.predict(chunked(X, (13,) * 7, unknown=True))
    with pytest.raises(ValueError, match="Row 9 of partition 4 of X contains"):
        found.compute()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, y[:80]), "X has 91 rows, but y has 80"),
        (lambda X, y: (X, np.zeros(91)), "at least 2 classes, but y has only one class: 0.0"),
        (lambda X, y: (X[:0], y[:0]), "at least 2 classes, but y has no rows"),
        (lambda X, y: (X, np.linspace(0, 1, 91)), "Unknown label type: continuous"),
        (lambda X, y: (X, np.array([None, *y[1:]], dtype=object)), "cannot be sorted"),
        (lambda X, y: (X, np.eye(91)), "y has 2 dimensions, but LinearHead"),
        (lambda X, y: (X, None), "y has 0 dimensions"),
        (lambda X, y: (X.astype(object), y), "dtype object and 2 dimensions. LinearHead needs"),
        (lambda X, y: (X > 0, y), "dtype bool"),
        (lambda X, y: (X[:, 0], y), "1 dimensions"),
        (lambda X, y: (X, y, np.ones(90)), "X has 91 rows, but sample_weight has 90"),
        (lambda X, y: (X, y, 1 - 2.0 * (np.arange(91) == 70)), "weight of row 70 is -1.0"),
        (lambda X, y: (X, y, np.full(91, np.inf)), r"weight of row \d+ is inf"),
        (lambda X, y: (X, y, (y == "rare") * 1.0), "above 0 for rows of at least 2 classes"),
    ],
)
def test_input_that_cannot_be_used_is_refused(change, message):
    X, y = data()
    with pytest.raises(ValueError, match=message):
        LinearHead().fit(*change(chunked(X, (13,) * 7), y))


def test_partitions_of_frames_that_do_not_match_are_refused():
    dd = pytest.importorskip("dask.dataframe")
    X, y = data()
    frame = pd.DataFrame(X, columns=list("abcd")).assign(label=y)
    lazy = dd.from_pandas(frame, npartitions=5)
    with pytest.raises(ValueError, match="X has 5 partitions, but y has 4"):
        LinearHead().fit(lazy[list("abcd")], dd.from_pandas(frame, npartitions=4)["label"])
    others = dd.from_pandas(frame.iloc[1:], npartitions=5)
    with pytest.raises(ValueError, match="A partition of X has 19 rows, but that of y has 18"):
        LinearHead().fit(lazy[list("abcd")], others["label"])
    with pytest.raises(ValueError, match=r"column 'label'.*LinearHead needs integer or float"):
        LinearHead().fit(lazy, lazy["label"])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alpha": -1}, "'alpha' parameter"),
        ({"device": "tpu"}, "device"),
        ({"class_weight": {"rare": 0}}, "'class_weight' parameter must be a positive number"),
        ({"target_prior": [0.5, 0.5]}, "'target_prior' parameter"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(params, message):
    X, y = data()
    with pytest.raises(ValueError, match=message):
        LinearHead(**params).fit(chunked(X, (13,) * 7), y)


def test_predictions_that_are_not_possible_are_refused_at_once():
    X, y = data()
    lazy = chunked(X, (13,) * 7)
    with pytest.raises(NotFittedError):
        LinearHead().predict(lazy)
    head = LinearHead().fit(X, y)
    with pytest.raises(ValueError, match="X has 3 features"):
        head.predict(lazy[:, :3])
    with pytest.raises(ValueError, match="dtype object"):
        head.predict(lazy.astype(object))
    dask_bag = pytest.importorskip("dask.bag")
    with pytest.raises(ValueError, match=r"needs a dask\.array"):
        head.predict(dask_bag.from_sequence(X.tolist()))
