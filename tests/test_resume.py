"""Interrupted training that checkpoints continue, as docs/guide/training.md shows."""

import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from networks import make_data, make_net
from numpy.testing import assert_array_equal
from skorch.callbacks import Callback, Checkpoint, LoadInitState, LRScheduler
from skorch.history import History
from torch.utils.data import TensorDataset

from imblearn_eos import Embedder, make_embedding_pipeline
from imblearn_eos.losses import DeferredReweighting, LDAMLoss
from imblearn_eos.training import AtomicCheckpoint, Resume

X, y = make_data()
N_EPOCHS = 5
N_BATCHES = 3


class Start(Callback):
    """Keep the state in which training begins, and the rows of its history from then on."""

    def on_train_begin(self, net, **kwargs):
        self.weights_ = copied(net.module_.state_dict())
        self.momenta_ = momenta(net.optimizer_.state_dict())
        self.history_ = [row["epoch"] for row in net.history]
        self.trained_ = []

    def on_epoch_end(self, net, **kwargs):
        self.trained_.append(net.history[-1, "epoch"])


class PressCtrlC(Callback):
    """Press Ctrl-C once, after some batches of an epoch or at its end."""

    def __init__(self, epoch, batches=None):
        self.epoch = epoch
        self.batches = batches

    def on_batch_end(self, net, **kwargs):
        if len(net.history[-1, "batches"]) == self.batches:
            self._press(net)

    def on_epoch_end(self, net, **kwargs):
        if self.batches is None:
            self._press(net)

    def _press(self, net):
        if len(net.history) == self.epoch:
            signal.raise_signal(signal.SIGINT)


def copied(state):
    return {name: tensor.clone() for name, tensor in state.items()}


def momenta(state):
    return copied({name: part["momentum_buffer"] for name, part in state["state"].items()})


def assert_same(state, expected):
    assert state.keys() == expected.keys()
    assert len(state) > 0
    for name, tensor in state.items():
        assert torch.equal(tensor, expected[name])


def make_resumable(folder, *last, middle=(), **params):
    checkpoint = AtomicCheckpoint(monitor=None, dirname=str(folder))
    callbacks = [LoadInitState(checkpoint), Resume(), *middle, Start(), checkpoint, *last]
    return make_net(
        max_epochs=N_EPOCHS,
        module__dropout=0.3,
        iterator_train__shuffle=True,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        callbacks=callbacks,
        **params,
    )


def interrupt(net, *data, **params):
    embedder = Embedder(net, random_state=0, **params)
    with pytest.raises(KeyboardInterrupt):
        embedder.fit(*(data or (X, y)))
    assert not hasattr(embedder, "net_")


def start_of(embedder):
    return dict(embedder.net_.callbacks_)["Start"]


@pytest.mark.parametrize("stop", [PressCtrlC(2), PressCtrlC(3, batches=1)], ids=["end", "midst"])
def test_training_goes_on_from_the_stored_state_for_the_epochs_that_are_missing(stop, tmp_path):
    interrupt(make_resumable(tmp_path, stop))
    read = partial(torch.load, weights_only=True)
    stored, optimizer = read(tmp_path / "params.pt"), read(tmp_path / "optimizer.pt")
    assert History.from_file(tmp_path / "history.json")[:, "epoch"] == [1, 2]

    embedder = Embedder(make_resumable(tmp_path), random_state=0).fit(X, y)
    start = start_of(embedder)
    assert_same(start.weights_, stored)
    assert_same(start.momenta_, momenta(optimizer))
    assert start.history_ == [1, 2]
    assert start.trained_ == [3, 4, 5]
    history = embedder.net_.history
    assert history[:, "epoch"] == [1, 2, 3, 4, 5]
    assert [len(batches) for batches in history[:, "batches"]] == [N_BATCHES] * N_EPOCHS
    with pytest.raises(AssertionError):  # Training did change what was stored.
        assert_same(embedder.net_.module_.state_dict(), stored)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"criterion": LDAMLoss, "middle": [DeferredReweighting(start=3)]},
        {"middle": [LRScheduler("LambdaLR", lr_lambda=lambda epoch: 0.5**epoch)]},
    ],
    ids=["plain", "deferred weights", "schedule"],
)
@pytest.mark.parametrize(
    "convert", [lambda: (X, y), lambda: (as_tensors(),)], ids=["arrays", "dataset"]
)
def test_the_result_is_that_of_training_without_interruption(params, convert, tmp_path):
    expected = Embedder(make_resumable(tmp_path / "whole", **params), random_state=0)
    Z = expected.fit(*convert()).transform(X)
    assert start_of(expected).trained_ == [1, 2, 3, 4, 5]
    for epoch in (1, 4):
        interrupt(make_resumable(tmp_path / "parts", PressCtrlC(epoch), **params), *convert())
    embedder = Embedder(make_resumable(tmp_path / "parts", **params), random_state=0)
    assert_array_equal(embedder.fit(*convert()).transform(X), Z)
    assert start_of(embedder).trained_ == [5]


