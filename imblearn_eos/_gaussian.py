"""Gaussian over-sampling with covariances borrowed from near classes."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import Substitution, check_target_type
from scipy import sparse
from sklearn.utils import check_consistent_length, check_random_state

from imblearn_eos._compat import (
    Interval,
    check_feature_names,
    random_state_docstring,
    sampling_strategy_docstring,
)
from imblearn_eos._frames import as_frame, repeat_rows
from imblearn_eos._interpolation import round_to_integers
from imblearn_eos._threads import one_thread_after_fork
from imblearn_eos._validation import (
    LARGEST,
    check_labels,
    check_magnitude,
    check_tensor,
    refuse_booleans,
    to_array,
)


@Substitution(
    sampling_strategy=sampling_strategy_docstring,
    random_state=random_state_docstring,
)
class GaussianOverSampler(BaseOverSampler):
    """Draw new rows around rows of a class, with the covariance of near classes.

    A class of few rows shows little of how its rows vary. This sampler borrows the covariance from
    the classes with more rows whose means are nearest, as TailCalib does [1]_, and adds noise of
    that covariance to rows of the class. It suits the embeddings of a frozen network, where
    classes vary in similar ways. On embeddings of a network that was trained on these rows,
    :class:`EOS` scores higher.

    Parameters
    ----------
    {sampling_strategy}

    {random_state}

    n_classes : int, default=3
        Number of classes to borrow from. Fewer are used where fewer have more rows. With 0, a class
        has only its own covariance.

    spread : float, default=1.0
        Factor of the standard deviation of the noise. With 0, new rows are copies.

    Attributes
    ----------
    sampling_strategy_ : dict
        The number of rows to add to each class.

    n_features_in_ : int
        Number of features in the input.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if the input has names that are all strings.

    base_indices_ : ndarray of shape (n_synthetic,), dtype=int64
        The row of the input around which each synthetic row was drawn.

    lenders_ : dict
        For each class with new rows, the classes that it borrowed from, the nearest first.

    See Also
    --------
    EOS : Moves rows toward their nearest enemies.

    imblearn.over_sampling.RandomOverSampler : Copies rows; its ``shrinkage`` adds noise that is
        independent for each feature.

    Notes
    -----
    The covariance is that of all rows of the class and of its lenders around the mean of their own
    class, so each class weighs as much as it has rows. The original rows come first and unchanged.
    Integer features are rounded, and the new rows of a sparse matrix have few zeros. The factor of
    the covariance takes time proportional to
    ``n_samples * n_features * min(n_samples, n_features)``.

    References
    ----------
    .. [1] R. Vigneswaran, M. T. Law, V. N. Balasubramanian, M. Tapaswi, "Feature Generation for
       Long-tail Classification," 12th Indian Conference on Computer Vision, Graphics and Image
       Processing (ICVGIP), 2021. arXiv:2111.05956.

    Examples
    --------
    >>> import numpy as np
    >>> from imblearn_eos import GaussianOverSampler
    >>> X = np.random.RandomState(0).normal(size=(1000, 2))
    >>> y = np.where(X.sum(axis=1) > 2, "rare", "common")
    >>> sampler = GaussianOverSampler(random_state=0)
    >>> X_resampled, y_resampled = sampler.fit_resample(X, y)
    >>> bool((y_resampled == "rare").sum() == (y_resampled == "common").sum())
    True
    >>> sampler.lenders_
    {{'rare': ['common']}}
    """

    _parameter_constraints: dict = {
        **BaseOverSampler._parameter_constraints,
        "n_classes": [Interval(Integral, 0, None, closed="left")],
        "spread": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        sampling_strategy: float | str | dict | Callable = "auto",
        random_state: int | np.random.RandomState | None = None,
        n_classes: int = 3,
        spread: float = 1.0,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.random_state = random_state
        self.n_classes = n_classes
        self.spread = spread

    @one_thread_after_fork()
    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Add synthetic rows to the classes that ``sampling_strategy`` names.

        Parameters
        ----------
        X : {array-like, dataframe, sparse matrix, torch.Tensor} of shape \
                (n_samples, n_features)
            Finite numbers. A dataframe is of pandas or polars, its columns are integers or floats.

        y : {array-like, series, dataframe, sparse matrix, torch.Tensor} of shape (n_samples,) or \
                (n_samples, n_classes)
            Labels of any kind, or one-hot rows.

        Returns
        -------
        X_resampled : {ndarray, dataframe, sparse matrix, torch.Tensor} of shape \
                (n_samples_new, n_features)
            The rows of X and the synthetic rows below them; a tensor on the device of X.

        y_resampled : {array-like, series, dataframe, sparse matrix, torch.Tensor} of shape \
                (n_samples_new,) or (n_samples_new, n_classes)
            Their labels, in y's container and dtype and on its device.
        """
        labels = check_labels(y, estimator=self)
        if frame := as_frame(X):
            frame.check_columns(estimator=type(self).__name__)
            resampled, y_resampled = super().fit_resample(frame.to_array(), labels)
            check_feature_names(self, X, reset=True)
            X_resampled = frame.append(resampled[len(X) :])
        else:
            X_resampled, y_resampled = super().fit_resample(X, labels)
        if labels is not y:
            # A new row has the label of its base.
            y_resampled = repeat_rows(y, self.base_indices_)
        return X_resampled, y_resampled

    def _check_X_y(self, X, y, accept_sparse=None):
        y = check_labels(y, estimator=self)
        if isinstance(X, torch.Tensor):
            X, y = check_tensor(X, estimator=self, largest=LARGEST), check_target_type(y)
            check_consistent_length(X, y)
            self.n_features_in_ = X.shape[1]
            # A second fit on rows without names forgets the names of the first.
            vars(self).pop("feature_names_in_", None)
            return X, y, False
        X, y, is_one_hot = super()._check_X_y(to_array(X), y, accept_sparse=accept_sparse)
        check_magnitude(X, estimator=self)
        refuse_booleans(X, estimator=self)
        return X, y, is_one_hot

    def _fit_resample(self, X, y):
        if sparse.issparse(X):
            rows, labels = self._fit_resample(X.toarray(), y)
            return type(X)(rows), labels
        random_state = check_random_state(self.random_state)
        xp = torch if isinstance(X, torch.Tensor) else np
        classes, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
        means = xp.stack(
            [_take(X, codes == code).mean(axis=0, dtype=xp.float64) for code in range(len(counts))]
        )
        residuals = X - _take(means, codes)
        means = to_array(means)
        bases, rows, labels = [np.empty(0, dtype=np.int64)], [X], [y]
        self.lenders_ = {}
        for label, n_new in self.sampling_strategy_.items():
            if n_new == 0:
                continue
            code = int(np.searchsorted(classes, label))
            lenders = self._find_lenders(means, counts, code)
            self.lenders_[classes.tolist()[code]] = classes[lenders].tolist()
            pool = _take(residuals, np.isin(codes, [code, *lenders]))
            # A matrix F with F'F the covariance, of at most n_features rows.
            factor = xp.linalg.qr(pool / np.sqrt(len(pool)), mode="r")
            factor = factor if xp is np else factor.R
            base = random_state.choice(np.flatnonzero(codes == code), n_new)
            noise = _beside(factor, random_state.normal(size=(n_new, len(factor)))) @ factor
            bases.append(base)
            rows.append(_cast(_take(X, base) + self.spread * noise, X.dtype))
            labels.append(np.full(n_new, label, dtype=y.dtype))
        self.base_indices_ = np.concatenate(bases)
        return xp.concatenate(rows), np.concatenate(labels)

    def _find_lenders(self, means, counts, code):
        """Return the nearest classes with more rows, the nearest first."""
        larger = np.flatnonzero(counts > counts[code])
        distances = np.linalg.norm(means[larger] - means[code], axis=1)
        return larger[np.argsort(distances, kind="stable")[: self.n_classes]]


def _beside(rows, values):
    """Return an array as what ``rows`` is, an array or a tensor on some device."""
    return torch.from_numpy(values).to(rows.device) if isinstance(rows, torch.Tensor) else values


def _take(rows, selected):
    """Return the rows that an array of positions, or a mask, selects."""
    # A mask on a GPU would make the host wait for the number of rows.
    positions = np.flatnonzero(selected) if selected.dtype == bool else selected
    return rows[_beside(rows, positions)]


def _cast(rows, dtype):
    if isinstance(rows, torch.Tensor):
        rows = rows if dtype.is_floating_point else round_to_integers(rows, dtype, torch)
        return rows.to(dtype)
    if np.issubdtype(dtype, np.integer):
        rows = round_to_integers(rows, dtype)
    return rows.astype(dtype)
