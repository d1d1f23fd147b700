"""Differences, on results whose scores are known."""

import numpy as np
import pytest
from scipy import stats

from imblearn_eos.compare import MethodResult, SeedResult, summarize
from imblearn_eos.compare._statistics import paired_difference


def make_results(rows_added=1, **scores):
    """Make results with the given balanced accuracies per seed; None is a failure."""

    def outcome(value):
        if value is None:
            return MethodResult(error="ValueError: too few rows")
        metrics = ("balanced_accuracy", "macro_g_mean", "macro_f1")
        return MethodResult(scores=dict.fromkeys(metrics, value), rows_added=rows_added)

    return [
        SeedResult(
            seed=seed,
            train_counts={"a": 2},
            test_counts={"a": 1},
            test_size=0.3,
            train_loss=None,
            train_balanced_accuracy=1.0,
            seconds_train=1.0,
            seconds_embed=1.0,
            methods={name: outcome(value) for name, value in zip(scores, values, strict=True)},
        )
        for seed, values in enumerate(zip(*scores.values(), strict=True))
    ]


def test_difference_is_that_of_a_t_test_corrected_for_shared_rows():
    eos, none = np.array([0.7, 0.8, 0.75, 0.9]), np.array([0.6, 0.75, 0.8, 0.7])
    found = paired_difference(make_results(none=none, eos=eos), "eos")
    plain = stats.ttest_rel(eos, none).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(eos - none))
    assert found.high - found.mean == pytest.approx(found.mean - found.low)
    # The variance grows by test over training share, 0.3 / 0.7, beside one over the seeds.
    wider = np.sqrt((1 / 4 + 0.3 / 0.7) / (1 / 4))
    assert found.high - found.low == pytest.approx((plain.high - plain.low) * wider)
    assert found.n_seeds == 4
    assert found.is_noise


def test_difference_takes_only_seeds_on_which_both_ran():
    results = make_results(none=[0.5, None, 0.6], eos=[0.6, 0.9, None])
    found = paired_difference(results, "eos")
    assert (found.mean, found.low, found.n_seeds) == (pytest.approx(0.1), None, 1)
    assert found.is_noise is None
    assert paired_difference(make_results(none=[None], eos=[0.5]), "eos") is None


def test_summary_has_the_difference_to_no_over_sampling():
    summary = summarize(make_results(none=[0.5, 0.6], eos=[0.6, 0.8], smote=[None, None]))
    assert summary["none"]["macro_f1"]["difference"] is None
    difference = summary["eos"]["macro_f1"]["difference"]
    assert difference["mean"] == pytest.approx(0.15)
    assert difference["low"] < 0.15 < difference["high"]
    assert summary["smote"]["macro_f1"] == {
        "mean": None,
        "spread": None,
        "n_seeds": 0,
        "difference": None,
    }


def test_what_can_be_read_only_once_is_read_once():
    results = make_results(none=[0.7, 0.6, 0.7], eos=[0.8, 0.8, 0.9])
    assert summarize(iter(results)) == summarize(results)


def test_nothing_to_tell_of_is_an_error():
    with pytest.raises(ValueError, match=r"results is empty.*list\(compare"):
        summarize(iter([]))
