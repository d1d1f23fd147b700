import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from imblearn.over_sampling import SMOTE
from sklearn.datasets import make_blobs

from imblearn_eos import EOS
from imblearn_eos.metrics import (
    expected_calibration_error,
    generalization_gap,
    generalization_gap_report,
)


def slow_gap(Z_train, y_train, Z_test, y_test):
    """Return the gap of each class and feature, as the definition says."""
    gaps = {}
    for label in sorted(set(y_train)):
        for d in range(Z_train.shape[1]):
            train = [float(z[d]) for z, c in zip(Z_train, y_train, strict=True) if c == label]
            test = [float(z[d]) for z, c in zip(Z_test, y_test, strict=True) if c == label]
            above, below = (
                (max(test) - max(train), min(train) - min(test)) if test else [np.nan] * 2
            )
            gaps[label, d] = max(0, above) + max(0, below) if test else np.nan
    return np.reshape(list(gaps.values()), (-1, Z_train.shape[1]))


@pytest.fixture(scope="module")
def rows():
    """Return embeddings of three classes, 60, 20 and 4 training rows and 30 test rows each."""
    Z, y = make_blobs([90, 50, 34], n_features=5, cluster_std=3, random_state=0)
    is_test = np.concatenate([np.flatnonzero(y == c)[:30] for c in range(3)])
    train = np.setdiff1d(np.arange(len(y)), is_test)
    return Z[train], y[train], Z[is_test], y[is_test]


@pytest.fixture(scope="module")
def report(rows):
    Z_train, y_train, Z_test, y_test = rows
    resampled = EOS(random_state=0).fit_resample(Z_train, y_train)
    y_pred = np.where(np.arange(len(y_test)) % 3, y_test, (y_test + 1) % 3)
    return generalization_gap_report(
        Z_train, y_train, *resampled, Z_test, y_test, y_pred=y_pred
    ), y_pred


values = st.floats(-1e6, 1e6, width=32)


@settings(deadline=None, max_examples=50)
@given(data=st.data(), n_train=st.integers(1, 12), n_test=st.integers(1, 12))
def test_gap_is_that_of_the_definition(data, n_train, n_test):
    Z_train = data.draw(hnp.arrays(np.float64, (n_train, 3), elements=values))
    Z_test = data.draw(hnp.arrays(np.float64, (n_test, 3), elements=values))
    y_train = data.draw(hnp.arrays(int, n_train, elements=st.integers(0, 2)))
    y_test = data.draw(hnp.arrays(int, n_test, elements=st.sampled_from(list(y_train))))
    arguments = Z_train, y_train, Z_test, y_test
    expected = slow_gap(*arguments)
    np.testing.assert_allclose(generalization_gap(*arguments, average="raw"), expected)
    np.testing.assert_allclose(generalization_gap(*arguments, average=None), expected.mean(axis=1))
    macro = generalization_gap(*arguments)
    assert isinstance(macro, float)
    np.testing.assert_allclose(macro, np.nanmean(expected.mean(axis=1)))


def test_gap_of_rows_inside_the_range_is_zero(rows):
    Z_train, y_train, _, _ = rows
    assert generalization_gap(Z_train, y_train, Z_train[::2], y_train[::2]) == 0


def test_single_rows_have_ranges_of_one_point():
    gap = generalization_gap([[1.0], [5.0]], ["a", "b"], [[3.0], [5.0]], ["a", "b"], average=None)
    np.testing.assert_array_equal(gap, [2, 0])


def test_class_without_test_rows_has_no_gap(rows):
    Z_train, y_train, Z_test, y_test = rows
    some = y_test != 1
    gap = generalization_gap(Z_train, y_train, Z_test[some], y_test[some], average=None)
    assert np.isnan(gap).tolist() == [False, True, False]
    macro = generalization_gap(Z_train, y_train, Z_test[some], y_test[some])
    assert macro == pytest.approx((gap[0] + gap[2]) / 2)


