"""The command ``imblearn-eos compare``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from sklearn.base import clone
from tqdm import tqdm

from imblearn_eos._commands._backbone import embed
from imblearn_eos._commands._costs import read_costs
from imblearn_eos._commands._describe import advise_training, describe_data
from imblearn_eos._commands._options import (
    add_backbone_options,
    add_data_options,
    add_flag,
    add_option,
    check_folder,
    check_output,
    offer_backbone,
    offer_training,
    positive,
    reading_options,
    refuse_unused,
)
from imblearn_eos.compare import (
    CLASSIFIERS,
    _images,
    _rows,
    compare,
    compare_embeddings,
    compare_table,
    format_table,
    format_verdict,
    make_record,
    write_csv,
    write_json,
)
from imblearn_eos.compare._parallel import choose_cores
from imblearn_eos.compare._registry import select_samplers
from imblearn_eos.compare._report import prepare_report, report_files, write_files
from imblearn_eos.compare._splits import N_FOLDS
from imblearn_eos.compare._text import format_model, format_runs
from imblearn_eos.datasets import load_digit_images
from imblearn_eos.datasets._labeled import LabeledData
from imblearn_eos.datasets._readers import read
from imblearn_eos.over_sampling import EOS

WRITERS = {"json": write_json, "csv": write_csv}
DIGITS = "the digits of scikit-learn"
# After more epochs, the network separates its training digits so well that no class has enemies.
DIGITS_DEFAULTS = {"epochs": 10, "imbalance_ratio": 20}
# What a row is in words, by what a backbone embedded.
UNITS = {"photos": "photos", "images": "images", "text": "texts"}
# Parameters of all comparisons.
SHARED = (
    "samplers",
    "seeds",
    "test_size",
    "imbalance_ratio",
    "scoring",
    "cost_matrix",
    "device",
    "n_jobs",
)
# Parameters of EOS that the command line can set.
OF_EOS = ("n_neighbors", "max_step", "enemy_search")


@dataclass(frozen=True)
class Kind:
    """How data of one kind are compared.

    ``options`` are the function's further parameters; more than ``many_numbers`` use all cores.
    """

    function: Callable
    options: tuple[str, ...]
    phrase: str
    many_numbers: int


KINDS = {
    "images": Kind(
        compare, ("epochs", "batch_size", "lr", "alpha"), "images", _images.MANY_NUMBERS
    ),
    "embeddings": Kind(
        compare_embeddings, ("alpha", "trained_on_rows"), "embeddings", _rows.MANY_NUMBERS
    ),
    "table": Kind(compare_table, ("classifier",), "a table", _rows.MANY_NUMBERS),
}
OF_ONE_KIND = tuple(dict.fromkeys(chain.from_iterable(kind.options for kind in KINDS.values())))


def add_options(parser):
    parser.description = (
        "Photos: embed them once with a pretrained network (--backbone), or train a small CNN for "
        "each seed (--train). Then over-sample the embeddings with each sampler, fit a linear head "
        "to each result, recommend a method by rows held out of the training part, and report how "
        "good it is on test rows that are used for nothing else. Embeddings: the same without a "
        "network. A table: the same with its numeric columns (true and false count as 1 and 0) and "
        "a scikit-learn classifier."
    )
    data = parser.add_argument_group("data")
    ratio = DIGITS_DEFAULTS["imbalance_ratio"]
    add_data_options(data, f"; without it, {DIGITS}, long-tailed by the ratio {ratio}")
    add_option(data, "--test", "file or folder of the test part, read like the data", type=Path)
    add_option(data, "--validation", "file or folder of the validation part", type=Path)
    text = (
        "rows to draw from each file or folder of Parquet that has more, such as the folders of "
        "'imblearn-eos embed'; only these are kept in memory (default: all)"
    )
    add_option(data, "--sample", text, type=positive, metavar="ROWS")
    add_flag(
        data,
        "--trained-on-rows",
        "the network that made the embeddings was trained on these rows, without the test and "
        "validation parts",
    )
    text = "make the training part long-tailed by this ratio"
    add_option(data, "--imbalance-ratio", text, type=float)
    add_option(data, "--test-size", "share of each class's rows to test on", 0.3, type=float)
    network = parser.add_argument_group("network")
    add_backbone_options(network)
    add_flag(network, "--train", "train a small CNN on photos instead")
    text = "side of the squares that photos become for --train (default: by their size)"
    add_option(network, "--image-size", text, type=int, metavar="PIXELS")
    epochs = inspect.signature(compare).parameters["epochs"].default
    text = (
        f"passes over the training images (default: {epochs}, or {DIGITS_DEFAULTS['epochs']} for "
        "the digits)"
    )
    add_option(network, "--epochs", text, type=int)
    text = "images per step (default: 64 to train, 32 to embed)"
    add_option(network, "--batch-size", text, type=positive)
    add_option(network, "--lr", "learning rate of Adam", 1e-3, type=float)
    method = parser.add_argument_group("method and run")
    add_option(
        method,
        "--samplers",
        f"some of {', '.join(select_samplers())}, separated by commas or blanks (default: all); "
        "none always runs",
        nargs="+",
        metavar="NAME",
        type=lambda text: text.replace(",", " ").split(),
    )
    add_flag(method, "--no-tune", "run all methods with their defaults, which takes less time")
    text = (
        "what settings and method are chosen by: a name of scikit-learn's scorers, or for two "
        "classes recall_at_precision=0.9 (default: balanced_accuracy)"
    )
    add_option(method, "--scoring", text)
    text = (
        "choose by the mean cost: .csv file with a line for each true and a column for each "
        "predicted class, under their names"
    )
    add_option(method, "--cost-matrix", text, type=read_costs, metavar="FILE")
    # With any of these, EOS is not tuned.
    add_option(method, "--n-neighbors", "K of EOS, instead of a choice", type=int)
    add_option(method, "--max-step", "longest step of EOS, instead of a choice", type=float)
    text = "where EOS looks for enemies: neighborhood or nearest"
    add_option(method, "--enemy-search", text)
    text = (
        "L2 penalty of the linear heads (default: 0.03 for embeddings of a network that was not "
        "trained on the rows, else 0.01)"
    )
    add_option(method, "--alpha", text, type=float)
    add_option(method, "--classifier", "classifier of a table", "logistic", choices=CLASSIFIERS)
    add_option(method, "--seeds", "number of seeds: 0, 1, 2...", 5, type=int)
    output = parser.add_argument_group("output")
    for kind in WRITERS:
        text = f"file to write the results to as {kind.upper()}, after every seed"
        add_option(output, f"--{kind}", text, type=Path, metavar="PATH")
    add_option(
        output,
        "--report",
        "folder to write a page to (report.html), with the results and the model beside it",
        type=Path,
        metavar="FOLDER",
    )
    add_flag(output, "--overwrite", "replace existing results")


def run(options, get_default, command):
    """Load the data, run the comparison, and write and print its results."""
    outputs = _prepare_outputs(options)
    # A wrong name is refused before the data are read.
    select_samplers(_samplers_of(options))
    shown, data = _load(options, get_default, command)
    kind = KINDS[data.kind]
    arguments, parts = _collect_arguments(options, kind), _parts_of(data)
    # The function will choose the same; the record states it.
    n_tasks = 1 if data.kind == "images" else 1 + N_FOLDS
    size = {"many": kind.many_numbers, "n_tasks": n_tasks, "device": options.device}
    cores = choose_cores(options.n_jobs, data.X.size, **size)
    params = {**arguments, **parts}
    if data.kind == "table":
        params["classifier"] = clone(CLASSIFIERS[options.classifier])
    progress = {"total": _count_seeds(options, parts), "unit": "seed", "desc": "comparing"}
    if data.kind == "images":
        n_networks = options.seeds * (1 if "validation" in parts else 2)
        progress = {"total": n_networks * arguments["epochs"], "unit": "epoch", "desc": "training"}
        # With a given test part, the network of the first seed is saved.
        n_refitted = int(options.report is not None and "test" not in parts)
        params["on_epoch"] = lambda: bar.update()
    runs = kind.function(data.X, data.y, **params)
    others = ("test", "validation", "backbone", "train")
    reading = reading_options(options) | {name: getattr(options, name) for name in others}
    record = make_record(
        data.X,
        data.y,
        source=DIGITS if options.data is None else str(options.data.resolve()),
        arguments={
            **{name: value for name, value in reading.items() if value not in (None, False, ".")},
            **arguments,
            "cost_matrix": options.cost_matrix and options.cost_matrix.path,
        },
        command=command,
        complete=False,
        device=options.device,
        **data.facts,
    )
    record["threads"] = cores.n_workers * cores.n_threads
    print(describe_data(record, data), flush=True)
    if data.kind == "images":
        advise_training(data, command, n_networks + n_refitted, params, cores)
    results, written, n_seeds = [], {}, _count_seeds(options, parts)
    try:
        # The bar starts when the input is known to be good, so that an error has its own line.
        with tqdm(**progress) as bar:
            for result in runs:
                result.unit = UNITS.get(data.facts.get("embedded"))
                # The report shows the estimators of the first seed; more would fill the memory.
                if results:
                    result.fitted = None
                results.append(result)
                record["complete"] = len(results) == n_seeds
                for file, write in outputs:
                    file.parent.mkdir(parents=True, exist_ok=True)
                    write(file, record, results)
                    written[file] = write
                if data.kind != "images":
                    bar.update()
    finally:
        if len(results) < n_seeds:
            print(f"Finished {len(results)} of {n_seeds} seeds.", file=sys.stderr)
        if results:
            print(format_runs(results), format_table(results), "", sep="\n")
            print(format_verdict(results), *(f"Written: {file}" for file in written), sep="\n")
            if options.report:
                is_trained = data.kind == "images" and n_refitted and record["complete"]
                progress |= {"total": arguments.get("epochs"), "desc": "fitting the model"}
                with tqdm(**progress) if is_trained else nullcontext() as bar:
                    _write_report(options.report, record, results, shown, written)


def _write_report(folder, record, results, data, written):
    try:
        page, saved = write_files(folder, record, results, data)
        print(format_model(saved, results), f"Report: {page}", sep="\n")
    except KeyboardInterrupt:
        files = ", ".join(map(str, written))
        print(f"The report is not complete. Kept: {files}", file=sys.stderr)
        raise


def _load(options, get_default, command):
    """Return the rows as they are, for pictures, and as they are compared."""
    if options.data is None:
        others = ("test", "validation", "backbone", "memory")
        known = (*reading_options(options), *others, *OF_ONE_KIND)
        refuse_unused(options, get_default, known, KINDS["images"].options, DIGITS)
        data = LabeledData("images", *load_digit_images(), facts={"scaling": "divided by 16"})
        for name, value in DIGITS_DEFAULTS.items():
            if getattr(options, name) is None:
                setattr(options, name, value)
        return data, data
    parts = {"test": options.test, "validation": options.validation}
    shown = data = read(options.data, pixels=options.train, **parts, **reading_options(options))
    if options.backbone and options.train:
        raise ValueError("--backbone and --train exclude each other.")
    if options.backbone:
        arguments = _collect_arguments(options, KINDS["embeddings"])

        def check(data):
            rows = np.arange(len(data))[:, np.newaxis]
            compare_embeddings(rows, data.y, **arguments, **_parts_of(data))

        shown, data = embed(data, options, check)
    if data.kind not in KINDS:
        raise ValueError(_offer_networks(options.data, data.kind, command))
    kind = KINDS[data.kind]
    used = (*kind.options, *(["train", "image_size"] if data.kind == "images" else []))
    used += ("memory", "batch_size") if options.backbone else ()
    known = (*OF_ONE_KIND, "train", "image_size", "memory")
    what = f"{options.data}, which is compared as {kind.phrase}"
    refuse_unused(options, get_default, known, used, what)
    return shown, data


def _offer_networks(path, kind, command):
    """Return an error with the command lines for photos or texts."""
    line = "\n    "
    if kind == "text":
        offer = offer_backbone(command, "sentence-transformers/all-MiniLM-L6-v2")
        return f"{path} holds texts. Embed them with a pretrained network:{line}{offer}"
    return (
        f"{path} holds photos. Embed them with a pretrained network, or train a small one, which "
        f"takes longer:{line}{offer_backbone(command, 'timm/resnet50')}"
        f"{line}{offer_training(command)}"
    )


def _collect_arguments(options, kind):
    """Return the parameters of a comparison, with the defaults of its function."""
    parameters = inspect.signature(kind.function).parameters
    names = (*SHARED, *kind.options)
    given = {name: getattr(options, name) for name in names}
    arguments = {
        name: parameters[name].default if value is None else value for name, value in given.items()
    }
    of_eos = {name: getattr(options, name) for name in OF_EOS}
    of_eos = {name: value for name, value in of_eos.items() if value is not None}
    return {
        **arguments,
        "samplers": select_samplers(_samplers_of(options)),
        "eos": EOS(**of_eos) if of_eos else None,
        "tune": not options.no_tune,
    }


def _samplers_of(options):
    return options.samplers and chain(*options.samplers)


def _parts_of(data):
    """Return the groups, and the masks of a given test and validation part."""
    masks = {name: data.split == name for name in ("test", "validation")}
    return {"groups": data.groups, **{name: mask for name, mask in masks.items() if np.any(mask)}}


def _count_seeds(options, parts):
    is_unscored = options.trained_on_rows and not parts.keys() & {"test", "validation"}
    return 1 if is_unscored else options.seeds


def _prepare_outputs(options):
    """Return each file of results with its writer, once all files are known to be writable."""
    named = [(f"--{kind}", getattr(options, kind), write) for kind, write in WRITERS.items()]
    outputs = [(path.resolve(), write) for _, path, write in named if path is not None]
    files = {path.resolve(): option for option, path, _ in named if path is not None}
    of_report = report_files(options.report) if options.report else []
    if len(files) < len(outputs) or files.keys() & set(of_report):
        raise ValueError("--json, --csv and --report must name different files.")
    for name in ("report", "memory"):
        if folder := getattr(options, name):
            check_folder(folder, f"--{name} {folder}")
    if options.report:
        # The page is drawn at the end, but no seed may be lost before.
        outputs.append((of_report[1], write_json))
    with prepare_report(options.report) if options.report else nullcontext():
        for path, option in (files | dict.fromkeys(of_report, "--report")).items():
            check_output(path, option, options.overwrite, options.data and options.data.resolve())
    return outputs
