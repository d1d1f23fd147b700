import pickle
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from networks import (
    CNN,
    MLP,
    FirstOutput,
    InPlaceAfterHead,
    OneLogit,
    SharedHead,
    SoftmaxMLP,
    TwoHeads,
    make_data,
    make_net,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from torch import nn

from imblearn_eos import EOS, Embedder, LinearHead, make_embedding_pipeline
from imblearn_eos._seeding import seeded

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
X, y = make_data()
IMAGES = np.random.RandomState(0).normal(size=(len(y), 1, 6, 6)).astype(np.float32)


def no_hooks(module):
    return not any(part._forward_pre_hooks or part._forward_hooks for part in module.modules())


@pytest.mark.parametrize("module", [MLP, SoftmaxMLP, InPlaceAfterHead, SharedHead])
def test_embeddings_are_what_flows_into_the_head_in_evaluation_mode(module):
    # Batches of 10 do not divide 92 rows.
    net = make_net(module, batch_size=10)
    embedder = Embedder(net, random_state=0)
    Z = embedder.fit_transform(X, y)
    trained = embedder.net_.module_.eval()
    with torch.no_grad():
        expected = trained.embed(torch.from_numpy(X)).numpy()
    assert_allclose(Z, expected, atol=1e-6)
    assert Z.dtype == np.float32
    assert Z.shape == (len(X), embedder.n_features_out_)
    assert embedder.layer_ == "head"
    assert no_hooks(trained)


def test_images_through_dropout_and_a_lazy_head():
    embedder = Embedder(make_net(CNN), random_state=0)
    Z = embedder.fit(IMAGES, y).transform(IMAGES)
    assert embedder.layer_ == "classifier.1"
    assert embedder.n_features_out_ == 4 * 4 * 4
    with torch.no_grad():
        expected = embedder.net_.module_.trunk(torch.from_numpy(IMAGES)).numpy()
    assert_allclose(Z, expected, atol=1e-6)
    assert_array_equal(Z, embedder.transform(IMAGES))
    assert_array_equal(embedder.get_feature_names_out()[:2], ["embedder0", "embedder1"])


def test_a_net_that_is_one_linear_layer():
    embedder = Embedder(make_net(nn.Linear, module__in_features=6, module__out_features=3))
    assert_array_equal(embedder.fit_transform(X, y), X)
    assert embedder.layer_ == ""


def test_network_itself_predicts_as_the_net_does():
    embedder = Embedder(make_net(max_epochs=20), random_state=0).fit(X, y)
    proba = embedder.predict_proba(X)
    assert_array_equal(proba, embedder.net_.predict_proba(X))
    assert_array_equal(embedder.predict(X), proba.argmax(axis=1))
    assert (embedder.predict(X) == y).mean() > 0.7


def test_plain_neural_net_predicts_labels():
    net = NeuralNet(MLP, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0, max_epochs=2)
    embedder = Embedder(net, random_state=0).fit(X, y)
    assert_array_equal(embedder.predict(X), embedder.predict_proba(X).argmax(axis=1))


def test_one_logit_net_embeds_two_classes():
    net = NeuralNetBinaryClassifier(
        OneLogit, train_split=None, verbose=0, max_epochs=10, lr=0.1, threshold=0.9
    )
    labels = np.array(["no", "yes"])[(y > 0).astype(int)]
    embedder = Embedder(net, random_state=0).fit(X, labels)
    assert embedder.transform(X).shape == (len(X), 5)
    proba = embedder.predict_proba(X)
    assert proba.shape == (len(X), 2)
    # The net's own threshold is kept.
    assert_array_equal(embedder.predict(X), np.where(proba[:, 1] > 0.9, "yes", "no"))


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["bee", "ant", "cat"]),
        np.array([5, -2, 70]),
        np.array([2.0, 1.0, 3.0]),
    ],
)
@pytest.mark.parametrize("container", [np.asarray, list, pd.Series])
def test_any_labels_in_any_container(labels, container):
    embedder = Embedder(make_net(max_epochs=1), random_state=0).fit(X, container(labels[y]))
    assert_array_equal(embedder.classes_, np.sort(labels))
    codes = np.searchsorted(embedder.classes_, labels)[y]
    plain = Embedder(make_net(max_epochs=1), random_state=0).fit(X, codes)
    assert_array_equal(embedder.predict(X), embedder.classes_[plain.predict(X)])


