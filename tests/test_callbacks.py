"""What all callbacks leave behind in a net: it can be cloned, pickled and trained again."""

import contextlib
import copy
import pickle

import numpy as np
import pytest
import torch
from networks import CNN, make_data, make_net
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import Callback, Checkpoint
from torch import nn

from imblearn_eos import Embedder
from imblearn_eos.embedding._cache import EpochsBar
from imblearn_eos.losses import ClassCounts, DeferredReweighting, LDAMLoss
from imblearn_eos.training import (
    AtomicCheckpoint,
    BatchAugmentation,
    ChannelsLast,
    MixedPrecision,
    Mixup,
    Resume,
)

X, y = make_data()
IMAGES = np.random.RandomState(0).normal(size=(len(y), 1, 6, 6)).astype(np.float32)
SAMPLES, LABELS = torch.from_numpy(IMAGES), torch.from_numpy(y)


def add_noise(samples):
    return samples + torch.randn_like(samples)


CALLBACKS = {
    "Mixup": Mixup,
    "MixedPrecision": MixedPrecision,
    "BatchAugmentation": lambda: BatchAugmentation(add_noise),
    "ChannelsLast": ChannelsLast,
    "Resume": Resume,
    "AtomicCheckpoint": lambda: AtomicCheckpoint(monitor=None),
    "ClassCounts": ClassCounts,
    "DeferredReweighting": lambda: DeferredReweighting(1),
    "EpochsBar": EpochsBar,
}


