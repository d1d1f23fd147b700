"""The benchmark of Dask: its files, and that it would see other bits."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import out_of_core

pytest.importorskip("distributed", reason="needs distributed, the extra 'dask'")


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(out_of_core, "CHUNK_ROWS", 200)
    # Without what is done once in a process that is measured.
    resources = out_of_core.resources
    monkeypatch.setattr(out_of_core, "resources", lambda load=False: resources())
    rare = {".npy files": ([600, 400, 300], None), "Parquet files": ([600, 400, 300], 50)}
    monkeypatch.setattr(out_of_core, "RARE", rare)


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
@pytest.mark.parametrize("what", [".npy files", "Parquet files"])
def test_both_ways_have_one_digest(what, tmp_path):
    if what == "Parquet files":
        pytest.importorskip("pyarrow", reason="needs pyarrow, the extra 'embeddings'")
    cell = {"what": what, "rows": 700, "features": 4}
    out_of_core.write_files(tmp_path / f"{what} 700 4", what, 700, 4)
    ways = out_of_core.IN_MEMORY, out_of_core.ONE_PROCESS
    records = [{"cell": cell | {"way": way}} for way in ways]
    for record in records:
        record |= out_of_core.over_sample(record["cell"], tmp_path)
    assert records[0]["rows made"] == records[1]["rows made"] > 0
    assert "True" in list(out_of_core.table(records))[1]
    records[1]["digest"]["X"] = "other bits"
    assert "False" in list(out_of_core.table(records))[1]


def test_digests_depend_on_numbers_not_on_blocks(tmp_path):
    numbers = np.arange(1000.0).reshape(500, 2)
    found = []
    for name, cuts in ("one", []), ("two", [100, 350]):
        (tmp_path / name).mkdir()
        for i, part in enumerate(np.split(numbers, cuts)):
            np.save(tmp_path / name / f"X-{i:05}.npy", part)
        found.append(out_of_core.digest(tmp_path / name))
    assert found[0] == found[1]
    np.save(tmp_path / "two" / "X-00002.npy", numbers[:150])
    assert out_of_core.digest(tmp_path / "two") != found[0]


def test_a_cell_is_measured_once(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(out_of_core, "CELLS", [("one chunk", 300, 4, "both")])
    monkeypatch.setattr(out_of_core._grid, "MOST_TURNS", 1)
    arguments = ["--data", str(tmp_path), "--output", str(tmp_path / "cells.jsonl")]
    out_of_core.main(arguments)
    assert "300 x 4" in (first := capsys.readouterr().out)
    monkeypatch.setattr(out_of_core, "overhead", None)
    out_of_core.main(arguments)
    assert capsys.readouterr().out == first
    assert "True" in first


@pytest.mark.parametrize(("what", "lost"), [(".npy files", "y-*"), ("Parquet files", "*")])
def test_writing_goes_on_where_it_stopped(what, lost, tmp_path):
    if what == "Parquet files":
        pytest.importorskip("pyarrow", reason="needs pyarrow, the extra 'embeddings'")
    out_of_core.write_files(tmp_path, what, 500, 4)
    labels = [read() for read in out_of_core.readers(tmp_path, "y")]
    first, *_, last = sorted(tmp_path.glob(lost))
    written = first.stat().st_mtime_ns
    last.unlink()
    out_of_core.write_files(tmp_path, what, 500, 4)
    assert first.stat().st_mtime_ns == written
    for found, expected in zip(out_of_core.readers(tmp_path, "y"), labels, strict=True):
        np.testing.assert_array_equal(found(), expected)
