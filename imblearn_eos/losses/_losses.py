"""The losses, and what they make of the sizes of classes."""

import math
from collections.abc import Mapping
from numbers import Real

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def class_balanced_weights(class_counts, *, beta=0.9999):
    r"""Weigh classes by the inverse of their effective number of samples.

    The weight of a class of ``n`` samples is proportional to
    :math:`(1 - \beta) / (1 - \beta^n)`, and the mean weight is 1 [1]_.

    Parameters
    ----------
    class_counts : array-like of shape (n_classes,), or mapping
        Training samples of each class, at least 1; a pandas Series has classes as its index, a
        mapping, such as a ``collections.Counter``, as its keys.
    beta : float, default=0.9999
        From 0, where all weights are equal, to just below 1, where they are the inverse of the
        class sizes.

    Returns
    -------
    ndarray of shape (n_classes,), dtype=float64

    Raises
    ------
    ValueError
        When ``beta`` or ``class_counts`` are not as above.

    References
    ----------
    .. [1] Cui, Jia, Lin, Song, Belongie, "Class-Balanced Loss Based on Effective Number of
       Samples", CVPR 2019.

    Examples
    --------
    >>> from imblearn_eos.losses import class_balanced_weights
    >>> class_balanced_weights([1000, 100], beta=0.99).round(3)
    array([0.776, 1.224])
    """
    beta = _beta(beta)
    counts = _checked_counts(class_counts).numpy()
    # 1 - beta ** n, exact also where beta is so near to 1 that the power rounds to 1.
    effective = -np.expm1(counts * np.log(beta)) if beta > 0 else np.ones(len(counts))
    weights = 1 / effective
    return weights / weights.mean()


def adjust_logits(logits, class_counts, *, tau=1.0):
    """Lower the logits of large classes, after training.

    Subtracts ``tau`` times the logarithm of each class's share of the training samples, so that
    with ``tau=1`` a network trained with cross-entropy predicts as if classes were balanced; from
    the paper of :class:`LogitAdjustedLoss`. :class:`imblearn_eos.LinearHead` does it by itself
    with its parameter ``tau``.

    Parameters
    ----------
    logits : {array-like, torch.Tensor} of shape (..., n_classes)
        Logits, or logarithms of probabilities.
    class_counts : array-like of shape (n_classes,)
        Training samples of each class, at least 1.
    tau : float, default=1.0
        How much to adjust; choose it on samples that the network was not trained on.

    Returns
    -------
    {ndarray, torch.Tensor} of shape (..., n_classes)

    Raises
    ------
    ValueError
        When ``class_counts`` are not one positive number for each class of ``logits``, or ``tau``
        is no finite number.

    Examples
    --------
    >>> from imblearn_eos.losses import adjust_logits
    >>> adjust_logits([[1.0, 0.0]], [90, 10]).round(2)
    array([[1.11, 2.3 ]])
    """
    tau = _tau(tau)
    priors = tau * _log_priors(class_counts)
    is_tensor = isinstance(logits, torch.Tensor)
    logits = logits if is_tensor else torch.from_numpy(np.array(logits))
    if logits.shape[-1:] != priors.shape:
        shape = tuple(logits.shape)
        raise ValueError(
            f"class_counts has {len(priors)} classes, but logits have shape {shape}. Pass one "
            "count, of at least 1, for each of the network's outputs, in their order."
        )
    logits = logits if logits.is_floating_point() else logits.double()
    adjusted = logits - priors.to(logits)
    return adjusted if is_tensor else adjusted.numpy()


