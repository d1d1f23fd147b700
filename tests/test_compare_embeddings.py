import warnings
from functools import partial

import numpy as np
import pytest
import torch
from imblearn.over_sampling import SMOTE, BorderlineSMOTE
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold

from imblearn_eos import EOS, LinearHead
from imblearn_eos.compare import (
    _parallel,
    compare_embeddings,
    compare_table,
    format_verdict,
    recommend,
)
from imblearn_eos.compare._embeddings import NO_CHOICE, NO_SCORES, NO_TEST, TOL
from imblearn_eos.compare._parallel import choose_cores, record_warnings
from imblearn_eos.compare._splits import Split, make_splits, warn_of_copies

SPLIT = {"test_size": 0.3, "imbalance_ratio": None}


@pytest.fixture(scope="module")
def rows():
    params = {"n_features": 12, "n_informative": 6, "weights": [0.7, 0.2], "random_state": 0}
    Z, y = make_classification(n_samples=400, n_classes=3, class_sep=0.8, **params)
    return Z.astype(np.float32), y


def scale(Z_train, *others):
    mean = Z_train.mean(axis=0)
    common = np.sqrt(np.mean((Z_train - mean) ** 2))
    return [(Z - mean) / common for Z in (Z_train, *others)]


# --- the comparison -------------------------------------------------------------------------------


def test_scores_are_those_of_the_same_steps_by_hand(rows):
    Z, y = rows
    (result,) = compare_embeddings(Z, y, samplers=["smote", "eos"], seeds=1, alpha=0.1, tune=False)
    assert list(result.methods) == ["none", "logit_adjustment", "smote", "eos"]
    train, test = result.fitted.train, result.fitted.test
    assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(y)))
    Z_train, Z_test = scale(Z[train], Z[test])
    samplers = {
        "smote": SMOTE(random_state=0),
        "eos": EOS(n_neighbors=1000, max_step=0.5, random_state=0),
    }
    for name, sampler in samplers.items():
        head = LinearHead(alpha=0.1, tol=TOL).fit(*sampler.fit_resample(Z_train, y[train]))
        expected = balanced_accuracy_score(y[test], head.predict(Z_test))
        assert result.methods[name].scores["balanced_accuracy"] == pytest.approx(expected)
        assert_array_equal(result.fitted.predictions[name], head.predict(Z_test))
    assert_array_equal(result.fitted.y_test, y[test])


def test_validation_scores_are_those_of_five_folds_of_the_training_rows(rows):
    Z, y = rows
    (result,) = compare_embeddings(Z, y, samplers=["smote"], seeds=1, tune=False)
    train = result.fitted.train
    expected = []
    for fit, held in StratifiedKFold(5, shuffle=True, random_state=0).split(train, y[train]):
        fit, held = train[fit], train[held]
        Z_fit, Z_held = scale(Z[fit], Z[held])
        head = LinearHead(alpha=0.03, tol=TOL).fit(
            *SMOTE(random_state=0).fit_resample(Z_fit, y[fit])
        )
        expected.append(balanced_accuracy_score(y[held], head.predict(Z_held)))
    assert result.validation["smote"] == pytest.approx(expected)
    assert result.validation.keys() == result.methods.keys()


def test_labels_of_test_rows_change_no_validation_score(rows):
    Z, y = rows
    test = np.arange(0, len(y), 3)
    changed = y.copy()
    changed[test] = changed[test][::-1]
    first, second = (
        next(compare_embeddings(Z, labels, test=test, samplers=["eos"])) for labels in (y, changed)
    )
    assert first.validation == second.validation
    assert first.methods["eos"].scores != second.methods["eos"].scores


