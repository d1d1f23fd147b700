"""Networks that are trained once: the ``memory`` of Embedder."""

import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import Memory
from networks import MLP, CountFits, make_data, make_net, n_fits
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import LRScheduler
from skorch.helper import SliceDataset
from torch.utils.data import TensorDataset

from imblearn_eos import Embedder, make_embedding_pipeline
from imblearn_eos.embedding._cache import (
    _warn_of_instance,
    _warn_without_cache,
    content_hash,
    describe,
)

X, y = make_data()


@pytest.fixture
def counted(tmp_path):
    """Return a net that counts its trainings, and the count."""
    path = tmp_path / "fits"
    return lambda **params: make_net(callbacks=[CountFits(path)], **params), lambda: n_fits(path)


@pytest.mark.parametrize(
    "convert",
    [np.asarray, torch.from_numpy, lambda A: torch.from_numpy(A).to(torch.bfloat16)],
    ids=["array", "tensor", "bfloat16"],
)
@pytest.mark.parametrize("make_module", [lambda: MLP, lambda: pickle.loads(pickle.dumps(INSTANCE))])
def test_a_network_is_trained_once_for_the_same_content(convert, make_module, counted, tmp_path):
    net, count = counted
    embeddings = [
        Embedder(
            net(module=make_module(), criterion__weight=torch.tensor([1.0, 2.0, 3.0])),
            memory=str(tmp_path / "cache"),
            random_state=0,
        ).fit_transform(convert(X.copy()), labels)
        for labels in (y, y.copy(), np.array(["a", "b", "c"])[y])
    ]
    assert count() == 1
    for Z in embeddings[1:]:
        assert_array_equal(np.asarray(Z), np.asarray(embeddings[0]))


INSTANCE = MLP()


def test_anything_that_matters_trains_again(counted, tmp_path):
    net, count = counted
    embedder = Embedder(net(module=INSTANCE), memory=str(tmp_path / "cache"), random_state=0)
    embedder.fit(X, y)
    other_weights = clone(embedder)
    with torch.no_grad():
        other_weights.net.module.head.weight += 1
    other_weights.fit(X, y)
    clone(embedder).set_params(random_state=1).fit(X, y)
    clone(embedder).set_params(net__lr=0.2).fit(X, y)
    clone(embedder).set_params(net__criterion__weight=torch.ones(3)).fit(X, y)
    embedder.fit(X + 1, y)
    embedder.fit(X, y[::-1])
    assert count() == 7
    embedder.fit(X, y)
    # The layer is not a matter of training.
    clone(embedder).set_params(layer="hidden").fit(X, y)
    assert count() == 7


def test_without_seed_or_memory_nothing_is_kept(counted, tmp_path):
    net, count = counted
    for params in ({"memory": str(tmp_path / "cache")}, {"random_state": 0}):
        embedder = Embedder(net(), **params)
        embedder.fit(X, y).fit(X, y)
    assert count() == 4


