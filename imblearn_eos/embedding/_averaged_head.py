"""The mean of two linear heads: of over-sampled rows, and of adjusted logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import clone

from imblearn_eos._compat import HasMethods, fit_context
from imblearn_eos._threads import one_thread_after_fork
from imblearn_eos._validation import check_features, encode_labels
from imblearn_eos.embedding._head import LinearHead
from imblearn_eos.embedding._head_base import BaseLinearHead, Rows


class AveragedHead(BaseLinearHead):
    """Fit a head to over-sampled rows and a logit-adjusted head, and average their logits.

    One is a :class:`LinearHead` fitted to the rows that the sampler returns, the other a
    ``LinearHead(tau=tau)`` fitted to the rows as they are. The mean of their logits is one linear
    head again. Fit it to rows before over-sampling: it takes the place of a sampler and a head.

    Parameters
    ----------
    sampler : object
        A sampler in the sense of imbalanced-learn that returns rows of every class, for example
        ``EOS(n_neighbors=1000)``. It is cloned.

    alpha : float, default=0.01
        Strength of the penalty of both heads, as in :class:`LinearHead`.

    tau : float, default=1.0
        Strength of the logit adjustment of the second head, as in :class:`LinearHead`.

    max_iter : int, default=200
        Maximum number of iterations of each head, as in :class:`LinearHead`.

    tol : float, default=1e-7
        When the optimizer stops, as in :class:`LinearHead`.

    device : str or torch.device, default="auto"
        Where the heads are computed, as in :class:`LinearHead`. The sampler has its own.

    verbose : bool, default=False
        Show progress in iterations.

    Attributes
    ----------
    coef_ : ndarray of shape (n_classes, n_features), dtype=float64
        The weights, one row per class, also for two classes.

    intercept_ : ndarray of shape (n_classes,), dtype=float64
        The intercepts, with a mean of 0.

    classes_ : ndarray of shape (n_classes,)
        The class labels in sorted order.

    sampler_ : object
        The sampler that made the rows of the first head.

    temperature_ : float
        What :meth:`calibrate` divided the fitted weights and intercepts by; 1 before that.

    n_iter_ : int
        Iterations taken by both heads.

    n_features_in_ : int
        Number of features seen during :meth:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :meth:`fit`, if they are all strings.

    See Also
    --------
    LinearHead : One head, to which a sampler's rows are given.

    Notes
    -----
    In an :class:`EmbeddingPipeline` it is the last step, with no sampler before it. The gap that
    the pipeline reports after over-sampling is then the gap before it, because the pipeline does
    not see the rows that the sampler makes.

    Examples
    --------
    >>> from imblearn_eos import EOS, AveragedHead
    >>> from imblearn_eos.datasets import make_imbalanced
    >>> from sklearn.datasets import load_iris
    >>> X, y = make_imbalanced(*load_iris(return_X_y=True), ratio=10, random_state=0)
    >>> head = AveragedHead(EOS(n_neighbors=1000, random_state=0)).fit(X, y)
    >>> head.coef_.shape
    (3, 4)
    >>> head.to_module()
    Linear(in_features=4, out_features=3, bias=True)
    """

    _parameter_constraints: dict = {
        **BaseLinearHead._parameter_constraints,
        "sampler": [HasMethods(["fit_resample"])],
    }

    def __init__(
        self,
        sampler: Any,
        *,
        alpha: float = 0.01,
        tau: float = 1.0,
        max_iter: int = 200,
        tol: float = 1e-7,
        device: str | torch.device = "auto",
        verbose: bool = False,
    ) -> None:
        super().__init__(
            alpha=alpha, tau=tau, max_iter=max_iter, tol=tol, device=device, verbose=verbose
        )
        self.sampler = sampler

    # The sampler's own parameters are checked in its fit_resample.
    @fit_context(prefer_skip_nested_validation=False)
    @one_thread_after_fork()
    def fit(self, X: Rows, y: ArrayLike | torch.Tensor) -> AveragedHead:
        """Over-sample the rows, and fit both heads.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor} of shape (n_samples, n_features)
            Finite numbers, of which none is beyond 1e150; the sampler must take them also.

        y : {array-like, torch.Tensor} of shape (n_samples,)
            Labels of any kind.

        Returns
        -------
        self : AveragedHead
            The fitted classifier.

        Raises
        ------
        ValueError
            As :meth:`LinearHead.fit`, or when the rows of the sampler have other classes than y.

        Warns
        -----
        ConvergenceWarning
            When ``max_iter`` iterations were not enough for one of the heads.
        """
        given, X = X, self._check_X(X)
        classes, codes = encode_labels(y, estimator=self, X=X)
        is_array = isinstance(X, torch.Tensor) and not isinstance(given, torch.Tensor)
        sampler, labels = clone(self.sampler), classes[codes]
        rows = sampler.fit_resample(X.numpy() if is_array else X, labels)
        params = {name: getattr(self, name) for name in ("alpha", "max_iter", "tol", "verbose")}
        head = LinearHead(**params, device=self.device)
        heads = [clone(head).fit(*rows), head.set_params(tau=self.tau).fit(X, labels)]
        if not np.array_equal(heads[0].classes_, classes):
            raise ValueError(
                f"The 'sampler' parameter must return rows of the classes {classes.tolist()}, but "
                f"{type(sampler).__name__} returned rows of {heads[0].classes_.tolist()}."
            )
        check_features(self, given, X, reset=True)
        self.sampler_ = sampler
        self._average(heads)
        return self

    def _average(self, heads):
        """Take over the mean of fitted heads."""
        self.classes_, self.temperature_ = heads[0].classes_, 1.0
        self.n_iter_ = sum(head.n_iter_ for head in heads)
        self.coef_ = np.mean([head.coef_ for head in heads], axis=0)
        self.intercept_ = np.mean([head.intercept_ for head in heads], axis=0)


def average_heads(sampler: Any, head: LinearHead, adjusted: LinearHead) -> AveragedHead:
    """Return what an AveragedHead becomes whose two heads are fitted already, to arrays.

    Parameters
    ----------
    sampler : object
        The sampler whose rows ``head`` was fitted to.
    head, adjusted : LinearHead
        They differ in ``tau``.
    """
    names = ("alpha", "max_iter", "tol", "device", "verbose")
    params = {name: getattr(head, name) for name in names}
    averaged = AveragedHead(sampler, tau=adjusted.tau, **params)
    averaged.sampler_, averaged.n_features_in_ = sampler, head.n_features_in_
    averaged._average([head, adjusted])
    return averaged
