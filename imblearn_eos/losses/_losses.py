"""The loss functions."""

from __future__ import annotations

from abc import abstractmethod

import torch
from numpy.typing import ArrayLike
from torch import nn
from torch.nn import functional

from imblearn_eos.losses._class_counts import (
    ANY_NUMBER,
    AT_LEAST_0,
    BELOW_1,
    FROM_0_TO_1,
    check_class_counts,
    check_logits,
    check_number,
    effective_number_weights,
    log_priors,
    matched_to_logits,
    smoothing_of_counts,
)


class FocalLoss(nn.CrossEntropyLoss):
    r"""Cross-entropy that gives less weight to well-classified samples.

    The mean of :math:`-w_y (1 - p_y)^\gamma \log p_y`, where :math:`p` is the softmax of the
    logits [1]_.

    Parameters
    ----------
    gamma : float, default=2.0
        Strength of the focus, at least 0; 0 is cross-entropy.
    weight : torch.Tensor of shape (n_classes,), default=None
        Class weights; None means 1. The mean divides by the number of samples, whereas
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

    def __init__(self, gamma: float = 2.0, weight: torch.Tensor | None = None) -> None:
        super().__init__(weight=weight)
        self.gamma = check_number("FocalLoss", "gamma", gamma, AT_LEAST_0)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of logits (n_samples, n_classes) for class numbers (n_samples,).

        As in CrossEntropyLoss, samples of class number ``ignore_index``, -100, do not count.
        """
        check_logits("FocalLoss", logits, target)
        own, is_ignored = _classes(target, self.ignore_index)
        losses = _focal_terms(functional.log_softmax(logits, dim=1), own, self.gamma)
        losses = losses if self.weight is None else losses * self.weight[own]
        return _mean(losses, is_ignored)


class AsymmetricLoss(nn.CrossEntropyLoss):
    r"""Asymmetric loss for samples with a single label.

    Cross-entropy with label smoothing and two focusing factors: :math:`(1 - p)^{\gamma_+}` for the
    term of the sample's class, :math:`p^{\gamma_-}` for the terms of the other classes [1]_.

    Parameters
    ----------
    gamma_pos : float, default=0.0
        Focusing of the sample's class, at least 0.
    gamma_neg : float, default=4.0
        Focusing of the other classes, at least 0.
    label_smoothing : float, default=0.1
        Share of the target that is spread over all classes, from 0 to 1. With 0, the other classes
        do not contribute.

    Raises
    ------
    ValueError
        When a parameter is out of its range.

    References
    ----------
    .. [1] Ridnik, Ben-Baruch, Zamir, Noy, Friedman, Protter, Zelnik-Manor, "Asymmetric Loss for
       Multi-Label Classification", ICCV 2021. The single-label form is from the authors' released
       code.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.losses import AsymmetricLoss
    >>> AsymmetricLoss()(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    tensor(0.1206)
    """

    def __init__(
        self, gamma_pos: float = 0.0, gamma_neg: float = 4.0, label_smoothing: float = 0.1
    ) -> None:
        owner = "AsymmetricLoss"
        smoothing = check_number(owner, "label_smoothing", label_smoothing, FROM_0_TO_1)
        super().__init__(label_smoothing=smoothing)
        self.gamma_pos = check_number(owner, "gamma_pos", gamma_pos, AT_LEAST_0)
        self.gamma_neg = check_number(owner, "gamma_neg", gamma_neg, AT_LEAST_0)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of logits (n_samples, n_classes) for class numbers (n_samples,).

        As in CrossEntropyLoss, samples of class number ``ignore_index``, -100, do not count.
        """
        check_logits("AsymmetricLoss", logits, target)
        target, is_ignored = _classes(target, self.ignore_index)
        share = self.label_smoothing / logits.shape[1]
        log_p = functional.log_softmax(logits, dim=1)
        own = _focal_terms(log_p, target, self.gamma_pos)
        others = log_p.scatter(1, target[:, None], 0)
        if self.gamma_neg > 0 or share == 0:
            # Terms of p = 0, which a logit of -inf has, vanish.
            others = others.masked_fill(others.isneginf(), 0)
        others = -(_power(others, self.gamma_neg) * others).sum(dim=1)
        losses = (1 - self.label_smoothing + share) * own + share * others
        return _mean(losses, is_ignored)


class _CountedLoss(nn.CrossEntropyLoss):
    """A loss that depends on class sizes, which :meth:`set_class_counts` may set later."""

    def __init__(self, class_counts: ArrayLike | None = None) -> None:
        super().__init__()
        # What the loss was made with; ClassCounts sets counts only where this is None.
        self.class_counts = class_counts
        # Not a buffer: it must not be loaded from a checkpoint, and some devices lack float64.
        self.per_class: torch.Tensor | None = None
        # Of the values per class, by dtype and device: not one from the host for every batch.
        self._copies: dict[tuple, torch.Tensor] = {}
        if class_counts is not None:
            self.set_class_counts(class_counts)

    def set_class_counts(self, class_counts: ArrayLike) -> None:
        """Set the class sizes.

        Parameters
        ----------
        class_counts : array-like of shape (n_classes,)
            Training samples of each class, at least 1.

        Raises
        ------
        ValueError
            When a count is below 1 or not finite.
        """
        self.per_class, self._copies = self._from_counts(check_class_counts(class_counts)), {}

    def _matched(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the values per class with the dtype and device of logits, after checking both."""
        owner = type(self).__name__
        check_logits(owner, logits, target)
        place = logits.dtype, logits.device
        # Autograd could not use a copy that inference mode made.
        with torch.inference_mode(False):
            values = matched_to_logits(owner, self._copies.get(place, self.per_class), logits)
        self._copies[place] = values
        return values

    def __getstate__(self) -> dict:
        # Files load on machines without the device, and caches see no difference.
        return {**vars(self), "_copies": {}}

    @abstractmethod
    def _from_counts(self, counts: torch.Tensor) -> torch.Tensor:
        """Return what :meth:`forward` needs per class."""