class FocalLoss(nn.CrossEntropyLoss):
    r"""Cross-entropy that counts well classified samples less.

    The mean of :math:`-w_y (1 - p_y)^\gamma \log p_y`, where :math:`p` is the softmax of the
    logits [1]_.

    Parameters
    ----------
    gamma : float, default=2.0
        How much less, at least 0; 0 gives cross-entropy.
    weight : torch.Tensor of shape (n_classes,), default=None
        Weights of classes; None means 1. The mean divides by the number of samples, where
        :class:`torch.nn.CrossEntropyLoss` divides by the sum of their weights.

    Raises
    ------
    ValueError
        When ``gamma`` is below 0.

    References
    ----------
    .. [1] Lin, Goyal, Girshick, He, Dollár, "Focal Loss for Dense Object Detection", ICCV 2017.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.losses import FocalLoss
    >>> FocalLoss()(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    tensor(0.0018)
    """

    def __init__(self, gamma=2.0, weight=None):
        super().__init__(weight=weight)
        self.gamma = _at_least_0("gamma", gamma)

    def forward(self, logits, target):
        """Return the mean loss of logits (n_samples, n_classes) for class numbers (n_samples,)."""
        log_p = functional.log_softmax(logits, dim=1)
        focus = (self.gamma * _log_rest(log_p, target)).exp()
        losses = -focus * log_p.gather(1, target[:, None])[:, 0]
        return (losses if self.weight is None else losses * self.weight[target]).mean()


class AsymmetricLoss(nn.CrossEntropyLoss):
    r"""Asymmetric loss for samples of one class each.

    Cross-entropy against a smoothed target, whose terms are focused: that of the sample's class by
    :math:`(1 - p)^{\gamma_+}`, those of the other classes by :math:`p^{\gamma_-}` [1]_.

    Parameters
    ----------
    gamma_pos : float, default=0.0
        Focusing of the sample's class, at least 0.
    gamma_neg : float, default=4.0
        Focusing of the other classes, at least 0.
    label_smoothing : float, default=0.1
        Share of the target that is spread over all classes, from 0 to 1. Without it, the other
        classes have no terms.

    Raises
    ------
    ValueError
        When a parameter is out of its range.

    References
    ----------
    .. [1] Ridnik, Ben-Baruch, Zamir, Noy, Friedman, Protter, Zelnik-Manor, "Asymmetric Loss for
       Multi-Label Classification", ICCV 2021; its form for single labels is that of the authors'
       released code.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.losses import AsymmetricLoss
    >>> AsymmetricLoss()(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    tensor(0.1206)
    """

    def __init__(self, gamma_pos=0.0, gamma_neg=4.0, label_smoothing=0.1):
        smoothing = _number(
            "label_smoothing", label_smoothing, lambda number: 0 <= number <= 1, "from 0 to 1"
        )
        super().__init__(label_smoothing=smoothing)
        self.gamma_pos = _at_least_0("gamma_pos", gamma_pos)
        self.gamma_neg = _at_least_0("gamma_neg", gamma_neg)

    def forward(self, logits, target):
        """Return the mean loss of logits (n_samples, n_classes) for class numbers (n_samples,)."""
        n_classes = logits.shape[1]
        log_p = functional.log_softmax(logits, dim=1)
        own = functional.one_hot(target, n_classes).to(log_p)
        focus_own = self.gamma_pos * _log_rest(log_p, target)[:, None]
        focus = torch.where(own.bool(), focus_own, self.gamma_neg * log_p).exp()
        smoothed = own * (1 - self.label_smoothing) + self.label_smoothing / n_classes
        return -(smoothed * focus * log_p).sum(dim=1).mean()


class _CountedLoss(nn.CrossEntropyLoss):
    """A loss that depends on the sizes of classes, or waits for :meth:`set_class_counts`.

    ``class_counts`` is what it was made with. What it knows of them is in ``per_class``.
    """

    def __init__(self, class_counts=None):
        super().__init__()
        self.class_counts = class_counts
        # No buffer: it is no state to be loaded, and not every device has float64.
        self.per_class = None
        if class_counts is not None:
            self.set_class_counts(class_counts)

    def set_class_counts(self, class_counts):
        """Learn the sizes of the classes.

        Parameters
        ----------
        class_counts : array-like of shape (n_classes,)
            Training samples of each class, at least 1.

        Raises
        ------
        ValueError
            When they are not.
        """
        self.per_class = self._from_counts(_checked_counts(class_counts))

    def _like(self, logits):
        """Give what depends on class sizes, with the dtype and on the device of logits."""
        name = type(self).__name__
        if self.per_class is None:
            raise ValueError(
                f"{name} does not know the sizes of the classes. Give the net callbacks="
                f"[imblearn_eos.losses.ClassCounts()]; in Embedder, criterion={name} is enough."
            )
        if len(self.per_class) != logits.shape[1]:
            raise ValueError(
                f"{name} was given the sizes of {len(self.per_class)} classes, but the network "
                f"returns logits of {logits.shape[1]}. Are there classes of which y has no sample? "
                "Set the network's number of outputs, or pass class_counts."
            )
        return self.per_class.to(logits)