def test_columns_of_embeddings_are_not_scaled_one_by_one():
    # Two directions tell the classes apart; the others hold noise of little variance.
    random_state = np.random.RandomState(0)
    y = random_state.randint(3, size=300)
    signal = np.eye(3)[y][:, :2] * 2 + random_state.normal(size=(300, 2))
    Z = np.column_stack([signal, random_state.normal(size=(300, 300)) * 1e-3])
    run = partial(compare_embeddings, Z, y, samplers=["none"], seeds=2, validation_folds=0)
    common = [r.methods["none"].scores["balanced_accuracy"] for r in run()]
    single = [
        r.methods["none"].scores["balanced_accuracy"]
        for r in compare_table(Z, y, samplers=["none"], seeds=2, validation_folds=0)
    ]
    assert np.mean(common) > np.mean(single) + 0.1


def test_scale_of_embeddings_makes_no_difference(rows):
    Z, y = rows
    first, second = (
        next(compare_embeddings(values, y, samplers=["smote"], validation_folds=0))
        for values in (Z, Z * 64 + 8)
    )
    assert_allclose(
        first.fitted.heads["smote"].coef_, second.fitted.heads["smote"].coef_, rtol=0.01, atol=1e-3
    )


@pytest.mark.parametrize(
    "convert", [torch.from_numpy, lambda Z: Z.astype(np.float16), lambda Z: Z.tolist()]
)
def test_embeddings_of_any_container_are_computed_as_float32(rows, convert):
    Z, y = rows
    result = next(compare_embeddings(convert(Z), y, samplers=["none"], validation_folds=0))
    assert result.fitted.Z_train.dtype == np.float32


def test_another_head_takes_the_place_of_the_linear_one(rows):
    head = RandomForestClassifier(n_estimators=5)
    (result,) = compare_embeddings(*rows, head=head, samplers=["smote"], seeds=1)
    assert isinstance(result.fitted.heads["smote"], RandomForestClassifier)
    adjusted = result.fitted.heads["logit_adjustment"]
    assert_array_equal(
        adjusted.predict(result.fitted.Z_test), result.fitted.predictions["logit_adjustment"]
    )


@pytest.mark.parametrize(
    "params", [{}, {"class_weight": "balanced"}, {"target_prior": [0.2, 0.3, 0.5]}]
)
def test_adjusted_head_is_a_refit_with_tau_1(rows, params):
    head = LinearHead(tol=TOL, **params)
    (result,) = compare_embeddings(*rows, head=head, samplers=["none"], seeds=1, validation_folds=0)
    fitted = result.fitted
    refitted = clone(head).set_params(tau=1.0).fit(fitted.Z_train, fitted.y_train)
    found = fitted.heads["logit_adjustment"]
    assert found.get_params() == refitted.get_params()
    assert_allclose(found.intercept_, refitted.intercept_)
    assert_array_equal(found.coef_, refitted.coef_)


# --- samplers -------------------------------------------------------------------------------------


def test_samplers_may_be_objects_with_names(rows):
    samplers = ["smote", ("Borderline", BorderlineSMOTE()), ("near", EOS(n_neighbors=3))]
    (result,) = compare_embeddings(*rows, samplers=samplers, seeds=1)
    assert list(result.methods) == ["none", "logit_adjustment", "smote", "Borderline", "near"]
    assert result.validation.keys() == result.methods.keys()
    assert result.fitted.samplers["near"].n_neighbors == 3
    assert result.fitted.samplers["Borderline"].random_state == 0


@pytest.mark.parametrize(
    "entry", [("smote", SMOTE()), ("new", SMOTE), ("new", LinearHead()), ("new",)]
)
def test_other_entries_than_names_and_pairs_are_refused(rows, entry):
    with pytest.raises(ValueError, match="pairs of a new name and a sampler"):
        compare_embeddings(*rows, samplers=["none", entry])


def test_sampler_that_fails_on_a_fold_is_not_chosen(rows):
    class FailsOnFolds(SMOTE):
        def _fit_resample(self, X, y):
            if len(X) < 260:
                raise ValueError("too few rows")
            return super()._fit_resample(X, y)

    (result,) = compare_embeddings(*rows, samplers=[("failing", FailsOnFolds())], seeds=1)
    assert result.methods["failing"].error is None
    assert result.validation.keys() == {"none", "logit_adjustment"}
    assert result.validation_errors == {"failing": "ValueError: too few rows"}