class ClassBalancedLoss(_CountedLoss):
    """Cross-entropy with classes weighted by their effective number of samples.

    As in :class:`torch.nn.CrossEntropyLoss`, the mean divides by the sum of the samples' weights.

    Parameters
    ----------
    beta : float, default=0.9999
        As in :func:`class_balanced_weights`.
    class_counts : array-like of shape (n_classes,), default=None
        Training samples of each class. None takes them from y.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.losses import ClassBalancedLoss
    >>> loss = ClassBalancedLoss(class_counts=[90, 10])
    >>> loss(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor(0.6931)
    """

    def __init__(self, beta: float = 0.9999, class_counts: ArrayLike | None = None) -> None:
        self.beta = check_number("ClassBalancedLoss", "beta", beta, BELOW_1)
        super().__init__(class_counts)

    def _from_counts(self, counts: torch.Tensor) -> torch.Tensor:
        return effective_number_weights(counts, self.beta)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the weighted mean loss of logits (n_samples, n_classes) for class numbers."""
        return functional.cross_entropy(logits, target, weight=self._matched(logits, target))


class LDAMLoss(_CountedLoss):
    r"""Cross-entropy with a margin that is wider for smaller classes.

    The logit of the sample's class is lowered by ``scale`` times a margin proportional to
    :math:`n^{-1/4}`, where ``n`` is the size of the class [1]_.

    Parameters
    ----------
    max_margin : float, default=0.5
        Margin of the smallest class, at least 0.
    scale : float, default=30.0
        The ``scale`` of the network's :class:`imblearn_eos.models.NormalizedLinear` head, at least
        0. With an ordinary linear head use 1.
    weight : torch.Tensor of shape (n_classes,), default=None
        Class weights; see :class:`DeferredReweighting`.
    class_counts : array-like of shape (n_classes,), default=None
        Training samples of each class. None takes them from y.

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

    def __init__(
        self,
        max_margin: float = 0.5,
        scale: float = 30.0,
        weight: torch.Tensor | None = None,
        class_counts: ArrayLike | None = None,
    ) -> None:
        self.max_margin = check_number("LDAMLoss", "max_margin", max_margin, AT_LEAST_0)
        self.scale = check_number("LDAMLoss", "scale", scale, AT_LEAST_0)
        super().__init__(class_counts)
        self.weight = weight

    def _from_counts(self, counts: torch.Tensor) -> torch.Tensor:
        margins = counts**-0.25
        return self.max_margin * margins / margins.max()

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of logits (n_samples, n_classes) for class numbers (n_samples,).

        As in CrossEntropyLoss, samples of class number ``ignore_index``, -100, do not count.
        """
        own, _ = _classes(target, self.ignore_index)
        margins = self.scale * self._matched(logits, target)[own]
        lowered = logits.scatter_add(1, own[:, None], -margins[:, None])
        return functional.cross_entropy(lowered, target, weight=self.weight)


class LogitAdjustedLoss(_CountedLoss):
    """Cross-entropy of logits that are raised for large classes.

    Adds ``tau`` times the logarithm of each class's share of the samples to its logit [1]_. This
    happens in the loss only: the network itself learns the logits of balanced classes. For networks
    that were trained without it, use :func:`adjust_logits`.

    Parameters
    ----------
    tau : float, default=1.0
        Strength of the adjustment.
    class_counts : array-like of shape (n_classes,), default=None
        Training samples of each class. None takes them from y.

    References
    ----------
    .. [1] Menon, Jayasumana, Rawat, Jain, Veit, Kumar, "Long-tail Learning via Logit Adjustment",
       ICLR 2021.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.losses import LogitAdjustedLoss
    >>> LogitAdjustedLoss(class_counts=[90, 10])(torch.zeros(1, 2), torch.tensor([1]))
    tensor(2.3026)
    """

    def __init__(self, tau: float = 1.0, class_counts: ArrayLike | None = None) -> None:
        self.tau = check_number("LogitAdjustedLoss", "tau", tau, ANY_NUMBER)
        super().__init__(class_counts)

    def _from_counts(self, counts: torch.Tensor) -> torch.Tensor:
        return self.tau * log_priors(counts)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of logits (n_samples, n_classes) for class numbers (n_samples,).

        As in CrossEntropyLoss, samples of class number ``ignore_index``, -100, do not count.
        """
        adjusted = logits + self._matched(logits, target)
        return functional.cross_entropy(adjusted, target, weight=self.weight)


