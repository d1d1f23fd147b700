"""Whole samplers: EOS beside SMOTE, ADASYN and BorderlineSMOTE, with and without our neighbors.

    python benchmarks/resample.py --data cifar10_lt_embeddings.npz

prints one table of seconds and peak memory. Each measurement has a process of its own. With
``--output`` it is written to a file at once, and not measured again.

    python benchmarks/resample.py --grid --data cifar10_full_embeddings.npz --output grid.jsonl

measures seconds only, each cell once, also if it is stopped and started again. With ``--device
cuda`` EOS gets tensors on the device, and returns such; the other samplers take arrays.
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
import torch
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE
from sklearn.neighbors import NearestNeighbors

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
    "EOS": lambda device: EOS(random_state=0, device=device),
    "EOS, K = 1000": lambda device: EOS(n_neighbors=1000, random_state=0, device=device),
    "EOS nearest": lambda device: EOS(enemy_search="nearest", random_state=0, device=device),
    "authors' procedure": lambda device: AuthorsProcedure(),
    "SMOTE": lambda device: SMOTE(random_state=0),
    "SMOTE, our neighbors": lambda device: SMOTE(
        k_neighbors=TorchNearestNeighbors(6, device=device), random_state=0
    ),
    "ADASYN": lambda device: ADASYN(random_state=0),
    "ADASYN, our neighbors": lambda device: ADASYN(
        n_neighbors=TorchNearestNeighbors(6, device=device), random_state=0
    ),
    "BorderlineSMOTE": lambda device: BorderlineSMOTE(random_state=0),
    "BorderlineSMOTE, our neighbors": lambda device: BorderlineSMOTE(
        m_neighbors=TorchNearestNeighbors(11, device=device),
        k_neighbors=TorchNearestNeighbors(6, device=device),
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


def calls_of(names, X, y, device):
    """Return a call of each sampler, of EOS on the device's own rows."""
    on_cpu = X, y
    on_device = on_cpu if device == "cpu" else [torch.from_numpy(a).to(device) for a in on_cpu]
    return {
        name: partial(resample, name, *(on_device if name.startswith("EOS") else on_cpu), device)
        for name in names
    }


def resample(name, X, y, device):
    return SAMPLERS[name](device).fit_resample(X, y)


def measure(name, data, n_rows, options):
    """Print median seconds, after a first run that loads and compiles, and peak MiB."""
    X, y = _data.labeled(data) if data else _data.long_tailed(n_rows)
    call = calls_of([name], X, y, options.device)[name]
    call()
    before = resident_mib(reset_peak=True)
    seconds = []
    for _ in range(options.repeat):
        start = time.perf_counter()
        call()
        if options.device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": median(seconds), "peak_mib": resident_mib() - before}))


def run(name, data, n_rows, options):
    arguments = ["--one", name, "--repeat", str(options.repeat), "--threads", str(options.threads)]
    arguments += ["--device", options.device]
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
    cases = {f"{n} x 64 synthetic": (None, n) for n in options.rows}
    if options.data:
        cases = {"real embeddings": (options.data, None)} | cases

    def measure_cell(data, sampler):
        return run(sampler, *cases[data], options)

    cells = [{"data": data, "sampler": name} for data in cases for name in options.samplers]
    settings = _grid.settings(options.threads, [], options.device) | {"repeat": options.repeat}
    for record in _grid.fill("resample alone", cells, measure_cell, settings, options.output):
        found = {k: record[k] for k in ("seconds", "peak_mib", "error") if k in record}
        rounded = {k: f"{v:.2f}" if isinstance(v, float) else v for k, v in found.items()}
        yield record["cell"] | rounded


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
        # ADASYN refuses rows among which no class has neighbors of another.
        return _grid.in_turns(calls_of(options.samplers, X, y, options.device), options.repeat)

    settings = _grid.settings(options.threads, options.samplers, options.device)
    cells = _grid.within_budget(cells, options.budget)
    return _grid.fill("resample", cells, measure_cell, settings, options.output)


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
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    in_grid = [name for name in SAMPLERS if name not in NOT_IN_GRID]
    options = _grid.parse(parser, arguments, samplers=in_grid, **GRID)
    warnings.simplefilter("ignore")
    _grid.load_compiled_loops()
    if options.one:
        measure(options.one, options.data, options.rows[0], options)
    elif options.grid or options.report:
        records = _grid.read(options.output, "resample") if options.report else fill_grid(options)
        print(table(records))
        if options.plot:
            plot(records, options.plot)
        if not options.report:
            _grid.exit_if_failed(records, "EOS")
    else:
        print(_grid.markdown(list(run_alone(options))))


if __name__ == "__main__":
    main()