def test_class_without_training_rows_is_refused(rows):
    Z_train, y_train, Z_test, y_test = rows
    some = y_train != 1
    with pytest.raises(ValueError, match=r"y_test has the classes \[1\].*Drop"):
        generalization_gap(Z_train[some], y_train[some], Z_test, y_test)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_gap_takes_tensors_and_any_labels(rows, dtype):
    Z_train, y_train, Z_test, y_test = rows
    tensors = [torch.from_numpy(array) for array in rows]
    tensors[0], tensors[2] = tensors[0].to(dtype).requires_grad_(), tensors[2].to(dtype)
    expected = generalization_gap(*rows)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype]
    assert generalization_gap(*tensors) == pytest.approx(expected, rel=tolerance)
    names = np.array(["x", "y", "z"], dtype=object)
    assert generalization_gap(Z_train, names[y_train], Z_test, names[y_test]) == expected


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, torch.tensor([[1.0, np.nan]]), "Z_train contains NaN"),
        (2, torch.tensor([[1.0, -np.inf]]), "Z_test contains infinity"),
        (2, torch.ones(1, 1), "Z_test has 1 features, but Z_train has 2"),
        (0, torch.ones(1, 2, 3), "dim 3"),
        (0, torch.ones(2), "Expected 2D array, got 1D array"),
        (0, torch.empty(0, 2), "minimum of 1"),
        (0, [[1.0, np.nan]], "Z_train contains NaN"),
        (2, [[1.0, np.inf]], "Z_test contains infinity"),
        (2, [[1.0]], "Z_test has 1 features, but Z_train has 2"),
        (0, [[[1.0, 2.0]]], "dim 3"),
        (0, [1.0], "Expected 2D array, got 1D array"),
        (0, np.empty((0, 2)), "minimum of 1"),
        (1, ["a", "b"], r"inconsistent numbers of samples: \[1, 2\]"),
        (3, [], r"inconsistent numbers of samples: \[1, 0\]"),
        (3, None, "should be a 1d array"),
        (1, [np.nan], "y_train contains NaN"),
        (1, np.array([np.nan], dtype=object), "contains NaN"),
    ],
)
def test_gap_refuses_what_it_cannot_measure(position, value, message):
    arguments = [[[1.0, 2.0]], ["a"], [[1.0, 2.0]], ["a"]]
    arguments[position] = value
    with pytest.raises(ValueError, match=message):
        generalization_gap(*arguments)


def test_labels_that_do_not_sort_are_refused():
    Z, y = [[1.0], [2.0]], np.array(["a", 1], dtype=object)
    with pytest.raises(ValueError, match=r"y_train has labels that cannot be sorted.*one type"):
        generalization_gap(Z, y, Z, y)


def test_predictions_of_another_kind_are_refused(rows):
    Z_train, y_train, Z_test, y_test = rows
    with pytest.raises(ValueError, match=r"y_pred has the classes \['0', '1', '2'\]"):
        generalization_gap_report(
            Z_train, y_train, Z_train, y_train, Z_test, y_test, y_pred=y_test.astype(str)
        )


def test_size_matched_reference_of_wrong_rows_has_as_few_test_rows():
    """Few wrong rows reach less far than all, and so does the reference for them."""
    rng = np.random.RandomState(0)
    y_train, y_test = np.repeat(range(2), [400, 40]), np.repeat(range(2), 200)
    Z_train, Z_test = rng.normal(size=(440, 2000)), rng.normal(size=(400, 2000))
    y_pred = np.where(np.arange(400) % 40, y_test, 1 - y_test)
    found = generalization_gap_report(
        Z_train, y_train, Z_train, y_train, Z_test, y_test, y_pred=y_pred
    )
    assert found.test_counts.wrong.tolist() == [5, 5]
    assert found.size_matched.wrong[1] < found.size_matched.right[1] < found.size_matched.all[1]
    for name in ("all", "right", "wrong"):
        assert found.size_matched[name][1] == pytest.approx(found.before[name][1], rel=0.15)


def test_gap_refuses_another_average(rows):
    with pytest.raises(ValueError, match=r"'average' parameter .* Got 'micro'"):
        generalization_gap(*rows, average="micro")


def test_report_holds_gaps_before_and_after(rows, report):
    Z_train, y_train, Z_test, y_test = rows
    found, _ = report
    resampled = EOS(random_state=0).fit_resample(Z_train, y_train)
    np.testing.assert_allclose(found.before.all, generalization_gap(*rows, average=None))
    after = generalization_gap(*resampled, Z_test, y_test, average=None)
    np.testing.assert_allclose(found.after.all, after)
    assert found.classes.tolist() == [0, 1, 2]
    assert found.train_counts.tolist() == [60, 20, 4]
    assert found.added_counts.tolist() == [0, 40, 56]


def test_report_tells_right_from_wrong_rows(rows, report):
    Z_train, y_train, Z_test, y_test = rows
    found, y_pred = report
    for name, some in {"right": y_pred == y_test, "wrong": y_pred != y_test}.items():
        gap = generalization_gap(Z_train, y_train, Z_test[some], y_test[some], average=None)
        np.testing.assert_allclose(found.before[name], gap)
        assert found.test_counts[name].tolist() == np.bincount(y_test[some]).tolist()
    assert found.test_counts.all.tolist() == [30, 30, 30]


