"""Softmax regression, the classifier head of a network fitted to convergence."""

from __future__ import annotations

import warnings
from numbers import Integral, Real

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from imblearn_eos._compat import Interval, fit_context
from imblearn_eos._device import DEVICE_CONSTRAINT, resolve_device
from imblearn_eos._validation import (
    LARGEST,
    check_features,
    check_tensor,
    encode_labels,
    tensor_from_array,
)

# With a finer tolerance, gradients in float32 would be noise.
FLOAT32_TOL = 1e-5
# Directions that are worth their time, of features whose variances differ little enough that no
# feature is lost in the rounding errors of another.
MAX_DIRECTIONS, MAX_VARIANCE_RATIO = 2048, 1e6
# Share of the mean variance that a direction has at least.
MIN_VARIANCE = 1e-2
# Smaller eigenvalues, as a share of the largest, are rounding errors.
MIN_EIGENVALUE = 1e-12


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
    which takes a third of the time.

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
    def fit(self, X: ArrayLike | torch.Tensor, y: ArrayLike | torch.Tensor) -> LinearHead:
        """Fit the weights.

        Parameters
        ----------
        X : {array-like, torch.Tensor} of shape (n_samples, n_features)
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
        is_coarse = X.dtype == torch.float32 and self.tol >= FLOAT32_TOL
        features = X.to(device, torch.float32 if is_coarse else torch.float64, copy=True)
        mean = features.mean(dim=0, dtype=torch.float64)
        features -= mean.to(features.dtype)
        basis = _make_basis(features, self.alpha)

        start = np.zeros((len(classes), basis.shape[-1] + 1))
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
                args=(features, codes, basis, self.alpha),
                method="L-BFGS-B",
                jac=True,
                # Not the relative change of the loss, which is tiny long before the end.
                options={"maxiter": self.max_iter, "gtol": self.tol, "ftol": 0, "maxls": 50},
                callback=lambda weights: bar.update(),
            )
        # Only now, so that a fit that fails or is interrupted keeps the one before.
        check_features(self, given, X, reset=True)
        weights = result.x.reshape(len(classes), -1)
        self.classes_, self.n_iter_ = classes, result.nit
        coef = _in_basis(torch.from_numpy(weights[:, :-1]), basis.cpu().double())
        self.coef_ = coef.numpy()
        self.intercept_ = weights[:, -1] - self.coef_ @ mean.cpu().numpy()
        self.intercept_ -= self.tau * np.log(class_counts / len(X))
        # A shift of all does not change probabilities, and would depend on the number of rows.
        self.intercept_ -= self.intercept_.mean()
        self._warn_unless_converged(result)
        return self

    def decision_function(self, X: ArrayLike | torch.Tensor) -> np.ndarray:
        """Return the scores of the classes.

        Parameters
        ----------
        X : {array-like, torch.Tensor} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes), dtype=float64
            Logits; for two classes the second minus the first, as in scikit-learn.
        """
        logits = self._logits(X).cpu().numpy()
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict(self, X: ArrayLike | torch.Tensor) -> np.ndarray:
        """Return the most probable labels.

        Parameters
        ----------
        X : {array-like, torch.Tensor} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels from ``classes_``.
        """
        codes = self._logits(X).argmax(dim=1).cpu().numpy()
        return self.classes_[codes]

    def predict_proba(self, X: ArrayLike | torch.Tensor) -> np.ndarray:
        """Return the class probabilities.

        Parameters
        ----------
        X : {array-like, torch.Tensor} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), dtype=float64
        """
        return self._logits(X).softmax(dim=1).cpu().numpy()

    def predict_log_proba(self, X: ArrayLike | torch.Tensor) -> np.ndarray:
        """Return the logarithms of the class probabilities.

        Parameters
        ----------
        X : {array-like, torch.Tensor} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), dtype=float64
        """
        return self._logits(X).log_softmax(dim=1).cpu().numpy()

    def _logits(self, X):
        check_is_fitted(self)
        given, X = X, self._check_X(X)
        check_features(self, given, X, reset=False)
        device = resolve_device(self.device, like=given)
        coef, intercept = (torch.from_numpy(a).to(device) for a in (self.coef_, self.intercept_))
        return torch.addmm(intercept, X.to(device, torch.float64), coef.T)

    def _check_X(self, X):
        """Return a tensor of finite numbers, on the device of X if it is a tensor."""
        if not isinstance(X, torch.Tensor):
            X = check_array(
                X,
                dtype=(np.float64, np.float32),
                ensure_all_finite=False,
                input_name="X",
                estimator=self,
            )
            X = tensor_from_array(X)
        return check_tensor(X, estimator=self, largest=LARGEST)

    def _warn_unless_converged(self, result):
        if result.status == 1:
            warnings.warn(
                f"LinearHead stopped after max_iter={self.max_iter} iterations with a gradient of "
                f"{np.abs(result.jac).max():.1e}, above tol={self.tol:.1e}. Increase max_iter, "
                "tol or alpha, or scale the features, for example with "
                "sklearn.preprocessing.StandardScaler.",
                ConvergenceWarning,
                # The line that calls fit, which scikit-learn wraps.
                stacklevel=4,
            )


def _feature_scale(variance, alpha):
    """Return the factors that make the objective about as curved along every weight.

    The optimum does not depend on them, but the number of iterations does. Along a weight,
    cross-entropy curves like p (1 - p), here taken as a tenth, times the variance of its centered
    feature, and the penalty like alpha. The half of the features with the least variance keep
    their proportions: in embeddings, small features are noise, and the optimizer does not have to
    follow them if they stay small.
    """
    variance = variance + variance.median() + 10 * alpha
    return torch.where(variance > 0, variance, 1).rsqrt()


def _make_basis(features, alpha):
    """Return directions of centered features, scaled so that the objective curves alike in all.

    The optimum does not depend on them, but the number of iterations does. They are the columns of
    a matrix: the principal axes, if there are fewer rows than features, because the optimum lies in
    the span of the rows, or else a root of the inverse covariance. With many of both, or very
    different scales, they are the features, and the result has only their factors.
    """
    n_samples, n_features = features.shape
    variance = features.square().mean(dim=0)
    if (
        not 1 < min(n_samples, n_features) <= MAX_DIRECTIONS
        or not 0 < variance.max() <= MAX_VARIANCE_RATIO * variance.median()
    ):
        return _feature_scale(variance, alpha)
    if n_samples <= n_features:
        exact = features.double()
        variance, vectors = torch.linalg.eigh(exact @ exact.T / n_samples)
        is_kept = variance > MIN_EIGENVALUE * variance[-1]
        variance, vectors = variance[is_kept], vectors[:, is_kept]
        axes = exact.T @ (vectors / (n_samples * variance).sqrt())
        return (axes * _feature_scale(variance, alpha)).to(features.dtype)
    # These rows tell the directions well enough.
    rows = features[:: max(1, n_samples // (4 * n_features))]
    covariance = rows.T @ rows / len(rows)
    # As in `_feature_scale`; what is below this variance is noise.
    covariance.diagonal().add_(10 * alpha + MIN_VARIANCE * variance.mean())
    root = torch.linalg.cholesky(covariance)
    identity = torch.eye(n_features, dtype=root.dtype, device=root.device)
    return torch.linalg.solve_triangular(root, identity, upper=False).T


def _in_basis(weights, basis):
    """Return the weights of features from weights along a basis of `_make_basis`."""
    return weights @ basis.T if basis.ndim == 2 else weights * basis


def _penalized_loss(weights, features, codes, basis, alpha):
    """Return the loss and its gradient.

    The last column of the weights holds the intercepts; the others are along the basis.
    """
    weights = torch.from_numpy(weights).to(features).reshape(-1, basis.shape[-1] + 1)
    coef, intercept = _in_basis(weights[:, :-1], basis), weights[:, -1]
    log_proba = torch.addmm(intercept, features, coef.T).log_softmax(dim=1)
    chosen = codes[:, None]
    loss = alpha * coef.square().sum() / 2 - log_proba.gather(1, chosen).mean()
    residuals = log_proba.exp_()
    residuals.scatter_add_(1, chosen, residuals.new_full(chosen.shape, -1))
    residuals /= len(features)
    gradient = torch.empty_like(weights)
    of_features = torch.addmm(coef, residuals.T, features, beta=alpha)
    gradient[:, :-1] = of_features @ basis if basis.ndim == 2 else of_features * basis
    gradient[:, -1] = residuals.sum(dim=0)
    return loss.item(), gradient.double().cpu().numpy().ravel()
