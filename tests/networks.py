"""Small networks and data for tests, importable so that they pickle."""

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn


class MLP(nn.Module):
    def __init__(self, n_features=6, width=5, n_classes=3, dropout=0.0):
        super().__init__()
        self.hidden = nn.Linear(n_features, width)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, n_classes)

    def embed(self, X):
        return self.dropout(torch.relu(self.norm(self.hidden(X))))

    def forward(self, X):
        return self.head(self.embed(X))


class SoftmaxMLP(MLP):
    def forward(self, X):
        return super().forward(X).softmax(dim=-1)


class ScaledMLP(MLP):
    """Does something after its head that no nonlinearity of skorch undoes."""

    def forward(self, X):
        return super().forward(X) * 5


class FocalLoss(nn.Module):
    """A loss that skorch does not know to take logits."""

    def forward(self, logits, target):
        losses = nn.functional.cross_entropy(logits, target, reduction="none")
        return ((1 - losses.neg().exp()) * losses).mean()


class OneLogit(MLP):
    def __init__(self, n_features=6):
        super().__init__(n_features, n_classes=1)


class CNN(nn.Module):
    def __init__(self, n_classes=3, bias=True):
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.LazyLinear(n_classes, bias=bias))

    def forward(self, X):
        return self.classifier(self.trunk(X))


class NoLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(6, 3))

    def forward(self, X):
        return X @ self.weight


class TwoHeads(MLP):
    def __init__(self):
        super().__init__()
        self.auxiliary = nn.Linear(5, 3)

    def forward(self, X):
        embeddings = self.embed(X)
        return self.head(embeddings), self.auxiliary(embeddings)


class LateProjection(MLP):
    """After the classes come out, one more linear layer runs."""

    def __init__(self):
        super().__init__()
        self.projection = nn.Linear(5, 4)

    def forward(self, X):
        embeddings = self.embed(X)
        return self.head(embeddings), self.projection(embeddings)


class MeanOfHeads(TwoHeads):
    """Returns the mean of two heads that are nearly the same, as distilled networks do."""

    def __init__(self, n_classes=1000):
        super().__init__()
        self.head, self.auxiliary = nn.Linear(5, n_classes), nn.Linear(5, n_classes)
        for part in (self.head, self.auxiliary):
            nn.init.normal_(part.weight, std=0.01)
            nn.init.zeros_(part.bias)

    def forward(self, X):
        return sum(super().forward(X)) / 2


class HeadTwice(MLP):
    def forward(self, X):
        embeddings = self.embed(X)
        return self.head(embeddings) + self.head(-embeddings)


class TokenHead(MLP):
    """The head sees (n_samples, n_tokens, n_features)."""

    def forward(self, X):
        return self.head(self.embed(X)[:, None, :]).mean(dim=1)


class InPlaceAfterHead(MLP):
    def forward(self, X):
        embeddings = self.embed(X)
        logits = self.head(embeddings)
        if not self.training:
            embeddings.fill_(-1)
        return logits


class SharedHead(MLP):
    """The head has two names, and forward uses the second."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Identity(), self.head)

    def forward(self, X):
        return self.layers(self.embed(X))


class CountFits(Callback):
    """Append a line to a file whenever a training starts its first epoch, in whatever process."""

    def __init__(self, path):
        self.path = path

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 1:
            with open(self.path, "a") as file:
                file.write("fit\n")


def n_fits(path):
    """Return how many trainings :class:`CountFits` has counted."""
    return len(path.read_text().splitlines()) if path.exists() else 0


class FirstOutput(nn.CrossEntropyLoss):
    def forward(self, outputs, targets):
        return super().forward(outputs[0], targets)


def make_net(module=MLP, **params):
    params = {
        "criterion": nn.CrossEntropyLoss,
        "max_epochs": 2,
        "lr": 0.1,
        "batch_size": 32,
        "train_split": None,
        "verbose": 0,
        **params,
    }
    return NeuralNetClassifier(module, **params)


def make_data(counts=(50, 30, 12), n_features=6, seed=0):
    """Make overlapping Gaussian classes 0, 1, ... of given sizes, in mixed order."""
    random_state = np.random.RandomState(seed)
    y = random_state.permutation(np.repeat(np.arange(len(counts)), counts))
    centers = random_state.normal(size=(len(counts), n_features))
    X = centers[y] + random_state.normal(size=(len(y), n_features))
    return X.astype(np.float32), y


class Mapped(MLP):
    """Returns a mapping, as models of transformers do."""

    def forward(self, X):
        return {"logits": super().forward(X)}


class Backbone(nn.Module):
    """A network without a head: its output is the embedding."""

    def __init__(self, n_features=6, width=5):
        super().__init__()
        self.hidden = nn.Linear(n_features, 2 * width)
        self.norm = nn.LayerNorm(2 * width)
        self.project = nn.Conv1d(2 * width, width, 1)

    def forward(self, X):
        hidden = torch.relu(self.norm(self.hidden(X)))
        return self.project(hidden[:, :, None]).flatten(1)


class Inputs(nn.Module):
    """Takes a dict of token numbers and a mask, and returns a mapping."""

    def __init__(self, n_tokens=20, width=5, n_classes=7, key="logits"):
        super().__init__()
        self.tokens = nn.Embedding(n_tokens, width)
        self.head = nn.Linear(width, n_classes)
        self.key = key

    def forward(self, tokens, mask):
        shown = self.tokens(tokens) * mask[..., None]
        embedding = shown.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        hidden = {"hidden": shown}
        if self.key == "logits":
            return {**hidden, "logits": self.head(embedding)}
        return {**hidden, self.key: embedding}


def make_tokens(n_samples=92, length=6, seed=0):
    """Make a dict of token numbers and masks, with labels that depend on the tokens."""
    random_state = np.random.RandomState(seed)
    y = random_state.permutation(np.repeat([0, 1, 2], [n_samples - 42, 30, 12]))
    tokens = random_state.randint(6, size=(n_samples, length)) + 6 * y[:, None]
    mask = random_state.uniform(size=tokens.shape) < 0.8
    return {"tokens": tokens, "mask": mask.astype(np.float64)}, y