@pytest.fixture(autouse=True)
def _in_a_folder_and_with_bfloat16(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("imblearn_eos.training._acceleration.has_bfloat16", lambda device: True)


@pytest.fixture(params=CALLBACKS)
def make(request):
    """Return a function that makes a net with a callback, between others."""

    def make(*before, after=(), **params):
        params = {"criterion": LDAMLoss, "criterion__class_counts": [50, 30, 12], **params}
        callbacks = [*before, CALLBACKS[request.param](), *after]
        return make_net(CNN, callbacks=callbacks, max_epochs=3, **params)

    return make


class StopOnce(Callback):
    """Raise an error in the midst of the second epoch, before other callbacks end the batch."""

    def __init__(self, error):
        self.error = error

    def initialize(self):
        self.is_due_ = True
        return self

    def on_batch_end(self, net, training=False, **kwargs):
        if training and self.is_due_ and len(net.history) == 2:
            self.is_due_ = False
            raise self.error


class PickleOnce(StopOnce):
    """Pickle the net there."""

    def __init__(self):
        pass

    def on_batch_end(self, net, training=False, **kwargs):
        if training and self.is_due_ and len(net.history) == 2:
            self.is_due_ = False
            self.pickled_ = pickle.dumps(net)


def loss_of(net):
    """Return the loss in training mode, without randomness."""
    net.module_.train()
    for part in net.module_.modules():
        if isinstance(part, nn.Dropout):
            part.eval()
    with torch.no_grad():
        logits = net.module_(SAMPLES)
    assert logits.dtype == torch.float32
    return net.get_loss(logits, LABELS).item()


def bare_loss_of(net):
    """Return the loss of new objects with the same parameters."""
    bare = make_net(CNN, criterion=LDAMLoss, criterion__class_counts=[50, 30, 12]).initialize()
    bare.module_(SAMPLES)
    bare.module_.load_state_dict(net.module_.state_dict())
    bare.criterion_.weight = net.criterion_.weight
    return loss_of(bare)


def assert_clones_train(net):
    """Whether clones train like a new net, in each way that scikit-learn and Embedder clone it."""
    for copied in (clone(net), clone(clone(net))):
        assert copied.max_epochs == 3
        assert len(copied.fit(IMAGES, y).history) == 3
    assert len(cross_val_score(net, IMAGES, y, cv=2, error_score="raise")) == 2
    GridSearchCV(net, {"lr": [0.1, 0.2]}, cv=2, error_score="raise").fit(IMAGES, y)
    Embedder(net, random_state=0).fit(IMAGES, y)


def test_a_net_can_be_cloned_after_a_fit(make):
    assert_clones_train(make().fit(IMAGES, y))


def test_a_net_can_be_cloned_after_a_fit_that_failed(make):
    net = make(StopOnce(RuntimeError("out of memory")))
    with pytest.raises(RuntimeError, match="out of memory"):
        net.fit(IMAGES, y)
    net.set_params(callbacks=net.callbacks[1:])
    assert_clones_train(net)
    assert loss_of(pickle.loads(pickle.dumps(net))) == bare_loss_of(net)
    assert loss_of(copy.deepcopy(net)) == bare_loss_of(net)


def test_a_net_can_be_cloned_after_a_fit_that_was_interrupted(make):
    net = make(StopOnce(KeyboardInterrupt())).fit(IMAGES, y)
    assert len(net.history) == 2
    assert loss_of(net) == bare_loss_of(net)
    net.set_params(callbacks=net.callbacks[1:])
    assert_clones_train(net)


def test_instances_of_module_and_criterion_can_be_cloned_after_a_fit_that_failed(make):
    module, criterion = CNN(), LDAMLoss(class_counts=[50, 30, 12])
    module(SAMPLES)
    params = {"criterion": criterion, "criterion__class_counts": [50, 30, 12]}
    net = make(StopOnce(RuntimeError("out of memory")), **params)
    del params["criterion__class_counts"]
    net = make_net(module, callbacks=net.callbacks, max_epochs=3, **params)
    with pytest.raises(RuntimeError, match="out of memory"):
        net.fit(IMAGES, y)
    net.set_params(callbacks=net.callbacks[1:])
    assert_clones_train(net)


@pytest.mark.parametrize("checkpoint", [Checkpoint, AtomicCheckpoint])
def test_a_checkpoint_has_nothing_of_a_batch(make, checkpoint):
    files = {"f_pickle": "net.pkl", "f_params": "params.pt", "fn_prefix": "my_"}
    net = make(after=[checkpoint(monitor=None, **files)]).fit(IMAGES, y)
    with open("my_net.pkl", "rb") as file:
        loaded = pickle.load(file)
    assert loaded.max_epochs == 3
    assert not loaded.criterion_._forward_hooks
    assert not loaded.module_._forward_hooks
    assert loss_of(loaded) == loss_of(net) == bare_loss_of(net)
    of_params = make().initialize()
    of_params.module_(SAMPLES)
    of_params.load_params("my_params.pt")
    of_params.criterion_.weight = net.criterion_.weight
    assert loss_of(of_params) == loss_of(net)
    assert_goes_on_alike(net, loaded)


def assert_goes_on_alike(net, other):
    """Whether two nets train alike, so that no hook runs twice."""
    for part in (net, other):
        torch.manual_seed(0)
        part.set_params(max_epochs=5).partial_fit(IMAGES, y)
    assert_array_equal(other.history[-2:, "train_loss"], net.history[-2:, "train_loss"])


def test_a_pickle_from_the_midst_of_a_batch_has_nothing_of_it(make):
    pickling = PickleOnce()
    make(pickling).fit(IMAGES, y)
    loaded = pickle.loads(pickling.pickled_)
    assert loaded.max_epochs == 3
    assert loss_of(loaded) == bare_loss_of(loaded)
    fresh = pickle.loads(pickling.pickled_)
    fresh.module_._forward_hooks.clear()
    fresh.module_._forward_pre_hooks.clear()
    fresh.criterion_._forward_hooks.clear()
    assert_goes_on_alike(fresh, loaded)


@pytest.mark.parametrize("checkpoint", [Checkpoint, AtomicCheckpoint])
def test_a_checkpoint_of_a_training_with_a_bar_can_be_embedded(checkpoint, capsys):
    params = {"callbacks": [checkpoint(monitor=None, f_pickle="net.pkl")], "max_epochs": 1}
    Embedder(make_net(**params), verbose=True, random_state=0).fit(X, y)
    with open("net.pkl", "rb") as file:
        loaded = pickle.load(file)
    embedder = Embedder(loaded, verbose=True, random_state=0).fit(X, y)
    assert not any(isinstance(part, EpochsBar) for part in embedder.net_.callbacks)
    capsys.readouterr()
    Embedder(loaded, random_state=0).fit(X, y)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_resume_leaves_the_number_of_epochs_in_clones_and_pickles(error):
    checkpoint = AtomicCheckpoint(monitor=None, f_pickle="net.pkl")
    net = make_net(callbacks=[Resume(), checkpoint], max_epochs=1).fit(X, y)
    net.set_params(max_epochs=5)
    net.callbacks_.append(("stop", StopOnce(error).initialize()))
    with contextlib.suppress(RuntimeError):
        net.partial_fit(X, y)
    assert len(net.history) == 2
    assert clone(net).max_epochs == net.max_epochs == 5
    net.partial_fit(X, y)
    with open("net.pkl", "rb") as file:
        assert pickle.load(file).max_epochs == 5


@pytest.mark.parametrize("callback", [Mixup(), MixedPrecision()], ids=["Mixup", "MixedPrecision"])
def test_compiled_nets_train_as_others(callback):
    histories = []
    for params in ({}, {"compile": True, "compile__backend": "eager"}):
        torch.manual_seed(0)
        net = make_net(callbacks=[callback], max_epochs=3, **params).fit(X, y)
        histories.append(net.history[:, "train_loss"])
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-4)
