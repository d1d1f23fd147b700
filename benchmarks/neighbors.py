"""All-k-nearest-neighbors: this package beside its peers, in one run, with the same threads.

    python benchmarks/neighbors.py --data cifar10_full_embeddings.npz

prints one table and, with --json and --plot, writes it and a log-log plot. Every answer is compared
with float64 brute force on a sample of rows; ours must equal it in full.
"""

import argparse
import json
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from unittest.mock import patch

import _data
import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from tabulate import tabulate
from tqdm import tqdm

from imblearn_eos import TorchNearestNeighbors
from imblearn_eos.neighbors import _choose


def ours(X, k, device):
    return TorchNearestNeighbors(k, device=device).fit(X).kneighbors(return_distance=False)


def ours_without_numba(X, k, device):
    with patch.object(_choose, "_has_numba", lambda: False):
        return ours(X, k, device)


def sklearn_brute(X, k, device):
    neighbors = NearestNeighbors(n_neighbors=k, algorithm="brute", n_jobs=-1)
    return neighbors.fit(X).kneighbors(return_distance=False)


def faiss_flat(X, k, device):
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatL2(X.shape[1])
    index.add(X)
    return without_self(index.search(X, k + 1)[1])


def torch_product(X, k, device):
    rows = torch.from_numpy(X).to(device)
    rows = rows - rows.mean(0)
    norms = rows.square().sum(1)
    n_queries = 1024 if device == "cpu" else 8192
    scores = rows.new_empty(n_queries, len(rows))
    found = []
    for queries in rows.split(n_queries):
        out = scores[: len(queries)]
        torch.addmm(norms, queries, rows.T, alpha=-2, out=out)
        found.append(out.topk(k + 1, largest=False).indices)
    return without_self(torch.cat(found).cpu().numpy())


def torch_tf32(X, k, device):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        return torch_product(X, k, device)
    finally:
        torch.set_float32_matmul_precision(before)


def without_self(found):
    """Drop the row itself, or the last where rounding has lost it."""
    is_self = found == np.arange(len(found))[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    return found[~is_self].reshape(len(found), -1)


def agreement(X, found, n_sample=100):
    """Return the share of neighbors that float64 brute force finds too, on a sample of rows."""
    sample = np.random.RandomState(0).choice(len(X), min(n_sample, len(X)), replace=False)
    rows = X.astype(np.float64)
    shares = []
    for i in sample:
        squared = np.square(rows - rows[i]).sum(axis=1)
        squared[i] = np.inf
        expected = np.argsort(squared, kind="stable")[: found.shape[1]]
        shares.append(np.isin(found[i], expected).mean())
    return float(np.mean(shares))


def is_installed(package):
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def make_peers(device):
    peers = {"ours": ours}
    if device == "cpu":
        peers = {"ours": ours_without_numba, "sklearn brute": sklearn_brute}
        if is_installed("numba"):
            peers["ours, numba"] = ours
        if is_installed("faiss-cpu"):
            peers["faiss flat"] = faiss_flat
    peers["torch product"] = torch_product
    if device != "cpu":
        peers["torch tf32"] = torch_tf32
    return peers


def measure(X, k, peers, device, repeat):
    """Median seconds of each peer, run in turns, and the agreement of its answer."""
    seconds, shares = {name: [] for name in peers}, {}
    for _ in range(repeat):
        for name, search in peers.items():
            start = time.perf_counter()
            found = search(X, k, device)
            seconds[name].append(time.perf_counter() - start)
            if name not in shares:
                shares[name] = agreement(X, found)
                if name.startswith("ours"):
                    assert shares[name] == 1, (name, shares[name])
    return {name: median(values) for name, values in seconds.items()}, shares


def make_cases(options):
    for n_rows in options.rows:
        for k in options.k:
            if options.data is not None:
                X = _data.embeddings(options.data, n_rows)
                if X is not None:
                    yield "real embeddings", X, k
            for n_features in options.features:
                for name in options.synthetic:
                    yield name, getattr(_data, name)(n_rows, n_features), k


def plot(results, path):
    from matplotlib.figure import Figure

    lines = {}
    for result in results:
        if result["k"] == min(r["k"] for r in results):
            key = (result["data"], result["features"])
            for name, seconds in result["seconds"].items():
                lines.setdefault(key, {}).setdefault(name, []).append((result["rows"], seconds))
    figure = Figure(figsize=(4 * len(lines), 4), layout="constrained")
    axes = figure.subplots(1, len(lines), squeeze=False, sharey=True)[0]
    for axis, ((data, n_features), peers) in zip(axes, lines.items(), strict=True):
        for (name, points), marker in zip(peers.items(), "os^Dv*", strict=False):
            axis.loglog(*zip(*sorted(points), strict=True), marker=marker, label=name)
        axis.set(title=f"{data}, {n_features} features", xlabel="rows", ylabel="seconds")
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help=".npz file of real embeddings, as Z or Z_train")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--features", type=int, nargs="*", default=[16, 64])
    kinds = ["clustered", "gaussian"]
    parser.add_argument("--synthetic", nargs="*", default=kinds, choices=kinds)
    parser.add_argument("--k", type=int, nargs="+", default=[11])
    parser.add_argument("--long", action="store_true", help="all sizes, features and k; hours")
    parser.add_argument("--peers", nargs="+", help="only these, by the names in the table")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--plot")
    options = parser.parse_args()
    if options.long:
        options.rows = [10_000, 50_000, 100_000, 1_000_000]
        options.features, options.k = [16, 64, 512], [6, 11, 101, 1001]
    torch.set_num_threads(options.threads)
    peers = make_peers(options.device)
    if unknown := set(options.peers or []) - set(peers):
        parser.error(f"--peers: no such peers {unknown}; there are {list(peers)}")
    peers = {name: peers[name] for name in options.peers or peers}
    # What is compiled or loaded once is not what is compared.
    for search in peers.values():
        search(_data.clustered(20_000, 8), 2, options.device)

    results = []
    for data, X, k in tqdm(list(make_cases(options)), unit="case"):
        seconds, shares = measure(X, k, peers, options.device, options.repeat)
        rows, features = X.shape
        results.append(
            {
                "data": data,
                "rows": rows,
                "features": features,
                "k": k,
                "seconds": seconds,
                "agreement": shares,
            }
        )
    table = [
        [r["data"], r["rows"], r["features"], r["k"], *(f"{s:.2f}" for s in r["seconds"].values())]
        for r in results
    ]
    print(tabulate(table, ["data", "rows", "features", "k", *(f"{name} s" for name in peers)]))
    if options.plot:
        plot(results, options.plot)
    if options.json:
        record = {
            "command": sys.argv,
            "threads": options.threads,
            "machine": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "results": results,
        }
        with open(options.json, "w") as file:
            json.dump(record, file, indent=2)


if __name__ == "__main__":
    main()
