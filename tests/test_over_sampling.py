"""EOS against the method as specified, and against what a user of imbalanced-learn expects."""

import os
import pickle
import subprocess
import sys
import warnings

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling import ADASYN, SMOTE
from imblearn.pipeline import make_pipeline
from numpy.testing import assert_allclose, assert_array_equal
from oracle import three_classes
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold, cross_val_score
from sklearn.neighbors import NearestNeighbors

from imblearn_eos import EOS, TorchNearestNeighbors, _enemies
from imblearn_eos._interpolation import interpolate
from imblearn_eos.neighbors import _search

MODES = ["neighborhood", "nearest"]


def quiet_fit_resample(sampler, X, y):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No row of class")
        return sampler.fit_resample(X, y)


def assert_follows_the_method(X, y, *, k, enemy_search, seed=0, **params):
    sampler = EOS(n_neighbors=k, enemy_search=enemy_search, random_state=seed, **params)
    X_resampled, y_resampled = quiet_fit_resample(sampler, X, y)
    bases, enemies, steps, rows, labels = oracle.eos(
        X, y, k=k, enemy_search=enemy_search, to_add=sampler.sampling_strategy_, seed=seed
    )
    assert_array_equal(sampler.base_indices_, bases)
    assert_array_equal(sampler.enemy_indices_, enemies)
    assert_array_equal(sampler.steps_, steps)
    assert_array_equal(X_resampled[: len(X)], X)
    assert_allclose(X_resampled[len(X) :], rows, rtol=1e-12, atol=1e-12 * np.abs(X).max())
    assert_array_equal(y_resampled, np.r_[y, labels])


@pytest.mark.parametrize("enemy_search", MODES)
@pytest.mark.parametrize("k", [1, 3, 10, 96])
@pytest.mark.parametrize("strategy", ["auto", "all", {0: 70, 1: 25, 2: 40}])
def test_bases_enemies_steps_and_rows_are_those_of_the_oracle(enemy_search, k, strategy):
    X, y = three_classes()
    assert_follows_the_method(X, y, k=k, enemy_search=enemy_search, sampling_strategy=strategy)


@pytest.mark.parametrize("enemy_search", MODES)
@pytest.mark.parametrize("as_object", [False, True])
def test_classes_that_are_searched_block_by_block(enemy_search, as_object, monkeypatch):
    monkeypatch.setattr(_enemies, "NEIGHBORS_AT_ONCE", 50)
    X, y = three_classes()
    expected = oracle.eos(X, y, k=9, enemy_search=enemy_search, to_add={1: 35, 2: 48}, seed=0)
    neighbors = NearestNeighbors(n_neighbors=10) if as_object else 9
    sampler = EOS(n_neighbors=neighbors, enemy_search=enemy_search, random_state=0)
    sampler.fit_resample(X, y)
    assert_array_equal(sampler.base_indices_, expected[0])
    assert_array_equal(sampler.enemy_indices_, expected[1])
    assert sampler.enemy_indices_.dtype == np.int64


@settings(max_examples=120, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 15), min_size=2, max_size=4),
    n_features=st.integers(1, 5),
    levels=st.integers(1, 6),
    scale=st.sampled_from([2.0**-10, 1, 2.0**20]),
    offset=st.sampled_from([0, 1e4]),
    dtype=st.sampled_from([np.float32, np.float64]),
    k=st.integers(1, 60),
    max_step=st.floats(0.01, 1),
    enemy_search=st.sampled_from(MODES),
    seed=st.integers(0, 2**31),
)
def test_the_oracle_agrees_for_any_shape_dtype_tie_scale_and_step(
    sizes, n_features, levels, scale, offset, dtype, k, max_step, enemy_search, seed
):
    random_state = np.random.RandomState(seed)
    y = random_state.permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = random_state.randint(0, levels, (len(y), n_features)) * scale + offset
    X = X.astype(dtype)
    params = {"enemy_search": enemy_search, "max_step": max_step}
    sampler = EOS(n_neighbors=k, random_state=seed % 1000, **params)
    X_resampled, _ = quiet_fit_resample(sampler, X, y)
    bases, enemies, steps, rows, _ = oracle.eos(
        X,
        y,
        k=k,
        to_add=sampler.sampling_strategy_,
        seed=seed % 1000,
        **params,
    )
    assert X_resampled.dtype == dtype
    assert_array_equal(sampler.base_indices_, bases)
    assert_array_equal(sampler.enemy_indices_, enemies)
    assert_array_equal(sampler.steps_, steps)
    # The oracle's own formula cancels where a row ends near the enemy, at a scale of X's numbers.
    atol = 8 * np.finfo(dtype).eps * np.abs(X).max()
    assert_allclose(X_resampled[len(X) :], rows, rtol=0, atol=atol)


