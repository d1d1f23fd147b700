"""Sentences and tables, on results whose scores are known."""

import numpy as np
import pytest
from sklearn.utils import Bunch

from imblearn_eos.compare import (
    MethodResult,
    SeedResult,
    compare_embeddings,
    compare_table,
    format_table,
    format_verdict,
)
from imblearn_eos.compare._page import place_dots
from imblearn_eos.compare._recommend import is_near_chance, recommend
from imblearn_eos.compare._statistics import seed_margin
from imblearn_eos.compare._summary import order_methods, rare_classes, rare_scores
from imblearn_eos.compare._text import format_advice, format_headline, format_notes, format_runs

N_ROWS = 100


def make_outcome(recalls, *, rows_added=1):
    """Return the outcome of a method with these recalls of two classes, the second one rare."""
    if recalls is None:
        return MethodResult(error="ValueError: too few rows")
    hits = [round(N_ROWS * recall) for recall in recalls]
    confusion = np.array([[hits[0], N_ROWS - hits[0]], [N_ROWS - hits[1], hits[1]]])
    score = float(np.mean(recalls))
    return MethodResult(
        scores={"balanced_accuracy": score, "macro_g_mean": score, "macro_f1": score},
        recall=dict(zip(("common", "rare"), recalls, strict=True)),
        rows_added=rows_added,
        details=Bunch(confusion=confusion, hits=[np.arange(N_ROWS) < n_hits for n_hits in hits]),
    )


def make_results(*, validation=None, rows_added=1, train=None, train_loss=None, **methods):
    """Return results, where a method has one pair of recalls for each seed; None is a failure."""
    return [
        SeedResult(
            seed=seed,
            train_counts={"common": 900, "rare": 30},
            test_counts={"common": N_ROWS, "rare": N_ROWS},
            test_size=0.3,
            train_loss=train_loss,
            train_balanced_accuracy=train,
            seconds_train=1.0,
            seconds_embed=1.0,
            methods={
                name: make_outcome(recalls[seed], rows_added=rows_added * (name != "none"))
                for name, recalls in methods.items()
            },
            validation={name: [score] for name, score in (validation or {}).items()},
        )
        for seed in range(len(methods["none"]))
    ]


NONE = [(0.98, 0.50), (0.97, 0.52), (0.99, 0.51)]
EOS = [(0.93, 0.80), (0.95, 0.82), (0.94, 0.78)]
CHANCE = [(0.90, 0.11), (0.88, 0.10), (0.93, 0.09)]


def test_headline_says_what_to_use_and_what_it_brings():
    results = make_results(none=NONE, eos=EOS, validation={"none": 0.7, "eos": 0.9})
    assert format_headline(results) == (
        "Use EOS: it finds 80.0 % of the rows of the rarest class (rare) instead of 51.0 % without "
        "over-sampling, with false alarms in 6.0 % instead of 2.0 % of the other rows."
    )
    assert format_advice(results) == []
    assert format_verdict(results) == format_headline(results)


def test_method_is_chosen_by_validation_rows_whatever_the_test_rows_say():
    results = make_results(none=EOS, eos=NONE, validation={"none": 0.7, "eos": 0.9})
    assert format_headline(results).startswith(
        "Use EOS, which scored best on the validation rows, although it scored below no "
        "over-sampling on the test rows: it finds 51.0 %"
    )
    results = make_results(none=EOS, eos=NONE, validation={"none": 0.9, "eos": 0.7})
    assert format_headline(results) == (
        "Do not over-sample, because no other method scored better on the validation rows: the "
        "classifier finds 80.0 % of the rows of the rarest class (rare), with false alarms in "
        "6.0 % of the other rows."
    )


@pytest.mark.parametrize(
    ("eos", "words"),
    [
        (
            (0.98, 0.51),
            "51.0 % of the images of the rarest class (rare), with false alarms in 2.0 % of the "
            "other images, both the same as without over-sampling.",
        ),
        (
            (0.94, 0.51),
            "51.0 % of the images of the rarest class (rare), the same as without over-sampling, "
            "with false alarms in 6.0 % instead of 2.0 % of the other images.",
        ),
        (
            (0.98, 0.80),
            "80.0 % of the images of the rarest class (rare) instead of 51.0 % without "
            "over-sampling, with unchanged false alarms in 2.0 % of the other images.",
        ),
    ],
)
def test_ties_are_told_as_such(eos, words):
    validation = {"none": 0.7, "eos": 0.9}
    results = make_results(none=NONE, eos=[eos] * 3, validation=validation, train_loss=0.1)
    assert format_headline(results).endswith(f": it finds {words}")


