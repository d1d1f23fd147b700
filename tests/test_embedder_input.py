"""What Embedder cannot work with: an error says so, before training if it can."""

from functools import partial
from itertools import islice

import numpy as np
import pandas as pd
import pytest
import torch
from networks import (
    CNN,
    MLP,
    CountFits,
    FirstOutput,
    HeadTwice,
    LateProjection,
    NoLinear,
    OneLogit,
    TokenHead,
    TwoHeads,
    make_data,
    make_net,
    n_fits,
)
from numpy.testing import assert_array_equal
from skorch import NeuralNet, NeuralNetRegressor
from torch import nn
from torch.utils.data import DataLoader, RandomSampler

from imblearn_eos import Embedder, make_embedding_pipeline

X, y = make_data()
IMAGES = np.random.RandomState(0).normal(size=(len(y), 1, 6, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("params", "module", "message"),
    [
        ({}, NoLinear, r"torch\.nn\.Linear.* order: none"),
        (
            {},
            TwoHeads,
            r"only one with 3 outputs.*'head' \(5 -> 3\), 'auxiliary'.*'layer' parameter",
        ),
        ({}, LateProjection, r"last linear layer .* 3 outputs.*'projection' \(5 -> 4\)"),
        ({}, HeadTwice, "'head' ran 2 times"),
        ({}, TokenHead, r"\(2, 1, 5\)"),
        (
            {"layer": "fc"},
            MLP,
            r"'layer' parameter is 'fc'.*'hidden' \(6 -> 5\), 'head' \(5 -> 3\)",
        ),
        ({"layer": "norm"}, MLP, "'layer' parameter is 'norm'"),
        ({"layer": "head"}, NoLinear, "'layer' parameter is 'head'.* order: none"),
        ({"layer": 3}, MLP, "'layer' parameter"),
        ({"memory": 3}, MLP, "'memory' parameter"),
        ({"random_state": "a"}, MLP, "'random_state' parameter"),
    ],
)
def test_unclear_heads_are_found_before_training(params, module, message, tmp_path):
    net = make_net(module, criterion=FirstOutput, callbacks=[CountFits(tmp_path / "fits")])
    with pytest.raises(ValueError, match=message):
        Embedder(net, **params).fit(X, y)
    assert n_fits(tmp_path / "fits") == 0


@pytest.mark.parametrize(
    ("params", "change", "message"),
    [
        ({}, lambda X, y: (X, y[1:]), r"92, 91"),
        ({}, lambda X, y: (torch.from_numpy(X), y[1:]), r"92, 91"),
        ({}, lambda X, y: (X, np.zeros(len(X))), "only one class"),
        ({}, lambda X, y: (X, None), "requires y"),
        ({}, lambda X, y: (X, X[:, 0]), "continuous"),
        ({}, lambda X, y: (X, np.c_[y, y]), "1d array"),
        ({}, lambda X, y: (X, np.eye(3)[y]), r"1d array.*shape \(92, 3\)"),
        ({}, lambda X, y: (X, torch.eye(3)[y]), r"1d array.*shape \(92, 3\)"),
        ({}, lambda X, y: (X, y % 2), r"shape \(n_samples, 2\).* shape \(2, 3\)"),
        ({}, lambda X, y: (X, np.arange(len(X)) % 4), r"shape \(n_samples, 4\).* shape \(2, 3\)"),
        ({}, lambda X, y: (np.where(X > 2, np.nan, X), y), "NaN"),
        ({}, lambda X, y: (np.where(X > 2, np.inf, X), y), "infinity"),
        ({}, lambda X, y: (torch.from_numpy(X).log(), y), "NaN"),
        (
            {},
            lambda X, y: (torch.from_numpy(X) * 1j, y),
            "X has dtype torch.complex.* real numbers",
        ),
        (
            {},
            lambda X, y: (torch.from_numpy(X).to_sparse(), y),
            "layout torch.sparse_coo.*to_dense",
        ),
        ({}, lambda X, y: (X[:1], y[:1]), r"at least 2 samples, got ndarray of shape \(1, 6\)"),
        ({}, lambda X, y: (torch.from_numpy(X[:1]), y[:1]), "at least 2 samples, got Tensor"),
        ({}, lambda X, y: (X[:, 0], y), r"\(92,\)"),
        ({}, lambda X, y: (np.full(X.shape, "a"), y), "could not convert"),
        # skorch's default.
        ({"criterion": nn.NLLLoss}, lambda X, y: (X, y), r"set criterion=torch\.nn\.CrossEntropy"),
        ({"iterator_valid__shuffle": True}, lambda X, y: (X, y), "iterator_valid__shuffle"),
        ({"iterator_valid__drop_last": True}, lambda X, y: (X, y), "iterator_valid__drop_last"),
        ({"iterator_valid__sampler": RandomSampler(range(92))}, lambda X, y: (X, y), "__sampler"),
        ({"iterator_valid": partial(DataLoader, shuffle=True)}, lambda X, y: (X, y), "shuffles"),
    ],
)
def test_bad_input_is_found_before_training(params, change, message, tmp_path):
    net = make_net(callbacks=[CountFits(tmp_path / "fits")], **params)
    with pytest.raises(ValueError, match=message):
        Embedder(net).fit(*change(X, y))
    assert n_fits(tmp_path / "fits") == 0


def test_logits_under_the_default_criterion_are_refused_whatever_the_initial_weights():
    net = make_net(partial(MLP, n_classes=2), criterion=nn.NLLLoss)
    for seed in range(20):
        with pytest.raises(ValueError, match="needs probabilities"):
            Embedder(net, random_state=seed).fit(X, y > 0)


@pytest.mark.parametrize("net", [MLP, MLP(), None, "net", NeuralNetRegressor(MLP)])
def test_what_is_no_skorch_net_is_told_how_to_become_one(net):
    with pytest.raises(TypeError, match=r"skorch\.NeuralNetClassifier") as caught:
        Embedder(net).fit(X, y)
    # The text of a module can be hundreds of lines.
    assert "Linear(" not in str(caught.value)


def test_no_samples_are_refused():
    for estimator in (Embedder(make_net()), make_embedding_pipeline(make_net())):
        with pytest.raises(TypeError, match=r"X must be an array.* got NoneType"):
            estimator.fit(None, y)


class FirstBatches(DataLoader):
    def __iter__(self):
        return islice(super().__iter__(), 2)


def test_an_iterator_that_leaves_out_samples_is_an_error():
    net = make_net(iterator_valid=FirstBatches)
    with pytest.raises(ValueError, match="64 embeddings for 92 samples"):
        Embedder(net).fit_transform(X, y)


def test_diverged_training_is_an_error():
    with pytest.raises(ValueError, match="learning rate"):
        Embedder(make_net(lr=1e30, max_epochs=3), random_state=0).fit_transform(X * 1e6, y)


def test_samples_of_another_shape_are_refused():
    embedder = Embedder(make_net(), random_state=0).fit(X, y)
    assert embedder.n_features_in_ == X.shape[1]
    with pytest.raises(ValueError, match="X has 2 features, but Embedder is expecting 6"):
        embedder.transform(X[:, :2])
    with pytest.raises(
        ValueError, match=r"(?s)samples of shape \(2,\).*rows .*images .*torch says"
    ):
        embedder.fit(X[:, :2], y)


def test_names_of_features_must_be_those_of_fit():
    frame = pd.DataFrame(X, columns=list("abcdef"))
    embedder = Embedder(make_net(), random_state=0).fit(frame, y)
    assert_array_equal(embedder.feature_names_in_, frame.columns)
    with pytest.raises(ValueError, match="should match those that were passed during fit"):
        embedder.transform(frame[list("bacdef")])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        embedder.transform(X)
    embedder.fit(X, y)
    assert not hasattr(embedder, "feature_names_in_")


def test_names_of_several_types_are_found_before_training(tmp_path):
    frame = pd.DataFrame(X, columns=[0, "b", "c", "d", "e", "f"])
    net = make_net(callbacks=[CountFits(tmp_path / "fits")])
    with pytest.raises(TypeError, match="all input features have string names"):
        Embedder(net).fit(frame, y)
    assert n_fits(tmp_path / "fits") == 0


@pytest.mark.parametrize("method", ["transform", "predict", "predict_proba"])
def test_images_of_another_shape_are_explained(method):
    embedder = Embedder(make_net(CNN), random_state=0).fit(IMAGES, y)
    three_channels = np.repeat(IMAGES, 3, axis=1)
    with pytest.raises(ValueError, match=r"(?s)samples of shape \(3, 6, 6\).*for images "):
        getattr(embedder, method)(three_channels)


def test_one_output_for_two_classes_needs_the_net_for_it(tmp_path):
    net = NeuralNet(OneLogit, criterion=nn.BCEWithLogitsLoss, callbacks=[CountFits(tmp_path / "f")])
    with pytest.raises(ValueError, match=r"use skorch\.NeuralNetBinaryClassifier"):
        Embedder(net).fit(X, y > 0)
    assert n_fits(tmp_path / "f") == 0
