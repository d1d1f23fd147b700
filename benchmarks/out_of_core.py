"""EOS on Dask beside EOS in memory: seconds, memory and bits.

    python benchmarks/out_of_core.py --output out_of_core.jsonl

measures each cell once, in processes of its own, also if it is stopped and started again.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from math import inf
from pathlib import Path

import _data
import _grid
import numpy as np
import torch

CHUNK_ROWS = 100_000
WORKER_LIMIT = "1GiB"
IN_MEMORY, ONE_PROCESS, TWO_WORKERS = WAYS = "in memory", "one process", "two workers"
# Rows of the rare classes among 10,000, and how many rows each of them gets: None is a balance.
RARE = {".npy files": ([10, 6, 4], None), "Parquet files": ([1, 0.6, 0.4], 100_000)}
CELLS = [
    *(("one chunk", rows, 64, "both") for rows in (1_000, 20_000, 100_000)),
    *((".npy files", 2_000_000, 32, way) for way in WAYS),
    *(("Parquet files", 1_000_000, 64, way) for way in (IN_MEMORY, TWO_WORKERS)),
    *(("Parquet files", 10_000_000, 64, way) for way in (IN_MEMORY, TWO_WORKERS)),
]


def draw_rows(number, n_rows, n_features, rare):
    """Draw one file of rows of overlapping classes, and their labels."""
    shared, own = np.random.RandomState(0), np.random.RandomState(number + 1)
    mixing = 0.5 * shared.normal(size=(12, n_features))
    centers = 0.3 * shared.normal(size=(4, n_features))
    shares = np.array(rare) / 10_000
    y = own.choice(4, size=n_rows, p=[1 - shares.sum(), *shares]).astype(np.int8)
    rows = own.normal(size=(n_rows, 12)) @ mixing + centers[y]
    return rows + 0.4 * own.normal(size=rows.shape), y


def write_files(folder, what, n_rows, n_features):
    """Write float32 rows to .npy files, or float16 rows to Parquet files, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, n_rows, CHUNK_ROWS)):
        # The last of the files that belong together.
        last = f"y-{number:05}.npy" if what == ".npy files" else f"part-{number:05}.parquet"
        if (folder / last).exists():
            continue
        size = min(CHUNK_ROWS, n_rows - start)
        X, y = draw_rows(number, size, n_features, RARE[what][0])
        if what == ".npy files":
            np.save(folder / f"X-{number:05}.npy", X.astype(np.float32))
            np.save(folder / "begun.npy", y)
            (folder / "begun.npy").rename(folder / last)
            continue
        import pyarrow as pa
        import pyarrow.parquet

        rows = pa.FixedSizeListArray.from_arrays(pa.array(X.astype(np.float16).ravel()), n_features)
        pyarrow.parquet.write_table(pa.table({"X": rows, "y": y}), folder / "begun")
        (folder / "begun").rename(folder / last)


def read_column(path, name):
    """Read the column of a Parquet file as an array."""
    import pyarrow.parquet

    column = pyarrow.parquet.read_table(path, columns=[name])[name].combine_chunks()
    if name == "y":
        return column.to_numpy()
    return column.flatten().to_numpy().reshape(len(column), -1)


def readers(folder, name):
    """Return a function for each file, which reads its rows or labels."""
    parquet = sorted(folder.glob("*.parquet"))
    return [partial(read_column, path, name) for path in parquet] or [
        partial(np.load, path) for path in sorted(folder.glob(f"{name}-*.npy"))
    ]


def as_dask_array(functions, n_rows):
    """Return an array of a chunk for each function; all chunks but the last are full."""
    import dask
    import dask.array as da

    like = functions[0]()[:0]
    sizes = [min(CHUNK_ROWS, n_rows - i * CHUNK_ROWS) for i in range(len(functions))]
    return da.concatenate(
        da.from_delayed(dask.delayed(read, pure=True)(), (size, *like.shape[1:]), meta=like)
        for read, size in zip(functions, sizes, strict=True)
    )