@pytest.mark.parametrize("enemy_search", MODES)
@pytest.mark.parametrize("max_step", [1e-3, 0.3, 0.5])
def test_max_step_scales_the_steps_and_changes_neither_bases_nor_enemies(enemy_search, max_step):
    X, y = three_classes()
    full, short = (
        EOS(random_state=0, enemy_search=enemy_search, **params)
        for params in ({}, {"max_step": max_step})
    )
    for sampler in (full, short):
        quiet_fit_resample(sampler, X, y)
    assert full.max_step == 1
    assert_array_equal(short.base_indices_, full.base_indices_)
    assert_array_equal(short.enemy_indices_, full.enemy_indices_)
    assert_allclose(short.steps_, max_step * full.steps_, rtol=1e-12)
    assert short.steps_.max() < max_step


@pytest.mark.parametrize("max_step", [0, -0.5, 1.5, "half", None])
def test_max_step_beyond_the_way_to_the_enemy_is_refused(max_step):
    X, y = three_classes()
    with pytest.raises(ValueError, match="'max_step' parameter of EOS must be"):
        EOS(max_step=max_step).fit_resample(X, y)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    scale=st.sampled_from([1e-30, 1.0, 1e7, 1e30]),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_synthetic_rows_never_leave_the_segment_not_even_by_rounding(seed, scale, dtype):
    random_state = np.random.RandomState(seed)
    largest = float(np.finfo(dtype).max) / 8
    X = (random_state.randn(30, 3) * min(scale, largest)).astype(dtype)
    y = np.repeat([0, 1], [22, 8])
    sampler = EOS(random_state=0, enemy_search="nearest")
    made = sampler.fit_resample(X, y)[0][30:]
    base, enemy = X[sampler.base_indices_], X[sampler.enemy_indices_]
    assert np.isfinite(made).all()
    assert (made >= np.minimum(base, enemy)).all()
    assert (made <= np.maximum(base, enemy)).all()


def test_segments_between_opposite_huge_rows_do_not_overflow():
    X = np.array([[1.7e308], [-1.7e308]])
    made = interpolate(X, np.zeros(9, int), np.ones(9, int), np.arange(9) / 9)
    assert np.isfinite(made).all()


@pytest.mark.parametrize("enemy_search", MODES)
def test_bases_enemies_and_steps_are_drawn_uniformly(enemy_search):
    X, y = three_classes(sizes=(40, 40, 6), spread=0.3)
    n_rows = 60_000
    sampler = EOS(
        sampling_strategy={2: 6 + n_rows}, n_neighbors=8, enemy_search=enemy_search, random_state=1
    )
    sampler.fit_resample(X, y)
    found = oracle.enemies(X, y, 2, 8, enemy_search)
    assert set(sampler.base_indices_) == set(found)
    for base, enemies in found.items():
        mine = sampler.base_indices_ == base
        share = 1 / len(found)
        # Five standard deviations of a binomial count.
        assert abs(mine.mean() - share) < 5 * np.sqrt(share / n_rows)
        assert set(sampler.enemy_indices_[mine]) == set(enemies)
        for enemy in enemies:
            drawn = (sampler.enemy_indices_[mine] == enemy).mean()
            assert abs(drawn - 1 / len(enemies)) < 5 * np.sqrt(1 / len(enemies) / mine.sum())
    deciles = np.histogram(sampler.steps_, bins=10, range=(0, 1))[0] / n_rows
    assert_allclose(deciles, 0.1, atol=5 * np.sqrt(0.09 / n_rows))
    assert sampler.steps_.min() >= 0
    assert sampler.steps_.max() < 1
    # Steps know nothing of bases: their correlation vanishes.
    assert abs(np.corrcoef(sampler.steps_, sampler.base_indices_)[0, 1]) < 5 / np.sqrt(n_rows)


