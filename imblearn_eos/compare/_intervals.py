"""Intervals of the scores of one method, from its test rows and from its seeds."""

from __future__ import annotations

import numpy as np
from scipy import stats

from imblearn_eos.compare._measures import main_measure
from imblearn_eos.compare._recommend import MIN_SEEDS
from imblearn_eos.compare._statistics import (
    CONFIDENCE,
    QUANTILE,
    collect,
    cost_margin,
    seed_margin,
    smooth_variance,
)

N_DRAWS = 200


def find_interval(results, values, row_interval):
    """Return the mean of a score over seeds and its 95 % interval within 0 and 1.

    ``row_interval`` is the interval by the test rows. Where each seed has its own, the interval
    over the seeds counts if it is wider: by chance, the scores of few seeds hardly differ.
    """
    mean, margin = float(np.mean(values)), 0.0
    if len(values) > 1 and not results[0].test_is_given:
        margin = seed_margin(np.asarray(values), results[0].test_size)
    low, high = row_interval
    return mean, max(0.0, min(low, mean - margin)), min(1.0, max(high, mean + margin))


def cost_interval(results, method):
    """Return the 95 % interval of the mean cost of a test row, as `find_interval` does."""
    values = np.array(list(collect(results, method, "mean_cost").values()))
    scored = [result for result in results if result.methods[method].scores]
    is_given = results[0].test_is_given
    margin = cost_margin(scored if is_given else scored[:1], method)
    if len(values) > 1 and not is_given:
        margin = max(margin, seed_margin(values, results[0].test_size))
    return values.mean() - margin, values.mean() + margin


def seed_interval(results, method):
    """Return the 95 % interval of the main measure over the seeds; None where it is not known."""
    measure = main_measure(results)
    values = np.array(list(collect(results, method, measure.metric).values()))
    if len(values) < MIN_SEEDS or results[0].test_is_given:
        return None
    margin = seed_margin(values, results[0].test_size)
    low, high = values.mean() - margin, values.mean() + margin
    return (max(low, 0.0), min(high, 1.0)) if measure.is_share else (low, high)


def row_intervals(results, method, rare):
    """Return the 95 % intervals of four scores by the test rows of one seed.

    In this order: the balanced accuracy, the macro F1, the mean recall of the ``rare`` classes,
    and the share of the rows of other classes that are taken for one of them. Predictions are
    means over the seeds, which is conservative.
    """
    outcomes = [result.methods[method] for result in results]
    confusion = np.mean([o.details.confusion for o in outcomes if o.error is None], axis=0)
    is_rare = np.isin(list(results[0].train_counts), rare)
    hits, n_rows = confusion.diagonal(), confusion.sum(axis=1)
    others = confusion[~is_rare]
    low, high = accuracy = _recall_interval(hits, n_rows)
    return [
        accuracy,
        _f1_interval(confusion, least=(high - low) / 2),
        _recall_interval(hits[is_rare], n_rows[is_rare]),
        _share_interval(others[:, is_rare].sum(), others.sum()),
    ]


def _share_interval(hits, n_rows):
    """Return the interval of a share by Wilson."""
    if n_rows < 1:
        return 0.0, 1.0
    found = stats.binomtest(round(hits), round(n_rows))
    return found.proportion_ci(CONFIDENCE, method="wilson")


def _recall_interval(hits, n_rows):
    """Return the interval of the mean recall of some classes."""
    hits, n_rows = hits[n_rows > 0], n_rows[n_rows > 0]
    if len(hits) == 1:
        return _share_interval(hits[0], n_rows[0])
    recalls = hits / n_rows
    # One row of a class says nothing about the variance, which is at most this.
    spread = np.where(n_rows > 1, recalls * (1 - recalls) / np.maximum(n_rows - 1, 1), 0.25)
    margin = QUANTILE * np.sqrt(smooth_variance(spread, n_rows).sum()) / len(hits)
    return recalls.mean() - margin, recalls.mean() + margin


def _f1_interval(confusion, least):
    """Return the interval of the macro F1 by a bootstrap of the test rows, class by class.

    Four pseudo-rows are spread over all classes and predictions. A bootstrap of very few rows is
    too narrow all the same, so half the interval is at least ``least``.
    """
    n_classes, n_rows = len(confusion), confusion.sum(axis=1)
    counted = (n_rows > 0) | (confusion.sum(axis=0) > 0)
    added = 4 / max((n_rows > 0).sum(), 1)
    random_state = np.random.RandomState(0)
    # The first one is what was observed.
    hits, predicted = np.zeros((2, 1 + N_DRAWS, n_classes))
    for c in np.flatnonzero(n_rows):
        share = (confusion[c] + added / n_classes) / (n_rows[c] + added)
        drawn = random_state.multinomial(round(n_rows[c]), share, size=N_DRAWS)
        drawn = np.vstack([confusion[c], drawn])
        hits[:, c] = drawn[:, c]
        predicted += drawn
    scores = (2 * hits / np.maximum(n_rows + predicted, 1))[:, counted].mean(axis=1)
    margin = max(QUANTILE * scores[1:].std(), least)
    return scores[0] - margin, scores[0] + margin