def test_what_cannot_be_hashed_warns_once_and_trains(counted, tmp_path):
    net, count = counted
    unpicklable = net(
        callbacks__schedule=LRScheduler("LambdaLR", lr_lambda=lambda epoch: 0.9**epoch)
    )
    unpicklable.callbacks.append(LRScheduler("LambdaLR", lr_lambda=lambda epoch: 0.9**epoch))
    unpicklable = clone(unpicklable)
    embedder = Embedder(unpicklable, memory=str(tmp_path / "cache"), random_state=0)
    _warn_without_cache.cache_clear()
    with pytest.warns(UserWarning, match=r"'memory' parameter.*module class") as caught:
        embedder.fit(X, y)
    assert caught[0].filename == __file__
    assert count() == 1
    assert embedder.transform(X).shape == (len(X), 5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        embedder.fit(X, y)
        clone(embedder).fit(X, y)
    assert not [str(warning.message) for warning in caught if "'memory'" in str(warning.message)]


def test_a_module_instance_warns_once_and_is_kept_too(counted, tmp_path):
    net, count = counted
    _warn_of_instance.cache_clear()
    embedder = Embedder(net(module=MLP()), memory=str(tmp_path / "cache"), random_state=0)
    with pytest.warns(UserWarning, match=r"instance.*pass the module class") as caught:
        embedder.fit(X, y).fit(X, y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert count() == 1


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        Embedder(make_net(), memory=str(tmp_path / "file"), random_state=0).fit(X, y)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.bool]
)
def test_tensors_hash_by_content(dtype):
    values = torch.tensor([[0, 1], [0, 1]], dtype=dtype)
    assert content_hash(values) == content_hash(values.clone())
    assert content_hash([values, values]) == content_hash([values, values.clone()])
    assert content_hash(values.T) == content_hash(values.T.contiguous())
    different = [values, values.T, values.reshape(-1), values.to(torch.float64), torch.tensor(1)]
    assert len({content_hash(value) for value in different}) == len(different)


class Files(torch.utils.data.Dataset):
    """Samples that are read from files by name."""

    def __init__(self, folder):
        self.paths = sorted(Path(folder).glob("*.npy"))
        self.targets = y

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        return np.load(self.paths[i]), self.targets[i]


def test_a_dataset_counts_by_what_its_attributes_contain(counted, tmp_path):
    net, count = counted
    folder = tmp_path / "files"
    folder.mkdir()
    for i, row in enumerate(X):
        np.save(folder / f"{i:03}.npy", row)
    embedder = Embedder(net(), memory=str(tmp_path / "cache"), random_state=0)
    embedder.fit(Files(folder))
    embedder.fit(Files(folder))
    assert count() == 1
    # Documented: files are not looked into.
    np.save(folder / "000.npy", X[1])
    embedder.fit(Files(folder))
    assert count() == 1
    tensors = [torch.from_numpy(part) for part in (X, y)]
    for _ in range(2):
        embedder.fit(TensorDataset(*(part.clone() for part in tensors)))
    assert count() == 2
    embedder.fit(TensorDataset(tensors[0] + 1, tensors[1]))
    assert count() == 3


def as_slices(A):
    return SliceDataset(TensorDataset(torch.from_numpy(A), torch.from_numpy(y)))


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy, as_slices])
def test_grid_search_over_sampler_and_head_trains_once_per_split_and_once_for_all(
    convert, n_jobs, tmp_path
):
    net = make_net(callbacks=[CountFits(tmp_path / "fits")])
    pipeline = make_embedding_pipeline(net, memory=str(tmp_path / "cache"), random_state=0)
    grid = {"sampler__n_neighbors": [3, 5, 7], "head__alpha": [0.01, 0.1]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=n_jobs, error_score="raise")
    search.fit(convert(X), y)
    assert n_fits(tmp_path / "fits") == 3 + 1
    assert len(search.predict(convert(X))) == len(y)


WANT_THE_SAME = """
import sys
from networks import CountFits, make_data, make_net
from imblearn_eos import Embedder
X, y = make_data()
net = make_net(callbacks=[CountFits(sys.argv[1])], max_epochs=20)
Embedder(net, memory=sys.argv[2], random_state=0).fit(X, y)
"""


