"""polars frames and labels go in and come out, from EOS and through a whole pipeline."""

import datetime
import subprocess
import sys

import networks
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from polars.testing import assert_frame_equal, assert_series_equal
from sklearn import config_context
from sklearn.preprocessing import StandardScaler

from imblearn_eos import EOS, TorchNearestNeighbors, make_embedding_pipeline

Y = np.repeat([0, 1], [40, 15])
X = np.random.RandomState(0).randn(55, 3) + Y[:, None]
INTEGERS = [pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64]
FRAME = pl.DataFrame(
    [
        *(
            pl.Series(str(dtype), np.abs(X[:, 0] * 30).astype(int)).cast(dtype)
            for dtype in INTEGERS
        ),
        pl.Series("single", X[:, 2].astype(np.float32)),
        pl.Series("double", X[:, 0] * 1e3),
    ]
)


def resample(X, y=Y):
    return EOS(random_state=0).fit_resample(X, y)


def names_in(estimator):
    """Return names of features, which scikit-learn below 1.9 does not read from polars 2."""
    return list(getattr(estimator, "feature_names_in_", []))


def test_a_frame_keeps_its_schema_and_original_values():
    sampler = EOS(random_state=0)
    X_resampled, y_resampled = sampler.fit_resample(FRAME, Y)
    assert isinstance(y_resampled, np.ndarray)
    assert X_resampled.schema == FRAME.schema
    assert_frame_equal(X_resampled[:55], FRAME)
    assert names_in(sampler) == names_in(StandardScaler().fit(FRAME))
    numbers = FRAME.to_numpy()
    base, enemy = numbers[sampler.base_indices_], numbers[sampler.enemy_indices_]
    exact = base + sampler.steps_[:, None] * (enemy - base)
    made = X_resampled[55:].to_numpy()
    assert_allclose(made[:, :-2], exact[:, :-2], atol=0.5)
    assert_allclose(made[:, -2:], exact[:, -2:], rtol=1e-6)


def test_a_frame_gives_the_rows_of_pandas():
    expected, _ = resample(pd.DataFrame(FRAME.to_dict(as_series=False)))
    assert_array_equal(resample(FRAME)[0]["double"].to_numpy(), expected["double"])


def test_large_integers_stay_between_their_ends():
    frame = pl.DataFrame({"a": np.full(55, 2**60 + 1), "b": X[:, 0]})
    assert (resample(frame)[0]["a"] == 2**60 + 1).all()


@pytest.mark.parametrize(
    "y",
    [
        pl.Series("kind", Y, dtype=pl.Int8),
        pl.Series("kind", Y > 0),
        pl.Series("kind", np.array(["cat", "dog"])[Y]),
        pl.Series("kind", np.array(["cat", "dog"])[Y], dtype=pl.Categorical),
        pl.Series("kind", np.array(["cat", "dog"])[Y], dtype=pl.Enum(["dog", "cat"])),
    ],
    ids=lambda y: str(y.dtype),
)
@pytest.mark.parametrize("container", [np.asarray, pl.DataFrame, pd.DataFrame])
def test_labels_in_a_series_keep_name_and_dtype(y, container):
    y_resampled = resample(container(X), y)[1]
    assert_series_equal(y_resampled[:55], y)
    assert y_resampled.dtype == y.dtype
    assert y_resampled[55:].to_list() == [y[40]] * 25
    assert EOS().fit(container(X), y).sampling_strategy_ == EOS().fit(X, y).sampling_strategy_