def far_apart(label="rare"):
    """Class "rare" sees only itself within three neighbors; class "near" sees the large class."""
    random_state = np.random.RandomState(0)
    X = np.r_[random_state.randn(30, 2), random_state.randn(8, 2) + 100, random_state.randn(9, 2)]
    return X, np.array(["common"] * 30 + [label] * 8 + ["near"] * 9)


def test_class_without_enemies_falls_back_to_nearest_and_says_so():
    X, y = far_apart()
    sampler = EOS(n_neighbors=3, random_state=0)
    with pytest.warns(UserWarning, match=r"class 'rare'.* 3 nearest.*Increase n_neighbors") as seen:
        sampler.fit_resample(X, y)
    assert len(seen) == 1
    assert_follows_the_method(X, y, k=3, enemy_search="neighborhood")
    rare = y[sampler.base_indices_] == "rare"
    assert set(sampler.base_indices_[rare]) == set(np.flatnonzero(y == "rare"))


def test_a_class_after_one_without_enemies_is_searched_among_all_rows():
    random_state = np.random.RandomState(0)
    rare, near = random_state.randn(8, 2) + 100, random_state.randn(9, 2)
    X = np.r_[rare, near, random_state.randn(30, 2)]
    y = np.array(["a rare"] * 8 + ["b near"] * 9 + ["c common"] * 30)
    assert_follows_the_method(X, y, k=3, enemy_search="neighborhood")


def test_a_class_that_needs_no_rows_is_not_searched():
    X, y = far_apart()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        EOS(sampling_strategy={"near": 12}, n_neighbors=3).fit_resample(X, y)


def test_one_base_among_many_rows_makes_every_row():
    random_state = np.random.RandomState(0)
    minority = np.r_[random_state.randn(499, 2), [[50.0, 50.0]]]
    X = np.r_[random_state.randn(900, 2) + 60, minority]
    y = np.repeat([0, 1], [900, 500])
    sampler = EOS(n_neighbors=1, random_state=0)
    X_resampled, y_resampled = sampler.fit_resample(X, y)
    assert set(sampler.base_indices_) == {1399}
    assert (y_resampled == 1).sum() == 900
    assert len(np.unique(X_resampled[1400:], axis=0)) == 400


@pytest.mark.parametrize(
    ("strategy", "counts"),
    [
        ("auto", [60, 60, 60]),
        ("minority", [60, 25, 60]),
        ("not minority", [60, 60, 12]),
        ("not majority", [60, 60, 60]),
        ("all", [60, 60, 60]),
        ({2: 30}, [60, 25, 30]),
        ({0: 65, 1: 25}, [65, 25, 12]),
        (lambda y: {1: int((y == 0).sum())}, [60, 60, 12]),
    ],
)
@pytest.mark.parametrize("enemy_search", MODES)
def test_every_form_of_sampling_strategy(strategy, counts, enemy_search):
    X, y = three_classes()
    sampler = EOS(sampling_strategy=strategy, enemy_search=enemy_search, random_state=0)
    assert_array_equal(np.bincount(sampler.fit_resample(X, y)[1]), counts)


def test_sampling_strategy_as_a_ratio_of_two_classes():
    X, y = three_classes(sizes=(60, 30, 0))
    assert_array_equal(np.bincount(EOS(sampling_strategy=0.75).fit_resample(X, y)[1]), [60, 45])


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({2: 3}, "over-sampling"),
        ({9: 30}, "9"),
        (0.5, "multi-class"),
        ("some", "sampling_strategy"),
        ([0], "sampling_strategy"),
    ],
)
def test_unusable_sampling_strategies_are_refused(strategy, message):
    X, y = three_classes()
    with pytest.raises(ValueError, match=message):
        EOS(sampling_strategy=strategy).fit_resample(X, y)


