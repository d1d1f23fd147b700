"""benchmarks/frozen.py: its features, its choices, and that it continues where it was stopped."""

import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

pytest.importorskip("PIL")
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import frozen
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold

from imblearn_eos import EOS, LinearHead

SIZE = 4


@pytest.fixture
def images(monkeypatch):
    """Return 600 training and 20 test images, which a stand-in embeds as the mean of channels."""
    random_state = np.random.RandomState(0)
    y, y_test = np.repeat(np.arange(3), 200), np.repeat(np.arange(3), 7)[:20]
    X, X_test = (
        (
            random_state.randint(100, size=(len(labels), 3, SIZE, SIZE))
            + 50 * labels[:, None, None, None]
        )
        for labels in (y, y_test)
    )
    module = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    monkeypatch.setattr(frozen, "efficientnet_lite0", lambda: (module, None))
    monkeypatch.setattr(frozen, "SETTINGS", [("exponential", 10.0)])
    monkeypatch.setattr(frozen, "SUBSETS", (0, 1))
    monkeypatch.setattr(frozen, "BLOCK", 50)
    return X.astype(np.uint8), y, X_test.astype(np.uint8), y_test


@pytest.fixture
def few(monkeypatch):
    names = ("none", "SMOTE", "logit adjustment 1", "EOS 10, 0.5", "average")
    few = {name: frozen.CANDIDATES[name] for name in names}
    monkeypatch.setattr(frozen, "CANDIDATES", few)
    monkeypatch.setattr(frozen, "METHODS", {name: [name] for name in few})


def run(monkeypatch, images, output, *arguments):
    monkeypatch.setattr(frozen, "load_images", lambda path: images)
    frozen.main(["--data", "x", "--output", str(output), "--size", str(SIZE), *arguments])


def test_means_of_a_setting_are_of_its_subsets_only(capsys):
    folder = Path(frozen.__file__).parent / "frozen"
    frozen.report(folder)
    lines = [line.split("|") for line in capsys.readouterr().out.splitlines()]
    settings, row = (
        next(line for line in lines if line[1:2] and line[1].strip() == name)[2:6]
        for name in ("method", "SMOTE")
    )
    scores = frozen.read_scores(folder, "SMOTE")
    for setting, mean in zip(settings, row, strict=True):
        name = setting.strip().replace(" ", "_")
        expected = np.mean([scores[f"{name}_{subset}"] for subset in range(3)])
        assert float(mean) == pytest.approx(expected, abs=0.051)


def test_rows_are_those_of_the_subsets_and_come_once(images):
    _, y, _, y_test = images
    rows = frozen.order_rows(y, len(y_test))
    assert_array_equal(rows[: len(y_test)], np.arange(600, 620))
    needed = {int(row) for subset in (0, 1) for row in frozen.rows_of(y, "exponential", 10, subset)}
    assert len(rows) == len(needed) + 20
    assert {int(row) for row in rows[20:]} == needed


def test_features_are_of_their_rows(images, tmp_path):
    X, _, X_test, _ = images
    frozen.embed(images, SIZE, tmp_path)
    positions, Z = frozen.read_features(tmp_path)
    means = np.concatenate([X, X_test]).mean(axis=(2, 3)) / 127.5 - 1
    assert len(positions) == len(Z) > 250
    for row, position in positions.items():
        assert_allclose(Z[position], means[row], atol=1e-5)


def test_embedding_continues_where_it_was_stopped(images, tmp_path, monkeypatch):
    frozen.embed(images, SIZE, tmp_path)
    files = sorted(tmp_path.glob("*.npz"))
    files[2].unlink()
    before, embedded = {file: file.stat().st_mtime_ns for file in files if file.exists()}, []
    embed_batch = frozen.embed_batch
    monkeypatch.setattr(
        frozen, "embed_batch", lambda *args: embedded.append(len(args[1])) or embed_batch(*args)
    )
    frozen.embed(images, SIZE, tmp_path)
    assert sum(embedded) == 50
    assert before == {file: file.stat().st_mtime_ns for file in before}


