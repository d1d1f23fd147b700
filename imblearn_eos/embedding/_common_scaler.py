"""Scaling embeddings by one number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from imblearn_eos._frames import by_blocks, is_dask
from imblearn_eos._threads import one_thread_after_fork
from imblearn_eos._validation import (
    LARGEST,
    check_features,
    check_tensor,
    tensor_from_array,
    to_array,
)

# Numbers that are computed with in float64 at once.
BLOCK_NUMBERS = 2**22
SHORT = (torch.float32, torch.float16, torch.bfloat16)


class CommonScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Subtract the mean of each feature and divide all features by one common scale.

    The mean square of embeddings depends on the backbone. Where embeddings have a length of 1, as
    those of many models of text, it is at most one over their number of features. The penalty
    ``alpha`` of a linear head means about the same for all backbones after this step. To scale
    every column by itself, as :class:`~sklearn.preprocessing.StandardScaler` does, would blow up
    the many directions of embeddings in which there is only noise.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,), dtype=float64
        The mean of each feature.

    scale_ : float
        Root of the mean square of all centered numbers; 1 if they are all 0 but for rounding.

    n_features_in_ : int
        Number of features seen during :meth:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :meth:`fit`, if they are all strings.

    See Also
    --------
    FeatureExtractor : Makes embeddings of photos and texts.

    AveragedHead : The head that is best on frozen embeddings without tuning.

    Notes
    -----
    Neighbors, and so new rows of EOS, do not depend on a common scale.
    :meth:`EmbeddingPipeline.to_module` folds this step into the head.

    Examples
    --------
    >>> import numpy as np
    >>> from imblearn_eos import CommonScaler
    >>> Z = np.array([[1.0, 20.0], [3.0, 20.0], [5.0, 26.0], [7.0, 30.0]])
    >>> scaler = CommonScaler().fit(Z)
    >>> scaler.mean_
    array([ 4., 24.])
    >>> float(np.square(scaler.transform(Z)).mean().round(6))
    1.0
    """

    @one_thread_after_fork()
    def fit(self, X: ArrayLike | torch.Tensor, y: Any = None) -> CommonScaler:
        """Compute the mean of each feature and the common scale.

        Parameters
        ----------
        X : {array-like, torch.Tensor} of shape (n_samples, n_features)
            Embeddings.

        y : object, default=None
            Ignored.

        Returns
        -------
        self : CommonScaler
            The fitted scaler.
        """
        X = self._check_X(X, reset=True)
        blocks = X.split(max(1, BLOCK_NUMBERS // X.shape[1]))
        mean = sum(block.sum(0, dtype=torch.float64) for block in blocks) / len(X)
        square = sum((block.double() - mean).square().sum() for block in blocks) / X.numel()
        self.mean_ = mean.cpu().numpy()
        self.scale_ = math.sqrt(square)
        # Rows that are all equal differ from their mean by rounding errors.
        if self.scale_ <= 10 * np.finfo(float).eps * np.abs(self.mean_).max():
            self.scale_ = 1.0
        return self

    @one_thread_after_fork()
    def transform(self, X: ArrayLike | torch.Tensor) -> np.ndarray | torch.Tensor:
        """Center and scale rows.

        Parameters
        ----------
        X : {array-like, torch.Tensor, Dask array or dataframe} of shape (n_samples, n_features)
            Embeddings.

        Returns
        -------
        {ndarray, torch.Tensor, Dask array} of shape (n_samples, n_features)
            Floats of up to 32 bits become float32, and anything else float64, also columns of
            pandas' nullable types and of polars. A tensor stays one, on its device.
        """
        if is_dask(X):
            return by_blocks(self.transform, X, lambda: self._no_rows(X))
        check_is_fitted(self)
        Z = self._check_X(X, reset=False)
        Z = Z.to(torch.float32 if Z.dtype in SHORT else torch.float64, copy=True)
        Z -= tensor_from_array(self.mean_).to(Z)
        Z /= self.scale_
        return Z if isinstance(X, torch.Tensor) else Z.numpy()

    def _check_X(self, X, *, reset):
        """Return a tensor of numbers, on the device of X if that is one."""
        given = X
        if not isinstance(X, torch.Tensor):
            X = check_array(
                to_array(X),
                dtype=(np.float64, np.float32, np.float16),
                # Checked below, with tensors.
                ensure_all_finite=False,
                input_name="X",
                estimator=self,
            )
            X = tensor_from_array(X)
        X = check_tensor(X, estimator=self, largest=LARGEST)
        check_features(self, given, X, reset=reset)
        return X

    def _no_rows(self, X):
        """Return what :meth:`transform` returns for no rows of a Dask collection."""
        dtypes = list(X.dtypes) if hasattr(X, "dtypes") else [X.dtype]
        is_short = all(isinstance(dtype, np.dtype) for dtype in dtypes) and (
            np.result_type(*dtypes) in (np.float16, np.float32)
        )
        return np.empty((0, len(self.mean_)), np.float32 if is_short else np.float64)