# --- parts and groups -----------------------------------------------------------------------------


def test_given_test_part_is_shared_by_all_seeds_and_gives_the_interval(rows):
    Z, y = rows
    test = np.arange(0, len(y), 4)
    results = list(compare_embeddings(Z, y, test=test, samplers=["eos"], seeds=2))
    for result in results:
        assert_array_equal(result.fitted.test, test)
        assert result.test_is_given
    found = recommend(results)
    assert not found.too_few_runs
    mask = np.isin(np.arange(len(y)), test)
    (same,) = compare_embeddings(Z, y, test=mask, samplers=["eos"], seeds=1)
    assert same.methods["eos"].scores == results[0].methods["eos"].scores


def test_rows_of_a_given_part_that_are_training_rows_are_told(rows):
    Z, y = rows[0].copy(), rows[1]
    parts = {"test": np.arange(0, 80), "validation": np.arange(80, 160)}
    params = {"samplers": ["none"], "seeds": 2}
    for result in compare_embeddings(Z, y, **parts, **params):
        assert not result.warnings
    Z[:3], Z[80] = Z[200:203], Z[300]
    results = list(compare_embeddings(Z, y, **parts, **params))
    for result in results:
        assert result.warnings[:2] == [
            "3 of the 80 rows of the test part are identical to training rows, so the test scores "
            "may be too high: remove them from one of the parts.",
            "1 of the 80 rows of the validation part is identical to training rows, so the "
            "validation scores may be too high: remove it from one of the parts.",
        ]
    assert format_verdict(results).count("identical to training rows") == 2
    # Random splits of the same rows are not searched.
    for result in compare_embeddings(Z, y, **params):
        assert not result.warnings


def test_copies_are_found_by_content():
    X = np.array(["a", "b", "".join(["x", "y"]), "".join(["x", "y"])], dtype=object)
    split = Split(np.array([0, 2]), np.array([1, 3]))
    for rows in (X, np.array([[0.0, np.nan], [1, 2], [3, np.nan], [3, np.nan]])):
        [text] = warn_of_copies(rows, [split], ["test"])
        assert text.startswith("1 of the 2 rows of the test part is identical")


def test_given_validation_part_takes_the_place_of_folds(rows):
    Z, y = rows
    order = np.random.RandomState(1).permutation(len(y))
    validation, test = order[:80], order[80:160]
    (result,) = compare_embeddings(
        Z, y, validation=validation, test=test, samplers=["smote"], seeds=1
    )
    head, scaler = result.fitted.heads["smote"], result.fitted.embedder
    y_pred = head.predict(scaler.transform(Z[validation]))
    assert result.validation["smote"] == [
        pytest.approx(balanced_accuracy_score(y[validation], y_pred))
    ]
    assert len(result.fitted.train) == len(y) - 160


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"test": [0, 1], "validation": [1, 2]}, "has rows in common"),
        ({"test": [0]}, "'test' part has 1 class"),
        ({"validation": [6, 0]}, r"'validation' part has labels without a training row: \[2\]"),
        (
            {"test": np.zeros(3, dtype=bool)},
            r"'test' must .* the 7 rows .*shape \(3,\) and dtype bool",
        ),
        ({"test": [1, 99]}, r"'test' must .*99 is out of bounds.* appended"),
        ({"test": (np.zeros((3, 2)), [0, 1, 0])}, r"'test' must .*got a tuple of unequal arrays"),
        ({"validation": np.zeros((7, 2))}, r"'validation' must .*shape \(7, 2\) and dtype float64"),
        ({"validation": np.zeros((3, 2), dtype=int)}, r"'validation' must .*shape \(3, 2\)"),
        ({"groups": [0, 1, 2]}, r"'groups' must .* the 7 rows, got shape \(3,\)"),
    ],
)
def test_unusable_part_or_groups_are_named(parts, message):
    Z, y = np.zeros((7, 2)), [0, 1, 0, 1, 0, 1, 2]
    with pytest.raises(ValueError, match=message):
        compare_embeddings(Z, y, **parts)


