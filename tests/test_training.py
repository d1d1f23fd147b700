"""Pieces for the training of any skorch net."""

import pickle

import numpy as np
import pytest
import torch
from networks import CNN, MLP, TwoHeads, make_data, make_net
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback
from skorch.dataset import Dataset as SkorchDataset
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from imblearn_eos import Embedder, make_embedding_pipeline
from imblearn_eos.losses import FocalLoss
from imblearn_eos.training import (
    BatchAugmentation,
    BatchLoader,
    ChannelsLast,
    MixedPrecision,
    Mixup,
    Resume,
)

X, y = make_data()
HAS_BFLOAT16 = "imblearn_eos.training._acceleration.has_bfloat16"
IMAGES = np.random.RandomState(0).normal(size=(len(y), 1, 6, 6)).astype(np.float32)


class Recorder(Callback):
    """Keep the batches of training."""

    def on_train_begin(self, net, **kwargs):
        self.batches_ = []

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            self.batches_.append([torch.as_tensor(part).clone() for part in batch])


# --- BatchLoader ----------------------------------------------------------------------------------


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("train_split", [None, ValidSplit(3, stratified=True)])
def test_batches_are_those_of_torchs_loader(convert, train_split):
    found = []
    for loader in (DataLoader, BatchLoader):
        recorder = Recorder()
        net = make_net(
            iterator_train=loader,
            iterator_train__shuffle=True,
            iterator_valid=loader,
            callbacks=[recorder],
            train_split=train_split,
        )
        torch.manual_seed(0)
        net.fit(convert(X), convert(y))
        found.append((recorder.batches_, net.predict_proba(convert(X))))
    (expected_batches, expected), (batches, result) = found
    assert len(batches) == len(expected_batches)
    for batch, expected_batch in zip(batches, expected_batches, strict=True):
        for part, expected_part in zip(batch, expected_batch, strict=True):
            assert torch.equal(part, expected_part)
    assert_array_equal(result, expected)


class Slow(Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i], y[i]


@pytest.mark.parametrize(
    "dataset",
    [
        TensorDataset(torch.from_numpy(X), torch.from_numpy(y)),
        Subset(TensorDataset(torch.from_numpy(X), torch.from_numpy(y)), range(3, 50)),
        Slow(),
        Subset(Slow(), [5, 1, 7]),
    ],
    ids=["tensors", "subset of tensors", "slow", "subset of slow"],
)
def test_any_dataset_gives_the_batches_of_torchs_loader(dataset):
    batches = list(BatchLoader(dataset, batch_size=8))
    expected = list(DataLoader(dataset, batch_size=8))
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(batch, other, strict=True))


def test_arrays_are_indexed_once_for_each_batch(monkeypatch):
    calls = []
    monkeypatch.setattr(
        TensorDataset, "__getitem__", lambda self, index: calls.append(index) or self.tensors
    )
    assert len(list(BatchLoader(TensorDataset(torch.arange(9), torch.arange(9)), batch_size=4)))
    assert not calls


def test_arrays_without_labels_are_indexed_too(monkeypatch):
    expected = list(DataLoader(SkorchDataset(X), batch_size=8))
    monkeypatch.setattr(SkorchDataset, "__getitem__", None)
    for batch, other in zip(BatchLoader(SkorchDataset(X), batch_size=8), expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(batch, other, strict=True))


