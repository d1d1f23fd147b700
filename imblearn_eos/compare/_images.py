"""The main job: three-phase training with several samplers, on one network per seed.

The network is trained once per seed and embeds the training and the test rows once. Then every
sampler balances the same training embeddings and a linear head is refitted on each result, so that
the samplers differ in nothing but the rows they add.
"""

import time
import warnings
from dataclasses import dataclass, field
from numbers import Integral, Real

import numpy as np
import torch
from imblearn import FunctionSampler
from imblearn.metrics import geometric_mean_score
from imblearn.over_sampling import ADASYN, SMOTE, RandomOverSampler
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.multiclass import check_classification_targets
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback

from imblearn_eos._device import DEVICE_CONSTRAINT, resolve_device
from imblearn_eos.datasets import split_imbalanced
from imblearn_eos.embedding import Embedder, LinearHead
from imblearn_eos.models import SmallCNN
from imblearn_eos.over_sampling import EOS


class LenientADASYN(ADASYN):
    """ADASYN that leaves the classes as they are for which ADASYN would raise, and warns.

    ADASYN raises when a single class has no enemies among its neighbors, or so few that every
    row's share of the new rows rounds to none. Both are common among the embeddings of a network
    that fits its training rows.
    """

    def _fit_resample(self, X, y):
        parts, refused = [(X, y)], {}
        for label, n_rows in self.sampling_strategy_.items():
            sampler = ADASYN(**self.get_params())
            sampler.sampling_strategy = {label: np.sum(y == label) + n_rows}
            try:
                resampled = sampler.fit_resample(X, y)
            except (RuntimeError, ValueError) as error:
                refused[str(label)] = error
            else:
                parts.append([part[len(X) :] for part in resampled])
        if refused:
            warnings.warn(
                f"ADASYN refuses {len(refused)} of {len(self.sampling_strategy_)} classes, which "
                f"stay as they are: {', '.join(refused)}. For the first, it says: "
                f"{next(iter(refused.values()))}",
                UserWarning,
                stacklevel=2,
            )
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


# Every sampler runs with its own defaults, so that none is tuned; EOS takes two options.
SAMPLERS = {
    "none": FunctionSampler(),
    "random": RandomOverSampler(),
    "smote": SMOTE(),
    "adasyn": LenientADASYN(),
    "eos": EOS(),
}

# The geometric mean is that of sensitivity and specificity of each class against the rest, averaged
# over classes as the paper does; so it is above 0 even where a class is never predicted.
METRICS = {
    "balanced_accuracy": balanced_accuracy_score,
    "macro_g_mean": lambda y, y_pred: geometric_mean_score(y, y_pred, average="macro"),
    "macro_f1": lambda y, y_pred: f1_score(y, y_pred, average="macro", zero_division=0),
}

MIN_PIXELS = 8

CONSTRAINTS = {
    "samplers": ["array-like"],
    "seeds": [Interval(Integral, 1, None, closed="left")],
    "epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "test_size": [Interval(Real, 0, 1, closed="neither")],
    "imbalance_ratio": [Interval(Real, 1, None, closed="left"), None],
    "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    "enemy_search": [StrOptions({"neighborhood", "nearest"})],
    "device": DEVICE_CONSTRAINT,
    "on_epoch": [callable, None],
}


@dataclass
class MethodResult:
    """How one head did on the test rows of one seed.

    Attributes
    ----------
    scores : dict of str to float
        A value for each of `METRICS`; empty if the method failed.
    rows_added : int
        Synthetic training rows.
    seconds_resample, seconds_refit : float
        Time to over-sample the embeddings, and to fit the head on them.
    error : str or None
        Why the method failed, if it did.
    warnings : list of str
        What it warned of.
    """

    scores: dict = field(default_factory=dict)
    rows_added: int = 0
    seconds_resample: float = 0.0
    seconds_refit: float = 0.0
    error: str | None = None
    warnings: list = field(default_factory=list)


