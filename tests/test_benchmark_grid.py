"""benchmarks/neighbors.py and resample.py: grids are measured once, and shown from their files."""

import re
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

pytest.importorskip("matplotlib")
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import _data
import _grid
import neighbors
import resample
from emulated_cuda import EmulatedCuda

from imblearn_eos import TorchNearestNeighbors
from imblearn_eos.neighbors import _choose

CELLS = [{"data": "clustered", "rows": n, "features": 4} for n in (10, 20, 30)]


@pytest.fixture(autouse=True)
def in_short(monkeypatch):
    """Measure once, and leave the number of threads as it is."""
    n_threads = torch.get_num_threads()
    monkeypatch.setattr(_grid, "ENOUGH_SECONDS", 0)
    monkeypatch.setattr(_grid, "threadpool_limits", lambda limits: None)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def embeddings(tmp_path):
    y = np.repeat(np.arange(10), 60)
    Z = np.random.RandomState(0).normal(size=(600, 5)) + y[:, None] / 5
    np.savez(tmp_path / "embeddings.npz", Z=Z, y=y)
    return str(tmp_path / "embeddings.npz")


def fill(path, settings, cells=CELLS, budget=np.inf):
    """Fill a file; return the rows of what was measured, and of all records."""
    measured = []

    def measure(data, rows, features):
        measured.append(rows)
        return {"seconds": {"ours": len(measured)}}

    records = _grid.fill("test", _grid.within_budget(cells, budget), measure, settings, path)
    assert not path or records == _grid.read(path, "test")
    return measured, [record["cell"]["rows"] for record in records]


def test_cells_are_measured_once_for_the_same_settings(tmp_path):
    path, settings = tmp_path / "grid.jsonl", _grid.settings(1, ["ours"])
    assert fill(path, settings, CELLS[1:2]) == ([20], [20])
    assert fill(path, settings) == ([10, 30], [10, 20, 30])
    assert fill(path, settings) == ([], [10, 20, 30])
    assert fill(path, _grid.settings(2, ["ours"])) == ([10, 20, 30], [10, 20, 30])
    assert [record["settings"]["threads"] for record in _grid.read(path, "test")] == [2, 2, 2]


def test_grid_continues_where_it_was_stopped(tmp_path):
    path, settings = tmp_path / "grid.jsonl", _grid.settings(1, ["ours"])
    fill(path, settings)
    # Stopped while it wrote the last record.
    path.write_text(path.read_text()[:-20])
    assert fill(path, settings) == ([30], [10, 20, 30])


def test_cells_beyond_the_budget_are_left_out_and_counted(capsys):
    assert fill(None, {}, budget=1600) == ([10, 20], [10, 20])
    assert "1 of 3 cells left out: more than 1600 products" in capsys.readouterr().out


def test_calls_take_turns_and_the_least_time_counts(monkeypatch):
    clock, order = [0.0], []
    durations = {"a": iter([9, 3, 1, 2]), "b": iter([0, 1, 5, 4])}

    def call(name):
        order.append(name)
        clock[0] += next(durations[name])
        return len(order)

    monkeypatch.setattr(_grid.time, "perf_counter", lambda: clock[0])
    checked = {}
    calls = {name: lambda name=name: call(name) for name in durations}
    found = _grid.in_turns(calls, 3, checked.__setitem__)
    # The first turn, which may compile, does not count.
    assert found == {"seconds": {"a": 1, "b": 1}, "errors": {}}
    assert order == ["a", "b"] * 4
    assert checked == {"a": 1, "b": 2}


def test_call_that_fails_is_reported_and_leaves_the_others(tmp_path):
    def refuse():
        raise MemoryError("too large")

    def check(name, found):
        if found == 1:
            raise AssertionError("wrong")

    found = _grid.in_turns({"EOS": refuse, "a": lambda: 1, "b": lambda: 2}, 1, check)
    assert list(found["seconds"]) == ["b"]
    errors = {"EOS": "MemoryError('too large')", "a": "AssertionError('wrong')"}
    assert found["errors"] == errors
    record = {"cell": {"rows": 3}, **found}
    _grid.exit_if_failed([record], "ours")
    with pytest.raises(SystemExit, match=r"'rows': 3}, EOS: MemoryError"):
        _grid.exit_if_failed([record], "EOS")


