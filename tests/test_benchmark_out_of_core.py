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