@pytest.mark.parametrize(
    ("n_seeds", "words"),
    [
        (1, "Use EOS, but 1 run is too few to tell whether it beats no over-sampling: it finds"),
        (2, "Use EOS, but 2 runs are too few to tell whether it beats no over-sampling: it finds"),
        (3, "Use EOS: it finds"),
    ],
)
def test_too_few_runs_are_told(n_seeds, words):
    validation = {"none": 0.7, "eos": 0.9}
    results = make_results(none=NONE[:n_seeds], eos=EOS[:n_seeds], validation=validation)
    assert format_headline(results).startswith(words)
    # Their intervals say nothing, so the picture has none.
    widths = [row.width for row in place_dots(results).rows if row.method == "eos"]
    assert (widths != [0]) == (n_seeds == 3)


@pytest.mark.parametrize(
    ("eos", "words"),
    [
        (EOS[:1], "but 1 run is too few to tell whether another method beats it"),
        (EOS[:2], "but 2 runs are too few to tell whether another method beats it"),
        (
            [(0.9, 0.7), (0.93, 0.45), (0.95, 0.55)],
            "although the difference from the next best method, EOS, is within noise",
        ),
        (
            EOS,
            "because no other method scored better on the validation rows, although EOS, the next "
            "best, scored better on the test rows",
        ),
        ([None] * 3, "because no other method has a validation score"),
    ],
)
def test_no_over_sampling_is_recommended_as_carefully_as_a_sampler(eos, words):
    validation = {"none": 0.9} | ({"eos": 0.7} if eos[0] else {})
    results = make_results(none=NONE[: len(eos)], eos=eos, random=eos, validation=validation)
    assert format_headline(results).startswith(f"Do not over-sample, {words}: the classifier finds")


@pytest.mark.parametrize("best", ["none", "eos"])
def test_validation_scores_that_are_printed_equal_are_told(best):
    # 90.0 both, as printed.
    validation = {"none": 0.90, "eos": 0.90, "smote": 0.8} | {best: 0.9004}
    results = make_results(none=NONE, eos=EOS, smote=EOS, validation=validation)
    other = "EOS" if best == "none" else "no over-sampling"
    assert f" ({other} has the same validation score): " in format_headline(results)
    validation = dict.fromkeys(("none", "eos", "smote", "random"), 0.9)
    results = make_results(none=NONE, eos=EOS, smote=EOS, random=EOS, validation=validation)
    assert "(3 other methods have the same validation score)" in format_headline(results)


def test_a_tie_within_noise_is_told_once():
    noisy = [(0.9, 0.7), (0.93, 0.45), (0.95, 0.55)]
    validation = {"none": 0.9, "eos": 0.9}
    results = make_results(none=NONE, eos=noisy, validation=validation)
    words = "Do not over-sample, although EOS has the same validation score: the classifier finds"
    assert format_headline(results).startswith(words)
    results = make_results(
        none=NONE, eos=noisy, smote=noisy, validation=validation | {"smote": 0.9}
    )
    words = "Do not over-sample, although EOS and SMOTE have the same validation score: the"
    assert format_headline(results).startswith(words)


def test_noise_is_told():
    eos = [(0.9, 0.7), (0.93, 0.45), (0.95, 0.55)]
    results = make_results(none=NONE, eos=eos, validation={"none": 0.7, "eos": 0.9})
    words = "Use EOS, although its difference from no over-sampling is within noise: it finds 56.7"
    assert format_headline(results).startswith(words)


def test_default_is_not_called_a_choice():
    words = "EOS is the default and was not chosen, because there are no validation rows: it finds"
    assert format_headline(make_results(none=NONE, eos=EOS)).startswith(words)
    results = make_results(none=NONE, random=EOS)
    assert format_headline(results).startswith("Random over-sampling is the default")


def test_without_test_rows_nothing_is_claimed():
    results = make_results(none=NONE, eos=EOS)
    for result in results:
        for name in result.methods:
            result.methods[name] = MethodResult(rows_added=1)
    assert format_headline(results) == (
        "EOS is the default and was not chosen, because there are no validation rows."
    )
    assert place_dots(results) is None
    assert "-" in format_table(results)


