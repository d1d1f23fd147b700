"""The second phases of benchmarks/cifar_lt_second_phase.py, on the networks of a small study."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("tabulate")
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import _embeddings
import _heads
import _networks
import _results
import _run_tables
import cifar_lt
import cifar_lt_second_phase
from test_cifar_lt import make_pack

from imblearn_eos import LinearHead
from imblearn_eos.losses import label_aware_smoothing

pytestmark = pytest.mark.slow

METHODS = ["network", "LWS", "SMOTE", "EOS"]


def run(monkeypatch, pack, folder, *extra, train=False):
    arguments = ["--data", str(pack), "--output", str(folder), "--reduced", "--epochs", "1"]
    arguments += ["--subsets", "0", "--ratios", "3", "--device", "cpu", "--jobs", "1"]
    arguments += ["--folds", "0"]
    arguments += ["--methods", *METHODS]
    if train:
        monkeypatch.setattr(sys, "argv", ["cifar_lt.py", *arguments, "--methods"])
        cifar_lt.main()
    monkeypatch.setattr(sys, "argv", ["cifar_lt_second_phase.py", *arguments, *extra])
    # Heads of a network of one epoch converge slowly.
    monkeypatch.setattr(_heads, "TOLERANCE", 0.03)
    cifar_lt_second_phase.main()
    return _results.Results(folder / "second_phase" / "results").records


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    make_pack(folder / "pack.npz", n_train=24, n_test=4)
    with pytest.MonkeyPatch.context() as monkeypatch:
        records = run(monkeypatch, folder / "pack.npz", folder, train=True)
    return folder, records


def read(folder, kind, which="all"):
    (file,) = (folder / "second_phase" / "embeddings").glob(f"*_{which}_*_{kind}.npz")
    return _embeddings.read_embedded(file)


def test_each_method_is_scored_in_the_phases_that_change_it(study):
    _, records = study
    found = [(r["phase"], r["method"]) for r in records if r["record"] == "second phase"]
    refits = ["SMOTE", "EOS"]
    assert found == [
        *(("as before", name) for name in METHODS),
        *(("4 views", name) for name in METHODS[1:]),
        *(("shifted batch norm", name) for name in METHODS),
        *(("smoothed labels", name) for name in refits),
        *(("all three", name) for name in METHODS),
    ]
    for record in records[1:]:
        assert "error" not in record
        smoothing = {"smoothing" in row["setting"] for row in record["rows"]}
        is_smoothed = record["phase"] in ("smoothed labels", "all three")
        assert smoothing == {is_smoothed and record["method"] in refits}


def test_embeddings_are_those_of_the_study_then_of_views(study):
    folder, _ = study
    plain, views, shifted, both = (
        read(folder, kind) for kind in ("1views", "4views", "1views_shifted", "4views_shifted")
    )
    n = len(plain.y)
    for one, four in ((plain, views), (shifted, both)):
        assert len(four.Z) == 4 * n
        np.testing.assert_array_equal(four.Z[:n], one.Z)
        np.testing.assert_array_equal(four.y, np.tile(one.y, 4))
        np.testing.assert_array_equal(four.Z_new, one.Z_new)
        assert not np.array_equal(four.Z[n : 2 * n], one.Z)
        np.testing.assert_array_equal(four.weight, plain.weight)
    assert not np.array_equal(plain.Z_new, shifted.Z_new)


def test_what_is_done_is_not_done_again(study, monkeypatch):
    folder, records = study
    monkeypatch.setattr(_networks, "Embedder", None)
    monkeypatch.setattr(cifar_lt_second_phase, "fit", None)
    monkeypatch.setattr(cifar_lt_second_phase, "run_method", None)
    again = run(monkeypatch, folder / "pack.npz", folder, "--resume")
    assert len(again) == len(records) + 1
    with pytest.raises(SystemExit, match="Add --resume to continue it"):
        run(monkeypatch, folder / "pack.npz", folder)


def test_networks_are_trained_by_the_study_only(study, monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match=r"lacks the network.*/cifar_lt\.py --data DATA"):
        run(monkeypatch, study[0] / "pack.npz", tmp_path)
    assert not list((tmp_path / "checkpoints").rglob("*.pt"))


def test_samplers_see_as_many_times_the_neighbors_as_there_are_views(study, monkeypatch):
    network = _heads.Network(read(study[0], "4views"), n_views=4)
    seen = []
    monkeypatch.setitem(_heads.SAMPLERS, "SMOTE", lambda seed, **params: seen.append(params))
    network.refit("SMOTE", k_neighbors=3)
    assert seen == [{"k_neighbors": 12}]


def test_labels_are_smoothed_by_the_class_sizes_before_sampling(study, monkeypatch):
    monkeypatch.setattr(_heads, "TOLERANCE", 0.03)
    network = _heads.Network(read(study[0], "1views"))
    head = network.refit("random over-sampling", smoothing=0.3)
    smoothing = label_aware_smoothing(network.counts, smooth_head=0.3)
    expected = LinearHead(label_smoothing=smoothing, tol=_heads.TOLERANCE).fit(*head.rows)
    np.testing.assert_allclose(head.coef, expected.coef_)


def test_settings_are_chosen_on_half_of_the_test_images_if_asked(study, monkeypatch, tmp_path):
    for name in ("pack.npz", "networks", "embeddings"):
        (tmp_path / name).symlink_to(study[0] / name)
    options = ["--hold-out", "--methods", "network", "LWS"]
    (tmp_path / "second_phase").mkdir()
    (tmp_path / "second_phase" / "embeddings").symlink_to(study[0] / "second_phase" / "embeddings")
    records = run(monkeypatch, tmp_path / "pack.npz", tmp_path, *options)
    lws = [record for record in records if record.get("method") == "LWS"]
    assert {record["n_settings"] for record in lws} == {7}
    # Of two images of each class.
    recalls = {value for record in lws for row in record["rows"] for value in row["recall"]}
    assert recalls <= {0, 0.5, 1}
    rows = _run_tables.second_phases([], [tmp_path / "second_phase" / "results"])
    assert {row["recipe"] for row in rows} == {"CE † ‡"}


def test_tables_compare_phases_and_methods_on_the_same_subsets(study):
    runs = [study[0] / "second_phase" / "results"]
    points = {
        (record["phase"], record["method"]): next(
            100 * row["scores"]["balanced_accuracy"] for row in record["rows"] if row["is_chosen"]
        )
        for record in study[1][1:]
    }
    scores, gains, leads = (
        getattr(_run_tables, name)([], runs)
        for name in ("second_phases", "second_phase_gains", "second_phase_leads")
    )
    for row in scores:
        for phase in cifar_lt_second_phase.PHASES:
            known = points.get((phase, row["method"]))
            assert row[phase].startswith("" if known is None else f"{known:.1f} (")
            assert bool(row[phase]) == (known is not None)
    (gain,) = (row for row in gains if row["gain of"] == "EOS")
    difference = points["all three", "EOS"] - points["as before", "EOS"]
    assert gain["all three"] == f"{difference:+.1f}"
    (lead,) = (row for row in leads if row["EOS minus"] == "network" and row["settings"] == "tuned")
    # Nothing is decided on one subset.
    assert {row["recipe"] for row in [*scores, *gains, *leads]} == {"CE †"}
    # The network's own head is the same with several views.
    difference = points["4 views", "EOS"] - points["as before", "network"]
    assert lead["4 views"] == f"{difference:+.1f}"