def ragged():
    parts = np.empty(8, dtype=object)
    parts[:] = [np.ones(1 + i // 4, dtype=np.float32) for i in range(8)]
    return parts


@pytest.mark.parametrize(
    "labels",
    [
        ragged(),
        np.array([True, False] * 4, dtype=object),
        np.array(["a", "bc"] * 4),
        np.array(["a", "bc"] * 4, dtype=object),
    ],
    ids=["arrays of many lengths", "objects", "text", "text objects"],
)
@pytest.mark.parametrize("part", [slice(None), [5, 6]])
def test_arrays_that_are_not_numbers_are_read_as_by_torchs_loader(labels, part):
    for data in [(X[:8], labels), (labels, np.arange(8))]:
        dataset = Subset(SkorchDataset(*data), np.arange(8)[part])
        batches, expected = (
            [[np.asarray(column).tolist() for column in batch] for batch in loader]
            for loader in (BatchLoader(dataset, batch_size=2), DataLoader(dataset, batch_size=2))
        )
        assert batches == expected


def test_embeddings_are_in_order_with_the_batch_loader():
    net = make_net(iterator_train=BatchLoader, iterator_valid=BatchLoader)
    embedder = Embedder(net, random_state=0).fit(X, y)
    reverse = embedder.transform(X[::-1].copy())
    assert_allclose(reverse, embedder.transform(X)[::-1], atol=1e-5)
    shuffling = make_net(iterator_valid=BatchLoader, iterator_valid__shuffle=True)
    with pytest.raises(ValueError, match="shuffles"):
        Embedder(shuffling).fit(X, y)


# --- BatchAugmentation ----------------------------------------------------------------------------


def add_noise(samples):
    return samples + torch.randn_like(samples)


@pytest.mark.parametrize("loader", [DataLoader, BatchLoader])
def test_training_batches_are_augmented_and_nothing_else_is(loader):
    recorder = Recorder()
    net = make_net(
        iterator_train=loader,
        iterator_valid=loader,
        callbacks=[("augment", BatchAugmentation(add_noise)), ("recorder", recorder)],
        max_epochs=1,
        batch_size=-1,
    )
    embedder = Embedder(net, random_state=0).fit(X, y)
    seen = dict(embedder.net_.callbacks_)["recorder"].batches_[0][0]
    assert not torch.equal(seen, torch.from_numpy(X))
    assert_array_equal(embedder.transform(X), embedder.transform(X))
    with torch.no_grad():
        embeddings = embedder.net_.module_.eval().embed(torch.from_numpy(X))
    assert_allclose(embedder.transform(X), embeddings, rtol=1e-6)
    assert_array_equal(Embedder(net, random_state=0).fit_transform(X, y), embedder.transform(X))


def test_the_users_array_is_not_augmented():
    before = X.copy()
    net = make_net(callbacks=[BatchAugmentation(torch.Tensor.zero_)], iterator_train=BatchLoader)
    net.fit(X, y)
    assert_array_equal(X, before)


def test_batches_that_cannot_be_replaced_are_refused():
    net = make_net(
        callbacks=[BatchAugmentation(add_noise)], iterator_train__collate_fn=collate_to_tuple
    )
    with pytest.raises(TypeError, match=r"must be a list, but .* returns a tuple"):
        net.fit(X, y)


def collate_to_tuple(batch):
    samples, labels = zip(*batch, strict=True)
    return torch.tensor(np.stack(samples)), torch.tensor(np.array(labels))


# --- Mixup ----------------------------------------------------------------------------------------


class Mixed(Callback):
    """Keep the samples and the loss of each training batch."""

    def on_train_begin(self, net, **kwargs):
        self.samples_, self.losses_ = [], []

    def on_batch_end(self, net, batch=None, training=False, loss=None, **kwargs):
        if training:
            self.samples_.append(batch[0].clone())
            self.losses_.append(loss.item())


@pytest.mark.parametrize("criterion", [nn.CrossEntropyLoss, FocalLoss])
def test_mixup_mixes_samples_and_losses_by_the_same_share(criterion):
    # With one batch and no learning, the trained network is the one that gave the losses.
    mixed = Mixed()
    net = make_net(
        criterion=criterion, callbacks=[Mixup(), mixed], batch_size=len(X), lr=0.0, max_epochs=5
    )
    net.fit(X, y)
    labels, shares = torch.from_numpy(y), []
    for samples, loss in zip(mixed.samples_, mixed.losses_, strict=True):
        partner, share = find_partners(samples.numpy())
        with torch.no_grad():
            logits = net.module_(samples)
            expected = share * criterion()(logits, labels)
            expected += (1 - share) * criterion()(logits, labels[partner])
        assert_allclose(loss, expected, rtol=1e-4)
        shares.append(share)
    assert len(set(shares)) == 5
    assert all(0 < share < 1 for share in shares)


def find_partners(samples):
    """Find, for each mixture, which row it was mixed with, and their common share."""
    # The share that puts the most mixtures on a segment between rows of X is the right one.
    moved = samples - X
    found = np.empty(len(X), dtype=int)
    ratios = np.empty(len(X))
    for i, step in enumerate(moved):
        directions = X - X[i]
        length = np.maximum((directions**2).sum(axis=1), 1e-12)
        ratio = directions @ step / length
        residual = ((step - ratio[:, np.newaxis] * directions) ** 2).sum(axis=1)
        found[i] = residual.argmin()
        ratios[i] = ratio[found[i]]
    moves = (moved**2).sum(axis=1) > 1e-9
    share = 1 - np.median(ratios[moves])
    assert_allclose(ratios[moves], 1 - share, atol=1e-4)
    return np.where(moves, found, np.arange(len(X))), float(share)


class CheckValidation(Callback):
    """Compute the loss of each batch of validation by hand."""

    n_checked = 0

    def on_batch_end(self, net, batch=None, training=False, loss=None, **kwargs):
        if not training:
            expected = nn.functional.cross_entropy(net.module_(batch[0]), batch[1])
            assert_allclose(loss.item(), expected.item(), rtol=1e-6)
            self.n_checked += 1


def test_mixup_is_for_training_only():
    check = CheckValidation()
    net = make_net(callbacks=[Mixup(), check], train_split=ValidSplit(3, stratified=True))
    net.fit(X, y)
    assert check.n_checked
    assert not net.criterion_._forward_hooks


def test_mixup_is_reproducible_and_can_be_cached(tmp_path):
    net = make_net(callbacks=[Mixup(alpha=0.4)])
    plain = Embedder(make_net(), random_state=0).fit_transform(X, y)
    first, second, cached, again = (
        Embedder(net, random_state=0, memory=memory).fit_transform(X, y)
        for memory in (None, None, str(tmp_path), str(tmp_path))
    )
    assert_array_equal(first, second)
    assert_array_equal(first, cached)
    assert_array_equal(first, again)
    assert not np.array_equal(first, plain)


def test_mixup_survives_a_training_that_failed():
    net = make_net(callbacks=[Mixup(), FailOnce()])
    with pytest.raises(RuntimeError, match="out of memory"):
        net.fit(X, y)
    pickle.dumps(net)
    net.partial_fit(X, y)
    assert not net.criterion_._forward_hooks


@pytest.mark.parametrize("alpha", [0, -1.0, float("nan"), "a"])
def test_mixup_refuses_an_alpha_that_is_not_positive(alpha):
    with pytest.raises(ValueError, match=r"'alpha' parameter of Mixup must be .* \(0.0, inf\)"):
        make_net(callbacks=[Mixup(alpha=alpha)]).fit(X, y)


def test_mixup_refuses_what_it_cannot_mix():
    with pytest.raises(TypeError, match=r"floating-point numbers, got torch\.int64"):
        make_net(callbacks=[Mixup()]).fit(np.rint(X).astype(np.int64), y)
    with pytest.raises(TypeError, match=r"Mixup replace .* returns a tuple"):
        make_net(callbacks=[Mixup()], iterator_train__collate_fn=collate_to_tuple).fit(X, y)


# --- ChannelsLast and MixedPrecision --------------------------------------------------------------


def test_channels_last_changes_the_memory_and_not_the_result():
    expected = Embedder(make_net(CNN), random_state=0).fit(IMAGES, y)
    net = make_net(CNN, callbacks=[ChannelsLast()])
    embedder = Embedder(net, random_state=0).fit(IMAGES, y)
    weight = embedder.net_.module_.trunk[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert_allclose(embedder.transform(IMAGES), expected.transform(IMAGES), atol=1e-5)


class Outputs(Callback):
    """Keep the dtypes of what the head returned in training and what the loss received."""

    def on_train_begin(self, net, **kwargs):
        self.dtypes = {True: set(), False: set()}
        net.module_.head.register_forward_hook(self._keep)

    def _keep(self, module, args, output):
        self.dtypes[module.training].add(output.dtype)


@pytest.mark.parametrize("module", [MLP, TwoHeads])
def test_mixed_precision_is_for_training_only(module, monkeypatch):
    monkeypatch.setattr(HAS_BFLOAT16, lambda device: True)
    outputs = Outputs()
    net = make_net(
        module,
        criterion=FirstOutput,
        callbacks=[MixedPrecision(), outputs],
        train_split=ValidSplit(3, stratified=True),
    )
    net.fit(X, y)
    assert outputs.dtypes == {True: {torch.bfloat16}, False: {torch.float32}}
    assert net.criterion_.dtypes == {torch.float32}
    assert next(net.module_.parameters()).dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")
    assert not net.module_._forward_pre_hooks
    pickle.dumps(net.module_)


class FirstOutput(nn.CrossEntropyLoss):
    def __init__(self):
        super().__init__()
        self.dtypes = set()

    def forward(self, outputs, target):
        outputs = outputs[0] if isinstance(outputs, tuple) else outputs
        self.dtypes.add(outputs.dtype)
        return super().forward(outputs, target)


def test_mixed_precision_ends_with_an_error(monkeypatch):
    monkeypatch.setattr(HAS_BFLOAT16, lambda device: True)
    net = make_net(callbacks=[MixedPrecision()])
    with pytest.raises(RuntimeError):
        net.fit(X[:, :4], y)
    assert not torch.is_autocast_enabled("cpu")


class FailOnce(Callback):
    def __init__(self):
        self.failed = False

    def on_batch_end(self, net, **kwargs):
        if not self.failed:
            self.failed = True
            raise RuntimeError("out of memory")


def test_mixed_precision_survives_a_training_that_failed(monkeypatch):
    monkeypatch.setattr(HAS_BFLOAT16, lambda device: True)
    module = MLP()
    for _ in range(2):
        net = make_net(module, callbacks=[MixedPrecision(), FailOnce()])
        with pytest.raises(RuntimeError, match="out of memory"):
            net.fit(X, y)
        pickle.dumps(net)
        net.partial_fit(X, y)
        assert not torch.is_autocast_enabled("cpu")
        module = net.module_


def test_mixed_precision_does_nothing_without_hardware_for_it(monkeypatch):
    monkeypatch.setattr(HAS_BFLOAT16, lambda device: False)
    expected = Embedder(make_net(), random_state=0).fit_transform(X, y)
    net = make_net(callbacks=[MixedPrecision()])
    embedder = Embedder(net, random_state=0).fit(X, y)
    assert_array_equal(embedder.transform(X), expected)
    assert not dict(embedder.net_.callbacks_)["MixedPrecision"].is_active_


def test_all_of_them_at_once_train_and_can_be_cached(tmp_path):
    net = make_net(
        CNN,
        iterator_train=BatchLoader,
        iterator_train__shuffle=True,
        callbacks=[BatchAugmentation(add_noise), ChannelsLast(), MixedPrecision()],
    )
    pipelines = [
        make_embedding_pipeline(net, memory=str(tmp_path), random_state=0).fit(IMAGES, y)
        for _ in range(2)
    ]
    first, second = (pipeline.predict_proba(IMAGES) for pipeline in pipelines)
    assert_array_equal(first, second)


# --- Resume ---------------------------------------------------------------------------------------


def test_resume_counts_anew_after_an_error():
    net = make_net(callbacks=[Resume(), FailOnce()], max_epochs=3)
    with pytest.raises(RuntimeError, match="out of memory"):
        net.fit(X, y)
    net.partial_fit(X, y)
    assert net.max_epochs == 3


def test_resume_counts_epochs_in_all_and_leaves_the_parameter():
    net = make_net(callbacks=[Resume()], max_epochs=3).fit(X, y)
    assert net.max_epochs == 3
    net.set_params(max_epochs=5).partial_fit(X, y)
    assert len(net.history) == net.max_epochs == 5
    net.set_params(max_epochs=2).partial_fit(X, y)
    assert len(net.history) == 5
