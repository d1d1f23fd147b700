"""Methods that treat rows one by one, on each block of a Dask collection."""

import math
import threading
from functools import lru_cache, partial

import dask.array as da
from distributed.protocol import pickle
from sklearn.utils.validation import check_is_fitted

from imblearn_eos._compat import check_feature_names, check_n_features, meta_of, output_container
from imblearn_eos._dask._blocks import check_block, check_collection
from imblearn_eos._dask._graph import Stage, constant, starts_of
from imblearn_eos._dask._search import is_beside_others
from imblearn_eos._threads import one_thread

# Hooks on a network, and torch's number of threads, belong to the process.
_LOCK = threading.Lock()


def map_blocks(method, X, like, *, is_numeric=True):
    """Apply a method of a fitted estimator to each block of rows, lazily.

    Parameters
    ----------
    method : bound method
        Takes a block of X, and returns an array with a row for each of its rows.
    X : dask.array.Array, dask.dataframe.DataFrame, dask.dataframe.Series or dask.bag.Bag
        The samples.
    like : callable
        Called without arguments once the estimator is known to be fitted. Returns an array without
        rows, of the dtype and the number of columns of the result.
    is_numeric : bool, default=True
        Whether samples must be finite numbers.

    Returns
    -------
    dask.array.Array of shape (n_samples, ...)
        Of the chunks of X. Their sizes are unknown if they are unknown in X.
    """
    estimator = method.__self__
    check_is_fitted(estimator)
    if method.__name__ == "transform" and output_container(estimator) != "default":
        raise ValueError(
            f"The output of {type(estimator).__name__} is set to {output_container(estimator)!r}, "
            "but embeddings of a Dask collection are a Dask array. Call "
            "set_output(transform='default')."
        )
    if is_numeric:
        check_collection(X, estimator=estimator, ndim=None)
    if hasattr(estimator, "n_features_in_"):
        check_feature_names(estimator, meta_of(X), reset=False)
        check_n_features(estimator, X, reset=False)
    if isinstance(X, da.Array):
        X = X.rechunk(dict.fromkeys(range(1, X.ndim), -1))
        blocks, sizes = X.to_delayed(optimize_graph=False).ravel().tolist(), X.chunks[0]
    else:
        blocks = X.to_delayed(optimize_graph=False)
        sizes = [math.nan] * len(blocks)
    is_counted = not any(map(math.isnan, sizes))
    starts = starts_of(sizes) if is_counted else [0] * len(blocks)
    stage, like = Stage(*blocks[:1]), like()
    # Sent to each worker once. Pickled, because a network that runs cannot be: its hooks are local.
    fitted = stage.hold("eos-estimator", pickle.dumps(_as_it_is_now(estimator)))
    keys = [
        stage.add(
            f"eos-{method.__name__}",
            partial(
                apply,
                method=method.__name__,
                like=like,
                is_numeric=is_numeric,
                first=int(first),
                name="X" if is_counted else f"partition {i} of X",
            ),
            block.key,
            fitted,
        )
        for i, (block, first) in enumerate(zip(blocks, starts, strict=False))
    ]
    return stage.array(f"eos-{method.__name__}-rows", keys, constant, sizes, like)


def _as_it_is_now(estimator):
    """Return a copy, for results that are computed after the estimator is fitted again."""
    # Not by copy.copy, which leaves out what a FeatureExtractor can load again.
    now = object.__new__(type(estimator))
    vars(now).update(vars(estimator), verbose=False)
    if getattr(now, "n_jobs", 1) is None:
        # Workers are processes themselves.
        now.n_jobs = 1
    return now


# --- in tasks -------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _load(pickled):
    """Return the estimator, once for all blocks of this process."""
    return pickle.loads(pickled)


def apply(x, pickled, *, method, like, is_numeric, first, name):
    """Apply a method of a pickled estimator to a block."""
    # Blocks of a bag may be iterators.
    x = x if hasattr(x, "__len__") else list(x)
    if not len(x):
        return like
    with _LOCK, one_thread(is_beside_others()):
        estimator = _load(pickled)
        if is_numeric:
            check_block(x, first, estimator, name=name)
        try:
            return getattr(estimator, method)(x)
        except ValueError as error:
            error.add_note(f"Rows are numbered from row {first} of {name}.")
            raise
