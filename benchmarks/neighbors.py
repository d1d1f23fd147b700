"""All-k-nearest-neighbors: this package beside its peers, in one run, with the same threads.

    python benchmarks/neighbors.py --grid --data cifar10_full_embeddings.npz --output grid.jsonl

measures each cell once, also if it is stopped and started again, and prints tables. Every answer is
compared with float64 brute force on a sample of rows; ours must equal it in full. With ``--device
cuda`` rows are on the device before, and neighbors stay there.
"""

import argparse
from functools import lru_cache, partial
from operator import itemgetter
from statistics import median
from unittest.mock import patch

import _data
import _grid
import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors

from imblearn_eos import TorchNearestNeighbors
from imblearn_eos.neighbors import _choose

GRID = {
    "rows": [300, 1000, 3000, 10_000, 20_000, 50_000, 100_000, 1_000_000],
    "features": [8, 64, 384, 768, 1280],
    "k": [6, 11, 101, 1001],
    "budget": 2e11,
}
# scikit-learn's "auto" is a k-d tree up to so many features, and brute force beyond.
TREE_FEATURES = 15
# flashlib's kernels keep all k neighbors in registers.
FLASHLIB_NEIGHBORS = 128


def ours(X, k, device):
    neighbors = TorchNearestNeighbors(k, device=device).fit(X)
    return neighbors.kneighbors(return_distance=False), engines_of(neighbors)


def engines_of(neighbors):
    """Return the names of the engines that the last search took, from rough to precise."""
    chains = (
        chain for search in neighbors._searches.values() for chain in search._prepared.values()
    )
    return " > ".join(type(engine).__name__ for chain in chains for engine in chain)


def ours_without_numba(X, k, device):
    with patch.object(_choose, "_has_numba", lambda: False):
        return ours(X, k, device)


def sklearn(X, k, device, algorithm):
    n_jobs = torch.get_num_threads()
    neighbors = NearestNeighbors(n_neighbors=k, algorithm=algorithm, n_jobs=n_jobs)
    return neighbors.fit(X).kneighbors(return_distance=False)


def faiss_flat(X, k, device):
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatL2(X.shape[1])
    index.add(X)
    return without_self(index.search(X, k + 1)[1])


def faiss_gpu(X, k, device):
    import faiss
    import faiss.contrib.torch_utils

    index = faiss.GpuIndexFlatL2(faiss.StandardGpuResources(), X.shape[1])
    index.add(X)
    return without_self(index.search(X, k + 1)[1])


def flashlib(X, k, device, dtype=torch.float32):
    from flashlib import flash_knn

    rows = torch.as_tensor(X, device=device).to(dtype)
    return without_self(flash_knn(rows, rows, k + 1, return_distances=False))


def torch_product(X, k, device):
    rows = torch.as_tensor(X, device=device)
    rows = rows - rows.mean(0)
    norms = rows.square().sum(1)
    n_queries = 1024 if device == "cpu" else 8192
    scores = rows.new_empty(n_queries, len(rows))
    found = rows.new_empty(len(rows), k, dtype=torch.int64)
    for first in range(0, len(rows), n_queries):
        queries = rows[first : first + n_queries]
        out = scores[: len(queries)]
        torch.addmm(norms, queries, rows.T, alpha=-2, out=out)
        block = out.topk(k + 1, largest=False).indices
        found[first : first + n_queries] = without_self(block, first)
    return found


def torch_tf32(X, k, device):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        return torch_product(X, k, device)
    finally:
        torch.set_float32_matmul_precision(before)


def without_self(found, first=0):
    """Drop the row itself, or the last where rounding has lost it; ``first`` is the first row."""
    found = torch.as_tensor(found)
    rows = torch.arange(first, first + len(found), device=found.device)
    is_self = found == rows[:, None]
    n_others = found.shape[1] - 1
    place = torch.where(is_self.any(1), is_self.int().argmax(1), n_others)
    others = torch.arange(n_others, device=found.device)
    return found.gather(1, others + (others >= place[:, None]))


def brute_force(X, k, device, n_sample=100):
    """Return a sample of rows, and the neighbors of each in float64."""
    sample = np.random.RandomState(0).choice(len(X), min(n_sample, len(X)), replace=False)
    rows = torch.as_tensor(X, device=device).double()
    expected = []
    for i in sample:
        squared = (rows - rows[i]).square().sum(1)
        squared[i] = torch.inf
        expected.append(squared.argsort(stable=True)[:k].cpu().numpy())
    return sample, expected


def make_peers(device):
    peers = {"ours": ours}
    installed = _grid.versions("numba", "faiss-cpu", "flashlib", "faiss-gpu-cu12")
    if device == "cpu":
        peers = {"ours": ours_without_numba}
        _grid.load_compiled_loops()
        if "numba" in installed:
            peers["ours, numba"] = ours
        peers["sklearn brute"] = partial(sklearn, algorithm="brute")
        peers["sklearn auto"] = partial(sklearn, algorithm="auto")
        if "faiss-cpu" in installed:
            peers["faiss flat"] = faiss_flat
    peers["torch product"] = torch_product
    if device != "cpu":
        peers["torch tf32"] = torch_tf32
        if "flashlib" in installed:
            peers["flashlib"] = flashlib
            peers["flashlib bf16"] = partial(flashlib, dtype=torch.bfloat16)
        if "faiss-gpu-cu12" in installed:
            peers["faiss gpu"] = faiss_gpu
    return peers


