"""Which method to use, chosen by validation rows alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from imblearn_eos.compare._candidates import TIE
from imblearn_eos.compare._measures import ACCURACY, main_measure
from imblearn_eos.compare._registry import METHODS
from imblearn_eos.compare._run import SeedResult
from imblearn_eos.compare._statistics import (
    QUANTILE,
    as_list,
    collect,
    mean_margin,
    paired_difference,
    row_margin,
    seed_margin,
)

# An interval over fewer seeds says nothing.
MIN_SEEDS = 3
# Names of the area under the ROC curve of one class, or its mean over the classes.
AREAS = ("roc_auc", "roc_auc_ovr")


@dataclass(frozen=True)
class Recommendation:
    """The method with the best validation score.

    Attributes
    ----------
    method : str
        Its key in ``SeedResult.methods``.
    validation : float
        Its mean score on the validation rows of all folds and seeds, with the settings that are
        best on each seed, by the scorer of ``SeedResult.scoring``.
    settings : dict of str to object
        The settings with the best mean score over all folds and seeds, which `refit_recommended`
        uses; ties go to the default. Empty if there is no choice.
    runner_up : str or None
        The next best method; None if no other method succeeded on every fold.
    is_noise : bool or None
        Whether its paired difference to no over-sampling on the test rows, in the same score, is
        within noise. None where the noise is unknown, and for no over-sampling itself.
    near_chance : bool
        See `is_near_chance`.
    too_few_runs : bool
        Whether there are too few seeds for an interval. Never with a given test part, whose
        intervals come from the test rows.

    Examples
    --------
    See `recommend`.
    """

    method: str
    validation: float
    settings: dict[str, Any]
    runner_up: str | None
    is_noise: bool | None
    near_chance: bool
    too_few_runs: bool


def recommend(results: Iterable[SeedResult]) -> Recommendation | None:
    """Return the method with the best mean validation score.

    Methods that failed on a fold are left out, because means over different folds cannot be
    compared. Ties go to the method that comes first in `METHODS`. Test rows have no part in the
    choice; they say how much it is worth.

    Parameters
    ----------
    results : iterable of SeedResult
        As returned by `compare`, `compare_embeddings` or `compare_table`.

    Returns
    -------
    Recommendation or None
        None without validation rows, or if no method succeeded on every fold.

    Raises
    ------
    ValueError
        When results are empty.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos.compare import compare_table, recommend
    >>> X, y = make_classification(n_samples=500, weights=[0.9], random_state=0)
    >>> results = list(compare_table(X, y, samplers=["smote"], seeds=1))
    >>> found = recommend(results)
    >>> found.method, found.near_chance, found.too_few_runs
    ('logit_adjustment', False, True)
    """
    results = as_list(results)
    means = validation_means(results)
    if not means:
        return None
    ranked = _rank(means)
    best, runner_up = ranked[0], (ranked[1] if len(ranked) > 1 else None)
    metric = main_measure(results).metric
    difference = paired_difference(results, best, metric=metric) if best != "none" else None
    return Recommendation(
        method=best,
        validation=means[best],
        settings=_settings(results, best),
        runner_up=runner_up,
        is_noise=difference and difference.is_noise,
        near_chance=is_near_chance(results),
        too_few_runs=has_too_few_runs(results),
    )


def validation_means(results: list[SeedResult]) -> dict[str, float]:
    """Return the mean validation score of each method that succeeded on every fold."""
    methods = [m for m in results[0].methods if all(m in result.validation for result in results)]
    return {m: float(np.mean(np.concatenate([r.validation[m] for r in results]))) for m in methods}


def best_setting(results: list[SeedResult], method: str) -> int:
    """Return the position of the setting with the best mean score over all folds of all seeds.

    The first of several, and the default without validation rows. A setting that failed on more
    folds than another is left out, because means over different folds cannot be compared.
    """
    found = [r.setting_scores[method] for r in results if method in r.setting_scores]
    if not found:
        return 0
    scores = np.concatenate([np.array([s for _, s in one], dtype=float) for one in found], axis=1)
    n_failed = np.isnan(scores).sum(axis=1)
    totals = np.where(n_failed == n_failed.min(), np.nansum(scores, axis=1), -np.inf)
    return int(np.argmax(np.round(totals / TIE)))


def _settings(results, method):
    scores = results[0].setting_scores.get(method)
    return scores[best_setting(results, method)][0] if scores else {}


def is_near_chance(results: list[SeedResult]) -> bool:
    """Return whether the chosen method is within noise of a classifier that learns nothing.

    The balanced accuracy of such a classifier, as of scikit-learn's ``DummyClassifier``, is 1 over
    the number of classes, and its area under the ROC curve is 0.5. With a cost matrix, its mean
    cost is that of the one label for all rows that costs least. Other scores have no such value:
    False. The method is the one with the best validation score, or no over-sampling without
    validation rows; its scores are those on the test rows. False without such scores. The noise is
    that of the test rows, or that of the seeds if it is smaller.
    """
    measure, chance = main_measure(results), chance_of(results)
    has_costs = results[0].cost_matrix is not None
    if chance is None and not has_costs:
        return False
    means = validation_means(results)
    method = _rank(means)[0] if means else "none"
    scored = [r for r in results if measure.metric in r.methods[method].scores]
    is_given = results[0].test_is_given
    if not scored:
        return False
    of_rows = scored if is_given else scored[:1]
    if has_costs:
        details = [result.methods[method].details for result in scored]
        saved = [found.guess_costs - found.costs for found in details]
        gains = np.array([rows.mean() for rows in saved])
        margin = mean_margin(np.mean(saved[: len(of_rows)], axis=0))
    else:
        gains = np.array(list(collect(scored, method, measure.metric).values())) - chance
        is_accuracy = measure == ACCURACY
        margin = row_margin(of_rows, method) if is_accuracy else guess_margin(of_rows[0])
    if len(gains) >= MIN_SEEDS and not is_given:
        # Few seeds that differ much have a wide interval, also far from chance.
        margin = min(margin, seed_margin(gains, results[0].test_size))
    return bool(gains.mean() <= margin + TIE)


def chance_of(results):
    """Return the score of a classifier that learns nothing; None if it is not known."""
    known = {ACCURACY.metric: 1 / len(results[0].train_counts)} | dict.fromkeys(AREAS, 0.5)
    return known.get(main_measure(results).metric)


def guess_margin(result):
    """Return half the 95 % interval of an area under the ROC curve, of guesses for the test rows.

    The variance is that of the Mann-Whitney statistic. Over several classes, the margin is the mean
    of theirs, which is conservative.
    """
    counts = np.array([n_rows for n_rows in result.test_counts.values() if n_rows])
    n_rows = counts.sum()
    return float(QUANTILE * np.sqrt((n_rows + 1) / (12 * counts * (n_rows - counts))).mean())


def has_too_few_runs(results: list[SeedResult]) -> bool:
    """Return whether there are too few seeds for an interval."""
    return len(results) < MIN_SEEDS and not results[0].test_is_given


def _rank(means):
    """Return the methods, the best first."""
    order = {method: position for position, method in enumerate(METHODS)}
    # Objects of the user follow the registry, in the order given.
    position = {method: order.get(method, len(order)) for method in means}
    return sorted(means, key=lambda method: (-round(means[method] / TIE), position[method]))
