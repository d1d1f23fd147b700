"""What a net validates on while an Embedder trains it, and callbacks that change its module."""

import numpy as np
import pytest
import torch
from networks import MLP, CountFits, OneLogit, make_data, make_net, n_fits
from numpy.testing import assert_allclose, assert_array_equal
from skorch import NeuralNetBinaryClassifier
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, InputShapeSetter
from skorch.dataset import Dataset as SkorchDataset
from skorch.dataset import ValidSplit
from skorch.helper import SliceDataset, predefined_split
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from imblearn_eos import Embedder
from imblearn_eos.training import BatchLoader

ROWS, LABELS = make_data((100, 60, 30))
ROWS[:, :3] += 4 * np.eye(3, dtype=np.float32)[LABELS]
X, X_valid, y, y_valid = ROWS[::2], ROWS[1::2], LABELS[::2], LABELS[1::2]
# In sorted order, none of these is its own position.
KINDS = {
    "numbers": np.array([1, 2, 4]),
    "floats": np.array([-3.0, 0.0, 5.0]),
    "names": np.array(["a", "b", "c"]),
    "objects": np.array(["x", "y", "z"], dtype=object),
}


class Pairs(Dataset):
    """Samples of any kind of label, without attributes that tell them."""

    def __init__(self, samples, labels):
        self.samples, self.labels = samples, labels

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        return self.samples[i], self.labels[i]


class Given:
    """Split what is given, by its positions."""

    def __init__(self, by_labels=False):
        self.by_labels = by_labels

    def __call__(self, dataset, y):
        if self.by_labels:
            samples = np.stack([np.asarray(dataset[i][0]) for i in range(len(dataset))])
            parts = (slice(None, None, 2), slice(1, None, 2))
            return tuple(SkorchDataset(samples[part], y[part]) for part in parts)
        return Subset(dataset, range(0, len(y), 2)), Subset(dataset, range(1, len(y), 2))


class Own:
    """Validate on what a function makes of samples and labels."""

    def __init__(self, make, *data):
        self.valid = make(*data)

    def __call__(self, dataset, y):
        return dataset, self.valid


def tensors(samples, labels):
    return TensorDataset(torch.from_numpy(samples), torch.as_tensor(labels))


def joined(samples, labels):
    return ConcatDataset([SkorchDataset(samples[:9], labels[:9]), Pairs(samples[9:], labels[9:])])


def half(samples, labels):
    return Subset(SkorchDataset(samples, labels), range(0, len(labels), 2))


SPLITS = {
    "predefined": lambda *data: predefined_split(SkorchDataset(*data)),
    "predefined, in float64": lambda X, y: predefined_split(SkorchDataset(X.astype(float), y)),
    "predefined tensors": lambda *data: predefined_split(tensors(*data)),
    "predefined pairs": lambda *data: predefined_split(Pairs(*data)),
    "a slice of pairs": lambda X, y: Own(lambda: Pairs(SliceDataset(Pairs(X, y)), y)),
    "half of a dataset": lambda *data: Own(half, *data),
    "joined datasets": lambda *data: Own(joined, *data),
}


def with_names(names, split, **params):
    labels = KINDS[names]
    if "tensors" in split and labels.dtype.kind not in "if":
        pytest.skip("tensors have numbers only")
    train_split = SPLITS[split](X_valid, labels[y_valid])
    return labels, make_net(train_split=train_split, max_epochs=3, **params)


@pytest.mark.parametrize("loader", [torch.utils.data.DataLoader, BatchLoader])
@pytest.mark.parametrize("names", KINDS)
@pytest.mark.parametrize("split", SPLITS)
def test_validation_labels_are_encoded_as_the_training_labels_are(names, split, loader):
    labels, net = with_names(names, split, iterator_train=loader, iterator_valid=loader)
    embedder = Embedder(net, random_state=0).fit(X, labels[y])
    rows = slice(None, None, 2) if "half" in split else slice(None)
    predicted = embedder.predict(X_valid[rows])
    accuracy = (predicted == labels[y_valid][rows]).mean()
    assert embedder.net_.history[-1, "valid_acc"] == pytest.approx(accuracy)
    assert accuracy > 0.5


@pytest.mark.parametrize("as_dataset", [False, True])
@pytest.mark.parametrize("names", KINDS)
@pytest.mark.parametrize(
    "split", [ValidSplit(2, stratified=True), Given(), Given(by_labels=True)], ids=["cv", "", "y"]
)
def test_splits_of_the_given_samples_are_those_of_codes(split, names, as_dataset):
    histories = []
    for labels in (np.arange(3), KINDS[names]):
        data = (Pairs(X, labels[y]),) if as_dataset else (X, labels[y])
        net = make_net(train_split=split, max_epochs=3)
        histories.append(Embedder(net, random_state=0).fit(*data).net_.history)
    for column in ("train_loss", "valid_loss", "valid_acc"):
        assert_array_equal(histories[1][:, column], histories[0][:, column])
    assert histories[0][-1, "valid_acc"] > 0.5


def test_a_split_sees_the_users_labels():
    seen = []

    def split(dataset, labels):
        seen.append((labels, dataset.y, dataset[3][1]))
        return dataset, None

    labels = KINDS["names"][y]
    embedder = Embedder(make_net(train_split=split), random_state=0).fit(X, labels)
    ((given, of_dataset, item),) = seen
    assert_array_equal(given, labels)
    assert_array_equal(of_dataset, labels)
    assert item == labels[3]
    assert "valid_loss" not in embedder.net_.history[-1]