def is_for(name, X, k):
    """Return whether a peer is measured on these rows."""
    if name == "sklearn auto":
        return X.shape[1] <= TREE_FEATURES
    return not name.startswith("flashlib") or k <= FLASHLIB_NEIGHBORS


def measure(X, k, peers, device, repeat):
    """Measure the peers, and compare their answers with brute force."""
    sample, expected = brute_force(X, k, device)
    engines, shares = {}, {}

    def check(name, found):
        if name.startswith("ours"):
            found, engines[name] = found
        pairs = zip(torch.as_tensor(found)[sample].cpu().numpy(), expected, strict=True)
        shares[name] = float(np.mean([np.isin(*pair).mean() for pair in pairs]))
        if name.startswith("ours") and shares[name] < 1:
            raise AssertionError(f"only {shares[name]:.4%} of the neighbors are right")

    calls = {
        name: partial(search, X, k, device) for name, search in peers.items() if is_for(name, X, k)
    }
    found = _grid.in_turns(calls, repeat, check)
    return {**found, "engines": engines, "agreement": shares}


def fill(peers, options):
    """Measure the cells that are not in the file, the quickest first; return all records."""
    real = {Z.shape[1]: Z for Z in map(_data.embeddings, options.data)}
    sizes = [
        (name, n, d) for name in options.synthetic for n in options.rows for d in options.features
    ]
    sizes += [("real embeddings", n, d) for d in real for n in options.rows if n <= len(real[d])]
    cells = [
        {"data": data, "rows": n, "features": d, "k": k}
        for data, n, d in sizes
        for k in options.k
        if k < n
    ]

    # Cells of the same rows follow each other.
    @lru_cache(maxsize=1)
    def load(data, rows, features):
        is_real = data == "real embeddings"
        X = real[features][:rows] if is_real else getattr(_data, data)(rows, features)
        return X if options.device == "cpu" else torch.from_numpy(X).to(options.device)

    def measure_cell(data, rows, features, k):
        return measure(load(data, rows, features), k, peers, options.device, options.repeat)

    settings = _grid.settings(options.threads, peers, options.device)
    cells = _grid.within_budget(sorted(cells, key=itemgetter("data")), options.budget)
    return _grid.fill("neighbors", cells, measure_cell, settings, options.output)


def ratio_of(record, of):
    """Return the better peer's seconds over ours, or None if one of them was not measured."""
    peers = [s for name, s in record["seconds"].items() if not name.startswith("ours")]
    return min(peers) / record["seconds"][of] if peers and of in record["seconds"] else None


def tables(records, of):
    """Return the table of all cells, and that of engines."""
    names = dict.fromkeys(name for record in records for name in record["seconds"])
    cells, by_engine = [], {}
    for record in records:
        seconds, ratio = record["seconds"], ratio_of(record, of)
        row = record["cell"] | {
            f"{name} s": f"{seconds[name]:.2g}" if name in seconds else "" for name in names
        }
        cells.append(row | {"better peer / ours": f"{ratio:.2f}" if ratio else ""})
        if ratio:
            key = record["engines"][of], record["cell"]["data"]
            by_engine.setdefault(key, []).append((ratio, record["cell"]))
    engines = []
    for (engine, data), found in sorted(by_engine.items()):
        least, cell = min(found, key=lambda pair: pair[0])
        engines.append(
            {
                "engine": engine,
                "data": data,
                "cells": len(found),
                "ours is faster": sum(ratio > 1 for ratio, _ in found),
                "median ratio": f"{median(ratio for ratio, _ in found):.2f}",
                "least": f"{least:.2f}",
                "at": "{rows:,} x {features}, k = {k}".format(**cell),
            }
        )
    return _grid.markdown(cells), _grid.markdown(engines)


def plot(records, of, path):
    panels = {}
    for record in records:
        cell = record["cell"]
        panel = panels.setdefault((f"k = {cell['k']}", cell["data"]), {})
        if ratio := ratio_of(record, of):
            panel[cell["rows"], cell["features"]] = ratio
    _grid.heat_maps(panels, f"seconds of the better peer / seconds of {of}").savefig(path)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    text = ".npz files, or folders of them, of embeddings Z or Z_train, each of another width"
    parser.add_argument("--data", nargs="+", default=[], help=text)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--features", type=int, nargs="*", default=[16, 64])
    kinds = ["clustered", "gaussian"]
    parser.add_argument("--synthetic", nargs="*", default=kinds, choices=kinds)
    parser.add_argument("--k", type=int, nargs="+", default=[11])
    parser.add_argument("--peers", nargs="+", help="only these, by the names in the table")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeat", type=int, default=1, help="times at least; the least counts")
    parser.add_argument("--without-numba", action="store_true", help="compare ours without numba")
    options = _grid.parse(parser, arguments, **GRID)
    peers = make_peers(options.device)
    if unknown := set(options.peers or []) - set(peers):
        parser.error(f"--peers: no such peers {unknown}; there are {list(peers)}")
    of = "ours" if options.without_numba or "ours, numba" not in peers else "ours, numba"
    peers = {name: peers[name] for name in options.peers or peers}
    records = _grid.read(options.output, "neighbors") if options.report else fill(peers, options)
    print(*tables(records, of), sep="\n\n")
    if options.plot:
        plot(records, of, options.plot)
    if not options.report:
        _grid.exit_if_failed(records, "ours")


if __name__ == "__main__":
    main()
