"""Means, spreads and paired differences over seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from imblearn_eos.compare._measures import ACCURACY, COST, main_measure
from imblearn_eos.compare._run import SeedResult
from imblearn_eos.compare._scores import METRICS

CONFIDENCE = 0.95
# Half the width of such an interval, in standard errors.
QUANTILE = float(stats.norm.ppf((1 + CONFIDENCE) / 2))


@dataclass(frozen=True)
class Difference:
    """The paired difference of two methods on the same seeds.

    Attributes
    ----------
    mean : float
    low, high : float or None
        The 95 % interval. None where the noise is unknown: on one seed, and for metrics other than
        the balanced accuracy and the mean cost with a given test part or equal differences of all
        seeds.
    n_seeds : int
        Seeds on which neither failed.
    """

    mean: float
    low: float | None
    high: float | None
    n_seeds: int

    @property
    def is_noise(self) -> bool | None:
        """Whether the interval contains 0; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return bool(self.low <= 0 <= self.high)


def as_list(results):
    """Return results as a list: an iterator of `compare` can be read only once."""
    results = list(results)
    if not results:
        raise ValueError(
            "results is empty. compare and compare_table return iterators, which can be read only "
            "once: keep a list, as in results = list(compare(X, y))."
        )
    return results


def collect(results, method, metric, kind="scores"):
    """Return {seed: value} of a method, for the seeds on which it was scored and did not fail."""
    return {
        result.seed: getattr(result.methods[method], kind)[metric]
        for result in results
        if metric in getattr(result.methods[method], kind)
    }


def mean_and_spread(values):
    """Return mean and sample standard deviation; None where there are too few values."""
    values = np.array(list(values))
    mean = float(values.mean()) if len(values) else None
    return mean, float(values.std(ddof=1)) if len(values) > 1 else None


def paired_difference(results, method, other="none", metric="balanced_accuracy", kind="scores"):
    """Compute the difference of two methods on the seeds where neither failed.

    The splits of different seeds share rows, so the usual interval of a paired t test is too
    narrow. This one is corrected for it by the ratio of test to training rows, as Nadeau and
    Bengio propose ("Inference for the Generalization Error", Machine Learning, 2003). The ratio is
    the one of the split: leaving out rows afterwards, for a long tail, does not make splits more
    alike.

    With a given test part, all seeds share their test rows, and the interval is that of
    `row_margin` or `cost_margin`. It is known for the balanced accuracy and the mean cost only. The
    same holds where the differences of all seeds are equal, as happens with few test rows; the rows
    are then those of one seed.

    Returns
    -------
    Difference or None
        None if there is no such seed.
    """
    first, second = (collect(results, name, metric, kind) for name in (method, other))
    differences = np.array([first[seed] - second[seed] for seed in first if seed in second])
    # Without rounding, equal differences have a tiny spread, which would count as noise of seeds.
    differences, n = differences.round(12), len(differences)
    if n == 0:
        return None
    mean, margin = float(differences.mean()), None
    is_given = results[0].test_is_given
    if not is_given and n > 1 and np.ptp(differences) > 0:
        margin = seed_margin(differences, results[0].test_size)
    elif kind == "scores" and (is_given or n > 1) and has_margin(results, metric):
        scored = [result for result in results if result.seed in first.keys() & second.keys()]
        margin = MARGINS[metric](scored if is_given else scored[:1], method, other)
    if margin is None:
        return Difference(mean, None, None, n)
    return Difference(mean, mean - margin, mean + margin, n)


def seed_margin(values, test_size):
    """Return half the 95 % interval of a mean over seeds, corrected for the rows they share."""
    n = len(values)
    error = values.std(ddof=1) * np.sqrt(1 / n + test_size / (1 - test_size))
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * error)