class ClassBalancedLoss(_CountedLoss):
    """Cross-entropy with classes weighed by their effective number of samples.

    As in :class:`torch.nn.CrossEntropyLoss`, the mean divides by the sum of the samples' weights.

    Parameters
    ----------
    beta : float, default=0.9999
        As in :func:`class_balanced_weights`.
    class_counts : array-like of shape (n_classes,), default=None
        Training samples of each class. None means that they are taken from y.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.losses import ClassBalancedLoss
    >>> loss = ClassBalancedLoss(class_counts=[90, 10])
    >>> loss(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor(0.6931)
    """

    def __init__(self, beta=0.9999, class_counts=None):
        self.beta = _beta(beta)
        super().__init__(class_counts)

    def _from_counts(self, counts):
        return torch.from_numpy(class_balanced_weights(counts, beta=self.beta))

    def forward(self, logits, target):
        """Return the weighted mean loss of logits (n_samples, n_classes) for class numbers."""
        return functional.cross_entropy(logits, target, weight=self._like(logits))


class LDAMLoss(_CountedLoss):
    r"""Cross-entropy with a margin, wider for smaller classes.

    Before the cross-entropy, the logit of the sample's class is lowered by ``scale`` times a
    margin proportional to :math:`n^{-1/4}`, ``n`` being the size of the class [1]_.

    Parameters
    ----------
    max_margin : float, default=0.5
        Margin of the smallest class, at least 0.
    scale : float, default=30.0
        What the logits are multiples of: the ``scale`` of
        :class:`imblearn_eos.models.NormalizedLinear`, the head that goes with this loss. With an
        ordinary linear head use 1.
    weight : torch.Tensor of shape (n_classes,), default=None
        Weights of classes; see :class:`DeferredReweighting`.
    class_counts : array-like of shape (n_classes,), default=None
        Training samples of each class. None means that they are taken from y.

    References
    ----------
    .. [1] Cao, Wei, Gaidon, Arechiga, Ma, "Learning Imbalanced Datasets with Label-Distribution-
       Aware Margin Loss", NeurIPS 2019.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.losses import LDAMLoss
    >>> loss = LDAMLoss(scale=1, class_counts=[1600, 100])
    >>> loss(torch.zeros(1, 2), torch.tensor([0])), loss(torch.zeros(1, 2), torch.tensor([1]))
    (tensor(0.8259), tensor(0.9741))
    """

    def __init__(self, max_margin=0.5, scale=30.0, weight=None, class_counts=None):
        self.max_margin = _at_least_0("max_margin", max_margin)
        self.scale = _at_least_0("scale", scale)
        super().__init__(class_counts)
        self.weight = weight

    def _from_counts(self, counts):
        margins = counts**-0.25
        return self.max_margin * margins / margins.max()

    def forward(self, logits, target):
        """Return the mean loss of logits (n_samples, n_classes) for class numbers (n_samples,)."""
        margins = self.scale * self._like(logits)[target]
        lowered = logits.scatter_add(1, target[:, None], -margins[:, None])
        return functional.cross_entropy(lowered, target, weight=self.weight)