class BalancedSoftmaxLoss(LogitAdjustedLoss):
    """Cross-entropy of the softmax of logits plus the logarithms of class sizes.

    Equal to :class:`LogitAdjustedLoss` with ``tau=1``; the derivation differs [1]_.

    Parameters
    ----------
    class_counts : array-like of shape (n_classes,), default=None
        Training samples of each class. None takes them from y.

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

    def __init__(self, class_counts: ArrayLike | None = None) -> None:
        super().__init__(tau=1.0, class_counts=class_counts)


class LabelAwareSmoothingLoss(_CountedLoss):
    r"""Cross-entropy with labels that are smoothed more for larger classes.

    The target of a sample is :math:`1 - \epsilon_y` for its class and
    :math:`\epsilon_y / (K - 1)` for each other of :math:`K` classes, with :math:`\epsilon` from
    :func:`label_aware_smoothing` [1]_. It is made for the second phase of training, after a first
    with other losses.

    Parameters
    ----------
    smooth_head : float, default=0.3
        Smoothing of the largest class, from 0 to just below 1.
    smooth_tail : float, default=0.0
        Smoothing of the smallest class, from 0 to just below 1.
    class_counts : array-like of shape (n_classes,), default=None
        Training samples of each class. None takes them from y.

    See Also
    --------
    imblearn_eos.LinearHead : Its ``label_smoothing`` is the same loss, for embeddings.

    References
    ----------
    .. [1] Zhong, Cui, Liu, Jia, "Improving Calibration for Long-Tailed Recognition", CVPR 2021,
       :arxiv:`2104.00466`.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.losses import LabelAwareSmoothingLoss
    >>> loss = LabelAwareSmoothingLoss(class_counts=[90, 10])
    >>> logits = torch.tensor([[2.0, 0.0]])
    >>> loss(logits, torch.tensor([0])), loss(logits, torch.tensor([1]))
    (tensor(0.7269), tensor(2.1269))
    """

    def __init__(
        self,
        smooth_head: float = 0.3,
        smooth_tail: float = 0.0,
        class_counts: ArrayLike | None = None,
    ) -> None:
        owner = "LabelAwareSmoothingLoss"
        self.smooth_head = check_number(owner, "smooth_head", smooth_head, BELOW_1)
        self.smooth_tail = check_number(owner, "smooth_tail", smooth_tail, BELOW_1)
        super().__init__(class_counts)

    def _from_counts(self, counts: torch.Tensor) -> torch.Tensor:
        return smoothing_of_counts(counts, self.smooth_head, self.smooth_tail)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of logits (n_samples, n_classes) for class numbers (n_samples,).

        As in CrossEntropyLoss, samples of class number ``ignore_index``, -100, do not count.
        """
        own, is_ignored = _classes(target, self.ignore_index)
        smoothing = self._matched(logits, target)[own]
        losses = -functional.log_softmax(logits, dim=1)
        of_own = losses.gather(1, own[:, None])[:, 0]
        of_others = (losses.sum(dim=1) - of_own) / max(1, logits.shape[1] - 1)
        return _mean((1 - smoothing) * of_own + smoothing * of_others, is_ignored)


def _classes(target: torch.Tensor, ignore_index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return class numbers, 0 in place of ``ignore_index``, and where that was."""
    is_ignored = target == ignore_index
    return target.masked_fill(is_ignored, 0), is_ignored


def _mean(losses: torch.Tensor, is_ignored: torch.Tensor) -> torch.Tensor:
    """Return the mean over the samples that are not ignored, NaN if there are none."""
    # The factor is 1 where all count, so that the mean keeps its bits.
    share = (~is_ignored).to(losses).mean()
    return losses.masked_fill(is_ignored, 0).mean() / share


def _focal_terms(log_p: torch.Tensor, target: torch.Tensor, gamma: float) -> torch.Tensor:
    """Return -(1 - p) ** gamma * log(p) for each sample's class.

    Values and gradients are the limits where p is 0 or 1, as it is beside logits of -inf.
    """
    chosen = target[:, None]
    log_own = log_p.gather(1, chosen)[:, 0]
    # log(1 - p), precise even where p rounds to 1; the lowest number, because -inf has no gradient.
    lowest = torch.finfo(log_p.dtype).min
    log_rest = log_p.clamp(min=lowest).scatter(1, chosen, lowest).logsumexp(dim=1)
    focus = _power(log_rest, gamma).masked_fill(log_own.isneginf(), 1)
    return -focus * log_own


def _power(log_p: torch.Tensor, gamma: float) -> torch.Tensor:
    """Return p ** gamma, with 0 ** 0 = 1."""
    return (gamma * log_p.clamp(min=torch.finfo(log_p.dtype).min)).exp()
