"""Corrections of a linear head that scale the weights of each class."""

from __future__ import annotations

import copy
from numbers import Real
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted
from torch import nn

from imblearn_eos._compat import Interval, validate_params
from imblearn_eos._threads import one_thread_after_fork
from imblearn_eos._validation import encode_known_labels, to_array
from imblearn_eos.embedding._head import LinearHead
from imblearn_eos.embedding._head_base import BaseLinearHead, Rows
from imblearn_eos.embedding._to_module import linear_from_arrays

Head = TypeVar("Head", bound=BaseLinearHead | nn.Linear)

_AT_LEAST_0 = [Interval(Real, 0, None, closed="left")]


@validate_params({"tau": _AT_LEAST_0}, prefer_skip_nested_validation=True)
def tau_normalize(head: Head, *, tau: float = 1.0) -> Head:
    """Divide the weights of each class by a power of their length.

    Classifiers trained on imbalanced classes have longer weights for larger classes. The lengths
    are raised to the power of ``1 - tau``, and the intercepts become 0 [1]_. No rows are needed.

    Parameters
    ----------
    head : LinearHead, AveragedHead or torch.nn.Linear
        Fitted, for example the last layer of a trained network. Not changed.

    tau : float, default=1.0
        Strength, at least 0. 0 leaves the lengths as they are, and 1 makes them equal. Choose it
        on samples that the network was not trained on.

    Returns
    -------
    LinearHead, AveragedHead or torch.nn.Linear
        A copy of the head with other weights.

    Raises
    ------
    TypeError
        When ``head`` is none of the above, or a layer that does more than multiply by weights.

    See Also
    --------
    imblearn_eos.losses.adjust_logits : Another correction that needs no rows.

    References
    ----------
    .. [1] B. Kang, S. Xie, M. Rohrbach, Z. Yan, A. Gordo, J. Feng, Y. Kalantidis, "Decoupling
       Representation and Classifier for Long-Tailed Recognition", ICLR 2020, :arxiv:`1910.09217`.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.embedding import tau_normalize
    >>> from imblearn_eos.models import SmallCNN
    >>> module = SmallCNN(n_classes=10)  # Or a trained one.
    >>> module.head = tau_normalize(module.head, tau=1.0)
    >>> torch.allclose(module.head.weight.norm(dim=1), torch.ones(10))
    True
    """
    coef = _as_linear_head(head).coef_
    lengths = np.linalg.norm(coef, axis=1, keepdims=True)
    # Weights of 0 stay.
    coef = coef / np.where(lengths > 0, lengths, 1) ** tau
    return _with_weights(head, coef, np.zeros(len(coef)))


@validate_params({"alpha": _AT_LEAST_0}, prefer_skip_nested_validation=True)
@one_thread_after_fork()
def scale_weights(head: Head, Z: Rows, y: ArrayLike | torch.Tensor, *, alpha: float = 0.01) -> Head:
    r"""Fit one factor for the logits of each class (learnable weight scaling, LWS).

    Minimizes the cross-entropy of the logits times the factors :math:`f`, in which the mean of
    every class counts the same, plus :math:`\frac{\alpha}{2} \|f - 1\|^2`. In [1]_, the training
    is stopped after a few epochs instead of the penalty.

    Parameters
    ----------
    head : LinearHead, AveragedHead or torch.nn.Linear
        Fitted, for example the last layer of a trained network. Not changed.

    Z : {array-like, sparse matrix, torch.Tensor} of shape (n_samples, n_features)
        Inputs of the head, usually those of the training rows.

    y : {array-like, torch.Tensor} of shape (n_samples,)
        Their labels, from the ``classes_`` of the head; for a layer, class numbers.

    alpha : float, default=0.01
        Strength of the penalty, at least 0. With 0 the factors grow without end on rows that are
        classified right, such as rows that a network has memorized.

    Returns
    -------
    LinearHead, AveragedHead or torch.nn.Linear
        A copy of the head, whose weights and intercepts are multiplied by the factors.

    Raises
    ------
    TypeError
        When ``head`` is none of the above, or a layer that does more than multiply by weights.
    ValueError
        When y has labels that the head does not know.

    References
    ----------
    .. [1] B. Kang, S. Xie, M. Rohrbach, Z. Yan, A. Gordo, J. Feng, Y. Kalantidis, "Decoupling
       Representation and Classifier for Long-Tailed Recognition", ICLR 2020, :arxiv:`1910.09217`.

    Examples
    --------
    >>> from imblearn_eos import LinearHead
    >>> from imblearn_eos.datasets import make_imbalanced
    >>> from imblearn_eos.embedding import scale_weights
    >>> from sklearn.datasets import load_iris
    >>> Z, y = make_imbalanced(*load_iris(return_X_y=True), ratio=10, random_state=0)
    >>> head = LinearHead().fit(Z, y)
    >>> scaled = scale_weights(head, Z, y)
    >>> (scaled.coef_ / head.coef_)[:, 0].round(2)
    array([1.41, 1.47, 2.44])
    """
    linear = _as_linear_head(head)
    logits, y = linear._logits(Z), column_or_1d(to_array(y, "y"))
    check_consistent_length(logits, y)
    codes = encode_known_labels(y, linear.classes_, "y", "the head")
    counts = np.bincount(codes)
    weights = torch.from_numpy(1 / (np.count_nonzero(counts) * counts[codes])).to(logits.device)
    chosen = torch.from_numpy(codes).to(logits.device)[:, None]

    def loss_and_gradient(factors):
        log_proba = (logits * torch.from_numpy(factors).to(logits.device)).log_softmax(dim=1)
        loss = -(weights @ log_proba.gather(1, chosen))
        residuals = log_proba.exp_()
        residuals.scatter_add_(1, chosen, -torch.ones_like(chosen, dtype=residuals.dtype))
        # Both at once, because a copy from a GPU waits for all that it computes.
        values = torch.cat([weights @ (residuals * logits), loss]).cpu().numpy()
        distance = factors - 1
        return values[-1] + alpha / 2 * distance @ distance, values[:-1] + alpha * distance

    start = np.ones(logits.shape[1])
    factors = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B").x
    return _with_weights(head, factors[:, np.newaxis] * linear.coef_, factors * linear.intercept_)


def _as_linear_head(head):
    """Return a fitted head; make one of a layer."""
    if isinstance(head, BaseLinearHead):
        check_is_fitted(head)
        return head
    # Subclasses may do other things, such as NormalizedLinear.
    if getattr(type(head), "forward", None) is not nn.Linear.forward:
        raise TypeError(
            "head must be a LinearHead, an AveragedHead, or a torch.nn.Linear whose output is "
            f"linear in its input, got {type(head).__name__}."
        )
    linear = LinearHead(device=head.weight.device)
    linear.n_features_in_, linear.classes_ = head.in_features, np.arange(head.out_features)
    linear.coef_ = to_array(head.weight).astype(np.float64)
    linear.intercept_ = np.zeros(head.out_features)
    if head.bias is not None:
        linear.intercept_ += to_array(head.bias)
    return linear


def _with_weights(head, coef, intercept):
    """Return a copy of a head with other weights."""
    if isinstance(head, nn.Linear):
        return linear_from_arrays(coef, intercept, like=head)
    head = copy.copy(head)
    head.coef_, head.intercept_, head.temperature_ = coef, intercept, 1.0
    return head