def strategy(added, y):
    """Return the numbers of rows of the rare classes after over-sampling."""
    counts = np.bincount(np.asarray(y))
    return {c: int(counts[0] if added is None else counts[c] + added) for c in (1, 2, 3)}


def resources(load=False):
    """Return the peak of this process's memory in MiB, on Linux, and its processor seconds.

    Parameters
    ----------
    load : bool, default=False
        Whether to import the package first, and to do after this what is done once.
    """
    if load:
        import imblearn_eos._dask
    peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    if load:
        # Compiled code is loaded, which is not what is compared.
        rows = np.random.RandomState(0).standard_normal((20_000, 32)).astype(np.float32)
        imblearn_eos.TorchNearestNeighbors(2).fit(rows).kneighbors()
    return int(peak) / 1024, time.process_time()


@contextmanager
def everywhere(way):
    """Start two workers if need be; yield what calls a function in each process."""
    if way != TWO_WORKERS:
        yield lambda function: [function()]
        return
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=WORKER_LIMIT, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield lambda function: [function(), *client.run(function).values()]


def write_result(folder, name, array):
    """Write an array to a .npy file, or each block of a Dask array to one."""
    import dask

    blocks = [array] if isinstance(array, np.ndarray) else array.to_delayed().ravel()
    save = dask.delayed(np.save)
    dask.compute([save(folder / f"{name}-{i:05}.npy", part) for i, part in enumerate(blocks)])


def digest(folder):
    """Return a digest of the numbers in the files of a folder, whatever the blocks are."""
    found = {}
    for path in sorted(folder.glob("*.npy")):
        values = np.load(path, mmap_mode="r")
        one = found.setdefault(path.stem[0], hashlib.sha256())
        for start in range(0, len(values), CHUNK_ROWS):
            one.update(np.ascontiguousarray(values[start : start + CHUNK_ROWS]))
    return {name: one.hexdigest()[:16] for name, one in found.items()}


def over_sample(cell, data):
    """Over-sample files into files; return seconds, memory of each process, and digests."""
    from imblearn_eos import EOS

    what, n_rows, n_features, way = cell.values()
    folder, result = data / f"{what} {n_rows} {n_features}", data / f"result {way}"
    shutil.rmtree(result, ignore_errors=True)
    result.mkdir()
    with everywhere(way) as call:
        before, start = call(partial(resources, load=True)), call(resources)
        clock = time.perf_counter()
        if way == IN_MEMORY:
            X, y = (np.concatenate([read() for read in readers(folder, name)]) for name in "Xy")
        else:
            X, y = (as_dask_array(readers(folder, name), n_rows) for name in "Xy")
        sampler = EOS(sampling_strategy=partial(strategy, RARE[what][1]), random_state=0)
        X, y = sampler.fit_resample(X, y)
        searched = call(resources)
        search_clock = time.perf_counter()
        for name, array in zip("Xybs", (X, y, sampler.base_indices_, sampler.steps_), strict=True):
            write_result(result, name, array)
        stop = call(resources)
        seconds = time.perf_counter() - clock
    record = {
        "rows made": len(X) - n_rows,
        "seconds": seconds,
        "seconds of the search": search_clock - clock,
        "cpu seconds": [b - a for (_, a), (_, b) in zip(start, stop, strict=True)],
        "cpu seconds, search": [b - a for (_, a), (_, b) in zip(start, searched, strict=True)],
        "MiB imported": [peak for peak, _ in before],
        "MiB beyond": [b - a for (a, _), (b, _) in zip(before, stop, strict=True)],
        "MiB beyond, search": [b - a for (a, _), (b, _) in zip(before, searched, strict=True)],
        "digest": digest(result),
    }
    shutil.rmtree(result)
    return record


