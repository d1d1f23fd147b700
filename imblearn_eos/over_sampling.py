"""Expansive over-sampling: minority rows on the segments toward their nearest enemies."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import Substitution, check_target_type
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from imblearn_eos._compat import (
    HasMethods,
    Interval,
    StrOptions,
    check_feature_names,
    random_state_docstring,
    sampling_strategy_docstring,
)
from imblearn_eos._device import DEVICE_CONSTRAINT, resolve_device
from imblearn_eos._enemies import EnemySearch, draw
from imblearn_eos._frames import as_frame, is_dask, repeat_rows
from imblearn_eos._interpolation import append
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
class EOS(BaseOverSampler):
    """Over-sample toward nearest enemies (Expansive Over-Sampling).

    SMOTE places new rows between rows of one class, so they never leave the range that the class
    already spans. EOS places them between a row of the class, its *base*, and a row of another
    class among the base's nearest neighbors, its *enemy*. So the range of the class grows where
    it meets other classes. EOS was made for the embeddings of a deep network [1]_ and takes any
    numeric features.

    Parameters
    ----------
    {sampling_strategy}

    {random_state}

    n_neighbors : int or object, default=10
        K, the number of nearest rows among which enemies are searched. Larger values yield more
        bases and more distant enemies. An int that exceeds the number of rows is clipped to it.

        An object with ``kneighbors`` and ``kneighbors_graph`` searches instead of
        :class:`~imblearn_eos.TorchNearestNeighbors`. By imbalanced-learn's convention it is set
        to K + 1 neighbors, at least 2, because each row finds itself. Then ``device`` has no
        effect, and objects other than TorchNearestNeighbors get the rows of a tensor as an array.

    max_step : float, default=1.0
        Steps toward an enemy are drawn uniformly from [0, max_step), 0 < max_step <= 1, as shares
        of the way. With 1.0, as in the paper, a synthetic row can lie anywhere between its base
        and its enemy; with 0.5 it is nearer to its base. Bases and enemies do not depend on it.

    enemy_search : {{"neighborhood", "nearest"}}, default="neighborhood"
        Which rows are the enemies of a row of class c:

        - "neighborhood": the rows of other classes among its K nearest rows. A row without any is
          not a base. A class without bases is sampled as with "nearest", with a warning.
        - "nearest": the K nearest rows of other classes. Every row is a base.

    device : str or torch.device, default="auto"
        Where distances are computed: "auto" (a tensor's own device, else CUDA if there is one,
        else CPU), or a cpu or cuda device. The search is exact on each.

    verbose : bool, default=False
        Show Dask's progress bar while a Dask collection is searched.

    Attributes
    ----------
    sampling_strategy_ : dict
        The number of rows to add to each class.

    n_features_in_ : int
        Number of features in the input.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if the input has names that are all strings.

    base_indices_ : ndarray of shape (n_synthetic,), dtype=int64
        The row of the input that each synthetic row starts from.

    enemy_indices_ : ndarray of shape (n_synthetic,), dtype=int64
        The row of the input that each synthetic row is moved toward.

    steps_ : ndarray of shape (n_synthetic,), dtype=float64
        How far each synthetic row was moved: 0 is at the base, 1 is at the enemy.

    See Also
    --------
    imblearn.over_sampling.SMOTE : Interpolates between rows of the same class.

    imblearn.over_sampling.ADASYN : SMOTE with more rows where enemies are near.

    Notes
    -----
    The original rows come first and unchanged, the synthetic ones after them, class by class in
    sorted order. Each synthetic row is ``x_b + r * (x_e - x_b)`` with base b, enemy e of b, and
    step r drawn uniformly from [0, ``max_step``), so it lies on the segment between two rows of
    the input. Integer features are rounded.

    In a class that is well separated only a few rows may have an enemy among their K nearest
    neighbors. Then all synthetic rows of the class start from these few rows, and represent the
    rest of the class poorly. ``len(np.unique(sampler.base_indices_))`` counts the bases; a larger
    ``n_neighbors`` or ``enemy_search="nearest"`` yields more.

    Enemies are real rows of another class: the nearer a step is to 1, the more a synthetic row
    resembles rows that carry another label. Probabilities of a classifier trained on over-sampled
    rows are not calibrated to the original class frequencies.

    Rows beyond one machine's memory can come as a Dask array or dataframe (the extra ``dask``).
    Bases, enemies, steps and rows have the same bits as on one machine, whatever the chunks are.
    The search runs at once, on the active scheduler, or on the synchronous one if none is. The
    rows and ``base_indices_``, ``enemy_indices_`` and ``steps_`` are lazy. X is read about three
    times: for the rows of the classes to over-sample, for the search, and for the result. Call
    ``X.persist()`` before if reading is slow and X fits into the memory of the cluster. Workers
    use one thread each, unless the environment variable ``OMP_NUM_THREADS`` is set. On Dask,
    ``n_neighbors`` must be an int or a TorchNearestNeighbors.

    To keep groups apart in cross-validation, let each synthetic row inherit the groups of its base
    and its enemy through ``base_indices_`` and ``enemy_indices_``.

    References
    ----------
    .. [1] D. Dablain, C. Bellinger, B. Krawczyk, N. V. Chawla, "Efficient Augmentation for
       Imbalanced Deep Learning," IEEE 39th International Conference on Data Engineering (ICDE),
       2023. arXiv:2207.06080.

    Examples
    --------
    >>> import numpy as np
    >>> from imblearn_eos import EOS
    >>> X = np.random.RandomState(0).normal(size=(1000, 2))
    >>> y = np.where(X.sum(axis=1) > 2, "rare", "common")
    >>> X_resampled, y_resampled = EOS(random_state=0).fit_resample(X, y)
    >>> bool((y_resampled == "rare").sum() == (y_resampled == "common").sum())
    True
    """

    _parameter_constraints: dict = {
        **BaseOverSampler._parameter_constraints,
        "n_neighbors": [
            Interval(Integral, 1, None, closed="left"),
            HasMethods(["kneighbors", "kneighbors_graph"]),
        ],
        "max_step": [Interval(Real, 0, 1, closed="right")],
        "enemy_search": [StrOptions({"neighborhood", "nearest"})],
        "device": DEVICE_CONSTRAINT,
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        sampling_strategy: float | str | dict | Callable = "auto",
        random_state: int | np.random.RandomState | None = None,
        n_neighbors: int | Any = 10,
        max_step: float = 1.0,
        enemy_search: str = "neighborhood",
        device: str | torch.device = "auto",
        verbose: bool = False,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.random_state = random_state
        self.n_neighbors = n_neighbors
        self.max_step = max_step
        self.enemy_search = enemy_search
        self.device = device
        self.verbose = verbose

    @one_thread_after_fork()
    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Add synthetic rows to the classes that ``sampling_strategy`` names.

        Parameters
        ----------
        X : {array-like, dataframe, sparse matrix, torch.Tensor, Dask array or dataframe} of \
                shape (n_samples, n_features)
            Finite numbers. A dataframe is of pandas, polars or Dask, its columns are integers or
            floats, and nulls are refused. Gradients of a tensor are not tracked.

        y : {array-like, series, dataframe, sparse matrix, torch.Tensor, Dask array or series} of \
                shape (n_samples,) or (n_samples, n_classes)
            Labels of any kind, or one-hot rows. Labels of a Dask collection are not one-hot.

        Returns
        -------
        X_resampled : {array-like, dataframe, sparse matrix, torch.Tensor} of shape \
                (n_samples_new, n_features)
            The rows of X and the synthetic rows below them, in X's container and dtype and on its
            device; sparse formats other than CSR and CSC become CSR. For a Dask collection, a lazy
            one with one chunk of columns.

        y_resampled : {array-like, series, dataframe, sparse matrix, torch.Tensor} of shape \
                (n_samples_new,) or (n_samples_new, n_classes)
            Their labels, in y's container and dtype and on its device. If X is a Dask collection,
            a Dask series or array.
        """
        if is_dask(X):
            from imblearn_eos._dask import fit_resample

            return fit_resample(self, X, y)
        labels = check_labels(y, estimator=self)
        if frame := self._as_frame(X):
            resampled, y_resampled = super().fit_resample(frame.to_array(), labels)
            check_feature_names(self, X, reset=True)
            segments = self.base_indices_, self.enemy_indices_, self.steps_
            X_resampled = frame.append(resampled[len(X) :], segments)
        else:
            X_resampled, y_resampled = super().fit_resample(X, labels)
        if labels is not y:
            # A synthetic row has the label of its base.
            y_resampled = repeat_rows(y, self.base_indices_)
        return X_resampled, y_resampled

    def _as_frame(self, X):
        """Wrap a DataFrame of numbers; return None for any other container."""
        frame = as_frame(X)
        if frame:
            frame.check_columns(estimator=type(self).__name__)
        return frame

    def _check_X_y(self, X, y, accept_sparse=None):
        self._as_frame(X)
        shape = tuple(getattr(X, "shape", None) or np.shape(X))
        if len(shape) > 2:
            raise ValueError(
                f"EOS expects X of shape (n_samples, n_features), got shape {shape}. There is no "
                "meaningful straight line between two images: take their embeddings with "
                "imblearn_eos.Embedder first, or use imblearn_eos.make_embedding_pipeline, which "
                "does both."
            )
        resolve_device(self.device, like=X)
        y = check_labels(y, estimator=self)
        check_classification_targets(y)
        if isinstance(X, torch.Tensor):
            y = check_target_type(y)
            X = check_tensor(X, estimator=self, largest=LARGEST)
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
        classes, codes = np.unique(y, return_inverse=True)
        random_state = check_random_state(self.random_state)
        search = EnemySearch(X, codes, self.n_neighbors, self.device)
        nothing = np.empty(0, dtype=np.int64)
        segments, new_codes = [(nothing, nothing, np.empty(0))], [nothing]
        for code, n_rows, enemies in self._plan(search, classes):
            drawn = draw(enemies.counts, n_rows, self.max_step, *[random_state] * 3)
            segments.append((*enemies.pick(*drawn[:2]), drawn[2]))
            new_codes.append(np.full(n_rows, code))
        base, enemy, steps = map(np.concatenate, zip(*segments, strict=True))
        self.base_indices_, self.enemy_indices_, self.steps_ = base, enemy, steps

        X_resampled = append(X, base, enemy, steps)
        return X_resampled, np.concatenate([y, classes[np.concatenate(new_codes)]])

    def _plan(self, search, classes):
        """Yield the code of each class to over-sample, its number of new rows, and its enemies.

        Parameters
        ----------
        search : object
            Has the attribute ``n_neighbors`` and methods named like ``enemy_search``: they take the
            codes of some classes and yield the enemies of each, with ``counts``.
        classes : ndarray of shape (n_classes,)
            The classes in sorted order.
        """
        wanted = {
            int(np.searchsorted(classes, label)): n_rows
            for label, n_rows in self.sampling_strategy_.items()
            if n_rows > 0
        }
        found = getattr(search, self.enemy_search)(list(wanted))
        for (code, n_rows), enemies in zip(wanted.items(), found, strict=True):
            if not len(enemies.counts):
                warnings.warn(
                    f"No row of class {classes.tolist()[code]!r} has a row of another class among "
                    f"its {search.n_neighbors} nearest neighbors, so EOS uses "
                    "enemy_search='nearest' for this class. Increase n_neighbors to widen the "
                    "neighborhood, or set enemy_search='nearest' for all classes.",
                    UserWarning,
                    stacklevel=3,
                )
                (enemies,) = search.nearest([code])
            yield code, n_rows, enemies
