"""The features that a linear head is fitted to: centered, and perhaps sparse."""

from __future__ import annotations

import torch
from scipy import sparse

# Directions that are worth their time, of features whose variances differ little enough that no
# feature is lost in the rounding errors of another.
MAX_DIRECTIONS, MAX_VARIANCE_RATIO = 2048, 1e6
# What is added to the variances, as a multiple of them. Rows weigh differently in the curvature, so
# the covariance tells little about directions of small variance.
DAMPING = 3
# Smaller eigenvalues, as a share of the largest, are rounding errors.
MIN_EIGENVALUE = 1e-12


class CenteredRows:
    """Rows that the mean was subtracted from, and directions to fit along.

    Parameters
    ----------
    rows : torch.Tensor of shape (n_samples, n_features)
        Centered.
    mean : torch.Tensor of shape (n_features,), dtype=float64
        What was subtracted.
    basis : torch.Tensor of shape (n_features, n_directions) or (n_features,)
        The directions, as columns, or only factors of the features.
    shares : torch.Tensor of shape (n_samples,), default=None
        What the rows weigh. None means the same for all, with a sum of 1.
    """

    def __init__(
        self,
        rows: torch.Tensor,
        mean: torch.Tensor,
        basis: torch.Tensor,
        shares: torch.Tensor | None = None,
    ) -> None:
        self.rows, self.mean, self.basis, self.shares = rows, mean, basis, shares

    def to_coef(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the weights of features from weights along the directions."""
        basis = self.basis.to(weights)
        return weights @ basis.T if basis.ndim == 2 else weights * basis

    def along_basis(self, of_features: torch.Tensor) -> torch.Tensor:
        """Return the gradient along the directions from that along the features."""
        return of_features @ self.basis if self.basis.ndim == 2 else of_features * self.basis

    def scores(self, coef: torch.Tensor, intercept: torch.Tensor) -> torch.Tensor:
        """Return the logits of the centered rows."""
        return torch.addmm(intercept, self.rows, coef.T)

    def gradient(self, residuals: torch.Tensor, coef: torch.Tensor, alpha: float) -> torch.Tensor:
        """Return the gradient along the directions, with that of the penalty."""
        return self.along_basis(torch.addmm(coef, residuals.T, self.rows, beta=alpha))


class DenseFeatures(CenteredRows):
    """A centered copy of the rows, and directions in which the objective curves alike.

    The optimum does not depend on the directions, but the number of iterations does. They are the
    columns of ``basis``: the principal axes, if there are fewer rows than features, because the
    optimum lies in the span of the rows, or else a root of the inverse covariance. With many of
    both, or very different scales, they are the features, and ``basis`` has only their factors.

    Parameters
    ----------
    X : torch.Tensor of shape (n_samples, n_features)
        The rows.
    device : torch.device
        Where to compute.
    dtype : torch.dtype
        In which precision.
    alpha : float
        The penalty of the head.
    shares : torch.Tensor of shape (n_samples,), dtype=float64, default=None
        What the rows weigh, positive and with a sum of 1. None means the same for all.
    """

    def __init__(
        self,
        X: torch.Tensor,
        device: torch.device,
        dtype: torch.dtype,
        alpha: float,
        shares: torch.Tensor | None = None,
    ) -> None:
        shares = None if shares is None else shares.to(dtype)
        rows = X.to(device, dtype, copy=True)
        # Exactly what is subtracted, in whatever precision.
        mean = rows.mean(dim=0) if shares is None else shares @ rows
        rows -= mean
        # Whose covariance is the weighted one.
        weighted = rows if shares is None else rows * (len(rows) * shares).sqrt()[:, None]
        some = weighted[:: direction_stride(*rows.shape)]
        basis = make_basis(some, weighted.square().mean(dim=0), len(rows), alpha)
        super().__init__(rows, mean.double(), basis, shares)


class SparseFeatures:
    """Sparse rows, which stay sparse: the mean is subtracted from results.

    Parameters
    ----------
    X : sparse matrix of shape (n_samples, n_features)
        The rows.
    device : torch.device
        Where to compute.
    alpha : float
        The penalty of the head.
    shares : torch.Tensor of shape (n_samples,), dtype=float64, default=None
        What the rows weigh, positive and with a sum of 1. None means the same for all.
    """

    def __init__(
        self,
        X: sparse.spmatrix | sparse.sparray,
        device: torch.device,
        alpha: float,
        shares: torch.Tensor | None = None,
    ) -> None:
        self.shares = shares
        # Both, because a product with a transposed matrix would sort its entries each time.
        self.rows, self.columns = to_sparse_tensor(X, device), to_sparse_tensor(X.T, device)
        if shares is None:
            n_samples = len(self.rows)
            shares = torch.full((n_samples,), 1 / n_samples, dtype=torch.float64, device=device)
        self.mean = torch.sparse.mm(self.columns, shares[:, None])[:, 0]
        squares = torch.sparse.mm(self.columns * self.columns, shares[:, None])[:, 0]
        self.basis = feature_scale((squares - self.mean.square()).clamp(min=0), alpha)

    def to_coef(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the weights of features from weights along the directions."""
        return weights * self.basis.to(weights)

    def scores(self, coef: torch.Tensor, intercept: torch.Tensor) -> torch.Tensor:
        """Return the logits of the centered rows."""
        return torch.sparse.mm(self.rows, coef.T) + (intercept - coef @ self.mean)

    def gradient(self, residuals: torch.Tensor, coef: torch.Tensor, alpha: float) -> torch.Tensor:
        """Return the gradient along the directions, with that of the penalty."""
        sums = torch.sparse.mm(self.columns, residuals).T
        sums = sums - torch.outer(residuals.sum(dim=0), self.mean)
        return (sums + alpha * coef) * self.basis


def has_directions(n_samples: int, n_features: int) -> bool:
    """Return whether directions other than the features may be worth their time."""
    return 1 < min(n_samples, n_features) <= MAX_DIRECTIONS


def direction_stride(n_samples: int, n_features: int) -> int:
    """Return the distance of rows of which enough are left to tell the directions."""
    return max(1, n_samples // (4 * n_features))


def make_basis(
    some: torch.Tensor, variance: torch.Tensor, n_samples: int, alpha: float
) -> torch.Tensor:
    """Return directions of centered rows, as columns, or a factor for each feature.

    Parameters
    ----------
    some : torch.Tensor of shape (n_some, n_features)
        One row of each :func:`direction_stride` rows.
    variance : torch.Tensor of shape (n_features,)
        Of all rows.
    n_samples : int
        The number of all rows.
    alpha : float
        The penalty of the head.
    """
    n_features = len(variance)
    if (
        not has_directions(n_samples, n_features)
        or not 0 < variance.max() <= MAX_VARIANCE_RATIO * variance.median()
    ):
        return feature_scale(variance, alpha)
    damping = DAMPING / feature_scale(variance, alpha).square()
    if n_samples <= n_features:
        exact = some.double()
        variance, vectors = torch.linalg.eigh(exact @ exact.T / n_samples)
        is_kept = variance > MIN_EIGENVALUE * variance[-1]
        variance, vectors = variance[is_kept], vectors[:, is_kept]
        axes = exact.T @ (vectors / (n_samples * variance).sqrt())
        return (axes * (variance + damping.mean()).rsqrt()).to(some.dtype)
    covariance = some.T @ some / len(some)
    covariance.diagonal().add_(damping)
    root = torch.linalg.cholesky(covariance)
    identity = torch.eye(n_features, dtype=some.dtype, device=some.device)
    return torch.linalg.solve_triangular(root, identity, upper=False).T


def feature_scale(variance: torch.Tensor, alpha: float) -> torch.Tensor:
    """Return the factors that make the objective about as curved along every weight.

    Along a weight, cross-entropy curves like p (1 - p), here taken as a tenth, times the variance
    of its centered feature, and the penalty like alpha. The half of the features with the least
    variance keep their proportions: in embeddings, small features are noise, and the optimizer does
    not have to follow them if they stay small.
    """
    variance = variance + variance.median() + 10 * alpha
    return torch.where(variance > 0, variance, 1).rsqrt()


def to_sparse_tensor(X: sparse.spmatrix | sparse.sparray, device: torch.device) -> torch.Tensor:
    """Convert a sparse matrix to a torch tensor of float64 in coordinate format."""
    X = X.tocsr().tocoo()
    indices = torch.stack([torch.from_numpy(part.astype("int64")) for part in (X.row, X.col)])
    values = torch.from_numpy(X.data.astype("float64"))
    tensor = torch.sparse_coo_tensor(
        indices, values, X.shape, device=device, check_invariants=False
    )
    return tensor.coalesce()