def test_processes_wait_for_the_first_to_train(tmp_path):
    arguments = [sys.executable, "-c", WANT_THE_SAME, tmp_path / "fits", tmp_path / "cache"]
    processes = [subprocess.Popen(arguments, cwd=Path(__file__).parent) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert n_fits(tmp_path / "fits") == 1


DIE_WHILE_WRITING = """
import os, sys
from networks import MLP, make_data, make_net
from imblearn_eos import Embedder
class Fatal(MLP):
    def __getstate__(self):
        if hasattr(self, "was_trained"):
            os.kill(os.getpid(), 9)
        return super().__getstate__()
    def train(self, mode=True):
        self.was_trained = True
        return super().train(mode)
X, y = make_data()
import networks
networks.MLP = Fatal
Fatal.__module__, Fatal.__qualname__ = "networks", "MLP"
Embedder(make_net(Fatal), memory=sys.argv[1], random_state=0).fit(X, y)
"""


def test_a_killed_writer_leaves_no_broken_entry(counted, tmp_path):
    arguments = [sys.executable, "-c", DIE_WHILE_WRITING, tmp_path / "cache"]
    killed = subprocess.run(arguments, cwd=Path(__file__).parent, check=False)
    assert killed.returncode == -9
    assert list((tmp_path / "cache").rglob("*.lock"))
    net = make_net()
    expected = Embedder(net, random_state=0).fit_transform(X, y)
    for _ in range(2):
        embedder = Embedder(net, memory=str(tmp_path / "cache"), random_state=0)
        assert_array_equal(embedder.fit_transform(X, y), expected)


def test_verbose_tells_what_came_from_the_cache(counted, tmp_path, capsys):
    net, count = counted
    embedder = Embedder(net(), memory=str(tmp_path / "cache"), random_state=0, verbose=True)
    embedder.fit(X, y)
    assert "loaded from" not in capsys.readouterr().out
    embedder.fit(X, y)
    assert f"loaded from {tmp_path / 'cache'}" in capsys.readouterr().out
    # Progress is no part of what is trained.
    embedder.set_params(verbose=False).fit(X, y)
    assert capsys.readouterr().out == ""
    assert count() == 1


def test_a_joblib_memory_may_be_given(counted, tmp_path):
    net, count = counted
    for memory in (Memory(tmp_path, verbose=0), Memory(tmp_path, verbose=0)):
        Embedder(net(), memory=memory, random_state=0).fit(X, y)
    assert count() == 1
    Embedder(net(), memory=Memory(None), random_state=0).fit(X, y)
    assert count() == 2


SAME_NAME = """
import torch
from networks import make_data, make_net
from imblearn_eos import Embedder
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.head = torch.nn.Linear(6, {width}), torch.nn.Linear({width}, 3)
    def forward(self, X):
        return self.head({body})
class Loss(torch.nn.CrossEntropyLoss):
    def forward(self, logits, y):
        return {factor} * super().forward(logits, y)
X, y = make_data()
embedder = Embedder(make_net(Net, criterion=Loss), memory={cache!r}, random_state=0).fit(X, y)
assert embedder.n_features_out_ == embedder.transform(X).shape[1] == {width}
assert isinstance(embedder.net_.criterion_, Loss)
print(embedder.net_.history[-1]["train_loss"])
"""


@pytest.mark.parametrize("has_source", [pytest.param(True, marks=pytest.mark.slow), False])
def test_scripts_with_classes_of_the_same_name_do_not_share_networks(has_source, tmp_path):
    def run(width=8, body="self.hidden(X).relu()", factor=1):
        script = SAME_NAME.format(width=width, body=body, factor=factor, cache=str(tmp_path))
        (tmp_path / "script.py").write_text(script)
        arguments = [tmp_path / "script.py"] if has_source else ["-c", script]
        path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        n_networks = len(list(tmp_path.glob("joblib/**/output.pkl")))
        return float(done.stdout), n_networks

    first, n_networks = run()
    assert n_networks == 1
    assert run() == (first, 1)
    assert run(width=16)[1] == 2
    if has_source:
        # Without it, what a class computes is not known.
        assert run(body="self.hidden(X).tanh()")[1] == 3
        loss, n_networks = run(factor=2)
        assert n_networks == 4
        assert loss > 1.5 * first
        assert run() == (first, 4)


def describe_activation(activation):
    return describe(type("Named", (MLP,), {"extra_repr": lambda self: repr(activation)})())


def test_a_description_has_no_addresses():
    assert describe_activation(lambda: 0) == describe_activation(lambda: 0)
