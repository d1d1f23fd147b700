"""Samplers beside each other on images: three-phase training on one network per seed.

The network is trained once per seed and embeds the training and the test rows once. Then every
sampler balances the same training embeddings and a linear head is refitted on each result, so that
the samplers differ in nothing but the rows they add.
"""

import time
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score
from sklearn.utils import Bunch, check_consistent_length, column_or_1d
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback

from imblearn_eos._compat import Interval, validate_params
from imblearn_eos._device import resolve_device
from imblearn_eos.compare import _methods
from imblearn_eos.compare._methods import SAMPLERS, MethodResult, SeedResult
from imblearn_eos.embedding import Embedder, LinearHead
from imblearn_eos.models import SmallCNN

MIN_PIXELS = 8

CONSTRAINTS = {
    **_methods.CONSTRAINTS,
    "epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "on_epoch": [callable, None],
}


@validate_params(
    {"X": ["array-like"], "y": ["array-like"], **CONSTRAINTS},
    prefer_skip_nested_validation=True,
)
def compare(
    X,
    y,
    *,
    samplers=tuple(SAMPLERS),
    seeds=5,
    epochs=40,
    batch_size=64,
    lr=1e-3,
    alpha=0.01,
    test_size=0.3,
    imbalance_ratio=None,
    n_neighbors=10,
    enemy_search="neighborhood",
    device="auto",
    on_epoch=None,
):
    """Compare samplers in the embedding space of a `SmallCNN`, seed after seed.

    For each seed: split, train the network by Adam on the training rows, embed the training and
    the test rows, and for each sampler refit a `LinearHead` on the over-sampled training
    embeddings. Beside them stand the network's own head, and the head refitted without a sampler
    but with logit adjustment, the rival that needs no new rows. The test rows are used for nothing
    but the scores.

    Parameters
    ----------
    X : array-like of shape (n_samples, channels, height, width)
        Images of at least 8 x 8 pixels, converted to float32.
    y : array-like of shape (n_samples,)
        Labels of at least two classes, each with at least two rows.
    samplers : array-like of str, default=("none", "random", "smote", "adasyn", "eos")
        Names in `SAMPLERS`. "none", which refits the head on the embeddings as they are, always
        runs: it is what the others are compared with.
    seeds : int, default=5
        How many seeds; they are 0, 1, 2...
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
        Make the training part long-tailed by this ratio. None leaves it as it is.
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
        The input is checked now; each seed is run when its result is asked for.

    Raises
    ------
    ValueError
        When a parameter, an image or a class cannot be used, and from the iterator when the
        training of the network diverges. The message says what to change.

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
    X, y = _check_images(X, y)
    eos_params = {"n_neighbors": n_neighbors, "enemy_search": enemy_search, "device": device}
    samplers = _methods.make_samplers(samplers, eos_params)
    net = NeuralNetClassifier(
        SmallCNN,
        module__n_classes=len(np.unique(y)),
        module__in_channels=X.shape[1],
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=lr,
        batch_size=batch_size,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        device=str(resolve_device(device)),
        verbose=0,
        callbacks=[_AfterEpoch(on_epoch and (lambda: on_epoch()))],
    )
    head = LinearHead(alpha=alpha, device=device)
    splits = _methods.make_splits(y, seeds, test_size, imbalance_ratio)
    return (
        _run_seed(seed, (X[train], X[test], y[train], y[test]), net, samplers, head, test_size)
        for seed, (train, test) in enumerate(splits)
    )


class _AfterEpoch(Callback):
    """Report that an epoch has ended.

    ``report`` is a plain function, because cloning a net copies everything else deeply, a progress
    bar too.
    """

    def __init__(self, report):
        self.report = report

    def on_epoch_end(self, net, **kwargs):
        if self.report is not None:
            self.report()


def _check_images(X, y):
    X, y = np.asarray(X, dtype=np.float32), column_or_1d(y)
    check_consistent_length(X, y)
    if X.ndim == 4 and X.shape[3] in (1, 3, 4) and min(X.shape[1:3]) >= MIN_PIXELS:
        raise ValueError(
            f"X of shape {X.shape} seems to have its channels last, but images must have shape "
            "(n_samples, channels, height, width). Use X.transpose(0, 3, 1, 2)."
        )
    if X.ndim != 4 or min(X.shape[2:]) < MIN_PIXELS:
        raise ValueError(
            "X must hold images of shape (n_samples, channels, height, width), of at least "
            f"{MIN_PIXELS} x {MIN_PIXELS} pixels. Got shape {X.shape}. Enlarge smaller images "
            "(--image-size does so for a folder); for rows of features use compare_table."
        )
    _methods.check_classes(y)
    return X, y


def _run_seed(seed, split, net, samplers, head, test_size):
    X_train, X_test, y_train, y_test = split
    embedder = Embedder(net, random_state=seed)
    start = time.perf_counter()
    embedder.fit(X_train, y_train)
    seconds_train = time.perf_counter() - start
    start = time.perf_counter()
    Z_train, Z_test = embedder.transform(X_train), embedder.transform(X_test)
    seconds_embed = time.perf_counter() - start
    y_proba, network = embedder.predict_proba(X_test), MethodResult()
    _methods.evaluate(network, y_train, y_test, embedder.predict(X_test), y_proba)
    rows = Z_train, Z_test, y_train, y_test
    results, fitted = _methods.run_samplers(samplers, head, rows, seed)
    return SeedResult(
        seed=seed,
        train_counts=_methods.count(y_train),
        test_counts=_methods.count(y_test),
        test_size=test_size,
        train_loss=float(embedder.net_.history[-1, "train_loss"]),
        train_balanced_accuracy=float(balanced_accuracy_score(y_train, embedder.predict(X_train))),
        seconds_train=seconds_train,
        seconds_embed=seconds_embed,
        methods={"network": network, **results},
        fitted=Bunch(
            embedder=embedder,
            classes=embedder.classes_,
            Z_train=Z_train,
            y_train=y_train,
            **fitted,
        ),
    )