def as_tensors():
    return TensorDataset(torch.from_numpy(X), torch.from_numpy(y))


def test_a_complete_training_is_not_repeated(tmp_path):
    net = make_resumable(tmp_path)
    first, second = (Embedder(net, random_state=0).fit(X, y) for _ in range(2))
    assert start_of(second).trained_ == []
    assert_array_equal(second.transform(X), first.transform(X))


def test_a_pipeline_goes_on_with_all_three_phases(tmp_path):
    pipelines = [
        make_embedding_pipeline(make_resumable(tmp_path / name), random_state=0)
        for name in ("whole", "parts")
    ]
    expected = pipelines[0].fit(X, y).predict_proba(X)
    with pytest.raises(KeyboardInterrupt):
        make_embedding_pipeline(
            make_resumable(tmp_path / "parts", PressCtrlC(2)), random_state=0
        ).fit(X, y)
    assert_array_equal(pipelines[1].fit(X, y).predict_proba(X), expected)
    assert start_of(pipelines[1]["embedder"]).trained_ == [3, 4, 5]


def test_the_cache_keeps_the_complete_network_only(tmp_path):
    cache, folder = tmp_path / "cache", tmp_path / "checkpoint"
    params = {"random_state": 0, "memory": str(cache)}
    interrupt(make_resumable(folder, PressCtrlC(2)), memory=str(cache))
    assert not list(cache.rglob("output.pkl"))
    embedder = Embedder(make_resumable(folder), **params).fit(X, y)
    assert start_of(embedder).trained_ == [3, 4, 5]
    assert len(list(cache.rglob("output.pkl"))) == 1
    for file in folder.iterdir():
        file.unlink()
    again = Embedder(make_resumable(folder), **params).fit(X, y)
    assert_array_equal(again.transform(X), embedder.transform(X))
    assert not list(folder.iterdir())


@pytest.fixture
def stored(tmp_path):
    """Return a net that has stored its first epoch in ``tmp_path``, and the bytes of its files."""
    checkpoint = AtomicCheckpoint(monitor=None, dirname=str(tmp_path))
    net = make_net(callbacks=[checkpoint], max_epochs=1).fit(X, y)
    before = files_in(tmp_path)
    assert before.keys() == {"params.pt", "optimizer.pt", "criterion.pt", "history.json"}
    return net, before


def files_in(folder):
    return {
        file.name: file.read_bytes() for file in folder.iterdir() if file.suffix != ".unfinished"
    }


def fail_at(monkeypatch, where, name, n_done, fail):
    """Let a function fail after it has run ``n_done`` times."""
    function, done = getattr(where, name), []

    def failing(*args):
        if len(done) == n_done:
            fail()
        done.append(args)
        return function(*args)

    monkeypatch.setattr(where, name, failing)


# Three of the four files are written by torch.
@pytest.mark.parametrize("n_done", range(3))
def test_ctrl_c_while_writing_leaves_the_files_of_the_epoch_before(
    n_done, stored, tmp_path, monkeypatch
):
    net, before = stored
    fail_at(monkeypatch, torch, "save", n_done, lambda: signal.raise_signal(signal.SIGINT))
    # skorch ends a training at Ctrl-C without an error.
    net.set_params(max_epochs=3).partial_fit(X, y)
    assert len(net.history) == 2
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("n_done", range(4))
def test_ctrl_c_between_renames_leaves_whole_files_and_the_old_history(
    n_done, stored, tmp_path, monkeypatch
):
    net, before = stored
    fail_at(monkeypatch, os, "replace", n_done, lambda: signal.raise_signal(signal.SIGINT))
    net.set_params(max_epochs=3).partial_fit(X, y)
    after = files_in(tmp_path)
    assert after.keys() == before.keys()
    for name in before.keys() - {"history.json"}:
        torch.load(tmp_path / name, weights_only=True)
    assert History.from_file(tmp_path / "history.json")[:, "epoch"] == [1]
    # The next run continues.
    monkeypatch.undo()
    callbacks = [LoadInitState(net.callbacks[0]), Resume(), net.callbacks[0]]
    net = make_net(callbacks=callbacks, max_epochs=3).fit(X, y)
    assert net.history[:, "epoch"] == [1, 2, 3]
    assert not list(tmp_path.glob("*.unfinished"))


