"""Dicts, mappings, named classes and random transforms in Embedder and EmbeddingPipeline."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from networks import MLP, Inputs, Mapped, OneLogit, make_data, make_net, make_tokens
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold, cross_val_score
from skorch.helper import SliceDataset, SliceDict, predefined_split
from torch import nn
from torch.utils.data import Dataset, Subset

from imblearn_eos import Embedder, EmbeddingPipeline, LinearHead, make_embedding_pipeline
from imblearn_eos._torch_datasets import named_labels

X, y = make_data()
NAMES = ["cat", "dog", "fox"]


class LogitsLoss(nn.CrossEntropyLoss):
    """A loss that takes what a module of transformers returns."""

    def forward(self, output, target):
        return super().forward(output["logits"], target)


def make_inputs_net(**params):
    params = {"module__n_classes": 3, "criterion": LogitsLoss, "max_epochs": 3, **params}
    return make_net(Inputs, **params)


# --- dicts ----------------------------------------------------------------------------------------


class Items(Dataset):
    """Dicts of tensors with their label among them, as torch's format of transformers' datasets."""

    def __init__(self, tokens, labels, key):
        self.tokens, self.labels, self.key = tokens, labels, key

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        item = {name: torch.as_tensor(values[index]) for name, values in self.tokens.items()}
        return {**item, self.key: torch.tensor(self.labels[index])}


@pytest.mark.parametrize("key", ["label", "labels"])
@pytest.mark.parametrize("is_frozen", [True, False])
def test_dicts_give_what_datasets_of_dicts_give(key, is_frozen):
    tokens, labels = make_tokens()
    torch.manual_seed(0)
    if is_frozen:
        pipeline = EmbeddingPipeline.from_module(Inputs(), trained_on_rows=True, random_state=0)
    else:
        pipeline = make_embedding_pipeline(make_inputs_net(), random_state=0)
    expected = pipeline.fit(tokens, labels).predict_proba(tokens)
    dataset = Items(tokens, labels, key)
    assert_allclose(pipeline.fit(dataset).predict_proba(dataset), expected, atol=1e-6)
    as_tensors = {name: torch.from_numpy(values) for name, values in tokens.items()}
    assert_allclose(pipeline.predict_proba(as_tensors), expected, atol=1e-6)
    assert_allclose(pipeline.predict_proba(SliceDict(**tokens)), expected, atol=1e-6)


def test_cross_validation_over_dicts():
    tokens, labels = make_tokens()
    pipeline = make_embedding_pipeline(make_inputs_net(), random_state=0)
    scores = cross_val_score(pipeline, SliceDict(**tokens), labels, cv=3, error_score="raise")
    for score, (train, test) in zip(scores, StratifiedKFold(3).split(labels, labels), strict=True):
        pipeline.fit({name: values[train] for name, values in tokens.items()}, labels[train])
        of_fold = {name: values[test] for name, values in tokens.items()}
        assert score == pipeline.score(of_fold, labels[test])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"tokens": np.ones((5, 2)), "mask": np.ones((4, 2))}, "arrays of equal length"),
        ({"tokens": np.ones((5, 2)), "mask": 1.0}, "arrays of equal length"),
        ({}, "arrays of equal length"),
        ({"tokens": np.ones((5, 2), int), "mask": np.full((5, 2), np.nan)}, "'mask' of .*NaN"),
        ({"tokens": np.ones((5, 2), int)}, "forward.* missing .*'mask'"),
    ],
)
def test_unusable_dicts_are_refused(columns, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Embedder(make_inputs_net()).fit(columns, [0, 1, 2, 0, 1])


def test_dicts_need_labels():
    with pytest.raises(ValueError, match="requires y to be passed"):
        Embedder(make_inputs_net()).fit(make_tokens()[0])


# --- outputs --------------------------------------------------------------------------------------


def test_a_network_that_returns_a_mapping_is_like_one_that_returns_logits():
    expected = Embedder(make_net(), random_state=0).fit(X, y)
    nonlinearity = {"predict_nonlinearity": lambda logits: logits.softmax(dim=1)}
    net = make_net(Mapped, criterion=LogitsLoss, **nonlinearity)
    embedder = Embedder(net, random_state=0).fit(X, y)
    assert_array_equal(embedder.transform(X), expected.transform(X))
    assert_allclose(embedder.predict_proba(X), expected.predict_proba(X), atol=1e-6)
    assert_array_equal(embedder.predict(X), expected.predict(X))
    module = make_embedding_pipeline(net, random_state=0).fit(X, y).to_module()
    assert module(torch.from_numpy(X))["logits"].shape == (len(X), 3)


def test_one_logit_and_two_classes_suggest_the_binary_net():
    with pytest.raises(ValueError, match=r"use skorch.NeuralNetBinaryClassifier"):
        Embedder(make_net(OneLogit)).fit(X, y > 0)


@pytest.mark.parametrize("n_outputs", [1, 2, 1000])
def test_other_numbers_of_outputs_suggest_from_module(n_outputs):
    with pytest.raises(ValueError, match="from_module takes it with any number") as caught:
        Embedder(make_net(module__n_classes=n_outputs)).fit(X, y)
    assert "NeuralNetBinaryClassifier" not in str(caught.value)


def test_steps_without_embedder_are_named_by_class():
    with pytest.raises(TypeError, match="got MLP") as caught:
        EmbeddingPipeline([("net", MLP()), ("head", MLP())]).fit(X, y)
    assert "Linear(" not in str(caught.value)


@pytest.mark.parametrize("position", ["sampler", "head"])
def test_a_module_as_a_later_step_is_named_by_class(position):
    with pytest.raises(TypeError, match=r"got the torch module MLP\. LinearHead") as caught:
        make_embedding_pipeline(make_net(), **{position: MLP()})
    assert "BatchNorm1d" not in str(caught.value)
    steps = [("embedder", Embedder(make_net())), (position, MLP()), ("last", LinearHead())]
    with pytest.raises(TypeError) as caught:
        EmbeddingPipeline(steps).fit(X, y)
    assert "BatchNorm1d" not in str(caught.value)


def test_lazy_frames_are_refused():
    pl = pytest.importorskip("polars")
    with pytest.raises(TypeError, match=r"polars LazyFrame, without rows. Pass X.collect\(\)"):
        Embedder(make_net()).fit(pl.LazyFrame(X), y)
    embedder = Embedder(make_net()).fit(X, y)
    with pytest.raises(TypeError, match="polars LazyFrame"):
        embedder.transform(pl.LazyFrame(X))


# --- names of classes -----------------------------------------------------------------------------


class Folder(Dataset):
    """Has names of classes, as torchvision's ImageFolder."""

    def __init__(self, classes=NAMES, targets=y):
        self.classes, self.targets = classes, list(targets)

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return torch.from_numpy(X[index]), self.targets[index]


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1], (*NAMES, "without images")])
def test_names_of_classes_survive(names):
    pipeline = make_embedding_pipeline(make_net(), random_state=0).fit(Folder(names))
    labels = np.array(names)[y]
    assert_array_equal(pipeline.classes_, NAMES)
    expected = make_embedding_pipeline(make_net(), random_state=0).fit(X, labels)
    assert_array_equal(pipeline.predict(X), expected.predict(X))
    assert pipeline.score(Folder(names)) == expected.score(X, labels)


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1]])
def test_the_outputs_of_a_frozen_net_keep_their_classes(names):
    net = make_net(max_epochs=10).fit(X, y)
    embedder = Embedder(FrozenEstimator(net)).fit(Folder(names))
    # Names in another order than the outputs would name other outputs.
    expected = np.array(names if names == NAMES else range(3))
    assert_array_equal(embedder.predict(X), expected[net.predict(X)])
    pipeline = make_embedding_pipeline(FrozenEstimator(net), random_state=0).fit(Folder(names))
    assert_array_equal(pipeline.classes_, expected)
    assert pipeline.score(Folder(names)) == pipeline.score(X, expected[y])


