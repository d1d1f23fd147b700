"""Differences and verdicts, on results whose scores are known."""

import numpy as np
import pytest
from scipy import stats

from imblearn_eos.compare import MethodResult, SeedResult, format_table, format_verdict, summarize
from imblearn_eos.compare._statistics import best_rival, paired_difference
from imblearn_eos.compare._text import format_runs


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


def test_best_rival_is_chosen_on_the_seeds_where_eos_ran():
    results = make_results(none=[0.5, 0.5], smote=[0.6, None], random=[0.7, 0.1], eos=[0.4, 0.4])
    # SMOTE failed where others did not, so its mean is one over other seeds.
    assert best_rival(results) == "none"
    results = make_results(none=[0.5, 0.5], random=[0.4, 0.9], eos=[0.4, None])
    assert best_rival(results) == "none"
    assert best_rival(make_results(none=[None], eos=[0.5])) is None


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


@pytest.mark.parametrize(
    ("scores", "start", "words"),
    [
        (
            {"none": [0.5, 0.6, 0.55], "smote": [0.6, 0.7, 0.65], "eos": [0.8, 0.9, 0.86]},
            "EOS scored above every other method, beyond noise. Its balanced accuracy is 0.8533, ",
            ["0.2033 above SMOTE, the best other method (95 % interval over 3 seeds: +0."],
        ),
        (
            {
                "none": [0.5, 0.6, 0.55],
                "random": [0.2, 0.9, 0.5],
                "smote": [0.6, 0.7, 0.65],
                "eos": [0.8, 0.9, 0.86],
            },
            "EOS scored above the best other method. It scored above no over-sampling.",
            ["0.2033 above SMOTE, the best other method (95 % interval over 3 seeds: +0."],
        ),
        (
            {"none": [0.7, 0.8, 0.6], "eos": [0.75, 0.85, 0.65]},
            "EOS scored above no over-sampling by the same amount on each of 3 seeds, so the noise "
            "is unknown.",
            ["is 0.7500, 0.0500 above no over-sampling, the best other method."],
        ),
        (
            {"none": [0.5, 0.6, 0.5], "smote": [0.7, 0.7, 0.7], "eos": [0.8, 0.82, 0.69]},
            "EOS scored above the best other method, within noise. It scored above no "
            "over-sampling.",
            [", within noise)", "above no over-sampling"],
        ),
        (
            {"none": [0.5, 0.6, 0.55], "random": [0.8, 0.9, 0.85], "eos": [0.7, 0.8, 0.76]},
            "EOS scored below the best method. It scored above no over-sampling.",
            ["0.0967 below random over-sampling, the best other method", "0.2033 above"],
        ),
        (
            {"none": [0.8, 0.9, 0.85], "eos": [0.7, 0.8, 0.76]},
            "EOS scored below no over-sampling.",
            ["0.0967 below no over-sampling, the best other method (95 %"],
        ),
        (
            {"none": [0.7, 0.8], "eos": [0.6, 0.85]},
            "EOS scored below no over-sampling, within noise.",
            ["0.0250 below no over-sampling, the best other method (95 %", ", within noise)"],
        ),
        (
            {"none": [0.7], "eos": [0.6]},
            "EOS scored below no over-sampling on one seed, so the noise is unknown.",
            ["is 0.6000, 0.1000 below no over-sampling, the best other method."],
        ),
        (
            {"network": [0.9, 0.91, 0.9], "none": [0.5, 0.5, 0.5], "eos": [0.6, 0.6, None]},
            "EOS scored below the best method. It scored above no over-sampling by the same amount "
            "on each of 2 seeds, so the noise is unknown.",
            ["0.3050 below the network's own head", "over 2 seeds"],
        ),
        (
            {"none": [0.5, None], "random": [1.0, 1.0], "eos": [1.0, 1.0]},
            "EOS scored the same as the best other method. It scored above no over-sampling on one "
            "seed, so the noise is unknown.",
            ["0.5000 above no over-sampling"],
        ),
        (
            {"none": [0.5, 0.6, 0.5], "random": [0.8, 0.9, 0.81], "eos": [0.8, 0.9, 0.81]},
            "EOS scored the same as the best other method. It scored above no over-sampling.",
            [", the same as random over-sampling, the best other method, and 0.3033 above"],
        ),
        (
            {"none": [0.2, 0.9, 0.5], "random": [0.4, 0.1, 0.6], "eos": [0.6, 0.91, 0.8]},
            "EOS scored above no over-sampling, within noise.",
            [],
        ),
        (
            {"none": [0.4, 0.9, 0.5], "random": [0.8, 0.9, 0.9], "eos": [0.7, 0.8, 0.76]},
            "EOS scored below the best method. Its difference from no over-sampling is within "
            "noise.",
            ["0.1133 below random over-sampling", "0.1533 above no over-sampling (95 %"],
        ),
        (
            {"none": [0.5, 0.6], "eos": [0.6, 0.7]},
            "EOS scored above no over-sampling by the same amount on each of 2 seeds, so the noise "
            "is unknown.",
            ["is 0.6500, 0.1000 above no over-sampling, the best other method."],
        ),
        (
            {"none": [0.5, 0.6], "eos": [0.5, 0.6], "rows_added": 0},
            "The classes are already balanced, so EOS added no rows",
            [],
        ),
        (
            {"none": [0.7, 0.8], "eos": [0.7, 0.8]},
            "EOS scored the same as no over-sampling.",
            ["is 0.7500, the same as no over-sampling, the best other method."],
        ),
        ({"none": [0.7], "eos": [None]}, "EOS failed on every seed.", []),
        (
            {"none": [None], "eos": [0.5]},
            "No other method succeeded on a seed where EOS did.",
            [],
        ),
        ({"none": [0.5]}, "EOS was not among the samplers.", []),
    ],
)
def test_verdict_is_plain_about_who_wins_and_by_how_much(scores, start, words):
    verdict = format_verdict(make_results(**scores))
    assert verdict.startswith(start)
    for text in words:
        assert text in verdict


def test_table_tells_failures_and_their_reason():
    table = format_table(make_results(none=[0.5, 0.6], smote=[None, 0.7]))
    assert "1/2" in table
    assert "SMOTE failed on 1 of 2 seeds: ValueError: too few rows" in table
    table = format_table(make_results(none=[0.5, 0.5], smote=[None, None]))
    assert "failed" in table.splitlines()[3]


def test_runs_without_a_network_tell_rows_only():
    assert format_runs(make_results(none=[0.5])) == (
        "Train: 2 rows, 2 in the largest class, 2 in the smallest. Test: 1 rows, used for the "
        "scores only.\n"
    )


@pytest.mark.parametrize("use", [format_table, format_verdict, summarize])
def test_what_can_be_read_only_once_is_read_once(use):
    results = make_results(none=[0.7, 0.6, 0.7], eos=[0.8, 0.8, 0.9])
    assert use(iter(results)) == use(results)


@pytest.mark.parametrize("use", [format_table, format_verdict, summarize])
def test_nothing_to_tell_of_is_an_error(use):
    with pytest.raises(ValueError, match=r"results is empty.*list\(compare"):
        use(iter([]))