def test_report_without_predictions_has_all_rows_only(rows):
    Z_train, y_train, Z_test, y_test = rows
    found = generalization_gap_report(Z_train, y_train, Z_train, y_train, Z_test, y_test)
    assert list(found.before) == list(found.after) == list(found.label_noise) == ["all"]


def test_size_matched_reference_is_the_largest_class_made_small():
    """On classes of one distribution, the reference explains all of the gap."""
    rng = np.random.RandomState(0)
    sizes = [400, 100, 25]
    y_train, y_test = np.repeat(range(3), sizes), np.repeat(range(3), 200)
    Z_train, Z_test = rng.normal(size=(525, 200)), rng.normal(size=(600, 200))
    found = generalization_gap_report(Z_train, y_train, Z_train, y_train, Z_test, y_test)
    assert found.size_matched.all[0] == found.before.all[0]
    np.testing.assert_allclose(found.size_matched.all, found.before.all, rtol=0.15)
    assert np.all(np.diff(found.size_matched.all) > 0.3)


def test_size_matched_reference_matches_test_rows_too():
    rng = np.random.RandomState(0)
    y_train, y_test = np.repeat(range(2), [400, 25]), np.repeat(range(2), [200, 5])
    Z_train, Z_test = rng.normal(size=(425, 5000)), rng.normal(size=(205, 5000))
    found = generalization_gap_report(Z_train, y_train, Z_train, y_train, Z_test, y_test)
    assert found.size_matched.all[1] == pytest.approx(found.before.all[1], rel=0.15)


def test_label_noise_reference_adds_rows_of_other_classes(rows):
    """With as many rows as there are, it holds all rows of other classes."""
    Z_train, y_train, Z_test, y_test = rows
    n_others = np.sum(y_train != 2)
    strategy = {2: np.sum(y_train == 2) + n_others}
    resampled = SMOTE(sampling_strategy=strategy, k_neighbors=3).fit_resample(Z_train, y_train)
    found = generalization_gap_report(Z_train, y_train, *resampled, Z_test, y_test)
    everything = generalization_gap(Z_train, np.full(len(y_train), 2), Z_test, y_test * 0 + 2)
    of_class = y_test == 2
    expected = generalization_gap(
        Z_train, np.full(len(y_train), 2), Z_test[of_class], y_test[of_class]
    )
    assert everything >= expected
    assert found.label_noise.all[2] == pytest.approx(expected)
    # Classes without new rows stay as they are.
    np.testing.assert_allclose(found.label_noise.all[:2], found.before.all[:2])


def test_smote_leaves_the_gap_as_it_is(rows):
    Z_train, y_train, Z_test, y_test = rows
    resampled = SMOTE(k_neighbors=3, random_state=0).fit_resample(Z_train, y_train)
    found = generalization_gap_report(Z_train, y_train, *resampled, Z_test, y_test)
    np.testing.assert_array_equal(found.after.all, found.before.all)


def test_report_is_the_same_each_time_and_draws_nothing_from_the_global_state(rows):
    Z_train, y_train, Z_test, y_test = rows
    resampled = EOS(random_state=0).fit_resample(Z_train, y_train)
    state = np.random.get_state()[1].copy()
    first, second = (
        generalization_gap_report(Z_train, y_train, *resampled, Z_test, y_test) for _ in range(2)
    )
    np.testing.assert_array_equal(first.size_matched.all, second.size_matched.all)
    np.testing.assert_array_equal(first.label_noise.all, second.label_noise.all)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_class_that_the_sampler_dropped_has_no_gap_after(rows):
    Z_train, y_train, Z_test, y_test = rows
    some = y_train != 2
    found = generalization_gap_report(
        Z_train, y_train, Z_train[some], y_train[some], Z_test, y_test
    )
    assert np.isnan(found.after.all).tolist() == [False, False, True]
    assert found.added_counts.tolist() == [0, 0, 0]


