"""Datasets and frozen nets as input of Embedder and EmbeddingPipeline."""

import numpy as np
import pytest
import torch
from networks import MLP, OneLogit, make_data, make_net
from numpy.testing import assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_score
from skorch import NeuralNetBinaryClassifier
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from skorch.exceptions import NotInitializedError
from skorch.helper import SliceDataset
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from imblearn_eos import Embedder, LinearHead, make_embedding_pipeline
from imblearn_eos._torch_datasets import dataset_labels
from imblearn_eos.embedding import _gap, _pipeline

X, y = make_data()
NAMES = np.array(["cat", "dog", "fox"])[y]


class Pairs(Dataset):
    """Samples one by one, with labels of any kind, and a count of how often they were loaded."""

    def __init__(self, labels=y, **attributes):
        self.labels = labels
        self.n_loaded = 0
        vars(self).update(attributes)

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        self.n_loaded += 1
        return torch.from_numpy(X[i]), self.labels[i]


class Samples(Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i]


def as_tensors():
    return TensorDataset(torch.from_numpy(X), torch.from_numpy(y))


DATASETS = {
    "pairs": (Pairs, None),
    "pairs with targets": (lambda: Pairs(targets=y.tolist()), None),
    "pairs, y given": (Pairs, y),
    "samples, y given": (Samples, y),
    "tensors": (as_tensors, None),
    "subset": (lambda: Subset(as_tensors(), list(range(len(X)))), None),
    "slices": (lambda: SliceDataset(as_tensors()), None),
    "slices of both": (
        lambda: SliceDataset(as_tensors()),
        SliceDataset(as_tensors(), idx=1),
    ),
}


@pytest.mark.parametrize(("make", "labels"), DATASETS.values(), ids=DATASETS)
@pytest.mark.parametrize("train_split", [None, ValidSplit(3, stratified=True)])
def test_datasets_give_what_arrays_give(make, labels, train_split):
    net = make_net(train_split=train_split)
    expected = Embedder(net, random_state=0).fit(X, y)
    embedder = Embedder(net, random_state=0).fit(make(), labels)
    assert_array_equal(embedder.classes_, expected.classes_)
    assert_array_equal(embedder.transform(make()), expected.transform(X))
    assert_array_equal(embedder.transform(X), expected.transform(X))
    assert_array_equal(embedder.predict_proba(make()), expected.predict_proba(X))
    assert_array_equal(embedder.predict(make()), expected.predict(X))


@pytest.mark.parametrize("make", [Pairs, as_tensors, lambda: SliceDataset(as_tensors())])
def test_a_pipeline_takes_a_dataset_without_y(make):
    expected = make_embedding_pipeline(make_net(), random_state=0).fit(X, y)
    pipeline = make_embedding_pipeline(make_net(), random_state=0).fit(make())
    assert_array_equal(pipeline.predict(make()), expected.predict(X))
    assert pipeline.score(make()) == expected.score(X, y)


def test_labels_of_a_dataset_may_be_of_any_kind():
    embedder = Embedder(make_net(), random_state=0).fit(Pairs(NAMES.tolist()))
    assert_array_equal(embedder.classes_, ["cat", "dog", "fox"])
    expected = Embedder(make_net(), random_state=0).fit(X, NAMES)
    assert_array_equal(embedder.predict(Pairs()), expected.predict(X))


def test_targets_spare_a_pass_over_the_samples():
    net = make_net(max_epochs=1)
    counts = []
    for attributes in ({}, {"targets": y}):
        dataset = Pairs(**attributes)
        Embedder(net, random_state=0).fit(dataset)
        counts.append(dataset.n_loaded)
    assert counts[0] == counts[1] + len(X)


@pytest.mark.parametrize("make", [Embedder, make_embedding_pipeline])
def test_before_training_labels_are_read_once_and_few_samples_are(make):
    dataset, loaded = Pairs(), []

    class Note(Callback):
        def on_train_begin(self, net, **kwargs):
            loaded.append(dataset.n_loaded)

    make(make_net(callbacks=[Note()])).fit(dataset)
    assert loaded == [len(X) + 2]


def test_a_pipeline_reads_labels_once(monkeypatch):
    calls = []
    for part, name in [
        (_pipeline, "encode_labels"),
        (_gap, "label_vector"),
        (_gap, "labels_for"),
    ]:
        function = getattr(part, name)
        monkeypatch.setattr(
            part,
            name,
            lambda *args, f=function, **p: calls.append((f.__name__, args[-1])) or f(*args, **p),
        )
    make_embedding_pipeline(make_net(), random_state=0).fit(X, y)
    (first, labels), (second, resampled) = calls
    assert (first, second) == ("encode_labels", "label_vector")
    assert labels is y
    # Labels of the rows that the sampler added are others.
    assert len(resampled) > len(y)


