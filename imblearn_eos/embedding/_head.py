"""Softmax regression, the classifier head of a network fitted to convergence."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from imblearn_eos._compat import Interval, fit_context
from imblearn_eos._device import DEVICE_CONSTRAINT, resolve_device
from imblearn_eos._frames import refuse_lazy
from imblearn_eos._threads import one_thread_after_fork
from imblearn_eos._validation import (
    LARGEST,
    check_features,
    check_magnitude,
    check_tensor,
    encode_labels,
    tensor_from_array,
    to_array,
)
from imblearn_eos.embedding._head_features import DenseFeatures, SparseFeatures, to_sparse_tensor
from imblearn_eos.embedding._to_module import linear_from_arrays

# What a head is fitted and applied to, of shape (n_samples, n_features).
Rows: TypeAlias = ArrayLike | torch.Tensor | sparse.sparray

# Below this tolerance, gradients in float32 would be noise.
FLOAT32_TOL = 1e-5


class LinearHead(ClassifierMixin, BaseEstimator):
    r"""Fit softmax regression, for use as the last layer of a network.

    Minimizes the mean cross-entropy with an L2 penalty on the weights, but not on the intercepts:

    .. math::
        \frac{1}{n} \sum_i -\log \mathrm{softmax}(W z_i + b)_{y_i} + \frac{\alpha}{2} \|W\|^2

    and then, with ``tau`` above 0, lowers the intercepts of large classes. The problem is convex:
    there is no learning rate and no random state, and every fit to the same data has the same
    weights.

    Parameters
    ----------
    alpha : float, default=0.01
        Strength of the penalty, at least 0. Larger values make smaller weights. A range to search
        is powers of ten from 0.0001 to 10.

    tau : float, default=0.0
        Strength of post-hoc logit adjustment [1]_, at least 0: ``tau`` times the logarithm of each
        class's share of y is subtracted from its intercept. With 1, the head predicts as if classes
        were balanced; choose other values on held-out samples. It is an alternative to a sampler
        and has no effect after one that balances classes.

    max_iter : int, default=200
        Maximum number of iterations of the optimizer, L-BFGS.

    tol : float, default=1e-7
        The optimizer stops when no entry of the gradient, with features scaled to a variance of
        about 1, is larger than this.

    device : str or torch.device, default="auto"
        Where to compute: "auto" (a tensor's own device, else CUDA if there is one, else CPU), or
        a cpu or cuda device.

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

    n_iter_ : int
        Iterations taken.

    n_features_in_ : int
        Number of features seen during :meth:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :meth:`fit`, if they are all strings.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same model without torch.

    EmbeddingPipeline.to_module : Puts the fitted head on the network.

    Notes
    -----
    For three or more classes the model is ``LogisticRegression(C=1 / (alpha * n_samples))``. For
    two classes LogisticRegression has a single row w of weights, where here the rows are -w/2 and
    w/2, whose squares sum to half of that of w: the model is
    ``LogisticRegression(C=2 / (alpha * n_samples))``.

    Computations are in float64 on a centered copy of X, so features may have large offsets and
    very different scales. With ``tol`` of at least 1e-5, float32 input is computed with as float32,
    which takes a third of the time. A sparse X is neither copied to a dense one nor centered in
    memory.

    Embeddings need no :class:`~sklearn.preprocessing.StandardScaler`, which would enlarge the
    directions in which they hardly vary. Center them and divide all by one common scale, if at all.

    References
    ----------
    .. [1] Menon, Jayasumana, Rawat, Jain, Veit, Kumar, "Long-tail learning via logit adjustment",
       ICLR 2021, :arxiv:`2007.07314`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from imblearn_eos import LinearHead
    >>> X, y = load_iris(return_X_y=True)
    >>> head = LinearHead(alpha=0.001).fit(X, y)
    >>> head.coef_.shape
    (3, 4)
    >>> round(head.score(X, y), 2)
    0.99
    >>> head.to_module()
    Linear(in_features=4, out_features=3, bias=True)
    """

    _parameter_constraints: dict = {
        "alpha": [Interval(Real, 0, None, closed="left")],
        "tau": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "device": DEVICE_CONSTRAINT,
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        alpha: float = 0.01,
        tau: float = 0.0,
        max_iter: int = 200,
        tol: float = 1e-7,
        device: str | torch.device = "auto",
        verbose: bool = False,
    ) -> None:
        self.alpha = alpha
        self.tau = tau
        self.max_iter = max_iter
        self.tol = tol
        self.device = device
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    @one_thread_after_fork()
    def fit(self, X: Rows, y: ArrayLike | torch.Tensor) -> LinearHead:
        """Fit the weights.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor} of shape (n_samples, n_features)
            Finite numbers, of which none is beyond 1e150.

        y : {array-like, torch.Tensor} of shape (n_samples,)
            Labels of any kind.

        Returns
        -------
        self : LinearHead
            The fitted classifier.

        Raises
        ------
        ValueError
            When X or y are not as above, y has one class, or ``device`` is none of the above.

        Warns
        -----
        ConvergenceWarning
            When ``max_iter`` iterations were not enough.
        """
        given, X = X, self._check_X(X)
        classes, codes = encode_labels(y, estimator=self)
        check_consistent_length(X, codes)
        device = resolve_device(self.device, like=given)
        if sparse.issparse(X):
            features = SparseFeatures(X, device, self.alpha)
        else:
            is_coarse = X.dtype == torch.float32 and self.tol >= FLOAT32_TOL
            dtype = torch.float32 if is_coarse else torch.float64
            features = DenseFeatures(X, device, dtype, self.alpha)

        start = np.zeros((len(classes), features.basis.shape[-1] + 1))
        class_counts = np.bincount(codes)
        start[:, -1] = np.log(class_counts)
        codes = torch.from_numpy(codes).to(device)
        bar = tqdm(
            desc="Fitting the head", total=self.max_iter, unit="iteration", disable=not self.verbose
        )
        # SciPy has few numbers to compute; threads of its BLAS would only compete with torch's.
        with bar, threadpool_limits(1, user_api="blas"):
            result = minimize(
                _penalized_loss,
                start.ravel(),
                args=(features, codes, self.alpha),
                method="L-BFGS-B",
                jac=True,
                # Not the relative change of the loss, which is tiny long before the end.
                options={
                    "maxiter": self.max_iter,
                    "gtol": self.tol,
                    "ftol": 0,
                    "maxls": 50,
                    "maxcor": 20,
                },
                callback=lambda weights: bar.update(),
            )
        # Only now, so that a fit that fails or is interrupted keeps the one before.
        check_features(self, given, X, reset=True)
        weights = result.x.reshape(len(classes), -1)
        self.classes_, self.n_iter_ = classes, result.nit
        coef = features.to_coef(torch.from_numpy(weights[:, :-1]).to(device))
        self.coef_ = coef.cpu().numpy()
        self.intercept_ = weights[:, -1] - self.coef_ @ features.mean.cpu().numpy()
        self.intercept_ -= self.tau * np.log(class_counts / X.shape[0])
        # A shift of all does not change probabilities, and would depend on the number of rows.
        self.intercept_ -= self.intercept_.mean()
        self._warn_unless_converged(result)
        return self

    @one_thread_after_fork()
    def decision_function(self, X: Rows) -> np.ndarray:
        """Return the scores of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes), dtype=float64
            Logits; for two classes the second minus the first, as in scikit-learn.
        """
        logits = self._logits(X).cpu().numpy()
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    @one_thread_after_fork()
    def predict(self, X: Rows) -> np.ndarray:
        """Return the most probable labels.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels from ``classes_``.
        """
        codes = self._logits(X).argmax(dim=1).cpu().numpy()
        return self.classes_[codes]

    @one_thread_after_fork()
    def predict_proba(self, X: Rows) -> np.ndarray:
        """Return the class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), dtype=float64
        """
        return self._logits(X).softmax(dim=1).cpu().numpy()

    @one_thread_after_fork()
    def predict_log_proba(self, X: Rows) -> np.ndarray:
        """Return the logarithms of the class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), dtype=float64
        """
        return self._logits(X).log_softmax(dim=1).cpu().numpy()

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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _warn_unless_converged(self, result):
        if result.status == 1:
            warnings.warn(
                f"LinearHead stopped after max_iter={self.max_iter} iterations with a gradient of "
                f"{np.abs(result.jac).max():.1e}, above tol={self.tol:.1e}. Increase alpha or "
                "max_iter, or divide all features by one common scale.",
                ConvergenceWarning,
                # The line that calls fit, which has two wrappers.
                stacklevel=5,
            )


def _penalized_loss(weights, features, codes, alpha):
    """Return the loss and its gradient.

    The last column of the weights holds the intercepts; the others are along the directions of the
    features.
    """
    basis = features.basis
    weights = torch.from_numpy(weights).to(basis).reshape(-1, basis.shape[-1] + 1)
    coef, intercept = features.to_coef(weights[:, :-1]), weights[:, -1]
    log_proba = features.scores(coef, intercept).log_softmax(dim=1)
    chosen = codes[:, None]
    loss = alpha * coef.square().sum() / 2 - log_proba.gather(1, chosen).mean()
    residuals = log_proba.exp_()
    residuals.scatter_add_(1, chosen, residuals.new_full(chosen.shape, -1))
    residuals /= len(codes)
    gradient = torch.empty_like(weights)
    gradient[:, :-1] = features.gradient(residuals, coef, alpha)
    gradient[:, -1] = residuals.sum(dim=0)
    return loss.item(), gradient.double().cpu().numpy().ravel()
