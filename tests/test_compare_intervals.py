"""Intervals of single scores, on results whose predictions are known."""

import numpy as np
import pytest
from scipy import stats
from sklearn.utils import Bunch

from imblearn_eos.compare import MethodResult, SeedResult, compare_table
from imblearn_eos.compare._card import describe_metrics
from imblearn_eos.compare._intervals import find_interval, row_intervals
from imblearn_eos.compare._statistics import paired_difference

ACCURACY, F1, RECALL, ALARMS = range(4)


def make_results(confusions, *, test_is_given=True, **params):
    """Return results of a method "eos" with these confusion matrices, one for each seed."""
    counts = {str(i): 100 - i for i in range(len(confusions[0]))}
    return [
        SeedResult(
            seed=seed,
            train_counts=counts,
            test_counts=counts,
            test_size=0.3,
            train_loss=None,
            train_balanced_accuracy=1.0,
            seconds_train=0.0,
            seconds_embed=0.0,
            methods={"eos": MethodResult(details=Bunch(confusion=np.array(confusion)), **params)},
            test_is_given=test_is_given,
        )
        for seed, confusion in enumerate(confusions)
    ]


@pytest.mark.parametrize("metric", [ACCURACY, F1, RECALL, ALARMS])
def test_interval_of_a_perfect_score_on_few_rows_has_a_width(metric):
    few, many = (
        row_intervals(make_results([[[30, 0], [0, n]]]), "eos", ["1"])[metric] for n in (5, 500)
    )
    if metric == ALARMS:
        assert few[0] == 0
        assert few[1] == pytest.approx(0.1135, abs=1e-4)
    else:
        assert few[0] < 0.9 < many[0] < 1 <= min(few[1], many[1])


@pytest.mark.parametrize("n_right", [0, 3, 5])
def test_recall_of_one_class_has_the_interval_of_wilson(n_right):
    [confusion] = [[[30, 0], [5 - n_right, n_right]]]
    found = row_intervals(make_results([confusion] * 2), "eos", ["1"])[RECALL]
    # The formula in closed form.
    z = stats.norm.ppf(0.975)
    share, n = n_right / 5, 5
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    np.testing.assert_allclose([found.low, found.high], [middle - half, middle + half], atol=1e-12)


@pytest.mark.parametrize(
    ("recalls", "n_rows"),
    [((0.9, 0.8), (30, 6)), ((0.98, 0.95, 0.9), (50, 10, 4)), ((0.8, 0.6) * 6, (12, 3) * 6)],
)
def test_intervals_hold_the_true_scores_as_often_as_they_say(recalls, n_rows):
    recalls, n_rows = np.array(recalls), np.array(n_rows)
    random_state, n_classes = np.random.RandomState(0), len(recalls)
    shares = np.diag(recalls)
    shares[np.arange(n_classes), np.arange(n_classes) - 1] = 1 - recalls
    expected = shares * n_rows[:, np.newaxis]
    f1 = np.mean(2 * expected.diagonal() / (expected.sum(axis=0) + n_rows))
    held = []
    for _ in range(200):
        drawn = [random_state.multinomial(n, p) for n, p in zip(n_rows, shares, strict=True)]
        found = row_intervals(make_results([drawn]), "eos", ["0"])
        truth = {ACCURACY: recalls.mean(), F1: f1}
        held.append([found[m][0] <= value <= found[m][1] for m, value in truth.items()])
    assert np.mean(held, axis=0).min() > 0.91


def test_card_says_where_rows_are_too_few_to_tell():
    y = np.repeat([0, 1], [40, 4])
    X = np.random.RandomState(0).normal(size=(44, 2)) + y[:, None]
    results = list(compare_table(X, y, samplers="random", seeds=1, validation_folds=0))
    assert results[0].test_counts == {"0": 12, "1": 1}
    found = {metric.type: metric.interval for metric in describe_metrics(results, "random")}
    assert found["recall"].endswith(" % (too few rows to tell)")
    assert found["false_positive_rate"].endswith(" %")


def test_interval_over_seeds_counts_where_it_is_wider():
    results = make_results([[[30, 0], [0, 5]]] * 3, test_is_given=False)
    mean, low, high = find_interval(results, [1.0, 1.0, 1.0], (0.6, 1.0))
    assert (mean, low, high) == (1.0, 0.6, 1.0)
    assert find_interval(results, [0.2, 0.9, 0.5], (0.4, 0.6))[1:] == (0.0, 1.0)
    # All seeds share a given test part, so that their spread says nothing about its rows.
    for result in results:
        result.test_is_given = True
    assert find_interval(results, [0.2, 0.8, 0.5], (0.4, 0.6))[1:] == (0.4, 0.6)


@pytest.mark.parametrize("test_is_given", [True, False])
def test_equal_predictions_for_a_few_rows_may_differ_on_others(test_is_given):
    results = make_results([[[30, 0], [0, 5]]] * 2, test_is_given=test_is_given)
    hits = [np.ones(30, bool), np.ones(5, bool)]
    for result in results:
        for name in ("none", "eos"):
            result.methods[name] = MethodResult(
                scores={"balanced_accuracy": 1.0}, details=Bunch(hits=hits)
            )
    found = paired_difference(results, "eos")
    assert found.low == -found.high
    assert 0.1 < found.high < 0.4
    assert found.is_noise