def test_one_logit_nets_take_datasets():
    two = (y > 0).astype(int)
    net = NeuralNetBinaryClassifier(OneLogit, max_epochs=2, train_split=None, verbose=0)
    embedder = Embedder(net, random_state=0).fit(Pairs(two))
    expected = Embedder(net, random_state=0).fit(X, two)
    assert_array_equal(embedder.transform(X), expected.transform(X))


def test_slices_in_cross_validation():
    pipeline = make_embedding_pipeline(make_net(), random_state=0)
    scores = cross_val_score(pipeline, SliceDataset(as_tensors()), y, error_score="raise")
    assert_array_equal(scores, cross_val_score(pipeline, X, y))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, y, strict=True))


class OddShapes(Pairs):
    def __getitem__(self, i):
        return X[i, :4], self.labels[i]


class Swapped(Subset):
    def __getitem__(self, i):
        sample, label = super().__getitem__(i)
        return sample, 2 - label

    __getitems__ = None


def test_a_subset_that_changes_labels_is_believed():
    assert_array_equal(dataset_labels(Swapped(as_tensors(), range(30))), 2 - y[:30])


def test_only_the_samples_of_a_subset_are_read_for_labels():
    dataset = Pairs()
    for part in (Subset(dataset, [5, 9]), SliceDataset(dataset)[np.array([5, 9])]):
        dataset.n_loaded = 0
        assert_array_equal(dataset_labels(part), y[[5, 9]])
        assert dataset.n_loaded == 2


class Changed(Pairs):
    def __init__(self, change, **attributes):
        super().__init__(**attributes)
        self.change = change

    def __getitem__(self, i):
        return self.change(X[i]), self.labels[i]


def spoil(row):
    return row * np.nan


def to_sparse(row):
    return torch.from_numpy(row).to_sparse()


def test_numbers_of_any_type_in_a_dataset_become_float32():
    expected = Embedder(make_net(), random_state=0).fit(np.round(X), y)
    for dtype in (np.float64, np.float16, np.int8):
        dataset = Changed(lambda row, dtype=dtype: np.round(row).astype(dtype), targets=y)
        embedder = Embedder(make_net(), random_state=0).fit(dataset)
        assert_array_equal(embedder.transform(dataset), expected.transform(np.round(X)))


def test_unusable_samples_are_refused_when_predicting_too():
    embedder = Embedder(make_net(), random_state=0).fit(X, y)
    for method in (embedder.transform, embedder.predict, embedder.predict_proba):
        with pytest.raises(ValueError, match="Sample 0 of Changed contains NaN"):
            method(Changed(spoil))


@pytest.mark.parametrize(
    ("dataset", "labels", "error", "message"),
    [
        (Stream(), None, TypeError, "with a length, got Stream"),
        (Samples(), None, TypeError, "items of Samples must be pairs .* Pass the labels as y"),
        (
            Subset(as_tensors(), [0]),
            None,
            ValueError,
            "at least 2",
        ),
        (Pairs(), y[:50], ValueError, r"inconsistent numbers of samples: \[92, 50\]"),
        (Pairs(np.zeros_like(y)), None, ValueError, "only one class: 0"),
        (Changed(spoil), None, ValueError, "Sample 0 of Changed contains NaN"),
        (
            Changed(lambda row: row * 1j),
            None,
            ValueError,
            r"Sample 0 of Changed has dtype .*complex",
        ),
        (
            Changed(to_sparse),
            None,
            ValueError,
            r"Sample 0 of Changed has .*layout torch\.sparse_coo",
        ),
        (Changed(lambda row: slice(3)), None, TypeError, "must contain tensors.* found .*slice"),
        (Pairs(np.eye(3)[y]), None, TypeError, "items of Pairs must be .* with a single label"),
        (OddShapes(), None, ValueError, r"cannot be run on samples of shape \(4,\)"),
        (DataLoader(as_tensors()), y, TypeError, "got DataLoader. .* pass its dataset"),
    ],
)
def test_unusable_datasets_are_refused(dataset, labels, error, message):
    for estimator in (Embedder(make_net()), make_embedding_pipeline(make_net())):
        with pytest.raises(error, match=message):
            estimator.fit(dataset, labels)