def test_early_stopping_follows_the_true_accuracy():
    histories = []
    for labels in (np.arange(3), KINDS["names"]):
        net = make_net(
            train_split=predefined_split(SkorchDataset(X_valid, labels[y_valid])),
            callbacks=[
                EarlyStopping("valid_acc", patience=3, lower_is_better=False),
                EpochScoring("f1_macro", lower_is_better=False, use_caching=False),
            ],
            max_epochs=50,
        )
        histories.append(Embedder(net, random_state=0).fit(X, labels[y]).net_.history)
    assert 3 < len(histories[0]) < 50
    for column in ("valid_acc", "f1_macro"):
        assert_array_equal(histories[1][:, column], histories[0][:, column])


def test_a_binary_net_validates_on_encoded_labels():
    labels = np.array(["no", "yes"])
    net = NeuralNetBinaryClassifier(
        OneLogit,
        train_split=predefined_split(SkorchDataset(X_valid, labels[1 * (y_valid == 0)])),
        lr=0.1,
        max_epochs=5,
        verbose=0,
    )
    embedder = Embedder(net, random_state=0).fit(X, labels[1 * (y == 0)])
    accuracy = (embedder.predict(X_valid) == labels[1 * (y_valid == 0)]).mean()
    assert embedder.net_.history[-1, "valid_acc"] == pytest.approx(accuracy)


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("make", [SkorchDataset, Pairs])
@pytest.mark.parametrize(
    ("names", "other", "named"), [("numbers", 3, r"\[3\]"), ("names", "zebra", r"\['zebra'\]")]
)
def test_a_further_class_in_a_part_of_a_split_is_an_error(
    names, other, named, make, is_training, tmp_path
):
    labels = KINDS[names]
    further = labels[y_valid].astype(object)
    further[7] = other
    part = make(X_valid, further)

    def split(dataset, y):
        return (part, dataset) if is_training else (dataset, part)

    net = make_net(train_split=split, callbacks=[CountFits(tmp_path / "fits")])
    kind = "training" if is_training else "validation"
    message = f"{kind} set of train_split has the classes {named}, which y lacks; its classes are"
    with pytest.raises(ValueError, match=message):
        Embedder(net).fit(X, labels[y])
    assert n_fits(tmp_path / "fits") == 0


def test_a_trained_net_can_be_trained_on_and_embedded_again():
    labels, net = with_names("names", "predefined")
    embedder = Embedder(net, random_state=0).fit(X, labels[y])
    net = embedder.net_.partial_fit(X, y)
    accuracy = (embedder.predict(X_valid) == labels[y_valid]).mean()
    assert net.history[-1, "valid_acc"] == pytest.approx(accuracy)
    again = Embedder(net, random_state=0).fit(X, labels[y])
    first = Embedder(with_names("names", "predefined")[1], random_state=0).fit(X, labels[y])
    assert_array_equal(again.transform(X), first.transform(X))


# --- callbacks that change the module when training begins ----------------------------------------


class SetParams(Callback):
    """Set parameters of the net when training begins."""

    def __init__(self, params):
        self.params = params

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        net.set_params(**self.params)


@pytest.mark.parametrize("in_cache", [False, True])
@pytest.mark.parametrize(
    "callback",
    [
        InputShapeSetter("n_features"),
        SetParams({"module__n_features": 6}),
        SetParams({"module__n_features": 6, "module__width": 9}),
    ],
    ids=["shape setter", "input", "input and width"],
)
def test_callbacks_may_set_the_input_of_the_module(callback, in_cache, tmp_path):
    net = make_net(module__n_features=2, callbacks=[callback])
    for _ in range(1 + in_cache):
        embedder = Embedder(net, random_state=0, memory=str(tmp_path) if in_cache else None)
        Z = embedder.fit_transform(X, y)
        assert Z.shape == (len(X), embedder.n_features_out_)
        with torch.no_grad():
            expected = embedder.net_.module_.eval().embed(torch.from_numpy(X))
        assert_allclose(Z, expected, atol=1e-6)
    assert embedder.n_features_out_ == getattr(callback, "params", {}).get("module__width", 5)


def test_callbacks_may_set_the_outputs_of_the_module():
    net = make_net(module__n_classes=7, callbacks=[SetParams({"module__n_classes": 3})])
    embedder = Embedder(net, random_state=0).fit(X, y)
    assert embedder.predict_proba(X).shape == (len(X), 3)


def test_callbacks_may_set_the_length_of_embeddings():
    embedder = Embedder(make_net(callbacks=[SetParams({"module__width": 9})])).fit(X, y)
    assert embedder.n_features_out_ == embedder.transform(X).shape[1] == 9


def test_callbacks_may_not_set_what_does_not_match_the_classes():
    net = make_net(callbacks=[SetParams({"module__n_classes": 7})])
    with pytest.raises(ValueError, match=r"n_samples, 3.*\(2, 7\)"):
        Embedder(net).fit(X, y)


class CountForwards(MLP):
    """Count the forward passes before training."""

    n_passes = 0

    def forward(self, X):
        if not self.training:
            CountForwards.n_passes += 1
        return super().forward(X)


def test_a_network_runs_once_before_training():
    CountForwards.n_passes = 0
    Embedder(make_net(CountForwards, callbacks=[InputShapeSetter("n_features")])).fit(X, y)
    assert CountForwards.n_passes == 1


class LazyInTraining(MLP):
    """Has a layer that gets its shape in training."""

    def __init__(self):
        super().__init__()
        self.auxiliary = torch.nn.LazyLinear(2)

    def forward(self, X):
        if self.training:
            self.auxiliary(X)
        return super().forward(X)


def test_a_module_may_have_a_layer_that_runs_in_training_only():
    embedder = Embedder(make_net(LazyInTraining), random_state=0).fit(X, y)
    assert embedder.transform(X).shape == (len(X), 5)