@pytest.mark.parametrize("enemy_search", MODES)
def test_a_class_of_one_row_is_a_base_of_its_own(enemy_search):
    X, y = three_classes(sizes=(20, 9, 1))
    assert_follows_the_method(X, y, k=4, enemy_search=enemy_search)


@pytest.mark.parametrize("enemy_search", MODES)
def test_two_rows_of_two_classes(enemy_search):
    X, y = np.array([[0.0], [1.0]]), np.array([0, 1])
    X_resampled, y_resampled = EOS(
        sampling_strategy={0: 4, 1: 3}, enemy_search=enemy_search, random_state=0
    ).fit_resample(X, y)
    assert_array_equal(y_resampled, [0, 1, 0, 0, 0, 1, 1])
    assert ((X_resampled >= 0) & (X_resampled <= 1)).all()


@pytest.mark.parametrize("enemy_search", MODES)
@pytest.mark.parametrize("k", [96, 97, 10_000])
def test_n_neighbors_beyond_the_rows_is_clipped_to_them(enemy_search, k):
    X, y = three_classes()
    expected = EOS(n_neighbors=96, enemy_search=enemy_search, random_state=0).fit_resample(X, y)
    result = EOS(n_neighbors=k, enemy_search=enemy_search, random_state=0).fit_resample(X, y)
    assert_array_equal(result[0], expected[0])


@pytest.mark.parametrize("enemy_search", MODES)
def test_duplicates_across_classes_and_constant_features(enemy_search):
    X, y = three_classes()
    X[:, 0] = 7.0
    X = np.round(X)
    assert_follows_the_method(
        np.repeat(X, 3, axis=0), np.repeat(y, 3), k=5, enemy_search=enemy_search
    )
    constant = np.tile(np.random.RandomState(0).randn(300), (len(y), 1))
    for container in (np.asarray, sparse.csr_matrix):
        given_X = container(np.c_[constant, X[:, 1:]])
        made, _ = quiet_fit_resample(EOS(enemy_search=enemy_search), given_X, y)
        made = made.toarray() if sparse.issparse(made) else made
        assert (made[:, :300] == constant[0]).all()


@pytest.mark.parametrize("enemy_search", MODES)
def test_columns_of_scale_1e7_in_float32(enemy_search):
    X, y = three_classes()
    X = (X * 1e7 + 1e7).astype(np.float32)
    sampler = EOS(n_neighbors=5, enemy_search=enemy_search, random_state=0).fit(X, y)
    quiet_fit_resample(sampler, X, y)
    expected = oracle.eos(
        X, y, k=5, enemy_search=enemy_search, to_add=sampler.sampling_strategy_, seed=0
    )
    assert_array_equal(sampler.base_indices_, expected[0])
    assert_array_equal(sampler.enemy_indices_, expected[1])


def test_input_is_not_modified_and_x_is_not_kept():
    X, y = three_classes()
    X_before, y_before = X.copy(), y.copy()
    sampler = EOS(random_state=0)
    sampler.fit_resample(X, y)
    assert_array_equal(X, X_before)
    assert_array_equal(y, y_before)
    kept = [value for value in vars(sampler).values() if getattr(value, "ndim", 0) == 2]
    assert kept == []
    assert len(pickle.dumps(sampler)) < 5000


@pytest.mark.parametrize("working_memory", [0.01, 0.1, 1024])
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("enemy_search", MODES)
def test_same_seed_gives_the_same_rows_for_every_block_size_and_thread_count(
    working_memory, n_threads, enemy_search, monkeypatch
):
    monkeypatch.setattr(_search, "LEAST_MEMORY", 0)
    X, y = three_classes(sizes=(150, 60, 30), d=9)
    X = X.astype(np.float32)
    expected = EOS(random_state=3, enemy_search=enemy_search).fit_resample(X, y)[0]
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with config_context(working_memory=working_memory):
            result = EOS(random_state=3, enemy_search=enemy_search).fit_resample(X, y)[0]
    finally:
        torch.set_num_threads(before)
    assert_array_equal(result, expected)