class LogitAdjustedLoss(_CountedLoss):
    """Cross-entropy of logits that were raised for large classes.

    Adds ``tau`` times the logarithm of each class's share of the samples to its logit [1]_, in the
    loss only: the network's own logits are those of balanced classes. :func:`adjust_logits` is for
    networks that were trained without.

    Parameters
    ----------
    tau : float, default=1.0
        How much to adjust.
    class_counts : array-like of shape (n_classes,), default=None
        Training samples of each class. None means that they are taken from y.

    References
    ----------
    .. [1] Menon, Jayasumana, Rawat, Jain, Veit, Kumar, "Long-tail Learning via Logit Adjustment",
       ICLR 2021.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.losses import LogitAdjustedLoss
    >>> loss = LogitAdjustedLoss(class_counts=[90, 10])
    >>> loss(torch.zeros(1, 2), torch.tensor([1]))
    tensor(2.3026)
    """

    def __init__(self, tau=1.0, class_counts=None):
        self.tau = _tau(tau)
        super().__init__(class_counts)

    def _from_counts(self, counts):
        return self.tau * _log_priors(counts)

    def forward(self, logits, target):
        """Return the mean loss of logits (n_samples, n_classes) for class numbers (n_samples,)."""
        adjusted = logits + self._like(logits)
        return functional.cross_entropy(adjusted, target, weight=self.weight)


class BalancedSoftmaxLoss(LogitAdjustedLoss):
    """Cross-entropy of the softmax of logits plus the logarithms of class sizes.

    What :class:`LogitAdjustedLoss` is with ``tau=1``, by another derivation [1]_.

    Parameters
    ----------
    class_counts : array-like of shape (n_classes,), default=None
        Training samples of each class. None means that they are taken from y.

    References
    ----------
    .. [1] Ren, Yu, Sheng, Ma, Zhao, Yi, Li, "Balanced Meta-Softmax for Long-Tailed Visual
       Recognition", NeurIPS 2020.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.losses import BalancedSoftmaxLoss
    >>> loss = BalancedSoftmaxLoss(class_counts=[90, 10])
    >>> loss(torch.zeros(1, 2), torch.tensor([1]))
    tensor(2.3026)
    """

    def __init__(self, class_counts=None):
        super().__init__(tau=1.0, class_counts=class_counts)


def _number(name, value, is_valid, expected):
    """Give a parameter as a float; arrays and tensors without dimensions are numbers, too."""
    scalar = value.item() if getattr(value, "shape", None) == () else value
    try:
        number = float(scalar) if isinstance(scalar, Real) else math.nan
    except OverflowError:
        number = math.inf
    if not is_valid(number):
        raise ValueError(f"{name} must be {expected}, got {value!r}.")
    return number


def _at_least_0(name, value):
    expected = "a finite number of at least 0"
    return _number(name, value, lambda number: 0 <= number < math.inf, expected)


def _beta(value):
    expected = "a number of at least 0 and less than 1"
    return _number("beta", value, lambda number: 0 <= number < 1, expected)


def _tau(value):
    return _number("tau", value, math.isfinite, "a finite number")


def _log_rest(log_p, target):
    """Give log(1 - p) for the probability of each sample's class, finite also if p rounds to 1."""
    return log_p.scatter(1, target[:, None], -torch.inf).logsumexp(dim=1)


def _checked_counts(class_counts):
    counts = class_counts
    try:
        # The value_counts of pandas are in the order of sizes, and their index names the classes. A
        # categorical index has an order of its own, which is not that of sorted labels.
        if hasattr(counts, "sort_index"):
            counts = counts.sort_index(key=np.asarray)
        elif isinstance(counts, Mapping):
            counts = [counts[label] for label in sorted(counts)]
        is_tensor = isinstance(counts, torch.Tensor)
        counts = counts.detach().to_dense() if is_tensor else np.array(counts)
        if "complex" in str(counts.dtype):
            raise TypeError("complex numbers are no counts")
        if not is_tensor:
            counts = torch.from_numpy(counts.astype(np.float64))
        counts = counts.to("cpu", torch.float64)
    except (OverflowError, RuntimeError, TypeError, ValueError):
        # No numbers, or too large ones, or labels that do not sort.
        counts = torch.empty(0)
    if counts.ndim != 1 or not len(counts) or counts.min() < 1 or not counts.sum() < torch.inf:
        raise ValueError(
            "class_counts must be the number of training samples of each class, at least 1 each, "
            f"got {class_counts!r}."
        )
    return counts


def _log_priors(class_counts):
    counts = _checked_counts(class_counts)
    return (counts / counts.sum()).log()
