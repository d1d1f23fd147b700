"""scikit-learn's nearest-neighbor interface to the search on torch."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix, issparse, spmatrix
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from imblearn_eos._compat import Interval, fit_context
from imblearn_eos._device import DEVICE_CONSTRAINT, resolve_device
from imblearn_eos._frames import is_dask, refuse_lazy
from imblearn_eos._threads import one_thread_after_fork
from imblearn_eos._validation import (
    LARGEST,
    check_magnitude,
    check_tensor,
    tensor_from_array,
    to_array,
)
from imblearn_eos.neighbors._search import ExactSearch


class TorchNearestNeighbors(BaseEstimator):
    """Find exact Euclidean nearest neighbors with torch, on CPU or CUDA.

    It replaces :class:`sklearn.neighbors.NearestNeighbors` in the samplers of imbalanced-learn that
    take a neighbors object; the notes list four exceptions. It finds the neighbors that a
    brute-force search in float64 finds, whatever the dtype, offset and scale of the data. Equal
    distances are ordered by row index. The result does not depend on the number of threads or on
    ``working_memory`` and, except for near ties, not on the device.

    Parameters
    ----------
    n_neighbors : int, default=5
        Default number of neighbors for :meth:`kneighbors`.

    device : str or torch.device, default="auto"
        Where to compute: "auto" (a tensor's own device, else CUDA if there is one, else CPU), or
        a cpu or cuda device.

    working_memory : float, default=None
        MiB for temporary arrays, beyond the input, one copy of it on the device, and the output.
        None means half of the memory that is free on a CUDA device, and on the CPU scikit-learn's
        setting, ``sklearn.get_config()["working_memory"]``. Less than 4 counts as 4.

    n_jobs : int, default=None
        Ignored; accepted because imbalanced-learn sets it. torch uses its own threads
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
    A pass in low precision rules out most rows, and those that it leaves in doubt are measured in
    float64; all neighbors are measured if distances are asked for. On a CPU, numba does this
    if it is installed (the extra ``fast``) and the searches of the process have taken about as long
    as it takes to load, a second. The first time in an environment its loops are compiled, which
    takes some 15 seconds, and kept in numba's cache. The result is the same without it.

    Four samplers of imbalanced-learn accept this object and then raise an error:

    - CondensedNearestNeighbour, NeighbourhoodCleaningRule and OneSidedSelection predict classes.
      Pass an int or scikit-learn's KNeighborsClassifier. The ``edited_nearest_neighbours`` of
      NeighbourhoodCleaningRule can use this object.
    - SMOTEN searches in a matrix of distances between categories. Pass an int or scikit-learn's
      NearestNeighbors.

    Child processes can search after their parent did, however they are started. In a forked child
    the search uses one thread, because torch's threads do not survive a fork, and no numba, unless
    the environment variable ``NUMBA_THREADING_LAYER`` is "workqueue" or "tbb".

    Distances are float64. Rows whose distances differ by less than 1e-12 of their size may come
    in either order; equal rows are ordered by index. Distances below 1e-135 lose digits, and those
    below 1e-162 are 0.

    Examples
    --------
    >>> from imblearn_eos import TorchNearestNeighbors
    >>> neighbors = TorchNearestNeighbors(n_neighbors=2).fit([[0.0], [1.0], [3.0], [7.0]])
    >>> distances, indices = neighbors.kneighbors([[1.25]])
    >>> distances
    array([[0.25, 1.25]])
    >>> indices
    array([[1, 0]])

    It takes the place of scikit-learn's in SMOTE and most other samplers of imbalanced-learn:

    >>> from imblearn.over_sampling import SMOTE
    >>> sampler = SMOTE(k_neighbors=TorchNearestNeighbors(n_neighbors=6))
    """

    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "device": DEVICE_CONSTRAINT,
        "working_memory": [Interval(Real, 0, None, closed="neither"), None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        device: str | torch.device = "auto",
        working_memory: float | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.device = device
        self.working_memory = working_memory
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    @one_thread_after_fork()
    def fit(self, X: ArrayLike | spmatrix | torch.Tensor, y: Any = None) -> TorchNearestNeighbors:
        """Keep the rows to search among.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor, Dask array or dataframe} of shape \
                (n_samples, n_features)
            Finite real numbers, at most 1e150 in size. Float arrays are kept without a copy. The
            rows of a Dask collection are counted here if need be, and checked when they are
            searched.

        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : TorchNearestNeighbors
            The fitted estimator.

        Raises
        ------
        ValueError
            If X is not a 2-d collection of finite numbers of at most 1e150 in size, or if
            ``device`` is not one of the above.
        """
        resolve_device(self.device, like=X)
        self._fitted_on_tensor = isinstance(X, torch.Tensor)
        self._searches: dict = {}
        self._fitted_on_dask = is_dask(X)
        if self._fitted_on_dask:
            from imblearn_eos._dask import rows_to_search

            self._fit_X = rows_to_search(self, X)
            self.n_samples_fit_ = int(self._fit_X.sizes.sum())
        else:
            self._fit_X = self._validate(X, reset=True)
            self.n_samples_fit_ = self._fit_X.shape[0]
        return self

    def kneighbors(
        self,
        X: ArrayLike | spmatrix | torch.Tensor | None = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
    ) -> Any:
        """Find the nearest rows of each row of X.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.Tensor} of shape (n_queries, n_features), \
                default=None
            The queries. None means the fitted rows; then a row is not its own neighbor. Rows
            are identified by index, so a duplicate of a row is its neighbor. After a fit to a Dask
            collection, also a Dask array or dataframe.

        n_neighbors : int, default=None
            Number of neighbors of each query; None means the constructor's.

        return_distance : bool, default=True
            Whether to return the distances, too.

        Returns
        -------
        distances : {ndarray, torch.Tensor} of shape (n_queries, n_neighbors), dtype=float64
            Euclidean distances, nearest first; only if ``return_distance``. Queries in a tensor
            give tensors on the queries' device, all others give arrays. After a fit to a Dask
            collection, lazy Dask arrays of the same bits.

        indices : {ndarray, torch.Tensor} of shape (n_queries, n_neighbors), dtype=int64
            Numbers of the fitted rows.

        Raises
        ------
        ValueError
            If ``n_neighbors`` exceeds the number of rows to choose from, or as in :meth:`fit`.
        """
        check_is_fitted(self)
        n_neighbors = self._check_n_neighbors(n_neighbors, excluded=int(X is None))
        if self._fitted_on_dask:
            from imblearn_eos._dask import kneighbors

            queries: Any = X
            if X is not None and not is_dask(X):
                queries = self._validate(X, reset=False)
                queries = queries.toarray() if issparse(queries) else to_array(queries)
            found = kneighbors(self, self._fit_X, queries, n_neighbors)
        else:
            found = self._find(X, n_neighbors, "distances" if return_distance else "order")
        return found if return_distance else found[1]

    @one_thread_after_fork()
    def _find(self, X, n_neighbors, result, members=None, allowed=None, reach=None):
        own = None
        if X is None:
            queries = self._fit_X if members is None else self._fit_X[members]
            own = torch.from_numpy(np.arange(self.n_samples_fit_) if members is None else members)
            as_tensor, like = self._fitted_on_tensor, self._like()
        else:
            queries = self._validate(X, reset=False)
            as_tensor = isinstance(X, torch.Tensor)
            like = X if as_tensor else self._like()
        search = self._search(resolve_device(self.device, like=like))
        kind = "distances" if result == "squared" else result
        squared, indices = search.nearest(
            queries, n_neighbors, own=own, allowed=allowed, reach=reach, result=kind
        )
        found = _root(squared) if result == "distances" else squared, indices
        if as_tensor:
            return tuple(x if x is None else x.to(queries.device) for x in found)
        return tuple(x if x is None else x.cpu().numpy() for x in found)

    def kneighbors_graph(
        self,
        X: ArrayLike | spmatrix | torch.Tensor | None = None,
        n_neighbors: int | None = None,
        mode: str = "connectivity",
    ) -> csr_matrix:
        """Compute the sparse matrix of weights between queries and their nearest rows.

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
            If ``mode`` is neither of these, or as in :meth:`kneighbors`.
        """
        if mode not in ("connectivity", "distance"):
            raise ValueError(
                f"The 'mode' parameter must be 'connectivity' or 'distance'. Got {mode!r} instead."
            )
        found = self.kneighbors(X, n_neighbors)
        refuse_lazy(found[0], "kneighbors(X)")
        distances, indices = map(torch.as_tensor, found)
        weights = distances if mode == "distance" else torch.ones_like(distances)
        n_queries, n_neighbors = indices.shape
        pointers = np.arange(0, n_queries * n_neighbors + 1, n_neighbors)
        return csr_matrix(
            (weights.cpu().numpy().ravel(), indices.cpu().numpy().ravel(), pointers),
            shape=(n_queries, self.n_samples_fit_),
        )

    def _validate(self, X, reset):
        if isinstance(X, torch.Tensor):
            n_features = None if reset else self.n_features_in_
            X = check_tensor(X, estimator=self, n_features=n_features, largest=LARGEST)
            if reset:
                self.n_features_in_ = X.shape[1]
                # A refit on rows without names forgets the names of the last.
                vars(self).pop("feature_names_in_", None)
            return X
        refuse_lazy(X)
        floats = [np.float64, np.float32, np.float16]
        X = validate_data(self, to_array(X), reset=reset, accept_sparse="csr", dtype=floats)
        check_magnitude(X, estimator=self)
        return X if issparse(X) else tensor_from_array(X)

    def _search(self, device):
        """Return the search on a device, which keeps what it has computed from the rows."""
        memory = self.working_memory
        if memory is None and device.type == "cpu":
            memory = get_config()["working_memory"]
        # What is free on a device changes with each search, which must not be prepared again.
        key = device, memory
        search = self._searches.get(key) or ExactSearch(self._fit_X, *key)
        self._searches = {key: search}
        return search

    def __getstate__(self):
        state = super().__getstate__().copy()
        return state | {"_searches": {}} if "_searches" in state else state

    def _like(self):
        return self._fit_X if self._fitted_on_tensor else None

    def _check_n_neighbors(self, n_neighbors, excluded):
        if n_neighbors is None:
            n_neighbors = self.n_neighbors
        available = self.n_samples_fit_ - excluded
        if not isinstance(n_neighbors, Integral) or not 1 <= n_neighbors <= available:
            raise ValueError(
                f"Expected an int with 1 <= n_neighbors <= {available}, got n_neighbors = "
                f"{n_neighbors!r}. There are {self.n_samples_fit_} rows to search among"
                + (", and a row is not its own neighbor." if excluded else ".")
            )
        return int(n_neighbors)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _root(squared):
    """Replace squared distances by their square roots."""
    if squared.device.type != "cpu":
        return squared.sqrt_()
    # Correctly rounded, so the same everywhere; those of torch on a CPU are not.
    np.sqrt(squared.numpy(), out=squared.numpy())
    return squared


def nearest_sets(neighbors, members, n_neighbors, *, allowed=None):
    """Find which rows are the nearest, in no order of distance. Internal to the package.

    What was computed from all fitted rows serves any choice of allowed rows.

    Parameters
    ----------
    neighbors : TorchNearestNeighbors
        Fitted.
    members : ndarray of shape (n_queries,), dtype=int64
        The fitted rows to search for; none is its own neighbor.
    n_neighbors : int
        At most the number of rows that each query may have as neighbors.
    allowed : torch.Tensor of shape (n_samples_fit,), dtype=bool, default=None
        Which of the fitted rows may be found. None means all.

    Returns
    -------
    {ndarray, torch.Tensor} of shape (n_queries, n_neighbors), dtype=int64
        Numbers of the fitted rows, ascending.
    """
    return neighbors._find(None, n_neighbors, "sets", members, allowed)[1]


def nearest_squared(neighbors, X, n_neighbors, *, allowed=None, reach=None):
    """Find the nearest rows and their squared distances. Internal to the package.

    Different squares can have the same root. So only squared distances can be compared with those
    of a search among other rows.

    Parameters
    ----------
    neighbors : TorchNearestNeighbors
        Fitted.
    X : {array-like, sparse matrix, torch.Tensor} of shape (n_queries, n_features)
        The queries.
    n_neighbors : int
        At most the number of rows that each query may have as neighbors.
    allowed : torch.Tensor of shape (n_samples_fit,), dtype=bool, default=None
        Which of the fitted rows may be found. None means all.
    reach : torch.Tensor of shape (n_queries,), dtype=float64, default=None
        Squared distances beyond which rows are not needed; what is returned beyond them is
        arbitrary. None means infinity.

    Returns
    -------
    squared : ndarray of shape (n_queries, n_neighbors), dtype=float64
        Squared Euclidean distances, ascending.
    indices : ndarray of shape (n_queries, n_neighbors), dtype=int64
        Numbers of the fitted rows, ascending where distances are equal.
    """
    return neighbors._find(X, n_neighbors, "squared", allowed=allowed, reach=reach)