@pytest.mark.parametrize("test_size", [0.2, 0.3, 0.75])
def test_groups_straddle_neither_splits_nor_folds(test_size):
    random_state = np.random.RandomState(0)
    groups = random_state.randint(60, size=600)
    y = (random_state.rand(600) < 0.2).astype(int)
    params = {"test_size": test_size, "imbalance_ratio": None, "groups": groups}
    for split in make_splits(y, 3, **params):
        pairs = [(split.train, split.test), *split.folds]
        assert len(pairs) == 6
        for first, second in pairs:
            assert not set(groups[first]) & set(groups[second])
        assert len(split.test) / 600 == pytest.approx(test_size, abs=0.08)


@pytest.mark.parametrize("part", ["test", "validation"])
def test_group_that_straddles_a_given_part_is_refused(part):
    y, groups = np.tile([0, 1], 6), np.repeat(np.arange(4), 3)
    make_splits(y, 1, **SPLIT, groups=groups, **{part: np.arange(6)})
    message = f"1 of the 'groups', such as 2, have rows in the '{part}' part"
    with pytest.raises(ValueError, match=message):
        make_splits(y, 1, **SPLIT, groups=groups, **{part: np.arange(7)})


def test_class_in_one_group_is_named():
    y, groups = np.array([0, 0, 0, 0, 1, 1]), [1, 1, 2, 2, 3, 3]
    with pytest.raises(ValueError, match=r"class 1 has 1 groups.*give the test part"):
        make_splits(y, 1, **SPLIT, groups=groups)


def test_folds_never_score_a_class_without_a_row_to_fit_to():
    y = np.array([0] * 20 + [1] * 2)
    (split,) = make_splits(y, 1, **SPLIT)
    assert np.sum(y[split.train] == 1) == 1
    for fit, held in split.folds:
        assert set(y[held]) <= set(y[fit])


# --- rows that the network was trained on ---------------------------------------------------------


@pytest.mark.parametrize(
    ("has_validation", "has_test", "note"),
    [
        (False, False, NO_SCORES),
        (False, True, NO_CHOICE),
        (True, False, NO_TEST),
        (True, True, None),
    ],
)
def test_rows_trained_on_are_neither_scored_nor_chosen_by(rows, has_validation, has_test, note):
    Z, y = rows
    order = np.random.RandomState(1).permutation(len(y))
    parts = {"validation": order[:80]} if has_validation else {}
    parts |= {"test": order[80:160]} if has_test else {}
    results = list(
        compare_embeddings(Z, y, trained_on_rows=True, samplers=["eos"], seeds=2, **parts)
    )
    assert len(results) == (2 if parts else 1)
    assert len(results[0].fitted.train) == len(y) - 80 * len(parts)
    assert bool(results[0].methods["eos"].scores) == has_test
    assert bool(results[0].validation) == has_validation
    assert (recommend(results) is None) != has_validation
    assert results[0].warnings == ([] if note is None else [note])
    assert results[0].fitted.heads["eos"].coef_.shape == (3, 12)


def test_verdict_says_that_the_network_was_assumed_not_to_know_the_rows(rows):
    assumed = "Assumed: the network was not trained on these rows."
    params = {"samplers": "none", "seeds": 1, "validation_folds": 0}
    assert format_verdict(compare_embeddings(*rows, **params)).endswith(f" {assumed}")
    assert assumed not in format_verdict(compare_embeddings(*rows, trained_on_rows=True, **params))
    assert assumed not in format_verdict(compare_table(*rows, **params))


def test_memorized_embeddings_are_noticed_once_and_others_are_not():
    random_state = np.random.RandomState(0)
    y = random_state.randint(4, size=600)
    noise, test = random_state.normal(size=(600, 8)), np.arange(600) >= 400
    centers = random_state.normal(size=(4, 8))
    fresh = centers[y] * 0.5 + noise
    # A network that has seen the labels pulls its training rows together.
    memorized = np.where(test[:, None], fresh, centers[y] * 3 + noise)
    params = {"test": test, "samplers": ["none"], "seeds": 2, "validation_folds": 0}
    first, second = compare_embeddings(memorized, y, **params)
    assert "as if the network had been trained on the training rows" in first.warnings[0]
    assert second.warnings == []
    assert next(compare_embeddings(fresh, y, **params)).warnings == []
    assert next(compare_embeddings(memorized, y, trained_on_rows=True, **params)).warnings == [
        NO_CHOICE
    ]