@pytest.mark.parametrize(
    "convert",
    [
        lambda A: A.astype(np.float64),
        lambda A: A.astype(np.uint8),
        lambda A: A.astype(np.int64),
        lambda A: A.tolist(),
        pd.DataFrame,
        torch.from_numpy,
        lambda A: torch.from_numpy(A).to(torch.uint8),
        lambda A: torch.from_numpy(A).to(torch.bfloat16),
        lambda A: torch.from_numpy(A).double().requires_grad_(),
    ],
)
def test_numbers_of_any_type_become_float32(convert):
    whole = np.round(np.abs(X) * 4).astype(np.float32)
    expected = Embedder(make_net(), random_state=0).fit_transform(whole, y)
    Z = Embedder(make_net(), random_state=0).fit_transform(convert(whole), y)
    assert isinstance(Z, torch.Tensor) == isinstance(convert(whole), torch.Tensor)
    assert_array_equal(np.asarray(Z), expected)


def test_same_seed_gives_the_same_network_and_another_does_not():
    net = make_net(module__dropout=0.5, train_split=ValidSplit(0.3, stratified=True))
    embedder = Embedder(net, random_state=0)
    first = embedder.fit_transform(X, y)
    torch.rand(3), np.random.random_sample(3), random.random()
    assert_array_equal(embedder.fit_transform(X, y), first)
    assert_array_equal(clone(embedder).fit_transform(X, y), first)
    assert not np.array_equal(embedder.set_params(random_state=1).fit_transform(X, y), first)


def test_without_seed_every_fit_is_another():
    embedder = Embedder(make_net())
    assert not np.array_equal(embedder.fit_transform(X, y), embedder.fit_transform(X, y))


def global_states():
    return [torch.random.get_rng_state().tolist(), np.random.get_state()[1:], random.getstate()]


def test_global_random_states_are_untouched():
    before = str(global_states())
    embedder = Embedder(make_net(train_split=ValidSplit(0.3)), random_state=0).fit(X, y)
    embedder.transform(X)
    embedder.predict(X)
    assert str(global_states()) == before


def test_global_random_states_are_restored_after_an_error():
    before = str(global_states())
    net = make_net(optimizer__momentum=-1)
    with pytest.raises(ValueError, match="momentum"):
        Embedder(net, random_state=0).fit(X, y)
    assert str(global_states()) == before


def test_given_net_and_module_instance_are_not_trained():
    module = MLP()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    net = make_net(module)
    embedder = Embedder(net, random_state=0)
    first = embedder.fit_transform(X, y)
    assert not net.initialized_
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert not torch.equal(embedder.net_.module_.head.weight, module.head.weight)
    # Each fit starts at the given weights.
    assert_array_equal(embedder.fit_transform(X, y), first)


def test_a_fitted_net_is_trained_from_scratch():
    with seeded(0, "cpu"):
        net = make_net(max_epochs=1).fit(X, y)
    weights = net.module_.head.weight.detach().clone()
    Z = Embedder(net, random_state=1).fit_transform(X, y)
    assert torch.equal(net.module_.head.weight, weights)
    assert_array_equal(Z, Embedder(make_net(max_epochs=1), random_state=1).fit_transform(X, y))


def test_parameters_of_the_net_can_be_set():
    embedder = Embedder(make_net(), random_state=0)
    embedder.set_params(net__lr=0.5, net__module__width=7)
    assert embedder.fit(X, y).net_.lr == 0.5
    assert embedder.transform(X).shape == (len(X), 7)