def test_labels_that_are_given_win():
    embedder = Embedder(make_net(), random_state=0).fit(Folder(), y)
    assert_array_equal(embedder.classes_, [0, 1, 2])


def test_parts_of_a_dataset_have_its_names():
    expected = np.array(NAMES)[y[[5, 9]]]
    assert_array_equal(named_labels(Subset(Folder(), [5, 9])), expected)
    assert_array_equal(named_labels(SliceDataset(Folder())[np.array([5, 9])]), expected)


@pytest.mark.parametrize(
    "dataset", [Folder([0, 1, 2]), Folder(NAMES[:2]), Folder(["cat"] * 3), Folder(None)]
)
def test_unusable_names_leave_integers(dataset):
    assert_array_equal(named_labels(dataset), y)


@pytest.mark.parametrize("labels", [None, y])
def test_validation_sets_have_names_where_y_has(labels):
    net = make_net(train_split=predefined_split(Folder()))
    embedder = Embedder(net, random_state=0).fit(Folder(), labels)
    losses = embedder.net_.history[:, "valid_loss"]
    expected = Embedder(make_net(train_split=predefined_split(Folder())), random_state=0)
    assert losses == expected.fit(X, y).net_.history[:, "valid_loss"]


# --- random transforms ----------------------------------------------------------------------------


