"""What fitted linear heads share: predictions, and the layer that they become."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Self, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from imblearn_eos._compat import Interval, check_sample_weight
from imblearn_eos._device import DEVICE_CONSTRAINT, resolve_device
from imblearn_eos._frames import by_blocks, is_dask, refuse_lazy
from imblearn_eos._threads import one_thread_after_fork
from imblearn_eos._validation import (
    LARGEST,
    check_features,
    check_magnitude,
    check_tensor,
    encode_known_labels,
    tensor_from_array,
    to_array,
)
from imblearn_eos.embedding._head_features import to_sparse_tensor
from imblearn_eos.embedding._head_temperature import best_temperature
from imblearn_eos.embedding._to_module import linear_from_arrays

# What a head is fitted and applied to, of shape (n_samples, n_features).
Rows: TypeAlias = ArrayLike | torch.Tensor | sparse.sparray


class BaseLinearHead(ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities are the softmax of linear scores.

    Its fit sets ``coef_``, ``intercept_``, ``classes_`` and a ``temperature_`` of 1, and remembers
    the features.
    """

    _parameter_constraints: dict = {
        "alpha": [Interval(Real, 0, None, closed="left")],
        "tau": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "device": DEVICE_CONSTRAINT,
        "verbose": ["verbose"],
    }

    @one_thread_after_fork()
    def decision_function(self, X: Rows) -> np.ndarray:
        """Return the scores of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor, Dask array or dataframe} of shape \
                (n_samples, n_features)
            Samples.

        Returns
        -------
        {ndarray, Dask array} of shape (n_samples,) or (n_samples, n_classes), dtype=float64
            Logits; for two classes the second minus the first, as in scikit-learn.
        """
        if is_dask(X):
            return by_blocks(
                self.decision_function, X, lambda: self._to_decisions(self._no_logits())
            )
        return self._to_decisions(self._logits(X).cpu().numpy())

    @one_thread_after_fork()
    def predict(self, X: Rows) -> np.ndarray:
        """Return the most probable labels.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor, Dask array or dataframe} of shape \
                (n_samples, n_features)
            Samples.

        Returns
        -------
        {ndarray, Dask array} of shape (n_samples,)
            Labels from ``classes_``.
        """
        if is_dask(X):
            return by_blocks(self.predict, X, lambda: self.classes_[:0])
        codes = self._logits(X).argmax(dim=1).cpu().numpy()
        return self.classes_[codes]

    @one_thread_after_fork()
    def predict_proba(self, X: Rows) -> np.ndarray:
        """Return the class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor, Dask array or dataframe} of shape \
                (n_samples, n_features)
            Samples.

        Returns
        -------
        {ndarray, Dask array} of shape (n_samples, n_classes), dtype=float64
        """
        if is_dask(X):
            return by_blocks(self.predict_proba, X, self._no_logits)
        return self._logits(X).softmax(dim=1).cpu().numpy()

    @one_thread_after_fork()
    def predict_log_proba(self, X: Rows) -> np.ndarray:
        """Return the logarithms of the class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor, Dask array or dataframe} of shape \
                (n_samples, n_features)
            Samples.

        Returns
        -------
        {ndarray, Dask array} of shape (n_samples, n_classes), dtype=float64
        """
        if is_dask(X):
            return by_blocks(self.predict_log_proba, X, self._no_logits)
        return self._logits(X).log_softmax(dim=1).cpu().numpy()

    @one_thread_after_fork()
    def calibrate(
        self,
        Z: Rows,
        y: ArrayLike | torch.Tensor,
        sample_weight: ArrayLike | torch.Tensor | None = None,
    ) -> Self:
        """Scale the weights so that probabilities fit new rows (temperature scaling).

        Divides ``coef_`` and ``intercept_`` by the number, ``temperature_``, at which the mean
        negative log-likelihood of the given rows is least [1]_. No predicted label changes, and a
        module made later has the same probabilities. A second call starts again from the weights
        that were fitted.

        Parameters
        ----------
        Z : {array-like, sparse matrix, torch.Tensor} of shape (n_samples, n_features)
            Rows that neither the network nor the head has seen. Their classes should have the
            shares that the head predicts for: those of the training rows, or else of
            ``target_prior``, or equal shares with ``tau=1``.

        y : {array-like, torch.Tensor} of shape (n_samples,)
            Their labels, from ``classes_``.

        sample_weight : {array-like, torch.Tensor} of shape (n_samples,), default=None
            Weights of the rows, at least 0, for rows whose classes have other shares. None means 1.

        Returns
        -------
        self : object
            The calibrated classifier.

        Raises
        ------
        ValueError
            When y has labels that are not in ``classes_``.

        Warns
        -----
        UserWarning
            When all rows are classified right, or no better than by chance, so that no temperature
            is the best.

        References
        ----------
        .. [1] C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks",
           ICML 2017, :arxiv:`1706.04599`.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from imblearn_eos import LinearHead
        >>> Z, y = load_digits(return_X_y=True)
        >>> head = LinearHead(alpha=0.001).fit(Z[:200], y[:200])
        >>> round(head.calibrate(Z[200:800], y[200:800]).temperature_, 1)
        1.9
        """
        logits = self._logits(Z) * self.temperature_
        y = column_or_1d(to_array(y, "y"))
        check_consistent_length(logits, y)
        codes = encode_known_labels(y, self.classes_, "y", f"this {type(self).__name__}")
        weights = check_sample_weight(
            to_array(sample_weight), codes, dtype=np.float64, ensure_non_negative=True
        )
        codes, weights = (torch.from_numpy(part).to(logits.device) for part in (codes, weights))
        self._set_temperature(best_temperature(logits, codes, weights))
        return self

    def to_module(self) -> torch.nn.Linear:
        """Return the fitted weights as a layer of torch.

        Returns
        -------
        torch.nn.Linear
            On the CPU, in torch's default dtype. The softmax of its outputs is
            :meth:`predict_proba`.
        """
        check_is_fitted(self)
        return linear_from_arrays(self.coef_, self.intercept_)

    def _to_decisions(self, logits):
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def _no_logits(self):
        return np.empty((0, len(self.classes_)))

    def _set_temperature(self, temperature):
        factor = self.temperature_ / temperature
        self.coef_, self.intercept_ = self.coef_ * factor, self.intercept_ * factor
        self.temperature_ = temperature

    def _logits(self, X):
        check_is_fitted(self)
        given, X = X, self._check_X(X)
        check_features(self, given, X, reset=False)
        device = resolve_device(self.device, like=given)
        coef, intercept = (torch.from_numpy(a).to(device) for a in (self.coef_, self.intercept_))
        if sparse.issparse(X):
            return torch.sparse.mm(to_sparse_tensor(X, device), coef.T) + intercept
        return torch.addmm(intercept, X.to(device, torch.float64), coef.T)

    def _check_X(self, X):
        """Return a sparse matrix, or a tensor on the device of X if that is one, of numbers."""
        refuse_lazy(X)
        if not isinstance(X, torch.Tensor):
            X = check_array(
                to_array(X),
                accept_sparse="csr",
                dtype=(np.float64, np.float32),
                # Dense numbers are checked below, with tensors.
                ensure_all_finite=sparse.issparse(X),
                input_name="X",
                estimator=self,
            )
            if sparse.issparse(X):
                check_magnitude(X, estimator=self)
                return X
            X = tensor_from_array(X)
        return check_tensor(X, estimator=self, largest=LARGEST)

    def __init__(
        self,
        *,
        alpha: float,
        tau: float,
        max_iter: int,
        tol: float,
        device: str | torch.device,
        verbose: bool,
    ) -> None:
        self.alpha = alpha
        self.tau = tau
        self.max_iter = max_iter
        self.tol = tol
        self.device = device
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
