"""EmbeddingDisplay: synthetic rows, their bases and their enemies in the plane."""

import matplotlib
import numpy as np
import pytest
import torch
from imblearn.combine import SMOTEENN
from imblearn.over_sampling import ADASYN, SMOTE
from imblearn.pipeline import make_pipeline
from imblearn.under_sampling import RandomUnderSampler
from networks import make_data, make_net
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from test_plotting import legend_texts

from imblearn_eos import EOS, make_embedding_pipeline
from imblearn_eos.plotting import EmbeddingDisplay

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Class 1 is the largest, class 0 the smallest.
Z, y = make_data(counts=(12, 60, 30))


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_embedding_shows_bases_enemies_and_synthetic_rows_where_they_are():
    X = Z[:, :2]
    display = EmbeddingDisplay.from_embeddings(X, y, EOS(random_state=0), target=2)
    sampler = EOS(random_state=0)
    X_resampled, y_resampled = sampler.fit_resample(X, y)
    new = y_resampled[len(X) :] == 2
    base, enemy = set(sampler.base_indices_[new]), set(sampler.enemy_indices_[new])
    rows = range(len(X))
    expected = {
        "synthetic": X_resampled[len(X) :][new],
        "bases": X[sorted(base)],
        "enemies": X[sorted(enemy)],
        "originals": X[[i for i in rows if y[i] == 2 and i not in base]],
        "others": X[[i for i in rows if y[i] != 2 and i not in enemy]],
    }
    assert set(display.scatters_) == set(expected)
    for name, points in expected.items():
        assert_allclose(display.scatters_[name].get_offsets(), points)
        assert any(f"({len(points)})" in text for text in legend_texts(display))
    ends = {
        (tuple(X[b]), tuple(X[e]))
        for b, e in zip(sampler.base_indices_[new], sampler.enemy_indices_[new], strict=True)
    }
    segments = display.segments_.get_segments()
    assert 1 < len(segments) <= 30
    assert {tuple(map(tuple, segment)) for segment in segments} <= ends


def test_embedding_shows_the_class_with_most_synthetic_rows():
    assert EmbeddingDisplay.from_embeddings(Z, y, EOS(random_state=0)).target == 0
    sampler = EOS(random_state=0, sampling_strategy={0: 15, 2: 60})
    assert EmbeddingDisplay.from_embeddings(Z, y, sampler).target == 2


def test_embedding_is_projected_on_what_the_class_and_its_enemies_vary_in():
    display = EmbeddingDisplay.from_embeddings(Z, y, EOS(random_state=0))
    sampler = EOS(random_state=0)
    Z_resampled, y_resampled = sampler.fit_resample(Z, y)
    enemies = sampler.enemy_indices_[y_resampled[len(Z) :] == 0]
    pca = PCA(2).fit(Z[np.union1d(np.flatnonzero(y == 0), enemies)])
    expected = pca.transform(Z_resampled[len(Z) :][y_resampled[len(Z) :] == 0])
    assert_allclose(display.groups["synthetic"], expected, atol=1e-5)


@pytest.mark.parametrize("sampler", [SMOTE(random_state=0), ADASYN(random_state=0)])
def test_embedding_of_samplers_without_enemies_shows_synthetic_rows_only(sampler):
    display = EmbeddingDisplay.from_embeddings(Z, y, sampler)
    Z_resampled, y_resampled = sampler.fit_resample(Z, y)
    assert set(display.scatters_) == {"others", "originals", "synthetic"}
    expected = PCA(2).fit(Z).transform(Z_resampled[len(Z) :][y_resampled[len(Z) :] == 0])
    assert_allclose(display.groups["synthetic"], expected, atol=1e-5)
    assert display.segments_ is None


def test_embedding_takes_another_projection_and_leaves_it_unfitted():
    class FirstColumns(PCA):
        def fit(self, X, y=None):
            self.n_rows_ = len(X)
            return self

        def transform(self, X):
            return X[:, :2] * 2

    projection, sampler = FirstColumns(), SMOTE(random_state=0)
    display = EmbeddingDisplay.from_embeddings(Z, y, sampler, projection=projection)
    assert_allclose(display.groups["originals"], 2 * Z[y == 0, :2])
    assert not hasattr(projection, "n_rows_")
    assert not hasattr(sampler, "sampling_strategy_")


def test_embedding_groups_are_told_apart_by_marker_and_color():
    display = EmbeddingDisplay.from_embeddings(Z, y, EOS(random_state=0), target=2)
    scatters = display.scatters_.values()
    assert len(scatters) == 5
    shapes = {scatter.get_paths()[0].vertices.tobytes() for scatter in scatters}
    # "." is a smaller "o": the size tells these two apart.
    sizes = [display.scatters_[name].get_sizes()[0] for name in ("others", "originals")]
    assert len(shapes) >= 4
    assert sizes[1] > 1.5 * sizes[0]
    assert len({tuple(scatter.get_facecolor()[0]) for scatter in scatters}) == 5


def test_embedding_draws_at_most_max_rows_of_each_group():
    def offsets(random_state):
        display = EmbeddingDisplay.from_embeddings(
            Z, y, EOS(random_state=0), max_rows=7, random_state=random_state
        )
        assert max(len(s.get_offsets()) for s in display.scatters_.values()) == 7
        return display, display.scatters_["synthetic"].get_offsets().tolist()

    display, drawn = offsets(0)
    assert len(display.groups["synthetic"]) == 48
    assert any("(7 of 48)" in text for text in legend_texts(display))
    everything = display.groups["synthetic"].tolist()
    assert all(point in everything for point in drawn)
    assert offsets(0)[1] == drawn
    assert offsets(1)[1] != drawn


