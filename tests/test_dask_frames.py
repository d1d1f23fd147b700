"""Dask dataframes: the frames that pandas gives, without their rows in memory."""

import warnings
from itertools import pairwise

import numpy as np
import oracle
import pytest
from numpy.testing import assert_array_equal

from imblearn_eos import EOS, TorchNearestNeighbors

pd = pytest.importorskip("pandas", reason="needs pandas, the extra 'tables'")
dask = pytest.importorskip("dask", reason="needs dask, the extra 'dask'")
pytest.importorskip("distributed", reason="needs distributed, the extra 'dask'")
dd = pytest.importorskip("dask.dataframe", reason="needs pyarrow, the extra 'embeddings'")

# What Dask says of its own dependencies.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The inplace keyword"),
    pytest.mark.filterwarnings("ignore:Dask currently has limited support"),
]

MODES = ["neighborhood", "nearest"]


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def frame(label="string[pyarrow]"):
    """Columns of several dtypes, one of numbers that float64 does not have, and labels."""
    X, y = oracle.three_classes(2, (55, 24, 12))
    columns = {
        "a": X[:, 0].astype(np.float32),
        "b": X[:, 1],
        "c": (X[:, 2] * 10).astype(np.int64) + 2**60 + 1,
        "d": pd.array((X[:, 3] * 3).astype(np.int16), dtype="Int16"),
        "label": y if label == "int8" else np.array(["common", "rare", "rarest"])[y],
    }
    index = [f"row {i}" for i in range(len(y))]
    return pd.DataFrame(columns, index=index).astype({"label": label})


def partitions(data, cuts=(0, 1, 30, 30, 77, 91)):
    """A frame in ragged partitions, one of them empty, without known divisions."""
    parts = [data.iloc[a:b] for a, b in pairwise(cuts)]
    return dd.from_map(lambda part: part, parts, meta=data.iloc[:0])


def assert_same_frames(X, y, lazy_X, lazy_y, **params):
    expected = EOS(random_state=0, **params)
    sampler = EOS(random_state=0, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X_expected, y_expected = expected.fit_resample(X, y)
        X_resampled, y_resampled = sampler.fit_resample(lazy_X, lazy_y)
    assert isinstance(X_resampled, dd.DataFrame)
    assert isinstance(y_resampled, dd.Series)
    pd.testing.assert_frame_equal(X_resampled.compute(), X_expected)
    pd.testing.assert_series_equal(y_resampled.compute(), y_expected)
    for part in (X_resampled, y_resampled):
        assert part.known_divisions
        assert_array_equal(part.loc[80:90].compute().index, np.arange(80, 91))
    for name in ("base_indices_", "enemy_indices_", "steps_"):
        assert_array_equal(getattr(sampler, name).compute(), getattr(expected, name))
    assert_array_equal(sampler.feature_names_in_, expected.feature_names_in_)
    assert sampler.n_features_in_ == expected.n_features_in_
    return X_resampled


@pytest.mark.parametrize("enemy_search", MODES)
@pytest.mark.parametrize("label", ["string[pyarrow]", "int8", "category"])
def test_index_dtypes_and_names_are_those_of_pandas(enemy_search, label):
    data = frame(label)
    lazy = partitions(data)
    columns = ["a", "b", "c", "d"]
    lazy_X, lazy_y = lazy[columns], lazy["label"]
    X_resampled = assert_same_frames(
        data[columns], data["label"], lazy_X, lazy_y, enemy_search=enemy_search
    )
    assert lazy_X.npartitions == 5
    assert X_resampled.dtypes.equals(data[columns].dtypes)


def test_balanced_frames_get_a_new_index():
    data = frame()
    lazy = partitions(data)
    params = {"sampling_strategy": {"rare": 24}}
    assert_same_frames(data[["a"]], data["label"], lazy[["a"]], lazy["label"], **params)


def test_labels_of_unknown_categories():
    data = frame("category")
    lazy = partitions(data)
    y = lazy["label"].cat.as_unknown()
    found = EOS(random_state=0).fit_resample(lazy[["a", "b"]], y)[1].compute()
    expected = EOS(random_state=0).fit_resample(data[["a", "b"]], data["label"])[1]
    assert found.tolist() == expected.tolist()


def test_rows_that_are_read_from_a_file(tmp_path):
    data = frame().drop(columns="d").reset_index(drop=True)
    dd.from_pandas(data, npartitions=6).to_parquet(tmp_path / "rows")
    lazy = dd.read_parquet(tmp_path / "rows")
    columns = ["a", "b", "c"]
    X, y = lazy[columns].compute(), lazy["label"].compute()
    assert_same_frames(X, y, lazy[columns], lazy["label"])


@pytest.mark.parametrize("sizes", [False, True], ids=["unknown", "known"])
def test_frames_and_arrays_are_aligned_by_position(sizes):
    data = frame()
    lazy = partitions(data)
    X, y = data[["a", "b"]], data["label"]
    expected = EOS(random_state=0).fit_resample(X, y.to_numpy())
    lazy_y = lazy["label"].to_dask_array(lengths=sizes or None)
    X_resampled, y_resampled = EOS(random_state=0).fit_resample(lazy[["a", "b"]], lazy_y)
    pd.testing.assert_frame_equal(X_resampled.compute(), expected[0])
    assert_array_equal(y_resampled.compute(), expected[1])
    lazy_X = lazy[["a", "b"]].to_dask_array(lengths=sizes or None)
    X_resampled, y_resampled = EOS(random_state=0).fit_resample(lazy_X, lazy["label"])
    assert_array_equal(X_resampled.compute(), EOS(random_state=0).fit_resample(X.to_numpy(), y)[0])
    assert y_resampled.compute().tolist() == expected[1].tolist()


def test_neighbors_among_the_rows_of_a_frame():
    data = frame().drop(columns=["c", "label"])
    lazy = partitions(data)
    expected = TorchNearestNeighbors(7).fit(data).kneighbors(data[:20])
    fitted = TorchNearestNeighbors(7).fit(lazy)
    assert_array_equal(fitted.feature_names_in_, data.columns)
    for found, array in zip(fitted.kneighbors(data[:20]), expected, strict=True):
        assert found.compute().tobytes() == array.tobytes()
    with pytest.raises(ValueError, match="feature names"):
        fitted.kneighbors(lazy.rename(columns={"a": "z"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, partitions(frame(), (0, 50, 91))["label"]), "5 partitions, but y has 2"),
        (
            lambda X, y: (X, partitions(frame(), (0, 2, 30, 30, 77, 91))["label"]),
            r"A partition of X has \d+ rows, but that of y has",
        ),
        (lambda X, y: (X, y.to_dask_array(lengths=True)[:50]), "91 rows, but y has 50"),
        (lambda X, y: (X.assign(text=y), y), "column 'text' .* needs integer or float"),
        (lambda X, y: (X.assign(flag=X["a"] > 0), y), "column 'flag' .*dtype bool"),
        (lambda X, y: (X["a"], y), "1 dimensions"),
        (lambda X, y: (X, y.to_frame()), "y has 2 dimensions"),
        (lambda X, y: (X, y.mask(y == "rarest")), "cannot be sorted"),
        (lambda X, y: (X.mask(X["a"] == X["a"].max()), y), r"Row \d+ of X contains NaN"),
    ],
)
def test_frames_that_cannot_be_used_are_refused(change, message):
    lazy = partitions(frame())
    X, y = change(lazy[["a", "b"]], lazy["label"])
    with pytest.raises(ValueError, match=message):
        EOS(sampling_strategy={"rarest": 30}).fit_resample(X, y)