@pytest.mark.usefixtures("few")
def test_heads_continue_where_they_were_stopped(images, tmp_path, monkeypatch, capsys):
    run(monkeypatch, images, tmp_path)
    file = tmp_path / "exponential_10_0.jsonl"
    lines = [line for line in file.read_text().splitlines() if line]
    assert len(lines) == frozen.N_FOLDS + 1
    first = frozen.read_results(tmp_path)
    # Stopped while it wrote the last record.
    file.write_text("\n".join([*lines[:-1], lines[-1][:20]]))
    run(monkeypatch, images, tmp_path, "--heads")
    assert frozen.read_results(tmp_path) == first
    out = capsys.readouterr().out
    assert "default penalty, 2 subsets" in out
    assert "penalty by cross-validation, 2 subsets" in out


@pytest.mark.usefixtures("few")
def test_test_images_of_all_subsets_come_before_the_folds(images, tmp_path, monkeypatch):
    evaluated = []

    def evaluate(part, Z, *args):
        evaluated.append((args[-1], part))
        return {"part": part, "scores": dict.fromkeys(frozen.CANDIDATES, [50.0] * 5)}

    monkeypatch.setattr(frozen, "evaluate", evaluate)
    run(monkeypatch, images, tmp_path)
    tests = [(0, "test"), (1, "test")]
    assert evaluated == [*tests, *((subset, fold) for subset in (0, 1) for fold in range(3))]


@pytest.mark.usefixtures("few")
def test_subsets_wait_for_their_images(images, tmp_path, monkeypatch, capsys):
    run(monkeypatch, images, tmp_path, "--heads")
    out = capsys.readouterr().out
    assert "exponential 10, subset 0: not all images are embedded yet" in out
    assert "no subset is complete yet" in out


def test_choice_is_by_validation_rows_alone():
    keys = product(frozen.METHODS["EOS, tuned"], frozen.ALPHAS)
    records = {key: (50.0, 90.0) for key in keys}
    records["EOS 10, 1", 1e-3] = (60.0, 10.0)
    assert frozen.score(records, "EOS, tuned", frozen.ALPHAS) == 10.0
    # At another penalty all are equal, and the default comes first.
    records["EOS 1000, 0.5", 1e-2] = (50.0, 70.0)
    assert frozen.score(records, "EOS, tuned", [1e-2]) == 70.0


@pytest.fixture
def rows():
    random_state = np.random.RandomState(0)
    y = np.repeat([0, 1, 2], [60, 30, 15])
    return (random_state.normal(size=(105, 5)) + y[:, None]).astype(np.float32), y


def test_every_candidate_fits_three_classes(rows):
    Z, y = rows
    for part in frozen.PARTS:
        found = frozen.evaluate(part, Z, Z, y, y, seed=0)
        assert found["part"] == part
        assert found["scores"].keys() == frozen.CANDIDATES.keys()
        for name, scores in found["scores"].items():
            assert len(scores) == len(frozen.ALPHAS)
            assert 40 < min(scores) <= max(scores) <= 100, name


def test_scores_are_those_of_samplers_and_heads_by_themselves(rows):
    Z, y = rows
    train, held = list(StratifiedKFold(frozen.N_FOLDS, shuffle=True, random_state=0).split(Z, y))[1]
    scores = frozen.evaluate(1, Z, None, y, None, seed=3)["scores"]
    for name, k, step in (("EOS 10, 1", 10, 1.0), ("EOS 1000, 0.5", 1000, 0.5)):
        sampler = EOS(n_neighbors=k, max_step=step, random_state=3)
        for found, alpha in zip(scores[name], frozen.ALPHAS, strict=True):
            head = LinearHead(alpha=alpha, tol=frozen.TOL)
            head.fit(*sampler.fit_resample(Z[train], y[train]))
            expected = balanced_accuracy_score(y[held], head.predict(Z[held]))
            # Convergence may turn one of 35 rows.
            assert abs(found - 100 * expected) < 7