def test_records_say_when_they_were_written_and_by_what(tmp_path):
    path = tmp_path / "day.jsonl"
    _grid.append(path, benchmark="another", cell={})
    fill(path, {}, CELLS[:1])
    (record,) = _grid.read(path, "test")
    assert record["date"] == date.today().isoformat()
    assert len(path.read_text().split("\n\n")) == 2


def test_heat_maps_show_each_ratio_and_losses_in_red():
    ratios = {(300, 8): 0.5, (300, 64): 2.0, (1000, 64): 12.3}
    panels = {("k = 6", "clustered"): ratios, ("k = 6", "real"): {(300, 64): 1.5}}
    first, second = _grid.heat_maps(panels, "ratios").axes
    assert [text.get_text() for text in first.texts] == ["0.50", "2.00", "12"]
    assert [label.get_text() for label in second.get_xticklabels()] == ["64"]
    (image,) = first.images
    red, _, blue, _ = np.moveaxis(image.to_rgba(image.get_array()), -1, 0)
    assert red[0, 0] > blue[0, 0]
    assert red[0, 1] < blue[0, 1]


def test_engines_are_those_of_the_search(monkeypatch):
    monkeypatch.setattr(_choose, "_has_numba", lambda: False)
    X = torch.from_numpy(_data.gaussian(300, 8))
    fitted = TorchNearestNeighbors(2).fit(X)
    assert neighbors.engines_of(fitted) == ""
    fitted.kneighbors()
    assert neighbors.engines_of(fitted) == "DoubleDirect"


def test_neighbors_are_measured_and_shown_again(tmp_path, embeddings, capsys, monkeypatch):
    output, plot = tmp_path / "grid.jsonl", tmp_path / "grid.png"
    sizes = ["--rows", "50", "300", "--features", "3", "20", "--k", "2", "100"]
    arguments = [*sizes, "--output", str(output), "--threads", "1"]
    neighbors.main(["--grid", "--data", embeddings, *arguments])
    shown = capsys.readouterr().out
    records = _grid.read(output, "neighbors")
    # 100 neighbors among 300 rows only.
    assert len(records) == 3 * 5
    for record in records:
        # Where most rows are wanted, compiled loops have nothing to leave out.
        compiled = "DoubleDirect" if record["cell"]["k"] == 100 else "FewRows"
        engines = {"ours": "DoubleDirect", "ours, numba": compiled}
        assert record["engines"] == {name: engines[name] for name in record["engines"]}
        assert "ours" in record["engines"]
        assert ("sklearn auto" in record["seconds"]) == (record["cell"]["features"] <= 15)
        assert min(record["agreement"].values()) > 0.99
        assert record["settings"]["threads"] == 1
    monkeypatch.setattr(neighbors, "measure", None)
    neighbors.main(["--report", "--output", str(output), "--plot", str(plot)])
    assert capsys.readouterr().out == shown
    assert re.search(r"\| (DoubleDirect|FewRows) +\| real embeddings \| [23] ", shown)
    assert plot.stat().st_size > 5000


def test_table_of_engines_counts_wins_and_names_the_worst_cell():
    def record(n, ours, peer):
        cell = {"data": "gaussian", "rows": n, "features": 8, "k": 6}
        seconds = {"ours": ours, "sklearn brute": peer + 1, "faiss flat": peer}
        return {"cell": cell, "seconds": seconds, "engines": {"ours": "CompiledBoxes"}}

    _, engines = neighbors.tables(
        [record(300, 2, 1), record(1000, 1, 3), record(3000, 1, 2)], "ours"
    )
    cells = [cell.strip() for cell in engines.splitlines()[-1].split("|")[1:-1]]
    assert cells == ["CompiledBoxes", "gaussian", "3", "2", "2.00", "0.50", "300 x 8, k = 6"]