def test_global_random_states_are_untouched_by_a_seeded_sampler():
    X, y = three_classes()
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    EOS(random_state=0).fit_resample(X, y)
    assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_provenance_rebuilds_every_synthetic_row():
    X, y = three_classes()
    sampler = EOS(random_state=0)
    X_resampled, y_resampled = sampler.fit_resample(X, y)
    base, enemy, steps = sampler.base_indices_, sampler.enemy_indices_, sampler.steps_
    assert base.shape == enemy.shape == steps.shape == (len(X_resampled) - len(X),)
    assert base.dtype == enemy.dtype == np.int64
    assert steps.dtype == np.float64
    assert_allclose(X_resampled[len(X) :], X[base] + steps[:, None] * (X[enemy] - X[base]))
    assert_array_equal(y_resampled[len(X) :], y[base])
    assert (y[enemy] != y[base]).all()


def test_balanced_classes_are_returned_as_they_are():
    X, y = three_classes(sizes=(20, 20, 20))
    sampler = EOS()
    X_resampled, y_resampled = sampler.fit_resample(X, y)
    assert_array_equal(X_resampled, X)
    assert_array_equal(y_resampled, y)
    assert sampler.base_indices_.shape == sampler.steps_.shape == (0,)


@pytest.mark.parametrize("enemy_search", MODES)
@pytest.mark.parametrize("make", [NearestNeighbors, TorchNearestNeighbors])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_neighbors_object_set_to_one_more_gives_the_same_rows(enemy_search, make, as_tensor):
    X, y = three_classes()
    expected = EOS(n_neighbors=5, enemy_search=enemy_search, random_state=0).fit_resample(X, y)[0]
    finder = make(n_neighbors=6)
    sampler = EOS(n_neighbors=finder, enemy_search=enemy_search, random_state=0)
    result = sampler.fit_resample(torch.from_numpy(X) if as_tensor else X, y)[0]
    assert_array_equal(result, expected)
    assert not hasattr(finder, "n_features_in_"), "the caller's object is cloned"


def test_nearest_searches_the_enemies_of_drawn_bases_only():
    X, y = three_classes()
    searched = []

    class Recording(NearestNeighbors):
        def kneighbors(self, X=None, n_neighbors=None, return_distance=True):
            searched.extend(X.tolist())
            return super().kneighbors(X, n_neighbors, return_distance)

    strategy = {1: 35, 2: 14}
    params = {"enemy_search": "nearest", "sampling_strategy": strategy, "random_state": 0}
    sampler = EOS(n_neighbors=Recording(n_neighbors=6), **params)
    sampler.fit_resample(X, y)
    assert sorted(searched) == sorted(X[np.unique(sampler.base_indices_)].tolist())
    assert len(searched) < 25 + 12
    to_add = sampler.sampling_strategy_
    expected = oracle.eos(X, y, k=5, enemy_search="nearest", to_add=to_add, seed=0)
    assert_array_equal(sampler.base_indices_, expected[0])
    assert_array_equal(sampler.enemy_indices_, expected[1])
    assert_array_equal(sampler.steps_, expected[2])


def test_a_neighbors_object_that_does_not_find_the_row_itself_loses_its_last():
    X, y = np.repeat([[0.0], [1.0]], 6, axis=0), np.array([0] * 4 + [1] * 8)

    class LastFirst(NearestNeighbors):
        """Among equal rows this search gives the last ones, so a row need not find itself."""

        def kneighbors(self, X=None, n_neighbors=None, return_distance=True):
            squared = oracle.squared_distances(X, self._fit_X)
            backwards = np.argsort(squared[:, ::-1], axis=1, kind="stable")
            return squared.shape[1] - 1 - backwards[:, : n_neighbors or self.n_neighbors]

    finder = LastFirst(n_neighbors=3)
    sampler = EOS(sampling_strategy={0: 60}, n_neighbors=finder, random_state=0)
    sampler.fit_resample(X, y)
    # Rows 0 to 3 (class 0) lie on rows 4 and 5 (class 1), which the search lists first.
    assert set(sampler.enemy_indices_) == {4, 5}
    assert not set(sampler.enemy_indices_) & set(sampler.base_indices_)


