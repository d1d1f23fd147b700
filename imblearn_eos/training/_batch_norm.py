"""Batch normalization as if the classes were equally large."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from skorch.dataset import unpack_data
from torch import nn
from torch.utils.data import Subset

from imblearn_eos._seeding import seeded
from imblearn_eos._validation import label_vector, sorted_classes
from imblearn_eos.training._augmentation import augmented

# Those of torch that can have running statistics.
BATCH_NORMS = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm


def shift_batch_norm(
    net: NeuralNet,
    X: ArrayLike | torch.Tensor | torch.utils.data.Dataset,
    y: ArrayLike | torch.Tensor,
    *,
    random_state: int | np.random.RandomState | None = None,
) -> NeuralNet:
    """Estimate the batch-norm statistics of a trained net again, on balanced classes.

    A network that was trained on imbalanced classes normalizes by means and variances that are
    mostly those of the large classes. This replaces them by those of one pass over samples of which
    each class has equally many [1]_. Weights stay as they are. Do this before the second phase:
    embeddings change, and the old head does not fit them.

    Parameters
    ----------
    net : skorch.NeuralNet
        Trained, for example the ``net_`` of an :class:`~imblearn_eos.Embedder`. It is not changed.
        Samples are augmented by its callbacks :class:`BatchAugmentation`, as in training.
    X : {array-like, torch.Tensor, torch.utils.data.Dataset} of shape (n_samples, ...)
        The training samples, as the net takes them.
    y : {array-like, torch.Tensor} of shape (n_samples,)
        Their labels of any kind.
    random_state : int, RandomState instance or None, default=None
        Seeds which samples of large classes are taken, their order, and the augmentation.

    Returns
    -------
    skorch.NeuralNet
        A copy of the net. Use it in a :class:`sklearn.frozen.FrozenEstimator`.

    Raises
    ------
    ValueError
        When the network has no batch normalization with running statistics, y is empty or has
        another length than X.

    sklearn.exceptions.NotFittedError
        When the net is not trained.

    Notes
    -----
    About as many samples as X has are drawn: each class has the same number of rows, those of small
    classes again and again, of large ones a part. The statistics are means over batches of the
    net's ``iterator_valid``. In the pass all other layers are in evaluation mode.

    References
    ----------
    .. [1] Zhong, Cui, Liu, Jia, "Improving Calibration for Long-Tailed Recognition", CVPR 2021,
       :arxiv:`2104.00466`.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.frozen import FrozenEstimator
    >>> from skorch import NeuralNetClassifier
    >>> from imblearn_eos import EOS, make_embedding_pipeline
    >>> from imblearn_eos.models import SmallCNN
    >>> from imblearn_eos.training import shift_batch_norm
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X.reshape(-1, 1, 8, 8).astype("float32") / 16
    >>> net = NeuralNetClassifier(
    ...     SmallCNN,
    ...     module__n_classes=10,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     max_epochs=1,
    ...     verbose=0,
    ... ).fit(X, y)
    >>> shifted = FrozenEstimator(shift_batch_norm(net, X, y, random_state=0))
    >>> pipeline = make_embedding_pipeline(shifted, EOS(n_neighbors=1000), random_state=0)
    """
    check_is_fitted(net, "module_")
    net = deepcopy(net)
    layers = [
        layer
        for layer in net.module_.modules()
        if isinstance(layer, BATCH_NORMS) and layer.track_running_stats
    ]
    if not layers:
        raise ValueError(
            f"The module {type(net.module_).__name__} has no batch normalization with running "
            "statistics, so there is nothing to estimate. Use the net as it is."
        )
    y = check_array(label_vector(y), ensure_2d=False, dtype=None, input_name="y")
    dataset = net.get_dataset(X)
    check_consistent_length(dataset, y)
    random_state = check_random_state(random_state)
    rows = _balanced_rows(y, random_state)
    batch_size = net.get_params_for("iterator_valid").get("batch_size", net.batch_size)
    if len(rows) % batch_size == 1:
        # A last batch of one sample has no variance.
        rows = rows[:-1]
    seed = random_state.randint(np.iinfo(np.int32).max)
    momenta = [layer.momentum for layer in layers]
    net.module_.eval()
    for layer in layers:
        layer.reset_running_stats()
        # The mean over all batches, not one that forgets the first.
        layer.train().momentum = None
    with seeded(seed, net.device), augmented(net), torch.no_grad():
        for batch in net.get_iterator(Subset(dataset, rows.tolist()), training=False):
            net.infer(unpack_data(batch)[0])
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.eval().momentum = momentum
    return net


def _balanced_rows(y, random_state):
    """Return rows in random order, as many as y has, of which each class has equally many."""
    classes = sorted_classes(y)
    n_each = -(-len(y) // len(classes))
    found = [
        # All rows of a small class equally often.
        np.resize(random_state.permutation(np.flatnonzero(y == label)), n_each)
        for label in classes
    ]
    return random_state.permutation(np.concatenate(found))
