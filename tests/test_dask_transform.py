"""Embedder and FeatureExtractor on Dask: one block after the other, lazily."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from backbones import TinyNet, tiny_preprocess, write_photos
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from skorch import NeuralNetClassifier
from torch import nn

from imblearn_eos import Embedder, FeatureExtractor
from imblearn_eos.models import SmallCNN

dask = pytest.importorskip("dask", reason="needs dask, the extra 'dask'")
da = pytest.importorskip("dask.array", reason="needs dask, the extra 'dask'")
pytest.importorskip("distributed", reason="needs distributed, the extra 'dask'")

CHUNKS = (5, 0, 7, 1)


# What `Watched` networks of this process saw.
SEEN = []


class Watched(nn.Module):
    """Note torch's number of threads, and pickle what the graph holds, in each forward pass."""

    held = None

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 2)

    def forward(self, x):
        SEEN.append(torch.get_num_threads())
        pickle.dumps(type(self).held)
        return self.head(x.flatten(1))


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def images(dtype=np.float64):
    return (np.random.RandomState(0).uniform(size=(13, 1, 8, 8)) * 9).astype(dtype)


def embedder():
    net = NeuralNetClassifier(
        SmallCNN, module__n_classes=2, criterion=nn.CrossEntropyLoss, max_epochs=1, verbose=0
    )
    return Embedder(net, random_state=0).fit(images(), np.arange(13) % 2)


def extractor(**params):
    return FeatureExtractor(TinyNet(), preprocess=tiny_preprocess, **params)


def assert_lazy(found, expected, chunks=CHUNKS):
    assert isinstance(found, da.Array)
    assert found.dtype == found.compute().dtype == np.float32
    assert_array_equal(found.chunks[0], chunks)
    assert found.shape[1] == expected.shape[1]
    # Batches of other sizes are rounded otherwise.
    assert_allclose(found.compute(), expected, rtol=1e-5, atol=1e-6)


# --- Embedder -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_images_are_embedded_lazily(dtype, scheduler):
    fitted, X = embedder(), images(dtype)
    reads = []

    def read(block):
        reads.append(len(block))
        return block

    lazy = da.from_array(X, chunks=(CHUNKS, 1, 4, 3))
    lazy = lazy.map_blocks(read, dtype=dtype, meta=np.empty((0,) * 4, dtype))
    found = fitted.transform(lazy)
    assert not reads
    with dask.config.set(scheduler=scheduler, num_workers=3):
        assert_lazy(found, fitted.transform(X))


def test_frames_and_unknown_sizes():
    dd = pytest.importorskip("dask.dataframe")
    X = pd.DataFrame(images()[:, 0, :2, 0], columns=["a", "b"])
    net = NeuralNetClassifier(
        nn.Linear, module__in_features=2, module__out_features=2, criterion=nn.CrossEntropyLoss
    )
    net.set_params(max_epochs=1, verbose=0)
    fitted = Embedder(net, random_state=0).fit(X, np.arange(13) % 2)
    lazy = dd.from_pandas(X, npartitions=3)
    assert_lazy(fitted.transform(lazy), fitted.transform(X), [np.nan] * 3)
    with pytest.raises(ValueError, match="X has 1 features"):
        fitted.transform(lazy[["a"]].to_dask_array())
    with pytest.raises(ValueError, match="feature names"):
        fitted.transform(lazy[["b", "a"]])


def test_the_row_of_a_bad_number_is_named():
    fitted, X = embedder(), images()
    X[9, 0, 3, 3] = np.nan
    found = fitted.transform(da.from_array(X, chunks=(CHUNKS, 1, 4, 3)))
    with pytest.raises(ValueError, match="Row 9 of X contains NaN, but Embedder needs"):
        found.compute()


def test_what_cannot_be_embedded_is_refused_at_once():
    X = da.from_array(images(), chunks=(CHUNKS, 1, 8, 8))
    fitted = embedder()
    with pytest.raises(ValueError, match="dtype object"):
        fitted.transform(X.astype(object))
    with pytest.raises(NotFittedError):
        Embedder(fitted.net).transform(X)
    with pytest.raises(ValueError, match=r"is set to 'pandas'.*transform='default'"):
        fitted.set_output(transform="pandas").transform(X)