def test_embedding_picture_holds_the_class_and_its_enemies():
    outlier = np.full((1, 6), 500, dtype=np.float32)
    display = EmbeddingDisplay.from_embeddings(
        np.concatenate([Z, outlier]), np.append(y, 1), EOS(random_state=0)
    )
    display.figure_.canvas.draw()
    (left, right), (bottom, top) = display.ax_.get_xlim(), display.ax_.get_ylim()
    for name, points in display.groups.items():
        inside = (points > [left, bottom]).all(axis=1) & (points < [right, top]).all(axis=1)
        assert inside.all() == (name != "others")


def test_embedding_of_a_pipeline_is_that_of_its_steps_before_the_sampler():
    pipeline = make_embedding_pipeline(make_net(), EOS(), random_state=0)
    pipeline.steps.insert(1, ("scaler", StandardScaler()))
    pipeline.fit(Z, y)
    display = EmbeddingDisplay.from_estimator(pipeline, Z, y, target=2, max_rows=5)
    embeddings = pipeline["scaler"].transform(pipeline["embedder"].transform(Z))
    expected = EmbeddingDisplay.from_embeddings(embeddings, y, pipeline["sampler"], target=2)
    assert set(display.groups) == set(expected.groups)
    for name, points in expected.groups.items():
        assert_array_equal(display.groups[name], points)
    assert len(display.scatters_["synthetic"].get_offsets()) == 5


def test_embedding_of_a_pipeline_resamples_with_earlier_samplers_first():
    under = RandomUnderSampler(sampling_strategy={1: 35}, random_state=0)
    pipeline = make_pipeline(under, EOS(random_state=0), LogisticRegression()).fit(Z, y)
    display = EmbeddingDisplay.from_estimator(pipeline, Z, y)
    originals = [len(points) for name, points in display.groups.items() if name != "synthetic"]
    assert sum(originals) == 12 + 35 + 30
    assert len(display.groups["synthetic"]) == 35 - 12


def test_embedding_takes_tensors():
    display = EmbeddingDisplay.from_embeddings(
        torch.as_tensor(Z), torch.as_tensor(y), EOS(random_state=0)
    )
    expected = EmbeddingDisplay.from_embeddings(Z, y, EOS(random_state=0))
    assert_allclose(display.groups["synthetic"], expected.groups["synthetic"], atol=1e-5)


def test_embedding_errors_say_what_to_do():
    draw, eos = EmbeddingDisplay.from_embeddings, EOS(random_state=0)
    with pytest.raises(ValueError, match=r"target must be .* \[0, 2\], got 1\. Choose"):
        draw(Z, y, eos, target=1)
    with pytest.raises(ValueError, match=r"target must be .* \[0, 2\], got 'x'\. Choose"):
        draw(Z, y, eos, target="x")
    with pytest.raises(ValueError, match=r"added rows, one of \[\], .* sampling_strategy"):
        draw(Z, y, EOS(sampling_strategy={}))
    with pytest.raises(ValueError, match=r"SMOTEENN.*changes or drops original rows"):
        draw(Z, y, SMOTEENN(random_state=0))
    with pytest.raises(ValueError, match=r"numbers of samples: \[102, 101\]"):
        draw(Z, y[:-1], eos)
    with pytest.raises(ValueError, match=r"1 feature\(s\) .* minimum of 2"):
        draw(Z[:, :1], y, eos)
    with pytest.raises(ValueError, match=r"PCA\(n_components=3\).*Set it to 2 components"):
        draw(Z, y, eos, projection=PCA(3))
    with pytest.raises(ValueError, match="'foes'"):
        EmbeddingDisplay({"foes": Z[:, :2]}, target=0).plot()


def test_embedding_of_what_is_no_fitted_pipeline_with_a_sampler_says_what_to_do():
    draw = EmbeddingDisplay.from_estimator
    with pytest.raises(
        TypeError, match=r"got a LogisticRegression .* use EmbeddingDisplay\.from_e"
    ):
        draw(LogisticRegression(), Z, y)
    with pytest.raises(TypeError, match=r"with a sampler, .* \['embedder', 'sampler', 'head'\]"):
        draw(make_embedding_pipeline(make_net(), "passthrough").fit(Z, y), Z, y)
    with pytest.raises(NotFittedError, match="EmbeddingPipeline"):
        draw(make_embedding_pipeline(make_net()), Z, y)


def test_same_seed_gives_the_same_picture_of_many_rows():
    # So many that PCA draws random numbers.
    rows = np.random.RandomState(0).normal(size=(700, 80))
    labels = np.repeat([0, 1], [500, 200])
    state = np.random.get_state()[1].copy()
    pictures = [
        EmbeddingDisplay.from_embeddings(rows, labels, EOS(random_state=0)) for _ in range(2)
    ]
    first, second = (picture.scatters_["synthetic"].get_offsets() for picture in pictures)
    assert_array_equal(first, second)
    assert_array_equal(np.random.get_state()[1], state)


def test_an_unknown_group_is_named_with_those_that_there_are():
    groups = {"synthetic": np.zeros((3, 2)), "foes": np.ones((3, 2))}
    with pytest.raises(ValueError, match=r"'groups' .* among .*'enemies'.*Got 'foes'"):
        EmbeddingDisplay(groups, target=1).plot()
