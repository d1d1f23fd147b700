"""The paper's claims on long-tailed CIFAR-10: losses, refitted heads, and corrections without any.

    python benchmarks/cifar_lt.py --data cifar-10-binary.tar.gz --output study

trains a ResNet-32 for each recipe and subset of the images on all of the subset, and one without
each of its folds. On the embeddings of each network, every method makes a head. Methods choose
their settings on the folds left out. The test images have no part in this, and score the chosen
settings and the default ones. The output folder keeps ``results``, networks and embeddings: with
``--resume`` a study continues where it was interrupted. Without ``--data``, no network is trained,
and heads are refitted on the embeddings in the folder ``--embeddings``. ``--reduced`` is for a
laptop. With ``--folds 0`` no network is trained without a fold, and all methods keep their default
settings. With ``--hold-out`` no network is either, and methods choose on one half of the test
images; the other half scores them. ``cifar_lt_pages.py --study`` prints the tables of a study.
"""

import argparse
import json
import platform
import sys
import time
import warnings
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from pathlib import Path

import torch
from _cifar_images import load_images
from _embeddings import find_embedded, read_embedded
from _heads import Network
from _networks import embed
from _recipes import RECIPES, Budget, Case
from _results import Results
from _study_methods import METHODS, choose, evaluate
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

# For two cores.
REDUCED = {
    "recipes": ["CE"],
    "subsets": [0, 1, 2],
    "seeds": [0],
    "folds": 2,
    "epochs": 25,
    "schedule": "cosine",
    # One such network does not keep two cores busy.
    "jobs": 2,
}
FULL = {
    "recipes": list(RECIPES),
    "subsets": [0, 1, 2],
    "seeds": [0, 1],
    "folds": 3,
    "epochs": 200,
    "schedule": "steps",
    "jobs": 1,
}
# What is run, and what may not differ within one folder of results.
CASES = ("kinds", "ratios", "recipes", "subsets", "seeds")
VERSIONS = ("imblearn_eos", "torch", "scikit-learn", "imbalanced-learn", "skorch")
FIXED = ("data", "epochs", "schedule", "batch_size", "folds", "hold_out", "device", "compile")