def test_a_kill_while_writing_leaves_the_files_of_the_epoch_before(tmp_path):
    folder = str(tmp_path / "checkpoint")
    make_net(callbacks=[AtomicCheckpoint(monitor=None, dirname=folder)], max_epochs=1).fit(X, y)
    before = files_in(tmp_path / "checkpoint")
    code = f"""
import os, torch
from networks import make_data, make_net
from imblearn_eos.training import AtomicCheckpoint
def save(state, file):
    if "optimizer" in str(file):
        open(file, "wb").write(b"half")
        os._exit(9)
    return written(state, file)
written, torch.save = torch.save, save
make_net(callbacks=[AtomicCheckpoint(monitor=None, dirname={folder!r})]).fit(*make_data())
"""
    path = os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])
    found = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert found.returncode == 9
    assert files_in(tmp_path / "checkpoint") == before


def test_a_checkpoint_that_cannot_be_written_is_an_error_and_leaves_the_last(
    stored, tmp_path, monkeypatch
):
    net, before = stored

    def fail():
        raise OSError("No space left on device")

    fail_at(monkeypatch, torch, "save", 1, fail)
    with pytest.raises(OSError, match="No space left"):
        net.partial_fit(X, y)
    assert files_in(tmp_path) == before


def test_checkpoints_are_the_files_of_skorch(tmp_path):
    names = {"fn_prefix": "a_", "f_pickle": "net.pkl", "f_params": "{last_epoch[epoch]}.pt"}
    for kind, folder in ((Checkpoint, "skorch"), (AtomicCheckpoint, "atomic")):
        torch.manual_seed(0)
        checkpoint = kind(monitor=None, dirname=str(tmp_path / folder), **names)
        net = make_net(callbacks=[checkpoint], max_epochs=2).fit(X, y)
    expected, found = (
        {file.name for file in (tmp_path / folder).iterdir()} for folder in ("skorch", "atomic")
    )
    assert found == expected
    read = partial(torch.load, weights_only=True)
    for name in ("a_1.pt", "a_2.pt"):
        assert_same(read(tmp_path / "atomic" / name), read(tmp_path / "skorch" / name))
    pickled = pickle.loads((tmp_path / "atomic" / "a_net.pkl").read_bytes())
    assert_array_equal(pickled.predict_proba(X), net.predict_proba(X))


def test_nets_may_share_a_folder(tmp_path):
    def fit(name):
        callbacks = [AtomicCheckpoint(monitor=None, dirname=str(tmp_path), fn_prefix=name)]
        return make_net(callbacks=callbacks, max_epochs=10).fit(X, y)

    with ThreadPoolExecutor(2) as pool:
        nets = dict(zip("ab", pool.map(fit, "ab"), strict=True))
    for name, net in nets.items():
        stored = torch.load(tmp_path / f"{name}params.pt", weights_only=True)
        assert_same(stored, net.module_.state_dict())
    assert len(list(tmp_path.iterdir())) == 8


def test_where_ctrl_c_is_ignored_training_and_checkpoints_are_whole(tmp_path):
    # As under nohup.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    net = make_resumable(tmp_path, PressCtrlC(2, batches=1))
    embedder = Embedder(net, random_state=0).fit(X, y)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert len(embedder.net_.history) == net.max_epochs
    stored = torch.load(tmp_path / "params.pt", weights_only=True)
    assert_same(stored, embedder.net_.module_.state_dict())


def test_the_working_folder_is_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_net(callbacks=[AtomicCheckpoint(monitor=None)], max_epochs=1).fit(X, y)
    assert (tmp_path / "params.pt").exists()