@dataclass
class SeedResult:
    """One seed of a comparison: a split, a network, and the heads fitted on its embeddings.

    Attributes
    ----------
    seed : int
        Seed of the split, the network and the samplers.
    train_counts, test_counts : dict of str to int
        Rows per class.
    train_loss, train_balanced_accuracy : float
        Mean loss in the last epoch, and the fit of the trained network to its training rows:
        whether it trained long enough can be read here, without looking at the test rows.
    seconds_train, seconds_embed : float
        Time to train the network, and to embed the training and test rows.
    methods : dict of str to MethodResult
        "network", the network's own head, and one for each sampler.
    """

    seed: int
    train_counts: dict
    test_counts: dict
    train_loss: float
    train_balanced_accuracy: float
    seconds_train: float
    seconds_embed: float
    methods: dict


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
    embeddings. The test rows are used for nothing but the scores.

    Parameters
    ----------
    X : array-like of shape (n_samples, channels, height, width)
        Images of at least 8 x 8 pixels, converted to float32.
    y : array-like of shape (n_samples,)
        Labels of at least two classes, each with at least two rows.
    samplers : array-like of str, default=("none", "random", "smote", "adasyn", "eos")
        Names in `SAMPLERS`. "none" refits the head on the embeddings as they are.
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
    0 network none eos
    """
    X, y = _check_images(X, y)
    eos_params = {"n_neighbors": n_neighbors, "enemy_search": enemy_search, "device": device}
    methods = _make_methods(samplers, eos_params)
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
    # All splits before any training: an unusable class is found now, not after an hour.
    splits = [
        split_imbalanced(
            np.arange(len(y)),
            y,
            test_size=test_size,
            imbalance_ratio=imbalance_ratio,
            random_state=seed,
        )[:2]
        for seed in range(seeds)
    ]
    return (
        _run_seed(seed, (X[train], X[test], y[train], y[test]), net, methods, head)
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
            "(--image-size does so for a folder)."
        )
    try:
        check_classification_targets(y)
    except ValueError as error:
        raise ValueError(f"y must hold the labels of classes: {error}") from error
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(
            f"y has {len(classes)} class ({', '.join(map(str, classes))}); a comparison needs at "
            "least 2."
        )
    return X, y


def _make_methods(names, eos_params):
    unknown = [name for name in names if name not in SAMPLERS]
    if unknown or not len(names):
        raise ValueError(
            f"The 'samplers' parameter must name some of {', '.join(SAMPLERS)}. "
            f"Got {', '.join(map(repr, unknown)) or 'none of them'} instead."
        )
    methods = {name: clone(SAMPLERS[name]) for name in names}
    if "eos" in methods:
        methods["eos"].set_params(**eos_params)
    return methods


def _run_seed(seed, split, net, methods, head):
    X_train, X_test, y_train, y_test = split
    embedder = Embedder(net, random_state=seed)
    start = time.perf_counter()
    embedder.fit(X_train, y_train)
    seconds_train = time.perf_counter() - start
    start = time.perf_counter()
    Z_train, Z_test = embedder.transform(X_train), embedder.transform(X_test)
    seconds_embed = time.perf_counter() - start
    results = {"network": MethodResult(scores=_score(y_test, embedder.predict(X_test)))}
    for name, sampler in methods.items():
        sampler = clone(sampler)
        if "random_state" in sampler.get_params():
            sampler.set_params(random_state=seed)
        results[name] = _run_method(sampler, clone(head), (Z_train, Z_test, y_train, y_test))
    return SeedResult(
        seed=seed,
        train_counts=_count(y_train),
        test_counts=_count(y_test),
        train_loss=float(embedder.net_.history[-1, "train_loss"]),
        train_balanced_accuracy=_score(y_train, embedder.predict(X_train))["balanced_accuracy"],
        seconds_train=seconds_train,
        seconds_embed=seconds_embed,
        methods=results,
    )


def _run_method(sampler, head, split):
    Z_train, Z_test, y_train, y_test = split
    result = MethodResult()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            start = time.perf_counter()
            Z, y = sampler.fit_resample(Z_train, y_train)
            resampled = time.perf_counter()
            head.fit(Z, y)
            result.seconds_resample = resampled - start
            result.seconds_refit = time.perf_counter() - resampled
            result.rows_added = len(Z) - len(Z_train)
            result.scores = _score(y_test, head.predict(Z_test))
        # A sampler that cannot serve these data is a finding, not the end of the comparison.
        except (ValueError, RuntimeError) as error:
            result.error = f"{type(error).__name__}: {error}"
    result.warnings = list(dict.fromkeys(str(warning.message) for warning in caught))
    return result


def _score(y, y_pred):
    return {name: float(metric(y, y_pred)) for name, metric in METRICS.items()}


def _count(y):
    classes, counts = np.unique(y, return_counts=True)
    return {str(label): int(count) for label, count in zip(classes, counts, strict=True)}