def test_embeddings_are_those_of_the_network_as_it_was():
    fitted, X = embedder(), images()
    expected = fitted.transform(X)
    found = fitted.transform(da.from_array(X, chunks=(CHUNKS, 1, 8, 8)))
    fitted.set_params(random_state=1).fit(X, np.arange(13) % 2)
    assert not np.allclose(fitted.transform(X), expected)
    assert_lazy(found, expected)


# --- FeatureExtractor -----------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    return [str(path) for path in write_photos(tmp_path, 7)]


def lazy_paths(kind, paths):
    if kind == "array":
        return da.from_array(np.array(paths), chunks=((3, 0, 4),))
    if kind == "bag":
        return pytest.importorskip("dask.bag").from_sequence(paths, npartitions=3)
    if kind == "mapped bag":
        return pytest.importorskip("dask.bag").from_sequence(paths, npartitions=3).map(str)
    frame = pytest.importorskip("dask.dataframe").from_pandas(
        pd.DataFrame({"path": paths}), npartitions=3
    )
    return frame if kind == "frame" else frame["path"]


@pytest.mark.parametrize("kind", ["array", "bag", "mapped bag", "frame", "series"])
def test_paths_are_embedded_lazily(photos, kind):
    fitted = extractor().fit(photos)
    lazy = lazy_paths(kind, photos)
    chunks = (3, 0, 4) if kind == "array" else [np.nan] * 3
    assert_lazy(fitted.transform(lazy), fitted.transform(photos), chunks)


def test_preprocessed_images_are_embedded_lazily():
    X = np.random.RandomState(0).uniform(size=(13, 3, 8, 8)).astype(np.float32)
    fitted = FeatureExtractor(nn.Flatten()).fit(X)
    found = fitted.transform(da.from_array(X, chunks=(CHUNKS, 2, 8, 8)))
    assert_lazy(found, X.reshape(13, -1))


def test_photos_that_cannot_be_read_are_named_or_become_nan(photos, tmp_path):
    fitted = extractor().fit(photos)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    paths = [*photos[:5], str(broken)]
    with pytest.raises(ValueError, match=r"broken\.png"):
        fitted.transform(lazy_paths("bag", paths)).compute()
    contents = da.from_array(np.array(paths), chunks=3)
    contents = contents.map_blocks(opened, dtype=object, meta=np.empty(0, object))
    with pytest.raises(ValueError, match=r"row 2 of X") as caught:
        fitted.transform(contents).compute()
    assert caught.value.__notes__ == ["Rows are numbered from row 3 of X."]
    found = fitted.set_params(on_error="nan").transform(lazy_paths("bag", paths)).compute()
    assert np.isnan(found).all(axis=1).tolist() == [False] * 5 + [True]


def opened(paths):
    """Return the contents of files."""
    contents = np.empty(len(paths), dtype=object)
    contents[:] = [Path(path).read_bytes() for path in paths]
    return contents


def test_tasks_read_photos_themselves_unless_told_otherwise(photos, monkeypatch):
    from imblearn_eos.embedding import _feature_extractor

    seen = []
    monkeypatch.setattr(
        _feature_extractor, "count_workers", lambda n_jobs, samples: seen.append(n_jobs) or 0
    )
    for n_jobs in (None, 2):
        extractor(n_jobs=n_jobs).fit(photos).transform(lazy_paths("bag", photos[:2])).compute()
    assert set(seen[:2]) == {1}
    assert set(seen[2:]) == {2}


def test_torch_uses_one_thread_beside_others(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    X = images(np.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fitted = FeatureExtractor(Watched()).fit(X)
        lazy = fitted.transform(da.from_array(X, chunks=(CHUNKS, 1, 8, 8)))
        SEEN.clear()
        lazy.compute(scheduler="threads", num_workers=2)
        assert set(SEEN) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_network_can_be_sent_to_workers_while_it_runs(monkeypatch):
    """A running network has hooks that cannot be pickled."""
    X = images(np.float32)
    net = NeuralNetClassifier(Watched, criterion=nn.CrossEntropyLoss, max_epochs=1, verbose=0)
    fitted = Embedder(net, random_state=0).fit(X, np.arange(13) % 2)
    lazy = fitted.transform(da.from_array(X, chunks=(CHUNKS, 1, 8, 8)))
    (held,) = [task for key, task in lazy.dask.items() if str(key).startswith("eos-estimator")]
    monkeypatch.setattr(Watched, "held", held)
    SEEN.clear()
    assert_allclose(lazy.compute(), fitted.transform(X), rtol=1e-5)
    assert len(SEEN) > 3