class Random(Folder):
    def __init__(self, probability):
        super().__init__()
        self.probability = probability

    def __getitem__(self, index):
        row, label = super().__getitem__(index)
        return (row.flip(0) if torch.rand(()) < self.probability else row), label


@pytest.mark.parametrize("module", [None, MLP()])
def test_random_transforms_are_said(module):
    if module is None:
        pipeline = make_embedding_pipeline(make_net(), random_state=0)
    else:
        pipeline = EmbeddingPipeline.from_module(module, trained_on_rows=True, random_state=0)
    with pytest.warns(UserWarning, match="first samples of Random differ"):
        pipeline.fit(Random(0.5))
    embedder = pipeline["embedder"]
    with pytest.warns(UserWarning, match="first samples of Random differ") as caught:
        embedder.transform(Random(0.5))
    assert caught[0].filename == __file__


@pytest.mark.parametrize("probability", [0, 1])
def test_samples_that_are_read_alike_are_not_said(probability):
    embedder = Embedder(make_net(), random_state=0).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embedder.transform(Random(probability))


# --- forked processes -----------------------------------------------------------------------------

CHILDREN = """
import multiprocessing
import numpy as np, torch
torch.set_num_threads(2)
from imblearn_eos import EmbeddingPipeline
from torch import nn

torch.manual_seed(0)
X = np.random.RandomState(0).randn(300, 400).astype(np.float32)
y = (X[:, 0] > 1).astype(int)
module = nn.Sequential(nn.Linear(400, 2000), nn.ReLU(), nn.Linear(2000, 5))
pipeline = EmbeddingPipeline.from_module(module, trained_on_rows=False, sampler="passthrough")
embedder = pipeline.steps[0][1].fit(X, y)

def embed(fit):
    if fit:
        embedder.fit(X, y)
    Z = embedder.transform(X)
    assert torch.get_num_threads() == 2
    return Z

if __name__ == "__main__":
    expected = embed(False)
    # torch's own threads have been used, too.
    torch.ones(2_000_000).exp().sum()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        for Z in pool.map_async(embed, [False, True]).get(timeout=100):
            np.testing.assert_allclose(Z, expected, atol=1e-5)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork, which Windows lacks")
def test_a_forked_process_embeds_after_its_parent(tmp_path):
    script = tmp_path / "embed.py"
    script.write_text(CHILDREN)
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    subprocess.run([sys.executable, script], check=True, env=environment, timeout=200)