@pytest.mark.parametrize("device", ["auto", "cpu", torch.device("cpu"), "cpu:0"])
def test_every_spelling_of_the_cpu(device):
    X, y = three_classes()
    expected = EOS(random_state=0).fit_resample(X, y)[0]
    assert_array_equal(EOS(random_state=0, device=device).fit_resample(X, y)[0], expected)


def test_works_in_a_pipeline_and_a_grid_search_with_two_jobs():
    X, y = make_classification(400, weights=[0.9], class_sep=0.5, random_state=0)
    pipeline = make_pipeline(EOS(random_state=0), LogisticRegression())
    grid = {"eos__n_neighbors": [3, 30], "eos__enemy_search": MODES}
    searches = [
        GridSearchCV(pipeline, grid, scoring="balanced_accuracy", cv=3, n_jobs=n_jobs).fit(X, y)
        for n_jobs in (1, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    assert_array_equal(*scores)
    assert np.isfinite(scores[0]).all()
    assert len(set(scores[0])) > 1


def test_in_a_pipeline_only_training_rows_are_resampled():
    X, y = make_classification(300, weights=[0.9], class_sep=0.5, random_state=0)
    pipeline = make_pipeline(EOS(random_state=0), LogisticRegression()).fit(X, y)
    by_hand = LogisticRegression().fit(*EOS(random_state=0).fit_resample(X, y))
    assert_array_equal(pipeline.predict_proba(X), by_hand.predict_proba(X))


def test_metadata_routing_passes_through_a_pipeline():
    X, y = make_classification(300, weights=[0.9], class_sep=0.5, random_state=0)
    groups = np.arange(300) // 3
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(EOS(random_state=0), LogisticRegression())
        scores = cross_val_score(pipeline, X, y, cv=GroupKFold(3), params={"groups": groups})
    assert np.isfinite(scores).all()


def test_clone_and_pickle_give_the_same_rows():
    X, y = three_classes()
    sampler = EOS(random_state=0, n_neighbors=4, enemy_search="nearest", device="cpu")
    expected = sampler.fit_resample(X, y)[0]
    assert_array_equal(clone(sampler).fit_resample(X, y)[0], expected)
    restored = pickle.loads(pickle.dumps(sampler))
    assert_array_equal(restored.base_indices_, sampler.base_indices_)
    assert_array_equal(restored.fit_resample(X, y)[0], expected)


def test_array_api_dispatch_gives_the_same_rows():
    code = """
import numpy as np, torch
from sklearn import config_context
from imblearn_eos import EOS
X, y = np.random.RandomState(0).randn(50, 3), np.arange(50) % 5 == 0
expected = EOS(random_state=0).fit_resample(X, y)[0]
with config_context(array_api_dispatch=True):
    assert (EOS(random_state=0).fit_resample(X, y)[0] == expected).all()
    result = EOS(random_state=0).fit_resample(torch.from_numpy(X), torch.from_numpy(y))
assert (result[0].numpy() == expected).all() and result[1].dtype == torch.bool
"""
    # SciPy decides on import whether it takes part.
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.filterwarnings("ignore:No row of class")
def test_real_tabular_data_beside_smote_and_adasyn(real_data):
    table = np.loadtxt(real_data("mammography.csv"), delimiter=",", dtype=str)
    X, y = table[:, :-1].astype(float), np.char.strip(table[:, -1], "'").astype(int)
    scores = {}
    for sampler in (None, SMOTE(random_state=0), ADASYN(random_state=0), EOS(random_state=0)):
        pipeline = make_pipeline(sampler or "passthrough", LogisticRegression(max_iter=1000))
        folds = StratifiedKFold(3, shuffle=True, random_state=0)
        scores[type(sampler).__name__] = cross_val_score(
            pipeline, X, y, scoring="balanced_accuracy", cv=folds
        ).mean()
    assert scores["EOS"] > scores["NoneType"] + 0.1
    assert scores["EOS"] > 0.8