@pytest.mark.parametrize(
    ("train", "train_loss", "remedy"),
    [
        # Trained to fit, so that more epochs would not help.
        (0.84, 0.1, "the network scores 84.0 % on its training images; use a pretrained backbone"),
        (0.55, 0.9, "the network scores 55.0 % on its training images; train for more epochs"),
        (0.84, None, "check the labels, and use other features"),
    ],
)
def test_near_chance_nothing_is_concluded_and_the_remedy_fits(train, train_loss, remedy):
    results = make_results(
        none=CHANCE,
        eos=CHANCE[::-1],
        validation={"none": 0.5, "eos": 0.51},
        train=train,
        train_loss=train_loss,
    )
    verdict = format_verdict(results)
    assert verdict.startswith(
        "Nothing was learnt, so no conclusion about over-sampling can be drawn: the balanced "
        "accuracy, 50.2 %, is within noise of guessing, 50.0 %; "
    )
    assert remedy in verdict
    assert "Use EOS" not in verdict


@pytest.mark.parametrize(
    ("function", "remedy"),
    [(compare_table, "use other features or"), (compare_embeddings, "use another backbone or")],
)
def test_remedy_near_chance_fits_tables_and_embeddings(function, remedy):
    rng = np.random.RandomState(0)
    results = function(rng.randn(200, 4), np.arange(200) % 10 == 0, samplers=["random"], seeds=3)
    assert f"guessing, 50.0 %; check the labels, and {remedy} more rows." in format_verdict(results)


def test_seeds_that_differ_much_are_not_taken_for_chance():
    results = make_results(none=[(0.95, 0.90), (0.80, 0.70), (0.70, 0.45)])
    scores = np.array([result.methods["none"].scores["balanced_accuracy"] for result in results])
    # The mean of 75 % is within the interval over seeds around 50 %.
    assert scores.mean() == pytest.approx(0.75)
    assert seed_margin(scores, 0.3) > 0.25
    assert not is_near_chance(results)
    assert is_near_chance(make_results(none=CHANCE))
    # A classifier that predicts one class.
    assert is_near_chance(make_results(none=[(1.0, 0.0)] * 3))


def test_chance_is_told_from_the_seeds_on_which_a_method_ran():
    validation = {"none": 0.7, "eos": 0.9}
    assert not is_near_chance(make_results(none=NONE, eos=[None, *EOS[1:]], validation=validation))


@pytest.mark.parametrize(
    ("train", "train_loss", "words"),
    [
        (0.79, 0.5, "scores only 79.0 % on its own training images: train for more epochs"),
        (0.95, 0.1, None),
        (
            1.0,
            0.0,
            "scores 100.0 % on its training images but 74.5 % on new ones: use a pretrained",
        ),
        (1.0, None, None),
    ],
)
def test_networks_that_learnt_too_little_or_too_much_are_told(train, train_loss, words):
    validation, methods = {"none": 0.7, "eos": 0.9}, {"none": NONE, "eos": EOS}
    params = {"train": train, "train_loss": train_loss, "validation": validation}
    advice = format_advice(make_results(**methods, **params))
    assert len(advice) == (words is not None)
    if words is not None:
        assert words in advice[0]
        assert ("More epochs will not help" in advice[0]) == (train == 1)


def test_balanced_classes_are_told():
    results = make_results(none=NONE, eos=NONE, rows_added=0, validation={"none": 0.7, "eos": 0.7})
    assert format_headline(results) == (
        "The classes are already balanced, so over-sampling adds no rows."
    )


def test_rarest_classes_are_a_third_of_them():
    [result] = make_results(none=NONE[:1])
    for n_classes, expected in ((2, 1), (3, 1), (7, 2), (10, 3)):
        result.train_counts = {str(i): 100 - i for i in range(n_classes)}
        assert rare_classes([result]) == [str(n_classes - 1 - i) for i in range(expected)]


def test_false_alarms_are_other_rows_taken_for_rare_ones():
    [result] = make_results(none=NONE[:1])
    result.train_counts = {"a": 9, "b": 8, "c": 7}
    result.test_counts = dict.fromkeys("abc", 10)
    outcome = result.methods["none"]
    outcome.recall = {"a": 0.8, "b": 0.7, "c": 0.9}
    outcome.details.confusion = np.array([[8, 1, 1], [1, 7, 2], [1, 0, 9]])
    found = rare_scores([result], "none")
    assert (found.recall, found.false_alarms) == (0.9, 3 / 20)


def test_method_to_use_comes_first_and_then_the_best():
    results = make_results(none=NONE, random=[None] * 3, smote=EOS, eos=EOS)
    assert order_methods(results) == ["eos", "smote", "none", "random"]


def test_methods_without_a_validation_score_follow_those_that_have_one():
    tested = {"random": [None] * 3, "adasyn": CHANCE, "smote": [(0.99, 0.99)] * 3}
    results = make_results(**tested, none=NONE, eos=EOS, validation={"none": 0.7, "eos": 0.8})
    assert order_methods(results) == ["eos", "none", "adasyn", "smote", "random"]


