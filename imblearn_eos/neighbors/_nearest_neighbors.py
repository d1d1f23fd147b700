"""scikit-learn's nearest-neighbour interface to the search on torch."""

from numbers import Integral, Real

import numpy as np
import torch
from scipy.sparse import csr_matrix, issparse
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from imblearn_eos._compat import Interval, fit_context
from imblearn_eos._device import DEVICE_CONSTRAINT, resolve_device
from imblearn_eos._validation import check_tensor, tensor_from_array
from imblearn_eos.neighbors._search import ExactSearch


class TorchNearestNeighbors(BaseEstimator):
    """Exact Euclidean nearest neighbours, computed by torch on CPU or CUDA.

    A drop-in for :class:`sklearn.neighbors.NearestNeighbors` wherever a sampler takes a
    neighbours object. The neighbours are those of a float64 brute-force search, whatever the dtype,
    offset and scale of the data; equal distances are ordered by row index; the answer depends
    neither on the number of threads nor on ``working_memory`` and, but for near ties, not on the
    device.

    Parameters
    ----------
    n_neighbors : int, default=5
        Number of neighbours that :meth:`kneighbors` returns when it is not told.

    device : str or torch.device, default="auto"
        Where to compute: "auto" (a tensor's own device, else CUDA if there is one, else CPU), or
        a cpu or cuda device.

    working_memory : float, default=None
        MiB for temporary arrays, beyond the input, one copy of it on the device, and the output.
        None means scikit-learn's setting, ``sklearn.get_config()["working_memory"]``.

    n_jobs : int, default=None
        Accepted because imbalanced-learn sets it, and without effect: torch uses its own threads
        (``torch.set_num_threads``).

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen during :meth:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :meth:`fit`, if they are all strings.

    n_samples_fit_ : int
        Number of rows to search among.

    See Also
    --------
    imblearn_eos.EOS : The over-sampler that uses this search.

    Notes
    -----
    A pass in float32 rules out most rows, with the help of a tree where the data have structure;
    the rest is measured in float64. For many rows on a CPU, numba compiles that pass if it is
    installed (the extra ``fast``); the answer is the same without it.

    Distances are float64. Rows whose distances differ by less than 1e-12 of their size may come
    in either order, unless the rows are equal: those are ordered by index. Beside numbers of about
    1, distances below 1e-135 lose digits, and below 1e-162 they are 0.

    Examples
    --------
    >>> from imblearn_eos import TorchNearestNeighbors
    >>> neighbors = TorchNearestNeighbors(n_neighbors=2).fit([[0.0], [1.0], [3.0], [7.0]])
    >>> distances, indices = neighbors.kneighbors([[1.25]])
    >>> distances
    array([[0.25, 1.25]])
    >>> indices
    array([[1, 0]])

    It takes the place of scikit-learn's in any sampler of imbalanced-learn:

    >>> from imblearn.over_sampling import SMOTE
    >>> sampler = SMOTE(k_neighbors=TorchNearestNeighbors(n_neighbors=6))
    """

    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "device": DEVICE_CONSTRAINT,
        "working_memory": [Interval(Real, 0, None, closed="neither"), None],
        "n_jobs": [Integral, None],
    }

    def __init__(self, n_neighbors=5, *, device="auto", working_memory=None, n_jobs=None):
        self.n_neighbors = n_neighbors
        self.device = device
        self.working_memory = working_memory
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Keep the rows to search among.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor} of shape (n_samples, n_features)
            Finite real numbers. Float arrays are kept without a copy.

        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : TorchNearestNeighbors
            The fitted estimator.

        Raises
        ------
        ValueError
            When X is not a 2-d collection of finite numbers, or ``device`` is none of the above.
        """
        resolve_device(self.device, like=X)
        self._fit_X = self._validate(X, reset=True)
        self._fitted_on_tensor = isinstance(X, torch.Tensor)
        self._search = None
        self.n_samples_fit_ = self._fit_X.shape[0]
        return self

    def kneighbors(self, X=None, n_neighbors=None, return_distance=True):
        """Find the nearest rows of each row of X.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor} of shape (n_queries, n_features), \
                default=None
            The queries. None means the fitted rows; then no row is its own neighbour, and rows
            are told apart by index, so that a duplicate is a neighbour.

        n_neighbors : int, default=None
            Number of neighbours of each query; None means the constructor's.

        return_distance : bool, default=True
            Whether to return the distances too.

        Returns
        -------
        distances : {ndarray, torch.Tensor} of shape (n_queries, n_neighbors), dtype=float64
            Euclidean distances, nearest first; only if ``return_distance``. Queries in a tensor
            give tensors on the queries' device, all others give arrays.

        indices : {ndarray, torch.Tensor} of shape (n_queries, n_neighbors), dtype=int64
            Numbers of the fitted rows.

        Raises
        ------
        ValueError
            When ``n_neighbors`` exceeds the number of rows to choose from, or numbers are so
            large, 1e250 beside ordinary ones, that distances vanish beside them.
        """
        check_is_fitted(self)
        n_neighbors = self._check_n_neighbors(n_neighbors, excluded=int(X is None))
        distances, indices = self._find(X, n_neighbors)
        return (distances, indices) if return_distance else indices

    def _find(self, X, n_neighbors, allowed=None):
        """Find neighbours, with ``allowed`` only among some rows: a mask of shape (n_samples,)."""
        if X is None:
            queries, own = self._fit_X, torch.arange(self.n_samples_fit_, device="cpu")
            as_tensor = self._fitted_on_tensor
        else:
            queries, own = self._validate(X, reset=False), None
            as_tensor = isinstance(X, torch.Tensor)
        like = X if as_tensor and X is not None else self._like()
        try:
            search = self._prepared_search(resolve_device(self.device, like=like))
            distances, indices = search.kneighbors(queries, n_neighbors, own=own, allowed=allowed)
        except BaseException:
            # Ctrl-C, or too little memory, may have left it half prepared.
            self._search = None
            raise
        if as_tensor:
            distances, indices = distances.to(queries.device), indices.to(queries.device)
        else:
            distances, indices = distances.cpu().numpy(), indices.cpu().numpy()
        return distances, indices

    def kneighbors_graph(self, X=None, n_neighbors=None, mode="connectivity"):
        """Weigh the pairs of queries and their nearest rows in a sparse matrix.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor} of shape (n_queries, n_features), \
                default=None
            As in :meth:`kneighbors`.

        n_neighbors : int, default=None
            As in :meth:`kneighbors`.

        mode : {"connectivity", "distance"}, default="connectivity"
            Whether the weights are ones or Euclidean distances.

        Returns
        -------
        csr_matrix of shape (n_queries, n_samples_fit)
            One row for each query, ``n_neighbors`` stored weights in each.

        Raises
        ------
        ValueError
            When ``mode`` is neither, and as in :meth:`kneighbors`.
        """
        if mode not in ("connectivity", "distance"):
            raise ValueError(
                f"The 'mode' parameter must be 'connectivity' or 'distance'. Got {mode!r} instead."
            )
        distances, indices = map(torch.as_tensor, self.kneighbors(X, n_neighbors))
        weights = distances if mode == "distance" else torch.ones_like(distances)
        n_queries, n_neighbors = indices.shape
        pointers = np.arange(0, n_queries * n_neighbors + 1, n_neighbors)
        return csr_matrix(
            (weights.cpu().numpy().ravel(), indices.cpu().numpy().ravel(), pointers),
            shape=(n_queries, self.n_samples_fit_),
        )

    def _validate(self, X, reset):
        if isinstance(X, torch.Tensor):
            X = check_tensor(X, estimator=self, n_features=None if reset else self.n_features_in_)
            if reset:
                self.n_features_in_ = X.shape[1]
                # A refit on rows without names forgets the names of the last.
                vars(self).pop("feature_names_in_", None)
            return X
        floats = [np.float64, np.float32, np.float16]
        X = validate_data(self, X, reset=reset, accept_sparse="csr", dtype=floats)
        return X if issparse(X) else tensor_from_array(X)

    def _prepared_search(self, device):
        memory = self.working_memory
        memory = get_config()["working_memory"] if memory is None else memory
        search = self._search
        # What one call has computed from the rows serves the next.
        if search is None or (search.device, search.working_memory) != (device, memory):
            search = self._search = ExactSearch(self._fit_X, device, memory)
        return search

    def __getstate__(self):
        state = super().__getstate__().copy()
        if "_search" in state:
            state["_search"] = None
        return state

    def _like(self):
        return self._fit_X if self._fitted_on_tensor else None

    def _check_n_neighbors(self, n_neighbors, excluded):
        if n_neighbors is None:
            n_neighbors = self.n_neighbors
        if not isinstance(n_neighbors, Integral) or n_neighbors < 1:
            raise ValueError(f"n_neighbors must be an int of at least 1, got {n_neighbors!r}.")
        available = self.n_samples_fit_ - excluded
        if n_neighbors > available:
            raise ValueError(
                f"Expected n_neighbors <= {available}, got n_neighbors = {n_neighbors}: there are "
                f"{self.n_samples_fit_} rows to search among"
                + (", and no row is its own neighbour." if excluded else ".")
            )
        return int(n_neighbors)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
