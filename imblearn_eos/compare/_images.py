"""Compare samplers on images: three-phase training on one network per seed.

The network is trained once per seed and embeds the training rows and the test rows once. Then every
sampler balances the same training embeddings and a linear head is refitted to each result, so that
the samplers differ only in the rows that they add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import Callback

from imblearn_eos._compat import HasMethods, Interval, validate_params
from imblearn_eos._defaults import eos_for_embeddings
from imblearn_eos._device import resolve_device
from imblearn_eos.compare._candidates import make_candidates
from imblearn_eos.compare._fit import clone_with_seed
from imblearn_eos.compare._parallel import MANY_NUMBERS, choose_cores
from imblearn_eos.compare._run import CONSTRAINTS, Embedded, SeedResult, run
from imblearn_eos.embedding import Embedder, LinearHead
from imblearn_eos.models import SmallCNN
from imblearn_eos.over_sampling import EOS

MIN_PIXELS = 8


@validate_params(
    {
        **CONSTRAINTS,
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "net": [HasMethods(["fit", "predict_proba"]), None],
        "embedder": [HasMethods(["fit", "transform"]), None],
        "on_epoch": [callable, None],
    },
    prefer_skip_nested_validation=True,
)
def compare(
    X: ArrayLike,
    y: ArrayLike,
    *,
    net: NeuralNet | None = None,
    embedder: BaseEstimator | None = None,
    groups: ArrayLike | None = None,
    test: ArrayLike | None = None,
    validation: ArrayLike | None = None,
    samplers: str | Sequence[str | tuple[str, Any]] | None = None,
    seeds: int = 5,
    epochs: int = 40,
    batch_size: int = 64,
    lr: float = 1e-3,
    alpha: float = 0.01,
    test_size: float = 0.3,
    imbalance_ratio: float | None = None,
    validation_folds: int = 1,
    eos: EOS | None = None,
    tune: bool = True,
    scoring: str | Callable | None = None,
    cost_matrix: ArrayLike | None = None,
    device: str | torch.device = "auto",
    n_jobs: int | None = None,
    on_epoch: Callable[[], Any] | None = None,
) -> Iterator[SeedResult]:
    """Compare samplers in the embedding space of a network trained on images, seed after seed.

    For each seed: split, train the network on the training rows, embed the training and the test
    rows, and for each sampler refit a `LinearHead` on the over-sampled training embeddings. Two
    methods without new rows are added: the network's own head, and the head refitted without a
    sampler but with logit adjustment. The same is done with a fifth of the training rows held out,
    for the scores that choose a method (see `recommend`). The test rows are used for the scores
    only.

    The network is a `SmallCNN`, trained by Adam, unless ``net`` or ``embedder`` is given. With a
    pretrained backbone, `compare_embeddings` takes seconds instead.

    Parameters
    ----------
    X : array-like of shape (n_samples, channels, height, width)
        Images of at least 8 x 8 pixels, converted to float32.
    y : array-like of shape (n_samples,)
        Labels of at least two classes, each with at least two rows.
    net : skorch.NeuralNet or None, default=None
        A network to be trained instead of `SmallCNN`, as for `Embedder`. X is then what it takes,
        and ``epochs``, ``batch_size`` and ``lr`` have no effect.
    embedder : estimator object or None, default=None
        Instead of ``net``, an `Embedder`, or any transformer that embeds rows; it is cloned and
        fitted to the training rows.
    groups : array-like of shape (n_samples,) or None, default=None
        Rows of one group, such as a patient or a video, stay on one side of every split.
    test, validation : array-like or None, default=None
        The rows of a test and of a validation part, as a mask or as positions. All seeds then
        share them. Without a validation part, rows are held out of the training part.
    samplers : str or array-like, default=None
        One or more names of samplers in `METHODS`, and pairs of a new name and a sampler, as in
        ``["eos", ("Borderline", BorderlineSMOTE())]``. None means all names. "none", which refits
        the head on the embeddings as they are, always runs: it is the baseline.
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
    validation_folds : int, default=1
        How many of five folds of the training rows are held out in turn to choose a method. Each
        trains a network more. With 0, no method is chosen.
    eos : EOS or None, default=None
        The sampler named "eos", whose settings then stay as they are. None means
        ``EOS(n_neighbors=1000)``, or the setting of its ``grid`` in `METHODS` that is best.
    tune : bool, default=True
        Choose the settings of each method by the validation rows, on the same folds for all. False
        means the defaults. Samplers and classifiers that are given keep their own.
    scoring : str, callable or None, default=None
        What validation rows choose by: a scorer, or a name of scikit-learn's scorers. For two
        classes, "f1", "precision", "recall", "jaccard", "average_precision" and
        "recall_at_precision=0.9" are of the rarer class; the last is its recall at the best
        threshold with at least this precision. With more classes, "average_precision" and
        "roc_auc" are means over the classes. None means balanced accuracy.
    cost_matrix : array-like or DataFrame of shape (n_classes, n_classes), default=None
        Choose by the mean cost instead. Rows are true, columns predicted classes, in sorted order;
        those of a pandas DataFrame have the names of the classes, in any order. Each method gets
        its mean cost on the test rows, and "cost" is added: the head or classifier of "none", with
        decisions of least expected cost.
    device : str or torch.device, default="auto"
        Where the network, EOS and the heads compute.
    n_jobs : int or None, default=None
        CPU threads. None means one for small data, which more threads slow down, else all cores.
    on_epoch : callable or None, default=None
        Called without arguments after each epoch, for progress. The networks are those of the
        seeds, of their folds, and of `refit_recommended`.

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
    after_epoch = _AfterEpoch(on_epoch and (lambda: on_epoch()))
    if embedder is not None or net is not None:
        X = np.asarray(X)
        make_embedder = partial(_clone_embedder, embedder or Embedder(net), after_epoch)
    else:
        X = np.asarray(X, dtype=np.float32)
        if X.ndim != 4 or min(X.shape[2:]) < MIN_PIXELS:
            raise ValueError(
                f"X has shape {X.shape}, but images must have shape (n_samples, channels, height, "
                f"width) with at least {MIN_PIXELS} x {MIN_PIXELS} pixels. Move channels that are "
                "last with X.transpose(0, 3, 1, 2); for embeddings use compare_embeddings, for "
                "rows of features compare_table."
            )
        make_embedder = partial(
            _make_embedder,
            X.shape[1],
            lr=lr,
            batch_size=batch_size,
            max_epochs=epochs,
            device=str(resolve_device(device)),
            callbacks=[after_epoch],
        )
    candidates = partial(
        make_candidates,
        samplers,
        LinearHead(alpha=alpha, device=device),
        eos=eos,
        default_eos=eos_for_embeddings(trained_on_rows=True, device=device),
        tune=tune,
        tune_head=True,
    )
    return run(
        X,
        y,
        partial(_embed, make_embedder),
        candidates,
        seeds=seeds,
        cores=choose_cores(n_jobs, X.size, many=MANY_NUMBERS, n_tasks=1, device=device),
        scoring=scoring,
        cost_matrix=cost_matrix,
        test_size=test_size,
        imbalance_ratio=imbalance_ratio,
        groups=groups,
        test=test,
        validation=validation,
        validation_folds=validation_folds,
    )