def test_pickle_of_a_fitted_embedder():
    embedder = Embedder(make_net(), random_state=0).fit(X, y)
    again = pickle.loads(pickle.dumps(embedder))
    assert_array_equal(again.transform(X), embedder.transform(X))
    assert_array_equal(again.predict(X), embedder.predict(X))


def test_hooks_are_removed_after_an_error():
    images = np.zeros((4, 1, 6, 6), dtype=np.float32)
    embedder = Embedder(make_net(CNN), random_state=0).fit(IMAGES, y)
    with pytest.raises(ValueError, match="cannot be run"):
        embedder.transform(images[..., :5])
    assert no_hooks(embedder.net_.module_)
    embedder.transform(images)


def test_compiled_net():
    net = make_net(compile=True, compile__backend="eager")
    embedder = Embedder(net, random_state=0)
    Z = embedder.fit_transform(X, y)
    assert_allclose(Z, Embedder(make_net(), random_state=0).fit_transform(X, y), atol=1e-5)
    assert embedder.layer_ == "head"
    pickle.loads(pickle.dumps(embedder)).predict_proba(X)


@needs_cuda
def test_cuda_tensor_in_cuda_embeddings_out():
    tensor = torch.from_numpy(X).cuda()
    before = torch.cuda.get_rng_state()
    embedder = Embedder(make_net(device="cuda"), random_state=0).fit(tensor, y)
    Z = embedder.transform(tensor)
    assert Z.device == tensor.device
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert_allclose(Z.cpu().numpy(), embedder.transform(X), atol=1e-5)


def test_an_explicit_layer_is_used():
    assert Embedder(make_net(TwoHeads, criterion=FirstOutput), layer="head").fit(X, y).layer_ == (
        "head"
    )
    Z = Embedder(make_net(), layer="hidden").fit_transform(X, y)
    assert_array_equal(Z, X)