def test_report_on_real_embeddings_shows_what_is_known_of_them(real_data):
    """Rarer classes have wider gaps; class size alone, and wrong labels, do most of it."""
    data = np.load(real_data("cifar10_lt_embeddings.npz"))
    Z, y = data["Z_train"], data["y_train"]
    resampled = EOS(random_state=0).fit_resample(Z, y)
    test = data["Z_test"], data["y_test"]
    y_pred = (test[0] @ data["head_weight"].T + data["head_bias"]).argmax(axis=1)
    found = generalization_gap_report(Z, y, *resampled, *test, y_pred=y_pred)
    assert np.corrcoef(np.arange(10), found.before.all)[0, 1] > 0.9
    assert found.size_matched.all[9] > 5 * found.size_matched.all[0]
    assert found.label_noise.all.mean() < found.after.all.mean() < found.before.all.mean()
    assert found.before.wrong.mean() > found.before.right.mean()


def slow_calibration_error(y_true, y_proba, n_bins, weight):
    error = 0.0
    for i in range(n_bins):
        rows = [
            row
            for row in range(len(y_true))
            if i / n_bins <= max(y_proba[row]) < (i + 1) / n_bins
            or (i == n_bins - 1 and max(y_proba[row]) == 1)
        ]
        total = sum(weight[row] for row in rows)
        if rows and total:
            confidence = sum(weight[row] * max(y_proba[row]) for row in rows) / total
            right = [np.argmax(y_proba[row]) == y_true[row] for row in rows]
            accuracy = sum(weight[row] * r for row, r in zip(rows, right, strict=True)) / total
            error += total * abs(confidence - accuracy)
    return error / sum(weight)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6), n_bins=st.integers(1, 20), n_rows=st.integers(1, 40))
def test_calibration_error_is_that_of_the_definition(seed, n_bins, n_rows):
    rng = np.random.RandomState(seed)
    y_proba = rng.dirichlet(np.full(3, 0.3), size=n_rows)
    y_true, weight = rng.randint(3, size=n_rows), rng.uniform(0.1, 1, size=n_rows)
    expected = slow_calibration_error(y_true, y_proba, n_bins, weight)
    found = expected_calibration_error(
        y_true, y_proba, labels=range(3), n_bins=n_bins, sample_weight=weight
    )
    assert found == pytest.approx(expected, abs=1e-9)


def test_calibration_error_of_tensors_with_gradients_and_of_many_bins():
    y_proba = np.random.RandomState(0).dirichlet(np.ones(3), size=20)
    # An array of all bins would take 8 TB.
    found = expected_calibration_error(
        y_proba.argmax(axis=1),
        torch.from_numpy(y_proba).requires_grad_(),
        labels=range(3),
        n_bins=10**12,
    )
    # All are right, and so too confident by less than nothing.
    assert found == pytest.approx(np.mean(1 - y_proba.max(axis=1)))


def test_calibration_error_of_certain_and_right_predictions_is_zero():
    assert expected_calibration_error(["a", "b"], [[1, 0], [0, 1]]) == 0
    assert expected_calibration_error(["a", "b"], [[0, 1], [1, 0]]) == 1


@pytest.mark.parametrize(
    ("y_true", "y_proba", "labels", "message"),
    [
        ([0, 1], [[0.5, 0.5]], None, "inconsistent numbers of samples"),
        (
            [0, 0],
            [[0.5, 0.5]] * 2,
            None,
            r"sorted classes of the 2 columns of y_proba .* Got \[0\]",
        ),
        ([0, 3], [[0.5, 0.5]] * 2, [0, 1], r"include the classes of y_true, \[0, 3\]"),
        ([0, 1], [[0.5, 0.7]] * 2, None, "probabilities"),
        ([0, 1], [[-0.5, 1.5]] * 2, None, "probabilities"),
        ([0, 1], [[np.nan, 1]] * 2, None, "y_proba contains NaN"),
        ([0, 1], [[0.5, 0.5]] * 2, [1, 0], "labels must be the sorted classes"),
        (["a", None], [[0.5, 0.5]] * 2, None, "y_true has labels that cannot be sorted"),
        (["a", "b"], [[0.5, 0.5]] * 2, [None, "a"], "labels has labels that cannot be sorted"),
    ],
)
def test_calibration_error_refuses_what_are_no_probabilities(y_true, y_proba, labels, message):
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(y_true, y_proba, labels=labels)


def test_calibration_error_refuses_negative_weights():
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        expected_calibration_error([0, 1], [[0.5, 0.5]] * 2, sample_weight=[-1, 3])


@pytest.mark.parametrize("n_bins", [0, 1.5])
def test_calibration_error_names_a_wrong_number_of_bins(n_bins):
    with pytest.raises(ValueError, match=r"'n_bins' parameter .* must be an int"):
        expected_calibration_error([0, 1], [[0.5, 0.5]] * 2, n_bins=n_bins)