# --- frozen nets ----------------------------------------------------------------------------------


def trained():
    return Embedder(make_net(), random_state=0).fit(X, y)


def test_a_frozen_net_is_used_as_it_is():
    expected = trained()
    weights = [part.clone() for part in expected.net_.module_.parameters()]
    embedder = Embedder(FrozenEstimator(expected.net_)).fit(X, NAMES)
    assert embedder.net_ is expected.net_
    assert_array_equal(embedder.transform(X), expected.transform(X))
    assert_array_equal(embedder.predict(X), np.unique(NAMES)[expected.predict(X)])
    for before, after in zip(weights, expected.net_.module_.parameters(), strict=True):
        assert torch.equal(before, after)


def test_a_module_with_weights_serves_as_a_frozen_net():
    module = trained().net_.module_
    net = make_net(module).initialize()
    pipeline = make_embedding_pipeline(FrozenEstimator(net), head=LinearHead(), random_state=0).fit(
        X, y
    )
    expected = make_embedding_pipeline(
        make_net(), pipeline["sampler"], pipeline["head"], random_state=0
    )
    expected.set_params(embedder__random_state=0).fit(X, y)
    assert_array_equal(pipeline.predict_proba(X), expected.predict_proba(X))
    probabilities = pipeline.to_module()(torch.from_numpy(X)).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(X), atol=1e-6)


def test_sampler_and_head_can_be_fitted_again_without_training():
    pipeline = make_embedding_pipeline(make_net(), random_state=0).fit(X, y)
    net = FrozenEstimator(pipeline["embedder"].net_)
    again = make_embedding_pipeline(net, pipeline["sampler"], pipeline["head"], random_state=0)
    assert_array_equal(again.fit(X, y).predict_proba(X), pipeline.predict_proba(X))


def test_a_frozen_net_has_the_averaged_head_and_half_steps_by_default():
    half_steps = "EOS(max_step=0.5, n_neighbors=1000)"
    net = FrozenEstimator(trained().net_)
    pipeline = make_embedding_pipeline(net)
    assert pipeline["sampler"] == "passthrough"
    assert repr(pipeline["head"]) == f"AveragedHead(alpha=0.03, sampler={half_steps})"
    seeded = make_embedding_pipeline(net, random_state=0)
    assert seeded["head"].sampler.random_state is not None
    pipeline = make_embedding_pipeline(net, head=LinearHead(alpha=1))
    assert [repr(step) for step in (pipeline["sampler"], pipeline["head"])] == [
        half_steps,
        "LinearHead(alpha=1)",
    ]
    pipeline = make_embedding_pipeline(net, "passthrough")
    assert repr(pipeline["head"]) == "LinearHead(alpha=0.03)"


def test_cross_validation_keeps_a_frozen_net():
    net = trained().net_
    pipeline = make_embedding_pipeline(FrozenEstimator(net), random_state=0)
    assert cross_val_score(pipeline, X, y, cv=3, error_score="raise").mean() > 0.4
    assert len(net.history) == 2


def compiled():
    net = make_net(MLP()).initialize()
    net.module_ = torch.compile(net.module_)
    return net


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (make_net, NotInitializedError, "not initialized"),
        (lambda: make_net(MLP(n_classes=4)).initialize(), ValueError, r"n_samples, 3.*\(2, 4\)"),
        (compiled, TypeError, "frozen, with a module that is not compiled"),
    ],
)
def test_unusable_frozen_nets_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        Embedder(FrozenEstimator(make())).fit(X, y)


# --- progress -------------------------------------------------------------------------------------


def test_progress_is_shown_on_request_only(capsys):
    for verbose in (False, True):
        make_embedding_pipeline(make_net(), random_state=0, verbose=verbose).fit(X, y)
        captured = capsys.readouterr()
        for phase in ("Training", "Embedding", "Fitting the head"):
            assert (phase in captured.err) == verbose
        assert bool(captured.out) == verbose
    net = make_net(callbacks="disable")
    Embedder(net, verbose=True).fit(X, y)


def test_progress_needs_no_training_loss():
    Embedder(make_net(callbacks__train_loss=None), verbose=True).fit(X, y)


def test_progress_leaves_no_callback_behind():
    embedder = Embedder(make_net(), random_state=0, verbose=True).fit(X, y)
    assert not embedder.net_.callbacks
    assert "epochs_bar" not in dict(embedder.net_.callbacks_)
    assert_array_equal(embedder.transform(X), trained().transform(X))