# --- the recommendation ---------------------------------------------------------------------------


def test_best_mean_of_all_folds_is_recommended_and_ties_go_to_the_simpler(rows):
    results = list(compare_embeddings(*rows, samplers=["random", "smote"], seeds=2))
    for result in results:
        result.validation = {"smote": [0.5, 0.9], "random": [0.9, 0.5], "none": [0.6, 0.6]}
    found = recommend(results)
    assert (found.method, found.runner_up) == ("random", "smote")
    assert found.validation == pytest.approx(0.7)
    results[1].validation["smote"] = [0.9, 0.9]
    assert recommend(results).method == "smote"
    # Missing in one seed, its mean would be over other folds.
    del results[0].validation["smote"]
    assert recommend(results).method == "random"


def test_no_folds_no_recommendation(rows):
    results = list(compare_embeddings(*rows, samplers=["none"], seeds=1, validation_folds=0))
    assert results[0].validation == {}
    assert recommend(results) is None


@pytest.mark.parametrize("seeds", [1, 4])
def test_labels_at_random_are_near_chance(rows, seeds):
    Z, y = rows
    shuffled = np.random.RandomState(0).permutation(y)
    params = {"samplers": ["none"], "seeds": seeds}
    assert recommend(list(compare_embeddings(Z, shuffled, **params))).near_chance
    found = recommend(list(compare_embeddings(Z, y, **params)))
    assert not found.near_chance
    assert found.too_few_runs == (seeds == 1)


# --- cores ----------------------------------------------------------------------------------------


def test_number_of_cores_changes_no_result_and_no_setting(rows):
    threads = torch.get_num_threads()
    first, second = (
        next(compare_embeddings(*rows, samplers=["smote", "eos"], n_jobs=n_jobs))
        for n_jobs in (1, 3)
    )
    assert torch.get_num_threads() == threads
    assert first.validation == second.validation
    for name in first.methods:
        assert first.methods[name].scores == second.methods[name].scores
        assert first.methods[name].warnings == second.methods[name].warnings


@pytest.mark.parametrize(
    ("n_jobs", "n_numbers", "expected"),
    [
        (None, 10, (1, 1)),
        (None, 1000, (6, 1)),
        (None, 10**7, (6, 2)),
        (6, 10, (6, 1)),
        (13, 10, (6, 2)),
        (2, 1000, (2, 1)),
    ],
)
def test_cores_are_divided_among_tasks(n_jobs, n_numbers, expected, monkeypatch):
    monkeypatch.setattr(_parallel, "cpu_count", lambda: 13)
    cores = choose_cores(n_jobs, n_numbers, many=100, n_tasks=6, device="cpu")
    assert (cores.n_workers, cores.n_threads) == expected


def test_warnings_of_methods_side_by_side_are_kept_apart(rows):
    class Warns(SMOTE):
        def _fit_resample(self, X, y):
            for _ in range(3):
                warnings.warn(f"a warning of {self.k_neighbors}", stacklevel=1)
            return super()._fit_resample(X, y)

    samplers = [("first", Warns(k_neighbors=3)), ("second", Warns(k_neighbors=4))]
    (result,) = compare_embeddings(*rows, samplers=samplers, seeds=1, n_jobs=3)
    assert result.methods["first"].warnings == ["a warning of 3"]
    assert result.methods["second"].warnings == ["a warning of 4"]
    with record_warnings() as outer:
        with record_warnings() as inner:
            warnings.warn("within", stacklevel=1)
        warnings.warn("around", stacklevel=1)
    assert (outer, inner) == (["around"], ["within"])
