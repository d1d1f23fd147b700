"""Three phases on real CIFAR-10 images, through every kind of input and every loss."""

import io

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from skorch import NeuralNetClassifier
from skorch.helper import SliceDataset
from torch import nn, optim
from torch.utils.data import Dataset, TensorDataset

from imblearn_eos import EOS, losses, make_embedding_pipeline
from imblearn_eos.datasets import make_imbalanced, split_imbalanced
from imblearn_eos.models import NormalizedLinear, ResNet
from imblearn_eos.training import BatchLoader


@pytest.fixture(scope="module")
def cifar(request):
    """Return images of five classes: 2,000 to train on, long-tailed, and a test part."""
    image = pytest.importorskip("PIL.Image", reason="needs Pillow, the extra 'images'")
    with np.load(request.getfixturevalue("real_data")("cifar10_jpeg.npz")) as pack:
        rows = np.flatnonzero(pack["label"] < 5)
        rows = rows[:: len(rows) // 4000]
        files, offset, y = pack["jpeg"], pack["offset"], pack["label"][rows]
    images = [image.open(io.BytesIO(files[offset[i] : offset[i + 1]].tobytes())) for i in rows]
    X = np.stack([np.asarray(image) for image in images]).transpose(0, 3, 1, 2) / 255
    X_train, X_test, y_train, y_test = split_imbalanced(X, y, test_size=0.25, random_state=0)
    X_train, y_train = make_imbalanced(X_train, y_train, ratio=10, random_state=0)
    X_train, X_test = (np.ascontiguousarray(part, np.float32) for part in (X_train[:2000], X_test))
    return X_train, X_test, y_train[:2000].astype(np.int64), y_test


def make_pipeline(**params):
    params = {"module__head": nn.Linear, "criterion": nn.CrossEntropyLoss, **params}
    net = NeuralNetClassifier(
        ResNet,
        module__n_classes=5,
        module__depth=8,
        optimizer=optim.Adam,
        lr=0.005,
        max_epochs=2,
        batch_size=64,
        train_split=None,
        iterator_train=BatchLoader,
        iterator_train__shuffle=True,
        verbose=0,
        **params,
    )
    return make_embedding_pipeline(net, EOS(n_neighbors=50), random_state=0)


class Images(Dataset):
    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.X[i], self.y[i]


INPUTS = {
    "array": lambda X, y: (X, y),
    "tensor": lambda X, y: (torch.from_numpy(X), torch.from_numpy(y)),
    "dataset": lambda X, y: (Images(X, y), None),
    "tensor dataset": lambda X, y: (TensorDataset(torch.from_numpy(X), torch.from_numpy(y)), None),
    "slices": lambda X, y: (SliceDataset(Images(X, y)), y),
}


@pytest.mark.parametrize("convert", INPUTS.values(), ids=INPUTS)
def test_every_input_learns_the_same(cifar, convert, request):
    X_train, X_test, y_train, y_test = cifar
    pipeline = make_pipeline().fit(*convert(X_train, y_train))
    predicted = pipeline.predict(convert(X_test, y_test)[0])
    assert balanced_accuracy_score(y_test, predicted) > 0.3
    # The first input decides.
    expected = request.config.stash.setdefault(EXPECTED, predicted)
    assert np.mean(predicted == expected) > 0.99


EXPECTED = pytest.StashKey()


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {"criterion": losses.FocalLoss},
        {"criterion": losses.AsymmetricLoss},
        {"criterion": losses.ClassBalancedLoss},
        {"criterion": losses.LDAMLoss, "module__head": NormalizedLinear},
        {
            "criterion": losses.LDAMLoss,
            "module__head": NormalizedLinear,
            "callbacks": [losses.DeferredReweighting(start=1)],
        },
        {"criterion": losses.LogitAdjustedLoss},
        {"criterion": losses.BalancedSoftmaxLoss},
    ],
    ids=lambda params: "-".join([params["criterion"].__name__, *list(params)[1:]]),
)
def test_every_loss_learns(cifar, params):
    X_train, X_test, y_train, y_test = cifar
    pipeline = make_pipeline(**params).fit(X_train, y_train)
    probabilities = pipeline.predict_proba(X_test)
    assert balanced_accuracy_score(y_test, probabilities.argmax(axis=1)) > 0.3
    with torch.no_grad():
        outputs = pipeline.to_module()(torch.from_numpy(X_test)).softmax(dim=1)
    np.testing.assert_allclose(outputs, probabilities, atol=1e-4)