def test_one_hot_labels_keep_their_schema():
    y = pl.Series("kind", np.array(["cat", "dog"])[Y]).to_dummies()
    y_resampled = resample(X, y)[1]
    assert y_resampled.schema == y.schema
    assert y_resampled.sum().row(0) == (40, 40)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("odd", X[:, 0] > 0),
        pl.Series("odd", np.where(X[:, 0] > 0, "a", "b")),
        pl.Series("odd", np.where(X[:, 0] > 0, "a", "b"), dtype=pl.Categorical),
        pl.Series("odd", np.where(X[:, 0] > 0, "a", "b"), dtype=pl.Enum(["a", "b"])),
        pl.Series("odd", np.arange(55)).cast(pl.Decimal(10, 2)),
        pl.Series("odd", np.arange(55)).cast(pl.Int128),
        pl.Series("odd", [datetime.date(2026, 1, 1)] * 55),
        pl.Series("odd", [datetime.timedelta(1)] * 55),
        pl.Series("odd", [[1.0]] * 55),
        pl.Series("odd", [{"a": 1}] * 55),
        pl.Series("odd", [None] * 55),
    ],
    ids=lambda column: str(column.dtype),
)
def test_columns_without_values_in_between_are_named(column):
    frame = pl.DataFrame(X, schema=["a", "b", "c"]).with_columns(column)
    for method in (EOS().fit_resample, EOS().fit):
        with pytest.raises(ValueError, match=r"column 'odd' \(number 3\) of dtype"):
            method(frame, Y)


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt8, pl.Float32, pl.Float64])
def test_nulls_are_refused(dtype):
    frame = pl.DataFrame(X).with_columns(pl.Series("gaps", [None, *Y[1:].tolist()], dtype=dtype))
    for method in (EOS().fit_resample, EOS().fit, TorchNearestNeighbors().fit):
        with pytest.raises(ValueError, match="X contains NaN"):
            method(frame, Y)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64, pl.Boolean, pl.String])
def test_nulls_among_labels_are_refused(dtype):
    y = pl.Series("kind", [None, *Y[1:].tolist()]).cast(dtype)
    with pytest.raises(ValueError, match=r"y contains NaN|y has labels .* drop rows without label"):
        resample(X, y)


def test_lazy_frames_are_refused_by_name():
    lazy = FRAME.lazy()
    for method in (EOS().fit_resample, EOS().fit, TorchNearestNeighbors().fit):
        with pytest.raises(TypeError, match=r"X is a polars LazyFrame.*X\.collect\(\)"):
            method(lazy, Y)
    for method in (EOS().fit_resample, EOS().fit):
        with pytest.raises(TypeError, match=r"y is a polars LazyFrame.*y\.collect\(\)"):
            method(X, pl.LazyFrame({"y": Y}))


def test_neighbors_of_a_frame():
    frame = pl.DataFrame(X, schema=["a", "b", "c"])
    fitted = TorchNearestNeighbors(3).fit(frame)
    assert names_in(fitted) == names_in(StandardScaler().fit(frame))
    assert_array_equal(
        fitted.kneighbors(frame)[1], TorchNearestNeighbors(3).fit(X).kneighbors(X)[1]
    )


@pytest.mark.parametrize("container", [np.asarray, pl.DataFrame, pd.DataFrame])
def test_a_pipeline_trains_on_steps_that_hand_over_polars(container):
    given = container(X.astype(np.float32))
    y = pl.Series("kind", np.array(["cat", "dog"])[Y])
    net = networks.make_net(module__n_features=3, module__n_classes=2)
    expected = make_embedding_pipeline(net, random_state=0).fit(given, y).predict_proba(given)
    with config_context(transform_output="polars"):
        pipeline = make_embedding_pipeline(net, random_state=0).fit(given, y)
        assert_array_equal(pipeline.predict_proba(given), expected)
        embeddings = pipeline[0].transform(given)
        assert isinstance(embeddings, pl.DataFrame)
        resampled, labels = EOS(random_state=0).fit_resample(embeddings, y)
        assert resampled.schema == embeddings.schema
        assert_series_equal(labels[:55], y)
        pipeline.generalization_gap(given, y)
        pipeline.to_module()


def test_polars_needs_no_pandas():
    code = """
import builtins
imports = builtins.__import__
def without_pandas(name, *args, **kwargs):
    if name.split(".")[0] == "pandas":
        raise ImportError(name)
    return imports(name, *args, **kwargs)
builtins.__import__ = without_pandas
import polars as pl
from imblearn_eos import EOS
X = pl.DataFrame({"a": [0.0, 1.0, 2.0, 3.0, 4.0], "b": [1, 5, 2, 4, 3]})
X_resampled, y_resampled = EOS(random_state=0).fit_resample(X, pl.Series(list("xxxyy")))
assert X_resampled.shape == (6, 2) and y_resampled.len() == 6
"""
    subprocess.run([sys.executable, "-c", code], check=True)