def overhead(cell):
    """Return the least seconds in memory and of one chunk in one process, taken in turns."""
    import dask
    import dask.array as da

    from imblearn_eos import EOS

    X, y = _data.long_tailed(cell["rows"], cell["features"])

    def on_dask():
        chunk = da.from_array(X, chunks=-1), da.from_array(y, chunks=-1)
        return dask.compute(*EOS(random_state=0).fit_resample(*chunk), scheduler="synchronous")

    calls = {IN_MEMORY: lambda: EOS(random_state=0).fit_resample(X, y), ONE_PROCESS: on_dask}
    results = {}
    measured = _grid.in_turns(calls, 3, results.__setitem__)
    return measured | {"same": all(map(np.array_equal, *results.values()))}


def measure_alone(options, **cell):
    """Measure a cell, if it is a large one in a process of its own."""
    if cell["what"] == "one chunk":
        return overhead(cell)
    name = f"{cell['what']} {cell['rows']} {cell['features']}"
    write_files(options.data / name, cell["what"], cell["rows"], cell["features"])
    command = [sys.executable, __file__, "--data", str(options.data), "--one", json.dumps(cell)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        return {"error": process.stderr.strip().splitlines()[-1:]}
    return json.loads(process.stdout.splitlines()[-1])


def table(records):
    """Show all records as lines of Markdown tables."""
    small = [record for record in records if record["cell"]["what"] == "one chunk"]
    yield _grid.markdown(
        {
            "rows x features": "{rows:,} x {features}".format(**record["cell"]),
            **{way: f"{seconds:.3f}" for way, seconds in record["seconds"].items()},
            "ratio": f"{record['seconds'][ONE_PROCESS] / record['seconds'][IN_MEMORY]:.2f}",
            "same bits": record["same"],
        }
        for record in small
    )
    large = [record for record in records if record not in small]
    expected = {
        (*cell.values(),)[:3]: record.get("digest")
        for record in large
        if (cell := record["cell"])["way"] == IN_MEMORY
    }
    yield _grid.markdown(large_line(record, expected) for record in large)


def large_line(record, expected):
    what, rows, features, way = record["cell"].values()
    line = {"data": f"{what}, {rows:,} x {features}", "way": way}
    if "error" in record:
        return line | record
    client, *of_workers = (f"{n:.0f}" for n in record["MiB beyond"])
    return line | {
        "rows after": f"{rows + record['rows made']:,}",
        "seconds": f"{record['seconds']:.0f}",
        "processor seconds": f"{sum(record['cpu seconds']):.0f}",
        "of these, the search": f"{sum(record['cpu seconds, search']):.0f}",
        "MiB": client,
        "MiB of workers": ", ".join(of_workers),
        "same bits": record["digest"] == expected.get((what, rows, features)),
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("out-of-core"), help="folder for files")
    parser.add_argument("--output", type=Path, help="JSON lines, to which new cells are added")
    parser.add_argument("--share", type=float, default=1.0, help="of the rows of each cell")
    parser.add_argument("--what", nargs="*", default=["one chunk", *RARE], help="cells to measure")
    parser.add_argument("--ways", nargs="*", default=["both", *WAYS], help="cells to measure")
    parser.add_argument("--max-rows", type=float, default=inf, help="leave larger cells out")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.data.mkdir(parents=True, exist_ok=True)
    if options.one:
        print(json.dumps(over_sample(options.one, options.data)))
        return
    cells = [
        dict(zip(("what", "rows", "features", "way"), cell, strict=True))
        | {"rows": int(cell[1] * options.share)}
        for cell in CELLS
        if cell[0] in options.what and cell[3] in options.ways and cell[1] <= options.max_rows
    ]
    settings = _grid.settings(torch.get_num_threads(), WAYS)
    measure = partial(measure_alone, options)
    records = _grid.fill("out of core", cells, measure, settings, options.output)
    print(*table(records), sep="\n\n")


if __name__ == "__main__":
    main()
