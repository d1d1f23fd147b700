"""Class sizes: how they are checked, and what losses compute from them."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from imblearn_eos._compat import Interval, validate_parameter_constraints
from imblearn_eos._validation import to_array

ANY_NUMBER = Interval(Real, None, None, closed="neither")
AT_LEAST_0 = Interval(Real, 0, None, closed="left")
FROM_0_TO_1 = Interval(Real, 0, 1, closed="both")
BELOW_1 = Interval(Real, 0, 1, closed="left")


def class_balanced_weights(
    class_counts: ArrayLike | Mapping, *, beta: float = 0.9999
) -> np.ndarray:
    r"""Compute class weights from effective numbers of samples.

    The weight of a class with ``n`` samples is proportional to
    :math:`(1 - \beta) / (1 - \beta^n)` [1]_. The mean weight is 1.

    Parameters
    ----------
    class_counts : array-like of shape (n_classes,), or mapping
        Training samples of each class, at least 1. The index of a pandas Series, or the keys of a
        mapping such as ``collections.Counter``, are the classes; they are sorted.
    beta : float, default=0.9999
        From 0 (equal weights) to just below 1 (weights inverse to the class sizes).

    Returns
    -------
    ndarray of shape (n_classes,), dtype=float64

    Raises
    ------
    ValueError
        When ``beta`` or ``class_counts`` is out of range.

    References
    ----------
    .. [1] Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019.

    Examples
    --------
    >>> from imblearn_eos.losses import class_balanced_weights
    >>> class_balanced_weights([1000, 100], beta=0.99).round(3)
    array([0.776, 1.224])
    """
    beta = check_number("class_balanced_weights", "beta", beta, BELOW_1)
    return effective_number_weights(check_class_counts(class_counts), beta).numpy()


def label_aware_smoothing(
    class_counts: ArrayLike | Mapping, *, smooth_head: float = 0.3, smooth_tail: float = 0.0
) -> np.ndarray:
    r"""Compute how much to smooth the labels of each class.

    A class with :math:`n` samples, between the largest with :math:`n_1` and the smallest with
    :math:`n_K`, gets

    .. math::
        \epsilon = \epsilon_K + (\epsilon_1 - \epsilon_K)
        \sin\left(\frac{\pi (n - n_K)}{2 (n_1 - n_K)}\right)

    which is the concave form of the paper [1]_. Networks are too sure of large classes, so these
    are smoothed most.

    Parameters
    ----------
    class_counts : array-like of shape (n_classes,), or mapping
        Training samples of each class, at least 1, as in :func:`class_balanced_weights`.
    smooth_head : float, default=0.3
        :math:`\epsilon_1`, the smoothing of the largest class, from 0 to just below 1.
    smooth_tail : float, default=0.0
        :math:`\epsilon_K`, the smoothing of the smallest class, from 0 to just below 1.

    Returns
    -------
    ndarray of shape (n_classes,), dtype=float64
        For ``label_smoothing`` of :class:`imblearn_eos.LinearHead`. If all classes are equally
        large, ``smooth_tail`` for each.

    Raises
    ------
    ValueError
        When a parameter is out of range.

    References
    ----------
    .. [1] Zhong, Cui, Liu, Jia, "Improving Calibration for Long-Tailed Recognition", CVPR 2021,
       :arxiv:`2104.00466`.

    Examples
    --------
    >>> from imblearn_eos.losses import label_aware_smoothing
    >>> label_aware_smoothing([5000, 500, 50]).round(3)
    array([0.3  , 0.043, 0.   ])
    """
    owner = "label_aware_smoothing"
    head = check_number(owner, "smooth_head", smooth_head, BELOW_1)
    tail = check_number(owner, "smooth_tail", smooth_tail, BELOW_1)
    return smoothing_of_counts(check_class_counts(class_counts), head, tail).numpy()


def adjust_logits(
    logits: ArrayLike | torch.Tensor, class_counts: ArrayLike | Mapping, *, tau: float = 1.0
) -> np.ndarray | torch.Tensor:
    """Lower the logits of large classes after training.

    Subtracts ``tau`` times the logarithm of each class's share of the training samples. With
    ``tau=1``, a network trained with cross-entropy then predicts as if the classes were balanced
    [1]_. :class:`imblearn_eos.LinearHead` has a parameter ``tau`` for this.

    Parameters
    ----------
    logits : {array-like, torch.Tensor} of shape (..., n_classes)
        Logits, or logarithms of probabilities.
    class_counts : array-like of shape (n_classes,), or mapping
        Training samples of each class, at least 1, as in :func:`class_balanced_weights`.
    tau : float, default=1.0
        Strength of the adjustment. Choose it on samples that the network was not trained on.

    Returns
    -------
    {ndarray, torch.Tensor} of shape (..., n_classes)

    Raises
    ------
    ValueError
        When ``class_counts`` does not have one positive number for each class of ``logits``, or
        ``tau`` is not finite.

    References
    ----------
    .. [1] Menon et al., "Long-tail Learning via Logit Adjustment", ICLR 2021.

    Examples
    --------
    >>> from imblearn_eos.losses import adjust_logits
    >>> adjust_logits([[1.0, 0.0]], [90, 10]).round(2)
    array([[1.11, 2.3 ]])
    """
    tau = check_number("adjust_logits", "tau", tau, ANY_NUMBER)
    priors = tau * log_priors(check_class_counts(class_counts))
    is_tensor = isinstance(logits, torch.Tensor)
    values = torch.as_tensor(logits if is_tensor else np.array(to_array(logits, "logits")))
    values = values if values.is_floating_point() else values.double()
    adjusted = values - matched_to_logits("adjust_logits", priors, values)
    return adjusted if is_tensor else adjusted.numpy()


def check_number(owner: str, name: str, value: float, allowed: Interval) -> float:
    """Return a parameter as a float after checking its range."""
    try:
        value = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The {name!r} parameter of {owner} must be a number: {error}.") from error
    validate_parameter_constraints({name: [allowed]}, {name: value}, caller_name=owner)
    return value


def check_class_counts(class_counts: Any) -> torch.Tensor:
    """Return class counts as a float64 tensor, in the sorted order of the classes."""
    counts = class_counts
    if hasattr(counts, "sort_index"):
        # pandas' value_counts sorts by size, and a categorical index by its categories.
        counts = counts.sort_index(key=np.asarray)
    elif isinstance(counts, Mapping):
        counts = [counts[label] for label in sorted(counts)]
    counts = np.array(to_array(counts, "class_counts"), dtype=np.float64)
    if counts.ndim != 1 or not len(counts) or not (counts >= 1).all() or np.isinf(counts).any():
        raise ValueError(
            "class_counts must hold the number of training samples of each class, at least 1 "
            f"each, got {class_counts!r}."
        )
    return torch.from_numpy(counts)


def check_logits(owner: str, logits: torch.Tensor, target: torch.Tensor) -> None:
    """Raise ValueError unless there is one row of logits for each class number."""
    if logits.ndim != 2 or target.shape != logits.shape[:1]:
        raise ValueError(
            f"{owner} needs logits of shape (n_samples, n_classes) and class numbers of shape "
            f"(n_samples,), got shapes {tuple(logits.shape)} and {tuple(target.shape)}."
        )


def matched_to_logits(
    owner: str, per_class: torch.Tensor | None, logits: torch.Tensor
) -> torch.Tensor:
    """Return per-class values with the dtype and device of logits, after checking their number."""
    if per_class is None or per_class.shape != logits.shape[-1:]:
        n_known = "none" if per_class is None else len(per_class)
        raise ValueError(
            f"{owner} needs one class count for each column of logits of shape "
            f"{tuple(logits.shape)}, but has {n_known}. Pass class_counts, or add "
            "imblearn_eos.losses.ClassCounts() to the net's callbacks and check its number of "
            "outputs."
        )
    return per_class.to(logits)


def effective_number_weights(counts: torch.Tensor, beta: float) -> torch.Tensor:
    """Return class weights of mean 1 from checked class counts."""
    # 1 - beta ** n, exact even where beta is so close to 1 that the power rounds to 1.
    is_0 = beta == 0
    effective = np.ones(len(counts)) if is_0 else -np.expm1(counts.numpy() * np.log(beta))
    weights = 1 / effective
    return torch.from_numpy(weights / weights.mean())


def smoothing_of_counts(counts: torch.Tensor, head: float, tail: float) -> torch.Tensor:
    """Return the smoothing of each class from checked class counts."""
    above = counts - counts.min()
    share = above / above.max() if above.any() else above
    return tail + (head - tail) * (torch.pi / 2 * share).sin()


def log_priors(counts: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of each class's share, from checked class counts."""
    return (counts / counts.sum()).log()