def _make_embedder(in_channels, n_classes, **params):
    net = NeuralNetClassifier(
        SmallCNN,
        module__n_classes=n_classes,
        module__in_channels=in_channels,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **params,
    )
    return Embedder(net)


def _clone_embedder(embedder, after_epoch, n_classes):
    embedder = clone(embedder)
    callbacks = getattr(getattr(embedder, "net", None), "callbacks", "disable")
    if callbacks != "disable":
        embedder.net.set_params(callbacks=[*(callbacks or []), after_epoch])
    return embedder


def _embed(make_embedder, seed, X_train, y_train):
    embedder = make_embedder(len(np.unique(y_train)))
    if not isinstance(embedder, Embedder):
        return Embedded(clone_with_seed(embedder, seed).fit(X_train, y_train))
    embedder.set_params(random_state=seed).fit(X_train, y_train)
    history = embedder.net_.history
    # A frozen net may have been trained elsewhere.
    loss = float(history[-1, "train_loss"]) if len(history) else None
    return Embedded(embedder, _OwnHead(embedder), loss)


class _OwnHead(ClassifierMixin, BaseEstimator):
    """The last layer of the trained network, as a classifier of embeddings.

    `SmallCNN` returns what this layer returns, so its predictions need no second pass through the
    network.
    """

    def __init__(self, embedder):
        self.embedder = embedder
        self.classes_, self.net = embedder.classes_, embedder.net_
        self.layer = self.net.module_.get_submodule(embedder.layer_)

    def predict_proba(self, Z):
        # In the batches of the network, because the last bits of a product depend on their size.
        batches = torch.from_numpy(Z).to(self.net.device).split(self.net.batch_size)
        with torch.no_grad():
            logits = torch.cat([self.layer(batch) for batch in batches])
        return logits.softmax(dim=1).cpu().numpy()

    def predict(self, Z):
        return self.classes_[self.predict_proba(Z).argmax(axis=1)]


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
