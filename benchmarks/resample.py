"""Whole samplers: EOS beside SMOTE, ADASYN and BorderlineSMOTE, with and without our neighbors.

    python benchmarks/resample.py --data cifar10_lt_embeddings.npz

prints one table of seconds and peak memory. Each measurement has a process of its own.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from statistics import median

import _data
import numpy as np
import torch
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE
from sklearn.neighbors import NearestNeighbors
from tabulate import tabulate
from tqdm import tqdm

from imblearn_eos import EOS, TorchNearestNeighbors


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


def resident_mib(reset_peak=False):
    """Return the peak memory of this process on Linux; ``reset_peak`` sets it to the present."""
    if reset_peak:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(name, data, n_rows, repeat):
    """Print median seconds, after a first run that loads and compiles, and peak MiB."""
    warnings.simplefilter("ignore")
    X, y = _data.long_tailed(data, n_rows)
    # What is compiled or loaded once is not what is compared.
    for rows in _data.clustered(20_000, 8), _data.gaussian(20_000, 64):
        TorchNearestNeighbors(2).fit(rows).kneighbors()
    SAMPLERS[name]().fit_resample(*_data.long_tailed(None, 5_000, seed=1))
    before = resident_mib(reset_peak=True)
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        SAMPLERS[name]().fit_resample(X, y)
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": median(seconds), "peak_mib": resident_mib() - before}))


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help=".npz file of Z_train and y_train")
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000], help="synthetic sizes")
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        n_rows = None if options.data else options.rows[0]
        measure(options.one, options.data, n_rows, options.repeat)
        return

    cases = [(f"{n} x 64 synthetic", None, n) for n in options.rows]
    if options.data:
        cases.insert(0, ("real embeddings", options.data, None))
    results = []
    for (title, data, n_rows), name in tqdm(
        [(case, name) for case in cases for name in options.samplers], unit="measurement"
    ):
        results.append({"data": title, "sampler": name, **run(name, data, n_rows, options)})
    print(tabulate(results, headers="keys", floatfmt=".2f"))
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"command": sys.argv, "results": results}, file, indent=2)


if __name__ == "__main__":
    main()
