"""EOS on Dask: counts, searches and draws at once; synthetic rows lazily."""

from contextlib import nullcontext

from dask.diagnostics import ProgressBar
from imblearn.utils import check_sampling_strategy

from imblearn_eos._compat import check_feature_names, check_parameters
from imblearn_eos._dask._blocks import (
    CountedLabels,
    Rows,
    as_labels,
    as_rows,
    count_classes,
    is_frame,
)
from imblearn_eos._dask._draws import plan_draws
from imblearn_eos._dask._enemies import BlockEnemySearch
from imblearn_eos._dask._output import Output
from imblearn_eos._enemies import make_finder
from imblearn_eos.neighbors import TorchNearestNeighbors


def fit_resample(sampler, X, y):
    """Do what ``sampler.fit_resample(X, y)`` does, for a Dask collection X.

    Parameters
    ----------
    sampler : EOS
        Gets its fitted attributes.
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
    y : dask.array.Array, dask.dataframe.Series or array-like of shape (n_samples,)

    Returns
    -------
    X_resampled : dask.array.Array or dask.dataframe.DataFrame
    y_resampled : dask.array.Array or dask.dataframe.Series

    Raises
    ------
    ValueError
        When the input cannot be used; its message says why.
    """
    check_parameters(sampler)
    finder = make_finder(sampler.n_neighbors, sampler.device)
    if not isinstance(finder, TorchNearestNeighbors):
        raise ValueError(
            f"n_neighbors is {sampler.n_neighbors!r}, but EOS on Dask needs an int or a "
            "TorchNearestNeighbors."
        )
    # Partitions of labels say how many rows those of a frame have.
    rows = as_rows(X, estimator=sampler, count=not is_frame(y))
    y, labels = as_labels(y, rows, estimator=sampler)
    classes, counts = count_classes(labels)
    rows = Rows(rows.collection, rows.blocks, counts.sum(axis=1))
    strategy = sampler.sampling_strategy
    sampler.sampling_strategy_ = check_sampling_strategy(
        strategy(y) if callable(strategy) else strategy,
        CountedLabels(classes, counts.sum(axis=0)),
        "over-sampling",
    )
    check_feature_names(sampler, rows.meta, reset=True)
    sampler.n_features_in_ = rows.n_features

    with ProgressBar() if sampler.verbose else nullcontext():
        search = BlockEnemySearch(rows, labels, counts, classes, finder, sampler)
        plan = plan_draws(sampler, search, classes, int(rows.sizes.max()))
        search.check()

    output = Output(rows, plan, sampler.max_step)
    sampler.base_indices_, sampler.enemy_indices_, sampler.steps_ = output.segments()
    return output.append_rows(), output.append_labels(y, classes)
