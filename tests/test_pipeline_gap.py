"""EmbeddingPipeline.generalization_gap, which metrics.generalization_gap_report explains."""

import pickle

import numpy as np
import pytest
import torch
from imblearn import FunctionSampler
from imblearn.under_sampling import RandomUnderSampler
from networks import make_data, make_net
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch.utils.data import TensorDataset

from imblearn_eos import EOS, Embedder, EmbeddingPipeline, make_embedding_pipeline
from imblearn_eos.metrics import generalization_gap, generalization_gap_report

X, y = make_data()


def make_pipeline(sampler=None, head=None):
    return make_embedding_pipeline(make_net(), sampler, head, random_state=0)


def assert_same_report(first, second):
    for name in ("train_counts", "added_counts"):
        np.testing.assert_array_equal(first[name], second[name])
    for name in ("before", "after", "size_matched", "label_noise", "test_counts"):
        assert list(first[name]) == list(second[name]) == ["all", "right", "wrong"]
        for part in first[name]:
            np.testing.assert_allclose(first[name][part], second[name][part], rtol=1e-5)


@pytest.mark.parametrize(
    "sampler",
    [
        EOS(random_state=0),
        "passthrough",
        RandomUnderSampler(sampling_strategy="not minority", random_state=0),
        FunctionSampler(func=lambda X, y: (X[::-1], y[::-1])),
    ],
    ids=["EOS", "none", "under-sampler", "reversed"],
)
def test_gap_is_that_of_its_embeddings(sampler):
    pipeline = make_pipeline(sampler=sampler).fit(X[::2], y[::2])
    X_test, y_test = X[1::2], y[1::2]
    embedder = pipeline[0]
    Z, Z_test = embedder.transform(X[::2]), embedder.transform(X_test)
    resampled = (Z, y[::2]) if sampler == "passthrough" else clone(sampler).fit_resample(Z, y[::2])
    expected = generalization_gap_report(
        Z, y[::2], *resampled, Z_test, y_test, y_pred=pipeline.predict(X_test)
    )
    assert_same_report(pipeline.generalization_gap(X_test, y_test), expected)


def test_gap_is_measured_where_the_head_works():
    """A scaler, before or after the sampler, scales the gap."""
    for position in (1, 2):
        pipeline = make_pipeline()
        pipeline.steps.insert(position, ("scaler", StandardScaler()))
        pipeline.fit(X[::2], y[::2])
        scaled, raw = pipeline["scaler"], pipeline[0]
        gap = generalization_gap(
            scaled.transform(raw.transform(X[::2])),
            y[::2],
            scaled.transform(raw.transform(X[1::2])),
            y[1::2],
            average=None,
        )
        found = pipeline.generalization_gap(X[1::2], y[1::2])
        np.testing.assert_allclose(found.before.all, gap, rtol=1e-4)


def test_gap_of_a_dataset():
    pairs = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    pipeline = make_pipeline().fit(X, y)
    found = pipeline.generalization_gap(pairs)
    assert_same_report(found, pipeline.generalization_gap(X, y))
    assert np.all(found.before.all == 0)


def test_gap_needs_a_pipeline_that_was_fitted_as_one():
    with pytest.raises(NotFittedError):
        make_pipeline().generalization_gap(X, y)
    fitted = make_pipeline().fit(X, y)
    with pytest.raises(NotFittedError, match="Call fit"):
        EmbeddingPipeline(fitted.steps).generalization_gap(X, y)


def test_gap_survives_pickling():
    pipeline = make_pipeline().fit(X, y)
    again = pickle.loads(pickle.dumps(pipeline))
    assert_same_report(again.generalization_gap(X, y), pipeline.generalization_gap(X, y))


def test_steps_that_make_sparse_matrices_still_fit():
    sparse_steps = FunctionTransformer(sparse.csr_matrix, check_inverse=False)
    pipeline = make_pipeline(head=LogisticRegression())
    pipeline.steps.insert(1, ("sparse", sparse_steps))
    pipeline.fit(X, y)
    with pytest.raises(NotFittedError, match="sparse"):
        pipeline.generalization_gap(X, y)


class SoftLabels(LogisticRegression):
    """A head that is fitted to the shares of classes."""

    def fit(self, X, y):
        return super().fit(X, y.argmax(axis=1))


@pytest.mark.parametrize(
    ("relabel", "head"),
    [
        (lambda y: np.where(y == 2, 9, y), None),
        (lambda y: np.where(y == 2, "new", "old"), None),
        (lambda y: 0.9 * np.eye(3)[y] + 0.1 / 3, SoftLabels()),
    ],
    ids=["new label", "new kind of labels", "soft labels"],
)
def test_labels_that_the_training_data_lack_fail_no_fit(relabel, head):
    def resample(X, y):
        return X, relabel(y)

    pipeline = make_pipeline(head=head).set_params(sampler=FunctionSampler(func=resample))
    pipeline.fit(X, y)
    expected = np.unique(relabel(y)) if head is None else np.arange(3)
    np.testing.assert_array_equal(pipeline.classes_, expected)
    assert len(pipeline.predict(X)) == len(X)
    with pytest.raises(NotFittedError, match="labels that y lacks"):
        pipeline.generalization_gap(X, y)
    # The ranges of another fit do not stay either.
    pipeline.set_params(sampler="passthrough", head=LogisticRegression()).fit(X, y)
    pipeline.generalization_gap(X, y)
    pipeline.set_params(sampler=FunctionSampler(func=lambda X, y: (X, y + 1))).fit(X, y)
    with pytest.raises(NotFittedError):
        pipeline.generalization_gap(X, y)


class Unreadable(torch.Tensor):
    """A tensor that NumPy cannot read, as those on a GPU."""

    def __array__(self, *args, **params):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        # What is copied to the CPU is an ordinary tensor.
        result = super().__torch_function__(function, types, args, kwargs or {})
        return result.as_subclass(torch.Tensor) if function is torch.Tensor.cpu else result


def test_tensors_that_numpy_cannot_read_are_taken(monkeypatch):
    """Embedder gives them back for samples on a GPU."""
    pipeline = make_pipeline(sampler="passthrough")
    expected = clone(pipeline).fit(X, y).generalization_gap(X, y)
    original = Embedder.fit_transform

    def fit_transform(self, *args, **params):
        return torch.as_tensor(original(self, *args, **params)).as_subclass(Unreadable)

    monkeypatch.setattr(Embedder, "fit_transform", fit_transform)
    assert_same_report(pipeline.fit(X, y).generalization_gap(X, y), expected)
