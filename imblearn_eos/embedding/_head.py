"""Softmax regression, the classifier head of a network fitted to convergence."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from imblearn_eos._compat import StrOptions, fit_context
from imblearn_eos._device import resolve_device
from imblearn_eos._frames import is_dask
from imblearn_eos._threads import one_thread_after_fork
from imblearn_eos._validation import check_features, encode_labels
from imblearn_eos.embedding._head_base import BaseLinearHead, Rows
from imblearn_eos.embedding._head_classes import (
    predicted_shares,
    row_weights,
    smoothed_targets,
)
from imblearn_eos.embedding._head_features import CenteredRows, DenseFeatures, SparseFeatures

# Below this tolerance, gradients in float32 would be noise.
FLOAT32_TOL = 1e-5


class LinearHead(BaseLinearHead):
    r"""Fit softmax regression, for use as the last layer of a network.

    Minimizes the mean cross-entropy with an L2 penalty on the weights, but not on the intercepts:

    .. math::
        \frac{1}{n} \sum_i -\log \mathrm{softmax}(W z_i + b)_{y_i} + \frac{\alpha}{2} \|W\|^2

    with a weighted mean if there are weights, and then, with ``tau`` above 0, lowers the intercepts
    of large classes. The problem is convex: there is no learning rate and no random state, and
    every fit to the same data has the same weights.

    Parameters
    ----------
    alpha : float, default=0.01
        Strength of the penalty, at least 0. Larger values make smaller weights. A range to search
        is powers of ten from 0.0001 to 10.

    tau : float, default=0.0
        Strength of post-hoc logit adjustment [1]_, at least 0: ``tau`` times the logarithm of each
        class's share of y is subtracted from its intercept. With 1, the head predicts as if classes
        were balanced, which is balanced softmax [2]_; choose other values on held-out samples. It
        is an alternative to a sampler and has no effect after one that balances classes. With
        weights, the share of a class is its share of their sum, so ``tau`` has no effect either
        where weights balance the classes.

    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, by which those of rows are multiplied. "balanced" makes them
        inverse to the class sizes, or to the sums of ``sample_weight``. Classes that a dict lacks
        have weight 1.

    target_prior : array-like of shape (n_classes,) or dict, default=None
        Shares of the classes where the head will be used, positive and with a sum of 1: in the
        order of ``classes_``, or by label. Probabilities are then those of rows with these shares;
        the logarithms of the shares are added to the intercepts, and those of the shares of y
        subtracted. None means the shares of y, which after a sampler are those of its rows.
        ``tau`` adjusts from these shares: with 0 the head predicts for them, and with 1 for
        balanced classes, whatever they are.

    label_smoothing : float, array-like of shape (n_classes,) or dict, default=0.0
        Share of each row's target, from 0 to below 1, that all other classes get in equal parts:
        one number for all classes, or one for each, in the order of ``classes_`` or by label.
        :func:`~imblearn_eos.losses.label_aware_smoothing` computes shares from the class sizes,
        which a sampler changes; take those of y before it.

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

    temperature_ : float
        What :meth:`calibrate` divided the fitted weights and intercepts by; 1 before that.

    n_iter_ : int
        Iterations taken.

    n_features_in_ : int
        Number of features seen during :meth:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :meth:`fit`, if they are all strings.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same model without torch.

    AveragedHead : The mean of a head on over-sampled rows and of one with ``tau``.

    EmbeddingPipeline.to_module : Puts the fitted head on the network.

    Notes
    -----
    For three or more classes the model is ``LogisticRegression(C=1 / (alpha * n_samples))``. For
    two classes LogisticRegression has a single row w of weights, where here the rows are -w/2 and
    w/2, whose squares sum to half of that of w: the model is
    ``LogisticRegression(C=2 / (alpha * n_samples))``. With weights, ``n_samples`` is their sum.

    Computations are in float64 on a centered copy of X, so features may have large offsets and
    very different scales. With ``tol`` of at least 1e-5, float32 input is computed with as float32,
    which takes a third of the time. A sparse X is neither copied to a dense one nor centered in
    memory.

    Rows beyond one machine's memory can come as a Dask array or dataframe (the extra ``dask``).
    Losses and gradients are summed block by block, in float64 and in an order that depends on the
    blocks only, not on the workers, and the optimizer runs in this process. Weights differ from
    those of the same rows in memory by rounding errors: with ``alpha=0.01`` by less than 1e-8. X is
    read once, and then in each of about ``n_iter_`` evaluations of the loss: call ``X.persist()``
    before, if it fits into the memory of the cluster. Up to eight rows for each feature come to
    this process, to choose directions to fit along. Predictions for Dask collections are lazy.

    Embeddings need no :class:`~sklearn.preprocessing.StandardScaler`, which would enlarge the
    directions in which they hardly vary. :class:`CommonScaler` centers them and divides all by one
    scale. Embeddings of length 1 need it: their mean square is far below 1.

    References
    ----------
    .. [1] Menon, Jayasumana, Rawat, Jain, Veit, Kumar, "Long-tail learning via logit adjustment",
       ICLR 2021, :arxiv:`2007.07314`.

    .. [2] Ren, Yu, Sheng, Ma, Zhao, Yi, Li, "Balanced Meta-Softmax for Long-Tailed Visual
       Recognition", NeurIPS 2020, :arxiv:`2007.10740`. Its loss is cross-entropy of logits plus
       the logarithms of the class sizes. Intercepts are not penalized, so a head with this loss
       is the head with ``tau=1``.

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
        **BaseLinearHead._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "target_prior": ["array-like", dict, None],
        "label_smoothing": [Real, "array-like", dict],
    }

    def __init__(
        self,
        *,
        alpha: float = 0.01,
        tau: float = 0.0,
        class_weight: Mapping | str | None = None,
        target_prior: ArrayLike | Mapping | None = None,
        label_smoothing: float | ArrayLike | Mapping = 0.0,
        max_iter: int = 200,
        tol: float = 1e-7,
        device: str | torch.device = "auto",
        verbose: bool = False,
    ) -> None:
        super().__init__(
            alpha=alpha, tau=tau, max_iter=max_iter, tol=tol, device=device, verbose=verbose
        )
        self.class_weight = class_weight
        self.target_prior = target_prior
        self.label_smoothing = label_smoothing

    @fit_context(prefer_skip_nested_validation=True)
    @one_thread_after_fork()
    def fit(
        self,
        X: Rows,
        y: ArrayLike | torch.Tensor,
        sample_weight: ArrayLike | torch.Tensor | None = None,
    ) -> LinearHead:
        """Fit the weights.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor, Dask array or dataframe} of shape \
                (n_samples, n_features)
            Finite numbers, of which none is beyond 1e150.

        y : {array-like, torch.Tensor, Dask array or series} of shape (n_samples,)
            Labels of any kind.

        sample_weight : {array-like, torch.Tensor, Dask array or series} of shape (n_samples,), \
                default=None
            Weights of the rows, at least 0; only their proportions matter. A weight of 2 counts as
            a row that is there twice, and a weight of 0 as one that is not there. None means 1.

        Returns
        -------
        self : LinearHead
            The fitted classifier.

        Raises
        ------
        ValueError
            When X, y or weights are not as above, y has one class, or ``device`` is none of the
            above.

        Warns
        -----
        ConvergenceWarning
            When ``max_iter`` iterations were not enough.
        """
        problem = self._make_problem(X, y, sample_weight)
        self._solve(problem, problem.start())
        return self

    def _make_problem(self, X, y, sample_weight=None):
        if is_dask(X):
            from imblearn_eos._dask._head import make_problem

            return make_problem(self, X, y, sample_weight)
        given, X = X, self._check_X(X)
        classes, codes = encode_labels(y, estimator=self, X=X)
        device = resolve_device(self.device, like=given)
        weights = row_weights(codes, classes, sample_weight, self.class_weight)
        shares = None
        if weights is not None:
            X, classes, codes, weights = _weighted_rows(X, classes, codes, weights)
            shares = torch.from_numpy(weights / weights.sum()).to(device)
        if sparse.issparse(X):
            features = SparseFeatures(X, device, self.alpha, shares)
        else:
            is_coarse = X.dtype == torch.float32 and self.tol >= FLOAT32_TOL
            dtype = torch.float32 if is_coarse else torch.float64
            features = DenseFeatures(X, device, dtype, self.alpha, shares)
        class_counts = np.bincount(codes, weights)
        targets = smoothed_targets(self.label_smoothing, classes)
        codes = torch.from_numpy(codes).to(device)
        return Problem(given, X, features, classes, codes, class_counts, targets)

    def _solve(self, problem, start):
        """Fit the weights from a start, and return them along the directions of the features."""
        features, classes = problem.features, problem.classes
        shares_of_y = problem.class_counts / problem.class_counts.sum()
        prior = predicted_shares(self, classes, problem.class_counts)
        bar = tqdm(
            desc="Fitting the head", total=self.max_iter, unit="iteration", disable=not self.verbose
        )
        # SciPy has few numbers to compute; threads of its BLAS would only compete with torch's.
        with bar, threadpool_limits(1, user_api="blas"):
            result = minimize(
                problem.loss,
                start.ravel(),
                args=(self.alpha,),
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
        check_features(self, problem.given, problem.X, reset=True)
        weights = result.x.reshape(len(classes), -1)
        self.classes_, self.n_iter_ = classes, result.nit
        coef = features.to_coef(torch.from_numpy(weights[:, :-1]).to(features.mean.device))
        self.coef_ = coef.cpu().numpy()
        self.intercept_ = weights[:, -1] - self.coef_ @ features.mean.cpu().numpy()
        # From the shares of y to those of the prior, and with tau of 1 on to equal shares.
        self.intercept_ += (1 - self.tau) * np.log(prior) - np.log(shares_of_y)
        # A shift of all does not change probabilities, and would depend on the number of rows.
        self.intercept_ -= self.intercept_.mean()
        self.temperature_ = 1.0
        self._warn_unless_converged(result)
        return weights

    def _warn_unless_converged(self, result):
        if result.status == 1:
            warnings.warn(
                f"LinearHead stopped after max_iter={self.max_iter} iterations with a gradient of "
                f"{np.abs(result.jac).max():.1e}, above tol={self.tol:.1e}. Increase alpha or "
                "max_iter, or divide all features by one common scale, as CommonScaler does.",
                ConvergenceWarning,
                # The line that calls fit, which has two wrappers.
                stacklevel=6,
            )


@dataclass(frozen=True)
class Problem:
    """Rows and labels as a head is fitted to them.

    Attributes
    ----------
    given : object
        The rows as the user passed them, or a frame of the same columns.
    X : torch.Tensor, sparse matrix or Dask collection of shape (n_samples, n_features)
        The same rows after validation.
    features : CenteredRows or SparseFeatures
        These rows, except on Dask, and the directions to fit along.
    classes : ndarray of shape (n_classes,)
        The labels in sorted order.
    codes : torch.Tensor of shape (n_samples,), dtype=int64
        Positions in ``classes``.
    class_counts : ndarray of shape (n_classes,)
        Rows of each class, or the sums of their weights.
    targets : ndarray of shape (n_classes, n_classes), or None
        What the probabilities of each class's rows are fitted to, if that is not the class alone.
    """

    given: Any
    X: Any
    features: CenteredRows | SparseFeatures
    classes: np.ndarray
    codes: Any
    class_counts: np.ndarray
    targets: np.ndarray | None

    def start(self) -> np.ndarray:
        """Return weights of 0, and intercepts that predict the frequencies of the classes."""
        start = np.zeros((len(self.classes), self.features.basis.shape[-1] + 1))
        start[:, -1] = np.log(self.class_counts)
        return start

    def loss(self, weights: np.ndarray, alpha: float) -> tuple[float, np.ndarray]:
        """Return the penalized loss of flat weights along the directions, and its gradient."""
        return _penalized_loss(weights, self.features, self.codes, alpha, self.targets)


def fit_path(heads: Iterable[LinearHead], X: Rows, y: ArrayLike) -> None:
    """Fit heads that differ in their penalty to the same rows, each from the one before.

    They share the directions of the features, which saves more time than the best for each does.

    Parameters
    ----------
    heads : iterable of LinearHead
        Alike but for ``alpha``, the strongest penalty first.
    X : {array-like, sparse matrix, torch.Tensor} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    """
    heads = list(heads)
    middle = clone(heads[0]).set_params(alpha=heads[len(heads) // 2].alpha)
    problem = middle._make_problem(X, y)
    weights = problem.start()
    for head in heads:
        weights = head._solve(problem, weights)


def _weighted_rows(X, classes, codes, weights):
    """Drop the rows of weight 0, and the classes that only they have."""
    is_kept = weights > 0
    if not is_kept.all():
        kept = np.flatnonzero(is_kept)
        X = X[kept] if sparse.issparse(X) else X[torch.from_numpy(kept).to(X.device)]
        present, codes = np.unique(codes[kept], return_inverse=True)
        classes, weights = classes[present], weights[kept]
    return X, classes, codes, weights


def _penalized_loss(weights, features, codes, alpha, targets=None):
    """Return the loss and its gradient.

    The last column of the weights holds the intercepts; the others are along the directions of the
    features.
    """
    basis = features.basis
    weights = torch.from_numpy(weights).to(basis).reshape(-1, basis.shape[-1] + 1)
    coef, intercept = features.to_coef(weights[:, :-1]), weights[:, -1]
    log_proba = features.scores(coef, intercept).log_softmax(dim=1)
    chosen = codes[:, None]
    share = 1 / len(codes) if features.shares is None else features.shares[:, None].to(basis)
    if targets is None:
        fit = log_proba.gather(1, chosen)
    else:
        of_rows = torch.from_numpy(targets).to(basis)[codes]
        fit = of_rows * log_proba
    loss = alpha * coef.square().sum() / 2 - (share * fit).sum()
    residuals = log_proba.exp_()
    if targets is None:
        residuals.scatter_add_(1, chosen, residuals.new_full(chosen.shape, -1))
    else:
        residuals -= of_rows
    residuals *= share
    gradient = torch.empty_like(weights)
    gradient[:, :-1] = features.gradient(residuals, coef, alpha)
    gradient[:, -1] = residuals.sum(dim=0)
    # Both at once, because a copy from a GPU waits for all that it computes.
    values = torch.cat([gradient.ravel(), loss[None]]).double().cpu().numpy()
    return values[-1].item(), values[:-1]
