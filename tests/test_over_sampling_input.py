"""What EOS takes as labels and refuses as input, and what it says."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from oracle import three_classes
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from imblearn_eos import EOS, TorchNearestNeighbors


def test_labels_of_any_kind():
    X, y = three_classes()
    expected = EOS(random_state=0).fit_resample(X, y)
    for names in (["a", "b", "c"], [10, 20, 30], [-1.0, 0.0, 1.0], [False, True, True]):
        named = np.array(names)[y]
        X_resampled, y_resampled = EOS(random_state=0).fit_resample(X, named)
        assert y_resampled.dtype == named.dtype
        if len(set(names)) == 3:
            assert_array_equal(X_resampled, expected[0])
            assert_array_equal(y_resampled, np.array(names)[expected[1]])
    as_objects = np.array(["a", "bb", "c"], dtype=object)[y]
    assert_array_equal(EOS(random_state=0).fit_resample(X, as_objects)[0], expected[0])
    as_list = EOS(random_state=0).fit_resample(X, y.tolist())[1]
    assert as_list == expected[1].tolist()


@pytest.mark.parametrize(
    "make", [np.asarray, np.ndarray.tolist, pd.DataFrame, sparse.csr_matrix, torch.from_numpy]
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_hot_y_comes_back_one_hot(make, n_classes):
    X, y = three_classes(sizes=(60, 25, 12) if n_classes == 3 else (60, 37, 0))
    expected_X, expected_y = EOS(random_state=0).fit_resample(X, y)
    one_hot = make(np.eye(n_classes, dtype=int)[y])
    X_resampled, y_resampled = EOS(random_state=0).fit_resample(X, one_hot)
    assert_array_equal(X_resampled, expected_X)
    assert type(y_resampled) is type(one_hot)
    dense = y_resampled.toarray() if sparse.issparse(y_resampled) else np.asarray(y_resampled)
    assert_array_equal(dense, np.eye(n_classes)[expected_y])


def test_one_hot_frame_keeps_its_names():
    X, y = three_classes()
    one_hot = pd.get_dummies(pd.Series(np.array(["cat", "dog", "fox"])[y]))
    y_resampled = EOS(random_state=0).fit_resample(X, one_hot)[1]
    pd.testing.assert_series_equal(y_resampled.dtypes, one_hot.dtypes)
    assert_array_equal(y_resampled.sum(), [60, 60, 60])


def test_multilabel_y_is_refused():
    X, y = three_classes()
    multilabel = np.eye(3, dtype=int)[y]
    multilabel[0] = 1
    for targets in (
        multilabel,
        torch.from_numpy(multilabel),
        multilabel.tolist(),
        multilabel + 0.5,
    ):
        with pytest.raises(ValueError, match=r"[Mm]ultilabel and multioutput|1d array"):
            EOS().fit_resample(X, targets)


X_SMALL, Y_SMALL = three_classes()


def with_entry(value):
    X = X_SMALL.copy()
    X[3, 1] = value
    return X


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        pytest.param(X_SMALL, None, "EOS requires y to be passed", id="no y"),
        pytest.param(X_SMALL, np.zeros(97), "more than 1 class", id="one class"),
        pytest.param(with_entry(np.nan), Y_SMALL, "X contains NaN", id="NaN"),
        pytest.param(with_entry(np.inf), Y_SMALL, "X contains infinity", id="infinity"),
        pytest.param(
            torch.from_numpy(with_entry(np.nan)), Y_SMALL, "X contains NaN", id="NaN tensor"
        ),
        pytest.param(X_SMALL.reshape(97, 2, 2), Y_SMALL, "Embedder", id="3-d"),
        pytest.param(X_SMALL.reshape(97, 1, 2, 2), Y_SMALL, "Embedder", id="4-d"),
        pytest.param(torch.zeros(97, 3, 8, 8), Y_SMALL, "Embedder", id="4-d tensor"),
        pytest.param(X_SMALL.reshape(97, 2, 2).tolist(), Y_SMALL, "Embedder", id="3-d list"),
        pytest.param(X_SMALL[:, 0], Y_SMALL, "shape|Reshape", id="1-d"),
        pytest.param(torch.zeros(97), Y_SMALL, "shape", id="1-d tensor"),
        pytest.param(X_SMALL[:90], Y_SMALL, "90.*97|97.*90", id="length of y"),
        pytest.param(
            torch.from_numpy(X_SMALL[:90]), Y_SMALL, "90.*97|97.*90", id="length of y, tensor"
        ),
        pytest.param(X_SMALL[:, :0], Y_SMALL, "0 feature", id="no feature"),
        pytest.param(X_SMALL > 0, Y_SMALL, "bool", id="bool"),
        pytest.param(X_SMALL.astype(complex), Y_SMALL, "[Cc]omplex", id="complex"),
        pytest.param([["a", "b"]] * 97, Y_SMALL, "strings", id="strings"),
        pytest.param(X_SMALL, np.linspace(0, 1, 97), "Unknown label type", id="continuous y"),
        pytest.param(X_SMALL, [None, *Y_SMALL[1:]], "y has labels .* sorted", id="None in y"),
        pytest.param(
            X_SMALL,
            pd.Series([None, *(Y_SMALL[1:].astype(str))]),
            "y has labels .* sorted.*drop rows without label",
            id="None among strings",
        ),
        pytest.param(
            X_SMALL,
            pd.Series([None, *(Y_SMALL[1:].astype(str))], dtype="category"),
            "y has labels .* sorted",
            id="None among categories",
        ),
        pytest.param(X_SMALL, np.zeros((97, 2), int), "exactly one 1 in each row", id="no label"),
    ],
)
def test_unusable_input_is_refused_by_name(X, y, message):
    with pytest.raises(ValueError, match=message):
        EOS().fit_resample(X, y)


@pytest.mark.parametrize("method", ["fit", "fit_resample"])
@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([None, *Y_SMALL[1:].astype(str).tolist()], "y has labels .*None beside '.*drop rows"),
        (pd.Series([None, *Y_SMALL[1:].astype(str)], dtype="string"), "y has labels .*<NA>.*drop"),
        (pd.Series([None, *(Y_SMALL[1:] > 0)], dtype="boolean"), "y has labels .*<NA>.*drop"),
        (np.array(["a", *Y_SMALL[1:]], dtype=object), "y has labels .*'a' beside .*one type"),
        (pd.Series([None, *Y_SMALL[1:]], dtype="Int64"), "y contains NaN"),
        (None, "EOS requires y to be passed"),
    ],
)
def test_missing_and_mixed_labels_are_named_by_fit_and_fit_resample(method, y, message):
    with pytest.raises(ValueError, match=message):
        getattr(EOS(), method)(X_SMALL, y)


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"n_neighbors": 0}, "n_neighbors"),
        ({"n_neighbors": 2.5}, "n_neighbors"),
        ({"n_neighbors": "many"}, "n_neighbors"),
        ({"enemy_search": "farthest"}, "enemy_search"),
        ({"device": "tpu"}, "device"),
        ({"device": "cuda:99"}, "device"),
        ({"device": 3}, "device"),
        ({"device": None}, "device"),
        ({"random_state": "dice"}, "random_state"),
    ],
)
def test_unusable_parameters_are_refused_by_name(params, name):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        EOS(**params).fit_resample(*three_classes())


def test_a_neighbors_object_that_finds_only_the_row_itself_is_refused():
    for finder in (
        NearestNeighbors(n_neighbors=1),
        NearestNeighbors(n_neighbors=None),
        TorchNearestNeighbors(1),
    ):
        with pytest.raises(ValueError, match=r"(?s)'n_neighbors' parameter .* at least 2"):
            EOS(n_neighbors=finder).fit_resample(*three_classes())