def test_table_has_percent_and_the_paired_difference():
    results = make_results(none=NONE, eos=EOS, validation={"none": 0.7, "eos": 0.9})
    header, _, eos, none = format_table(results).splitlines()
    names = ["method", "validation", "balanced accuracy", "vs none", "rarest recall"]
    names += ["false alarms", "macro f1", "seconds", "seeds"]
    assert header.split() == " ".join(names).split()
    assert eos.split()[:8] == ["EOS", "90.0", "87.0", "+12.5", "(+6.9", "to", "+18.1)", "80.0"]
    assert none.split()[:5] == ["no", "over-sampling", "70.0", "74.5", "-"]


def test_table_tells_failures_and_their_reason():
    table = format_table(make_results(none=NONE, smote=[None, None, EOS[0]]))
    assert "1/3" in table
    assert "SMOTE failed on 2 of 3 seeds: ValueError: too few rows" in table
    table = format_table(make_results(none=NONE, smote=[None] * 3))
    assert "failed" in table.splitlines()[3]


def test_failure_on_a_validation_fold_is_told_with_its_reason():
    results = make_results(none=NONE, smote=EOS, validation={"none": 0.7})
    results[1].validation_errors = {"smote": "ValueError: too\nfew rows"}
    assert list(format_notes(results)) == [
        "SMOTE has no validation score and cannot be recommended, because it failed with a "
        "validation fold held out: ValueError: too few rows"
    ]
    assert "SMOTE has no validation score" in format_table(results)


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        (
            {"smote": EOS},
            "SMOTE has no validation score and cannot be recommended, because it failed with a "
            "validation fold held out: without the fold, class rare has fewer than the 6 training "
            "rows that SMOTE needs. ",
        ),
        (
            {"smote": [None] * 3},
            "SMOTE failed on 3 of 3 seeds: class rare has fewer than the 6 training rows that "
            "SMOTE needs. ",
        ),
    ],
)
def test_too_few_rows_of_a_class_are_told_with_the_remedy(methods, words):
    results = make_results(none=NONE, **methods)
    error = (
        "ValueError: Expected n_neighbors <= n_samples_fit, but n_neighbors = 6, "
        "n_samples_fit = 4, n_samples = 4"
    )
    for result in results:
        # With a fold of two rows held out, five are left.
        is_fold = result.methods["smote"].error is None
        result.train_counts["rare"] = 7 if is_fold else 5
        if is_fold:
            result.validation_errors = {"smote": error}
        else:
            result.methods["smote"].error = error
    remedy = (
        "Add rows, merge or leave out the class, or pass a SMOTE with fewer neighbors (samplers= "
        "in Python)."
    )
    assert list(format_notes(results)) == [words + remedy]


def test_warnings_of_a_method_are_one_line_each_and_counted():
    results = make_results(none=NONE, eos=EOS)
    for result in results[1:]:
        result.methods["eos"].warnings = ["First\nsentence, it is short. Second one.", "Another."]
    note = "EOS warned on 2 of 3 seeds: First sentence, it is short (and 1 more like this)"
    assert list(format_notes(results)) == [note]
    results[1].methods["eos"].warnings = ["long " * 100]
    assert len(next(format_notes(results))) < 250
    # They follow the table, without blank lines between them.
    assert format_table(results).split("\n\n")[1] == next(format_notes(results))


def test_warnings_on_the_data_are_told_once():
    results = make_results(none=NONE, eos=EOS)
    for result in results:
        result.warnings = ["The embeddings look memorized."]
    assert format_verdict(results).count("The embeddings look memorized.") == 1


def test_runs_without_a_network_tell_rows_only():
    assert format_runs(make_results(none=NONE)) == (
        "Train: 930 rows, 900 in the largest class, 30 in the smallest. Test: 200 rows, used for "
        "the scores only.\n"
    )


def test_absent_test_rows_are_not_mentioned():
    results = make_results(none=NONE)
    results[0].test_counts = {"common": 0, "rare": 0}
    assert format_runs(results) == (
        "Train: 930 rows, 900 in the largest class, 30 in the smallest.\n"
    )


@pytest.mark.parametrize("use", [recommend, format_table, format_verdict])
def test_what_can_be_read_only_once_is_read_once(use):
    results = make_results(none=NONE, eos=EOS, validation={"none": 0.7, "eos": 0.9})
    assert use(iter(results)) == use(results)


@pytest.mark.parametrize("use", [format_table, format_verdict, recommend])
def test_nothing_to_tell_of_is_an_error(use):
    with pytest.raises(ValueError, match=r"results is empty.*list\(compare"):
        use(iter([]))
