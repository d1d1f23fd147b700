"""Whole samplers: EOS beside SMOTE, ADASYN and BorderlineSMOTE, with and without our neighbors.

    python benchmarks/resample.py --data cifar10_lt_embeddings.npz

prints one table of seconds and peak memory. Each measurement has a process of its own.

    python benchmarks/resample.py --grid --data cifar10_full_embeddings.npz --output grid.jsonl

measures seconds only, each cell once, also if it is stopped and started again.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from statistics import median

import _data
import _grid
import numpy as np
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE
from sklearn.neighbors import NearestNeighbors
from tqdm import tqdm

from imblearn_eos import EOS, TorchNearestNeighbors

GRID = {
    "rows": [300, 1000, 3000, 10_000, 20_000, 50_000, 100_000],
    "features": [8, 64, 768],
    "repeat": 1,
    "budget": 4e11,
}


class AuthorsProcedure:
    """What the authors' script does, as described: all rows are queries, twice, in Python loops.

    Its defect included: the enemy is drawn by its rank and then read one rank closer.
    """

    def __init__(self, n_neighbors=10, seed=0):
        self.n_neighbors = n_neighbors
        self.random_state = np.random.RandomState(seed)

    def fit_resample(self, X, y):
        k, random_state = self.n_neighbors, self.random_state
        neighbors = NearestNeighbors(n_neighbors=k + 1).fit(X)
        found = neighbors.kneighbors(X, return_distance=False)
        _, found = neighbors.kneighbors(X)
        labels, counts = np.unique(y, return_counts=True)
        rows, new_labels = [X], [y]
        for label, count in zip(labels, counts, strict=True):
            members = np.flatnonzero(y == label)
            weights = {}
            for i in members:
                is_enemy = y[found[i, 1:]] != label
                if is_enemy.any():
                    weights[i] = is_enemy / is_enemy.sum()
            bases = list(weights)
            n_rows = counts.max() - count
            drawn = random_state.choice(len(bases), n_rows) if n_rows else []
            made = []
            for b in drawn:
                i = bases[b]
                enemy = found[i, random_state.choice(k, p=weights[i])]
                made.append(X[i] + random_state.rand() * (X[enemy] - X[i]))
            if made:
                rows.append(np.array(made, dtype=X.dtype))
                new_labels.append(np.full(n_rows, label))
        return np.concatenate(rows), np.concatenate(new_labels)


SAMPLERS = {
    "EOS": lambda: EOS(random_state=0),
    "EOS, K = 1000": lambda: EOS(n_neighbors=1000, random_state=0),
    "EOS nearest": lambda: EOS(enemy_search="nearest", random_state=0),
    "authors' procedure": AuthorsProcedure,
    "SMOTE": lambda: SMOTE(random_state=0),
    "SMOTE, our neighbors": lambda: SMOTE(k_neighbors=TorchNearestNeighbors(6), random_state=0),
    "ADASYN": lambda: ADASYN(random_state=0),
    "ADASYN, our neighbors": lambda: ADASYN(n_neighbors=TorchNearestNeighbors(6), random_state=0),
    "BorderlineSMOTE": lambda: BorderlineSMOTE(random_state=0),
    "BorderlineSMOTE, our neighbors": lambda: BorderlineSMOTE(
        m_neighbors=TorchNearestNeighbors(11),
        k_neighbors=TorchNearestNeighbors(6),
        random_state=0,
    ),
}
NOT_IN_GRID = {"EOS nearest", "authors' procedure"}
# Whose seconds are divided by whose.
RATIOS = [(other, eos) for eos in ("EOS", "EOS, K = 1000") for other in ("ADASYN", "SMOTE")]


def resident_mib(reset_peak=False):
    """Return the peak memory of this process on Linux; ``reset_peak`` sets it to the present."""
    if reset_peak:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(name, data, n_rows, repeat):
    """Print median seconds, after a first run that loads and compiles, and peak MiB."""
    X, y = _data.labeled(data) if data else _data.long_tailed(n_rows)
    warm_up([name])
    before = resident_mib(reset_peak=True)
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        SAMPLERS[name]().fit_resample(X, y)
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": median(seconds), "peak_mib": resident_mib() - before}))


def warm_up(names):
    """Compile and load what is done once, which is not what is compared."""
    for rows in _data.clustered(20_000, 8), _data.gaussian(20_000, 64):
        TorchNearestNeighbors(2).fit(rows).kneighbors()
    for name in names:
        SAMPLERS[name]().fit_resample(*_data.long_tailed(5_000, seed=1))


def run(name, data, n_rows, options):
    arguments = ["--one", name, "--repeat", str(options.repeat), "--threads", str(options.threads)]
    arguments += ["--data", data] if data else []
    arguments += ["--rows", str(n_rows)] if n_rows else []
    process = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, check=False
    )
    if process.returncode:
        return {"error": process.stderr.strip().splitlines()[-1]}
    return json.loads(process.stdout.splitlines()[-1])


def run_alone(options):
    """Measure each sampler in a process of its own."""
    cases = [(f"{n} x 64 synthetic", None, n) for n in options.rows]
    if options.data:
        cases.insert(0, ("real embeddings", options.data, None))
    pairs = [(case, name) for case in cases for name in options.samplers]
    for (title, data, n_rows), name in tqdm(pairs, unit="measurement"):
        found = run(name, data, n_rows, options)
        rounded = {k: f"{v:.2f}" if isinstance(v, float) else v for k, v in found.items()}
        yield {"data": title, "sampler": name} | rounded


def fill_grid(options):
    """Measure the cells that are not in the file, the quickest first; return all records."""
    sizes = [(n, d) for n in options.rows for d in options.features]
    cells = [{"data": "clustered", "rows": n, "features": d} for n, d in sizes]
    if options.data:
        Z, labels = _data.labeled(options.data)
        cells += [
            {"data": "real embeddings", "rows": n, "features": Z.shape[1]}
            for n in options.rows
            if _data.long_tail_of(Z, labels, n) is not None
        ]

    def measure_cell(data, rows, features):
        is_real = data == "real embeddings"
        X, y = _data.long_tail_of(Z, labels, rows) if is_real else _data.long_tailed(rows, features)
        errors = {}

        def resample(name):
            # ADASYN refuses rows among which no class has neighbors of another.
            try:
                SAMPLERS[name]().fit_resample(X, y)
            except (ValueError, RuntimeError) as error:
                errors[name] = str(error)

        calls = {name: partial(resample, name) for name in options.samplers}
        seconds = _grid.in_turns(calls, options.repeat)
        return {"seconds": {n: s for n, s in seconds.items() if n not in errors}, "errors": errors}

    warm_up(options.samplers)
    settings = _grid.settings(options.threads, options.samplers)
    cells.sort(key=_grid.work)
    return _grid.fill(cells, measure_cell, settings, options)


def ratios_of(record):
    """Return the ratios by their titles, None where a sampler did not run."""
    seconds = record["seconds"]
    return {
        f"{a} / {b}": seconds[a] / seconds[b] if {a, b} <= set(seconds) else None for a, b in RATIOS
    }


def table(records):
    names = dict.fromkeys(name for record in records for name in record["seconds"])
    return _grid.markdown(
        record["cell"]
        | {name: f"{s:.2g}" if (s := record["seconds"].get(name)) else "" for name in names}
        | {name: f"{ratio:.2f}" if ratio else "" for name, ratio in ratios_of(record).items()}
        for record in records
    )


def plot(records, path):
    panels = {}
    for record in records:
        cell = record["cell"]
        for name, ratio in ratios_of(record).items():
            panel = panels.setdefault((name, cell["data"]), {})
            if ratio:
                panel[cell["rows"], cell["features"]] = ratio
    _grid.heat_maps(panels, "ratios of seconds").savefig(path)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help=".npz file of Z_train and y_train, or Z and y")
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000], help="synthetic sizes")
    parser.add_argument("--features", type=int, nargs="*", default=[64], help="of a grid")
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    in_grid = [name for name in SAMPLERS if name not in NOT_IN_GRID]
    options = _grid.parse(parser, arguments, samplers=in_grid, **GRID)
    warnings.simplefilter("ignore")
    if options.one:
        measure(options.one, options.data, options.rows[0], options.repeat)
    elif options.grid or options.report:
        records = _grid.read(options.output) if options.report else fill_grid(options)
        print(table(records))
        if options.plot:
            plot(records, options.plot)
    else:
        print(_grid.markdown(list(run_alone(options))))


if __name__ == "__main__":
    main()