class LogProbabilityNet(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return self.criterion_(y_pred.log_softmax(dim=1), y_true)


def test_nets_whose_loss_suits_their_outputs_are_trained():
    probabilities = make_net(SoftmaxMLP, criterion=nn.NLLLoss)
    own_loss = LogProbabilityNet(MLP, max_epochs=1, train_split=None, verbose=0)
    for net in (probabilities, own_loss):
        assert Embedder(net, random_state=0).fit_transform(X, y).shape == (92, 5)


class CountPasses(MLP):
    """Counts how often it runs, over all of its copies."""

    n_passes = 0

    def forward(self, X):
        CountPasses.n_passes += 1
        return super().forward(X)


class NoteAtStart(Callback):
    """Call something when training begins, and keep what it returns."""

    noted = []

    def __init__(self, function):
        self.function = function

    def on_train_begin(self, net, **kwargs):
        self.noted.append(self.function())


@pytest.mark.parametrize(
    "make", [Embedder, partial(make_embedding_pipeline, sampler=EOS(), head=LinearHead())]
)
@pytest.mark.parametrize("layer", [None, "head"])
def test_a_network_runs_once_before_it_is_trained(make, layer, monkeypatch):
    monkeypatch.setattr(CountPasses, "n_passes", 0)
    monkeypatch.setattr(NoteAtStart, "noted", [])
    net = make_net(CountPasses, callbacks=[NoteAtStart(lambda: CountPasses.n_passes)])
    make(net, layer=layer).fit(X, y)
    assert NoteAtStart.noted == [1]
    monkeypatch.setattr(CountPasses, "n_passes", 0)
    Embedder(FrozenEstimator(make_net(CountPasses).initialize()), layer=layer).fit(X, y)
    assert CountPasses.n_passes == 1


class PressCtrlC(Callback):
    def on_epoch_end(self, net, **kwargs):
        signal.raise_signal(signal.SIGINT)


class StopEarly(Callback):
    def on_epoch_end(self, net, **kwargs):
        # What skorch's own early stopping does.
        raise KeyboardInterrupt


def test_ctrl_c_ends_training_and_nothing_of_it_is_kept(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    embedder = Embedder(make_net(callbacks=[PressCtrlC]), random_state=0, memory=str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        embedder.fit(X, y)
    assert not hasattr(embedder, "net_")
    assert not list(tmp_path.rglob("*.pkl"))
    assert signal.getsignal(signal.SIGINT) is before


def test_callbacks_may_stop_training_early():
    embedder = Embedder(make_net(callbacks=[StopEarly], max_epochs=9), random_state=0).fit(X, y)
    assert len(embedder.net_.history) == 1


def test_trains_in_a_thread_that_gets_no_signals():
    with ThreadPoolExecutor(1) as pool:
        Z = pool.submit(Embedder(make_net(), random_state=0).fit_transform, X, y).result()
    assert_array_equal(Z, Embedder(make_net(), random_state=0).fit_transform(X, y))


def test_a_module_class_starts_anew_and_an_instance_from_its_weights():
    torch.manual_seed(0)
    instance = MLP()
    kept = instance.head.weight.detach().clone()
    still = {"lr": 1e-12, "max_epochs": 1}
    from_instance = Embedder(make_net(instance, **still), random_state=0).fit(X, y)
    from_class = Embedder(make_net(MLP, **still), random_state=0).fit(X, y)
    assert_allclose(from_instance.net_.module_.head.weight.detach(), kept, atol=1e-6)
    assert not np.allclose(from_class.net_.module_.head.weight.detach(), kept, atol=1e-3)
    assert torch.equal(instance.head.weight, kept)


def test_trainings_in_several_threads_do_not_disturb_each_other():
    net = make_net(max_epochs=5, iterator_train__shuffle=True)
    expected = [Embedder(net, random_state=seed).fit_transform(X, y) for seed in range(4)]
    before = torch.random.get_rng_state()
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(
            lambda seed: Embedder(net, random_state=seed).fit_transform(X, y), range(4)
        )
        results = list(results)
    for result, one in zip(results, expected, strict=True):
        assert_array_equal(result, one)
    assert torch.equal(torch.random.get_rng_state(), before)


class Failing(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise RuntimeError("no more")


def test_a_training_that_fails_leaves_what_was_fitted_before():
    embedder = Embedder(make_net(), random_state=0)
    failing = make_net(callbacks=[Failing()])
    unfitted = clone(embedder).set_params(net=failing)
    with pytest.raises(RuntimeError, match="no more"):
        unfitted.fit(X, y)
    with pytest.raises(NotFittedError):
        unfitted.transform(X)
    frame = pd.DataFrame(X).add_prefix("x")
    embedder.fit(frame, np.array(["ant", "bee", "cat"])[y])
    before = embedder.predict(frame)
    with pytest.raises(RuntimeError, match="no more"):
        embedder.set_params(net=failing).fit(X, y)
    assert_array_equal(embedder.predict(frame), before)


def test_labels_in_bfloat16():
    labels = torch.from_numpy(y).to(torch.bfloat16)
    embedder = Embedder(make_net(), random_state=0).fit(X, labels)
    assert_array_equal(embedder.classes_, np.unique(y))


def test_set_output_gives_named_embeddings():
    embedder = Embedder(make_net(), random_state=0).fit(X, y)
    Z = embedder.transform(X)
    frame = embedder.set_output(transform="pandas").transform(X)
    assert_array_equal(frame.columns, embedder.get_feature_names_out())
    assert_array_equal(frame, Z)


def test_embeddings_are_float32_and_the_tags_say_so():
    embedder = Embedder(make_net(), random_state=0).fit(X.astype(np.float64), y)
    assert embedder.transform(X.astype(np.float64)).dtype == np.float32
    assert get_tags(embedder).transformer_tags.preserves_dtype == []