def row_margin(results, method, other=None):
    """Return half the 95 % interval of a balanced accuracy, or of the difference to another.

    It follows from the exact variance of a mean of recalls, for test rows drawn class by class. All
    seeds must have the same test rows; each row counts by its mean over the seeds.
    """
    names = [method] if other is None else [method, other]
    hits = [
        [result.methods[name].details.hits for name in names]
        for result in results
        if all(result.methods[name].error is None for name in names)
    ]
    variances, n_rows = [], []
    for c in range(len(hits[0][0])):
        # The second method, if there is one, is subtracted.
        values = np.mean(
            [np.subtract(h[0][c], h[1][c] if other else 0.0, dtype=float) for h in hits], 0
        )
        if len(values):
            # One row of a class says nothing about their variance, which is at most 1.
            variances.append(values.var(ddof=1) / len(values) if len(values) > 1 else 1.0)
            n_rows.append(len(values))
    variances = smooth_variance(np.array(variances), np.array(n_rows))
    return float(QUANTILE * np.sqrt(variances.sum()) / len(variances))


def cost_margin(results, method, other=None):
    """Return half the 95 % interval of a mean cost, or of the difference to another.

    As for `row_margin`, all seeds must have the same test rows.
    """
    costs = [
        result.methods[method].details.costs - (result.methods[other].details.costs if other else 0)
        for result in results
    ]
    return mean_margin(np.mean(costs, axis=0))


def mean_margin(values):
    """Return half the 95 % interval of a mean over rows."""
    return float(QUANTILE * values.std(ddof=1) / np.sqrt(len(values)))


# How the test rows of one seed tell the noise of a metric.
MARGINS = {ACCURACY.metric: row_margin, COST.metric: cost_margin}


def has_margin(results, metric):
    """Return whether single test rows tell the noise of a metric."""
    # A scorer of the user may be a mean cost, too, but the costs of the rows are not known then.
    return metric in MARGINS and (metric != COST.metric or results[0].cost_matrix is not None)


def smooth_variance(variances, n_rows):
    """Return the variances of the means of some classes, enlarged where there are few rows.

    Otherwise an interval would have no width where all rows of each class are predicted correctly.
    The added term is that of two pseudo-rows, shared among the classes, one for and one against the
    method; see Price and Bonett ("An improved confidence interval for a linear function of binomial
    proportions", Computational Statistics & Data Analysis, 2004).
    """
    added = 2 / len(n_rows)
    return variances + added / (n_rows + added) ** 2


def summarize(results: Iterable[SeedResult]) -> dict[str, dict[str, dict[str, Any]]]:
    """Compute means, spreads and differences over the seeds of a comparison.

    Parameters
    ----------
    results : iterable of SeedResult
        As returned by `compare` or `compare_table`.

    Returns
    -------
    dict
        ``{method: {metric: {"mean", "spread", "n_seeds", "difference"}}}``: mean and sample
        standard deviation over the seeds on which the method did not fail, and the paired
        ``difference`` to no over-sampling, with its ``mean`` and the bounds ``low`` and ``high`` of
        its 95 % interval. Values are None where there are too few seeds. The metrics are those of
        ``MethodResult.scores``; of costs and losses, lower is better.

    Raises
    ------
    ValueError
        When results are empty.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos.compare import compare_table, summarize
    >>> X, y = make_classification(n_samples=500, weights=[0.9], random_state=0)
    >>> summary = summarize(list(compare_table(X, y, samplers=["eos"], seeds=2)))
    >>> list(summary), list(summary["eos"]["macro_f1"])
    (['none', 'logit_adjustment', 'eos'], ['mean', 'spread', 'n_seeds', 'difference'])
    """
    results = as_list(results)
    return {
        method: {metric: _summarize(results, method, metric) for metric in metrics_of(results)}
        for method in results[0].methods
    }


def metrics_of(results):
    """Return the metrics of the test rows, with the one that the validation rows chose by."""
    return list(dict.fromkeys([*METRICS, main_measure(results).metric]))


def _summarize(results, method, metric):
    values = collect(results, method, metric).values()
    mean, spread = mean_and_spread(values)
    found = paired_difference(results, method, metric=metric) if method != "none" else None
    difference = found and {"mean": found.mean, "low": found.low, "high": found.high}
    return {"mean": mean, "spread": spread, "n_seeds": len(values), "difference": difference}
