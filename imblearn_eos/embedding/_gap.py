"""The generalization gap of a pipeline that embeds, over-samples and classifies."""

from __future__ import annotations

import numpy as np
import torch
from imblearn.over_sampling.base import BaseOverSampler
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils import Bunch, column_or_1d
from sklearn.utils.validation import check_is_fitted

from imblearn_eos._compat import PipelineWithHook
from imblearn_eos._torch_datasets import is_dataset
from imblearn_eos._validation import label_vector, tensor_from_array
from imblearn_eos.embedding._nets import labels_for
from imblearn_eos.embedding._samples import Samples
from imblearn_eos.embedding._steps import is_active
from imblearn_eos.metrics import TrainingRanges, check_rows


class PipelineWithGap(PipelineWithHook):
    """A pipeline that keeps the ranges of the embeddings that its last step is fitted to."""

    def generalization_gap(
        self, X_test: Samples, y_test: ArrayLike | torch.Tensor | None = None
    ) -> Bunch:
        """Compute how far test embeddings lie outside the range of the training embeddings.

        The report has the gap to the training rows and the gap to the rows after over-sampling,
        which the head was fitted to. Each is computed for all test rows, and for those that this
        pipeline classifies right and wrong, next to two references that help to interpret a gap.

        Parameters
        ----------
        X_test : {array-like, torch.Tensor, dict of such, torch.utils.data.Dataset, \
                skorch.helper.SliceDataset} of shape (n_samples, ...)
            Samples as in :meth:`fit`, which it has not seen.

        y_test : {array-like, torch.Tensor} of shape (n_samples,), default=None
            Their labels, as in :meth:`fit`. Each must be among :attr:`classes_`.

        Returns
        -------
        :class:`~sklearn.utils.Bunch`
            As in :func:`~imblearn_eos.metrics.generalization_gap_report`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            When this pipeline was not fitted as a whole, for example made of fitted steps, or when
            a sampler made labels that the training data lack.

        See Also
        --------
        imblearn_eos.plotting.GeneralizationGapDisplay : The same as a picture.
        """
        check_is_fitted(self)
        check_is_fitted(
            self,
            "_training_ranges",
            msg="The ranges of the training embeddings are not known, because this %(name)s was "
            "not fitted as a whole, or a step makes sparse matrices or labels that y lacks. Call "
            "fit, or use imblearn_eos.metrics.generalization_gap_report on embeddings.",
        )
        embeddings = self._embed(X_test)
        Z_test, y_test = check_rows(embeddings, self._labels(X_test, y_test), "test")
        head = self.steps[-1][1]
        y_pred = head.predict(embeddings) if hasattr(head, "predict") else None
        return self._training_ranges.report(Z_test, y_test, y_pred)

    def _note_ranges(self, X, y, Z_resampled, y_resampled):
        """Keep the ranges of the embeddings of X and of what the head is fitted to.

        Only :meth:`generalization_gap` needs them, so no fit fails because there are none.
        """
        try:
            y_resampled = column_or_1d(label_vector(y_resampled))
        except ValueError:
            # Shares of several classes, for example.
            return
        if sparse.issparse(Z_resampled) or not np.isin(y_resampled, y).all():
            return
        samplers = [step for _, step in self.steps[1:-1] if hasattr(step, "fit_resample")]
        # Over-samplers return the rows that they were given first; embedding them again takes time.
        if all(isinstance(sampler, BaseOverSampler) for sampler in samplers) and np.array_equal(
            y, y_resampled[: len(y)]
        ):
            Z = Z_resampled[: len(y)]
        else:
            Z = self._embed(X)
        self._training_ranges = TrainingRanges(
            _as_tensor(Z), y, _as_tensor(Z_resampled), y_resampled
        )

    def _labels(self, X, y):
        """Return the labels of samples; if y is None and X a dataset, the labels that it has."""
        return labels_for(self._embedder().net, X) if is_dataset(X) and y is None else y

    def _embed(self, X):
        """Transform samples to what the last step takes."""
        for _, step in self.steps[:-1]:
            if is_active(step) and not hasattr(step, "fit_resample"):
                X = step.transform(X)
        return X


def _as_tensor(Z):
    """Return embeddings as a tensor of float32 or float64; one on a GPU stays there."""
    if isinstance(Z, torch.Tensor):
        Z = Z.detach()
        return Z if Z.dtype == torch.float32 else Z.double()
    Z = np.asarray(Z)
    return tensor_from_array(Z if Z.dtype == np.float32 else Z.astype(float, copy=False))
