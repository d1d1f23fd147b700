"""Compare samplers on images: three-phase training on one network per seed.

The network is trained once per seed and embeds the training rows and the test rows once. Then every
sampler balances the same training embeddings and a linear head is refitted to each result, so that
the samplers differ only in the rows that they add.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback

from imblearn_eos._compat import Interval, validate_params
from imblearn_eos._device import resolve_device
from imblearn_eos.compare._registry import make_samplers
from imblearn_eos.compare._run import CONSTRAINTS, Embedded, SeedResult, run
from imblearn_eos.embedding import Embedder, LinearHead
from imblearn_eos.models import SmallCNN

MIN_PIXELS = 8


@validate_params(
    {
        **CONSTRAINTS,
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "on_epoch": [callable, None],
    },
    prefer_skip_nested_validation=True,
)
def compare(
    X: ArrayLike,
    y: ArrayLike,
    *,
    samplers: Sequence[str] | None = None,
    seeds: int = 5,
    epochs: int = 40,
    batch_size: int = 64,
    lr: float = 1e-3,
    alpha: float = 0.01,
    test_size: float = 0.3,
    imbalance_ratio: float | None = None,
    n_neighbors: int = 10,
    enemy_search: str = "neighborhood",
    device: str | torch.device = "auto",
    on_epoch: Callable[[], Any] | None = None,
) -> Iterator[SeedResult]:
    """Compare samplers in the embedding space of a `SmallCNN`, seed after seed.

    For each seed: split, train the network by Adam on the training rows, embed the training and
    the test rows, and for each sampler refit a `LinearHead` on the over-sampled training
    embeddings. Two methods without new rows are added: the network's own head, and the head
    refitted without a sampler but with logit adjustment. The test rows are used for the scores
    only.

    Parameters
    ----------
    X : array-like of shape (n_samples, channels, height, width)
        Images of at least 8 x 8 pixels, converted to float32.
    y : array-like of shape (n_samples,)
        Labels of at least two classes, each with at least two rows.
    samplers : array-like of str, default=None
        Names of samplers in `METHODS`. None means all. "none", which refits the head on the
        embeddings as they are, always runs: it is the baseline.
    seeds : int, default=5
        Number of seeds; they are 0, 1, 2...
    epochs : int, default=40
        Passes over the training rows.
    batch_size : int, default=64
        Training rows per step.
    lr : float, default=0.001
        Learning rate of Adam.
    alpha : float, default=0.01
        L2 penalty of every refitted head.
    test_size : float, default=0.3
        Share of each class's rows that goes to the test part.
    imbalance_ratio : float or None, default=None
        Make the training part long-tailed by this ratio. None leaves it unchanged.
    n_neighbors : int, default=10
        K of EOS.
    enemy_search : {"neighborhood", "nearest"}, default="neighborhood"
        Where EOS looks for enemies.
    device : str or torch.device, default="auto"
        Where the network, EOS and the heads compute.
    on_epoch : callable or None, default=None
        Called without arguments after each epoch, for progress.

    Returns
    -------
    iterator of SeedResult
        The input is checked at once; each seed runs when its result is requested.

    Raises
    ------
    ValueError
        When a parameter, an image or a class cannot be used, and from the iterator when the
        training of the network diverges.

    Examples
    --------
    >>> from imblearn_eos.compare import compare
    >>> from imblearn_eos.datasets import load_digit_images
    >>> X, y = load_digit_images()
    >>> results = compare(X, y, samplers=["none", "eos"], seeds=1, epochs=1, imbalance_ratio=20)
    >>> for result in results:
    ...     print(result.seed, *result.methods)
    0 network none logit_adjustment eos
    """
    X = np.asarray(X, dtype=np.float32)
    if X.ndim != 4 or min(X.shape[2:]) < MIN_PIXELS:
        raise ValueError(
            f"X has shape {X.shape}, but images must have shape (n_samples, channels, height, "
            f"width) with at least {MIN_PIXELS} x {MIN_PIXELS} pixels. Move channels that are last "
            "with X.transpose(0, 3, 1, 2); for rows of features use compare_table."
        )
    samplers = make_samplers(
        samplers, n_neighbors=n_neighbors, enemy_search=enemy_search, device=device
    )
    train = partial(
        _train_and_embed,
        lr=lr,
        batch_size=batch_size,
        max_epochs=epochs,
        device=str(resolve_device(device)),
        callbacks=[_AfterEpoch(on_epoch and (lambda: on_epoch()))],
    )
    head = LinearHead(alpha=alpha, device=device)
    split = {"seeds": seeds, "test_size": test_size, "imbalance_ratio": imbalance_ratio}
    return run(X, y, train, head, samplers, **split)


def _train_and_embed(seed, X_train, X_test, y_train, **params):
    net = NeuralNetClassifier(
        SmallCNN,
        module__n_classes=len(np.unique(y_train)),
        module__in_channels=X_train.shape[1],
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **params,
    )
    embedder = Embedder(net, random_state=seed)
    start = time.perf_counter()
    embedder.fit(X_train, y_train)
    trained = time.perf_counter()
    Z_train, Z_test = embedder.transform(X_train), embedder.transform(X_test)
    return Embedded(
        embedder,
        Z_train,
        Z_test,
        seconds_train=trained - start,
        seconds_embed=time.perf_counter() - trained,
        own_head=_OwnHead(embedder),
        train_loss=float(embedder.net_.history[-1, "train_loss"]),
    )


class _OwnHead:
    """The last layer of the trained network, as a classifier of embeddings.

    `SmallCNN` returns what this layer returns, so its predictions need no second pass through the
    network.
    """

    def __init__(self, embedder):
        self.classes, self.net = embedder.classes_, embedder.net_
        self.layer = self.net.module_.get_submodule(embedder.layer_)

    def predict_proba(self, Z):
        # In the batches of the network, because the last bits of a product depend on their size.
        batches = torch.from_numpy(Z).to(self.net.device).split(self.net.batch_size)
        with torch.no_grad():
            logits = torch.cat([self.layer(batch) for batch in batches])
        return logits.softmax(dim=1).cpu().numpy()

    def predict(self, Z):
        return self.classes[self.predict_proba(Z).argmax(axis=1)]


class _AfterEpoch(Callback):
    """Call ``report`` when an epoch has ended.

    ``report`` must be a plain function: cloning a net copies anything else deeply, even a progress
    bar.
    """

    def __init__(self, report):
        self.report = report

    def on_epoch_end(self, net, **kwargs):
        if self.report is not None:
            self.report()