def parse_options(arguments=None, description=__doc__):
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument(
        "--data",
        help="the binary archive, or a pack of JPEG files; without it no network is trained",
    )
    parser.add_argument("--output", required=True, type=Path, help="folder of results")
    parser.add_argument(
        "--embeddings", type=Path, help="folder of embeddings, by default that of the output"
    )
    parser.add_argument("--resume", action="store_true", help="continue the study in the folder")
    parser.add_argument("--reduced", action="store_true", help=f"defaults for a laptop: {REDUCED}")
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), metavar="RECIPE")
    parser.add_argument(
        "--methods", nargs="*", metavar="METHOD", default=list(METHODS), help="none: only train"
    )
    parser.add_argument(
        "--kinds", nargs="+", choices=["exponential", "step"], default=["exponential"]
    )
    parser.add_argument("--ratios", nargs="+", type=float, default=[100.0])
    parser.add_argument(
        "--subsets", nargs="+", type=int, metavar="SEED", help="of random subsets of the images"
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, metavar="SEED", help="of trainings on each subset"
    )
    parser.add_argument(
        "--folds", type=int, help="to choose settings on, at least 2, or 0 for the defaults"
    )
    text = "choose settings on half the test images, and train no network without a fold"
    parser.add_argument("--hold-out", action="store_true", help=text)
    parser.add_argument("--epochs", type=_positive)
    parser.add_argument("--schedule", choices=["steps", "cosine"], help="of the learning rate")
    parser.add_argument("--batch-size", type=_positive, default=128)
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="to train networks on; heads take CUDA where there is any",
    )
    parser.add_argument("--compile", action="store_true", help="train with torch.compile")
    parser.add_argument(
        "--jobs", type=_positive, help="processes, which share the processor's cores"
    )
    options = parser.parse_args(arguments)
    options.embeddings = options.embeddings or options.output / "embeddings"
    if options.hold_out:
        if options.folds:
            parser.error(f"--hold-out needs no folds, got --folds {options.folds}.")
        options.folds = 0
    for name, value in (REDUCED if options.reduced else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    unknown = [name for name in options.methods if name not in METHODS]
    if unknown:
        parser.error(f"--methods: there is no {unknown[0]!r}. There are: {', '.join(METHODS)}.")
    if options.folds < 2 and options.folds != 0:
        parser.error(f"--folds must be at least 2, or 0, got {options.folds}.")
    if options.data and not Path(options.data).exists():
        parser.error(f"--data: there is no {options.data}.")
    return options


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def begin(results, options):
    """Record how the study is run, unless it contradicts how it began."""
    begun = [record for record in results.records if record["record"] == "study"]
    settings = {name: getattr(options, name) for name in FIXED}
    if options.data:
        settings["data"] = Path(options.data).name
    else:
        settings["data"] = begun[0]["data"] if begun else "embeddings kept before"
    if begun and not options.resume:
        sys.exit(
            f"{results.folder} has the results of a study. Add --resume to continue it, or choose "
            "another --output."
        )
    for name, value in settings.items():
        # What older studies do not state was not there yet.
        before = begun[0].get(name, False if name == "hold_out" else value) if begun else value
        if before != value:
            sys.exit(
                f"{results.folder} was begun with {name}={before}, and now is {value}. Use the "
                "same, or choose another --output."
            )
    results.add(
        record="study",
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=describe_machine(options.device, options.jobs),
        versions={name: version(name) for name in VERSIONS},
        cases={name: getattr(options, name) for name in CASES},
        **settings,
    )


def describe_machine(device, n_jobs):
    processes = f" in {n_jobs} processes" if n_jobs > 1 else ""
    if torch.device(device).type == "cuda":
        return f"{torch.cuda.get_device_name(device)}{processes}"
    return f"{torch.get_num_threads()} threads{processes}, {platform.machine()}"


def folds_of(case, options):
    """Return the folds without which networks of a case are trained, and None for all rows."""
    # Adding images is an alternative to the methods that work on embeddings.
    has_folds = RECIPES[case.recipe].balance is None
    return [*(range(options.folds) if has_folds else ()), None]


def missing_methods(case, options, results):
    """Return the methods that have no results yet for a case."""
    methods = options.methods
    if RECIPES[case.recipe].balance is not None:
        methods = [name for name in methods if name == "network"]
    described = asdict(case)
    return [m for m in methods if not results.has(record="method", case=described, method=m)]


def train(images, case, fold, budget, options):
    """Train a network of a case and keep its embeddings, unless they are there.

    Returns
    -------
    str or None
        What went wrong, as when training diverges. Other networks are trained all the same.
    """
    print(f"{case.name}, {'all rows' if fold is None else f'without fold {fold}'}", flush=True)
    try:
        embed(images, case, budget, options.output, options.embeddings, fold, options.folds)
    except ValueError as error:
        return f"{type(error).__name__}: {error}"


def run_case(images, case, budget, options, results):
    """Run all methods that have no results yet on the trained networks of a case."""
    described, networks = asdict(case), []
    for fold in folds_of(case, options):
        if images is None:
            file = find_embedded(options.embeddings, case, budget, fold, options.folds)
            embedded = read_embedded(file)
        else:
            embedded = embed(
                images, case, budget, options.output, options.embeddings, fold, options.folds
            )
        networks.append(Network(embedded, seed=case.seed))
        if not results.has(record="network", case=described, fold=fold):
            results.add(
                record="network",
                case=described,
                fold=fold,
                class_counts=networks[-1].counts.tolist(),
                n_parameters=embedded.n_parameters,
                seconds=embedded.seconds,
                precision=embedded.precision,
            )
    *folds, network = networks
    if options.hold_out:
        *folds, network = network.halves()
    missing = missing_methods(case, options, results)
    for name in tqdm(missing, desc=case.name, unit="method", disable=options.jobs > 1):
        results.add(
            record="method",
            case=described,
            method=name,
            **run_method(METHODS[name], folds, network),
        )


def run_method(method, folds, network):
    """Score a method's fixed settings, and the best on the folds, on the new rows."""
    start = time.perf_counter()
    try:
        found = _run_method(method, folds, network)
    # Samplers refuse classes that are too small for them, each in its own way.
    except ValueError as error:
        found = {"rows": [], "error": f"{type(error).__name__}: {error}"}
    return {**found, "seconds": time.perf_counter() - start}


def _run_method(method, folds, network):
    with warnings.catch_warnings():
        # Raised by the weakest penalty, which is one of the settings.
        warnings.simplefilter("ignore", ConvergenceWarning)
        validation = choose(method, folds) if folds else [(method.fixed[0], None)]
        chosen = validation[0][0]
        scores = dict((json.dumps(setting), score) for setting, score in validation)
        rows = [
            {
                "setting": setting,
                "is_chosen": setting == chosen,
                "is_default": setting == method.fixed[0],
                "validation": scores.get(json.dumps(setting)),
                **evaluate(method.make(network, **setting), network),
            }
            for setting in [*method.fixed, *([chosen] if chosen not in method.fixed else [])]
        ]
    n_settings = len(method.settings) if folds else 1
    return {"rows": rows, "n_settings": n_settings, "validation": validation[:20]}


def main():
    options = parse_options()
    results = Results(options.output / "results")
    budget = Budget(
        options.epochs, options.batch_size, options.schedule, options.device, options.compile
    )
    grid = product(options.kinds, options.ratios, options.recipes, options.subsets, options.seeds)
    cases = [Case(recipe, *rest, subset, seed) for *rest, recipe, subset, seed in grid]
    if options.methods:
        cases = [case for case in cases if missing_methods(case, options, results)]
    # On all rows first: these take longest, and processes should end together.
    networks = sorted(
        ((case, fold) for case in cases for fold in folds_of(case, options)),
        key=lambda network: network[1] is not None,
    )
    if not options.data:
        for case, fold in networks:
            try:
                find_embedded(options.embeddings, case, budget, fold, options.folds)
            except FileNotFoundError as error:
                sys.exit(str(error))
    begin(results, options)
    images, parallel = None, Parallel(options.jobs, return_as="generator", batch_size=1)
    if options.data:
        images = load_images(options.data)
        errors = parallel(delayed(train)(images, *network, budget, options) for network in networks)
        for (case, fold), error in zip(
            networks, tqdm(errors, total=len(networks), unit="network"), strict=True
        ):
            if error:
                results.add(record="network", case=asdict(case), fold=fold, error=error)
                cases = [other for other in cases if other != case]
    done = parallel(delayed(run_case)(images, case, budget, options, results) for case in cases)
    for _ in tqdm(done, total=len(cases), unit="case"):
        pass
    print(f"Done: {results.folder}. Run benchmarks/cifar_lt_pages.py --study on it for tables.")


if __name__ == "__main__":
    main()