def test_samplers_are_measured_and_shown_again(tmp_path, embeddings, capsys, monkeypatch):
    output, plot = tmp_path / "grid.jsonl", tmp_path / "grid.png"
    arguments = ["--rows", "200", "2000", "--features", "3", "--output", str(output)]
    arguments += ["--samplers", "EOS", "SMOTE", "ADASYN", "--threads", "1"]

    def refuse(device):
        raise ValueError("No samples will be generated.")

    monkeypatch.setitem(resample.SAMPLERS, "ADASYN", refuse)
    resample.main(["--grid", "--data", embeddings, *arguments])
    shown = capsys.readouterr().out
    records = _grid.read(output, "resample")
    # Of the real rows there are too few for a tail of 2,000.
    assert [tuple(record["cell"].values()) for record in records] == [
        ("clustered", 200, 3),
        ("clustered", 2000, 3),
        ("real embeddings", 200, 5),
    ]
    for record in records:
        assert list(record["seconds"]) == ["EOS", "SMOTE"]
        assert record["errors"] == {"ADASYN": "ValueError('No samples will be generated.')"}
    resample.main(["--report", "--output", str(output), "--plot", str(plot)])
    assert capsys.readouterr().out == shown
    ratios = [resample.ratios_of(record) for record in records]
    assert all(found["SMOTE / EOS"] > 0 for found in ratios)
    assert {found["ADASYN / EOS"] for found in ratios} == {None}
    assert plot.stat().st_size > 2000


@pytest.mark.parametrize("n_rows", [300, 1000])
def test_long_tails_have_all_classes_and_the_rows_asked_for(n_rows):
    counts = np.bincount(_data.long_tailed(n_rows)[1])
    assert counts.sum() == n_rows
    assert len(counts) == 10
    assert counts.min() == counts[-1] == 12
    assert counts.argmax() == 0


def test_long_tail_of_real_rows_keeps_rows_with_their_labels(embeddings):
    Z, y = _data.labeled(embeddings)
    X, labels = _data.long_tail_of(Z, y, 200)
    assert_array_equal(np.bincount(labels), _data.tail_counts(200))
    assert len(np.unique(X, axis=0)) == 200
    rows = {row.tobytes(): label for row, label in zip(Z, y, strict=True)}
    assert [rows[row.tobytes()] for row in X] == labels.tolist()
    assert _data.long_tail_of(Z, y, 1000) is None


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_row_itself_is_dropped_wherever_it_is(dtype):
    # The third block does not hold the row itself, and loses its last.
    found = np.array([[5, 9, 7], [8, 6, 9], [1, 2, 3], [1, 2, 8]], dtype=dtype)
    assert neighbors.without_self(found, first=5).tolist() == [[9, 7], [8, 9], [1, 2], [1, 2]]


def test_rows_of_a_device_stay_there(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a device", raising=False)
    output, options = tmp_path / "grid.jsonl", ["--device", "cuda", "--threads", "1", "--grid"]
    options += ["--rows", "200", "--features", "4", "--repeat", "1", "--output", str(output)]
    samplers = ["--samplers", "EOS", "SMOTE, our neighbors"]
    with EmulatedCuda() as device:
        neighbors.main([*options, "--k", "5", "--synthetic", "gaussian"])
        n_bytes = 200 * 4 * 4
        # Rows once, and the sample of neighbors that are compared.
        assert device.copies_to_device.count(n_bytes) == 1
        assert n_bytes not in device.copies_to_host
        resample.main([*options, *samplers])
    (search,) = _grid.read(output, "neighbors")
    assert set(search["seconds"]) >= {"ours", "torch product", "torch tf32"}
    assert search["agreement"]["ours"] == 1
    (sampling,) = _grid.read(output, "resample")
    assert set(sampling["seconds"]) == {"EOS", "SMOTE, our neighbors"}
    for record in (search, sampling):
        assert record["settings"]["gpu"] == "a device"
