"""The command ``imblearn-eos``."""

from __future__ import annotations

import argparse
import io
import shlex
import sys
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile

import torch
from sklearn.base import clone
from tqdm import tqdm

from imblearn_eos import __version__
from imblearn_eos.compare import (
    CLASSIFIERS,
    compare,
    compare_table,
    format_table,
    format_verdict,
    make_record,
    write_csv,
    write_json,
    write_report,
)
from imblearn_eos.compare._registry import select_samplers
from imblearn_eos.compare._report import prepare_report, report_files
from imblearn_eos.compare._text import format_runs
from imblearn_eos.datasets import load_digit_images
from imblearn_eos.datasets._labeled import LabeledData
from imblearn_eos.datasets._readers import READERS, Reader, describe_formats, find_reader, read

WRITERS = {"json": write_json, "csv": write_csv}
DIGITS = Reader(
    "the digits of scikit-learn",
    matches=lambda path: False,
    load=lambda: LabeledData("images", *load_digit_images()),
)
# After more epochs, the network separates its training digits so well that no class has enemies.
DIGITS_DEFAULTS = {"epochs": 10, "imbalance_ratio": 20}
DEFAULTS = {"epochs": 40, "imbalance_ratio": None}
# Parameters of both comparisons, and of one only.
SHARED = (
    "samplers",
    "seeds",
    "test_size",
    "imbalance_ratio",
    "n_neighbors",
    "enemy_search",
    "device",
)
OF_IMAGES = ("epochs", "batch_size", "lr", "alpha")
OF_TABLES = ("classifier",)
# For smaller data, threads wait for each other longer than they compute.
MANY_NUMBERS = 10_000_000
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Parameters
    ----------
    argv : list of str or None, default=None
        The arguments. None takes those of the process.

    Returns
    -------
    int
        0, or 130 after Ctrl-C. Bad input ends the process with status 2 and one line that says what
        is wrong.
    """
    argv = sys.argv[1:] if argv is None else argv
    # Escape characters of file and class names that the terminal cannot encode.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = _Parser(prog="imblearn-eos", description="Expansive over-sampling (EOS).")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    job = _add_compare(parser.add_subparsers(required=True, metavar="COMMAND"))
    options = parser.parse_args(argv)
    try:
        _compare(options, job.get_default, shlex.join([parser.prog, *argv]))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except (ImportError, MemoryError, OSError, ValueError) as error:
        parser.error(str(error) or type(error).__name__)
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        # One line: the usage that argparse prints above the message hides it.
        self.exit(2, f"{self.prog}: error: {' '.join(str(message).split())}\n")


def _add_compare(commands):
    job = commands.add_parser(
        "compare",
        help="compare samplers on your data, and write a report",
        description="Images: train a small CNN once per seed, over-sample its embeddings with each "
        "sampler, refit the head, and compare the heads on test images that are used for nothing "
        "else. A table: the same with its numeric columns and a scikit-learn classifier.",
    )
    data = job.add_argument_group("data")
    _add(
        data,
        "--data",
        f"{describe_formats()}; without it, {DIGITS.format}, long-tailed by the ratio "
        f"{DIGITS_DEFAULTS['imbalance_ratio']}",
        type=Path,
        metavar="PATH",
    )
    _add(data, "--target", "column of a .csv file that holds the labels", metavar="COLUMN")
    data.add_argument(
        "--no-header",
        action="store_true",
        help="the .csv file has no names of columns; they are then 0, 1...",
    )
    _add(
        data,
        "--sep",
        "character between the cells of a .csv file, or \\t for a tab (default: detected)",
        metavar="CHARACTER",
        type=lambda text: text.replace("\\t", "\t"),
    )
    text = "decimal mark of a .csv file: a point or a comma"
    _add(data, "--decimal", text, ".", choices=[".", ","], metavar="MARK")
    text = "resize the images of a folder to squares of this side"
    _add(data, "--image-size", text, type=int, metavar="PIXELS")
    _add(data, "--imbalance-ratio", "make the training part long-tailed by this ratio", type=float)
    _add(data, "--test-size", "share of each class's rows to test on", 0.3, type=float)
    method = job.add_argument_group("method")
    _add(
        method,
        "--samplers",
        f"some of {', '.join(select_samplers())}, separated by commas or blanks (default: all); "
        "none always runs",
        nargs="+",
        metavar="NAME",
        type=lambda text: text.replace(",", " ").split(),
    )
    _add(method, "--n-neighbors", "K of EOS", 10, type=int)
    _add(
        method,
        "--enemy-search",
        "where EOS looks for enemies: neighborhood or nearest",
        "neighborhood",
    )
    _add(method, "--alpha", "L2 penalty of the refitted heads", 0.01, type=float)
    _add(method, "--classifier", "classifier of a table", "logistic", choices=CLASSIFIERS)
    training = job.add_argument_group("network and run")
    _add(training, "--seeds", "number of seeds: 0, 1, 2...", 5, type=int)
    _add(
        training,
        "--epochs",
        f"passes over the training images (default: {DEFAULTS['epochs']}, or "
        f"{DIGITS_DEFAULTS['epochs']} for the digits)",
        type=int,
    )
    _add(training, "--batch-size", "training images per step", 64, type=int)
    _add(training, "--lr", "learning rate of Adam", 1e-3, type=float)
    _add(training, "--device", "auto, cpu, cuda or cuda:N", "auto")
    _add(
        training,
        "--threads",
        "CPU threads of torch (default: 1 for small data, which more threads slow down, else "
        "torch's own choice)",
        type=_parse_threads,
    )
    output = job.add_argument_group("output")
    for kind in WRITERS:
        text = f"file to write the results to as {kind.upper()}, after every seed"
        _add(output, f"--{kind}", text, type=Path, metavar="PATH")
    _add(
        output,
        "--report",
        "folder to write a page to (report.html), with the results and the network beside it",
        type=Path,
        metavar="FOLDER",
    )
    output.add_argument("--overwrite", action="store_true", help="replace existing results")
    return job


def _parse_threads(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return int(text)


def _add(group, option, text, default=None, **params):
    """Add an option whose help states its default."""
    if default is not None:
        text = f"{text} (default: {default})"
    if "choices" not in params:
        params.setdefault("metavar", option.split("-")[-1].upper())
    group.add_argument(option, help=text.replace("%", "%%"), default=default, **params)


def _compare(options, get_default, command):
    """Load the data, run the comparison, and write and print its results."""
    outputs = _prepare_outputs(options)
    path = options.data and options.data.resolve()
    reader = DIGITS if path is None else find_reader(path)
    known = [name for other in READERS.values() for name in other.options if name in options]
    _refuse_unused_options(options, get_default, known, reader.options, reader.format)
    given = {name: value for name, value in vars(options).items() if value is not None}
    given = {**(DIGITS_DEFAULTS if reader is DIGITS else DEFAULTS), **given}
    given["samplers"] = select_samplers(options.samplers and chain(*options.samplers))
    values = {name: getattr(options, name, None) for name in reader.options}
    reader_options = {name: value for name, value in values.items() if value is not None}
    data = reader.load() if path is None else read(path, pixels=True, **reader_options)
    X, y, facts, is_table = data.X, data.y, data.facts, data.kind == "table"
    kind = f"{reader.format}, which is compared as {'a table' if is_table else 'images'}"
    used = OF_TABLES if is_table else OF_IMAGES
    _refuse_unused_options(options, get_default, OF_TABLES + OF_IMAGES, used, kind)
    if options.threads or X.size < MANY_NUMBERS:
        torch.set_num_threads(options.threads or 1)
    arguments = {name: given[name] for name in SHARED + used}
    if is_table:
        classifier = clone(CLASSIFIERS[options.classifier])
        runs = compare_table(X, y, **{**arguments, "classifier": classifier})
        progress = {"total": options.seeds, "unit": "seed", "desc": "comparing"}
    else:
        runs = compare(X, y, **arguments, on_epoch=lambda: bar.update())
        n_epochs = options.seeds * arguments["epochs"]
        progress = {"total": n_epochs, "unit": "epoch", "desc": "training"}
    record = make_record(
        X,
        y,
        source=DIGITS.format if path is None else str(path),
        arguments={**arguments, **reader_options},
        command=command,
        complete=False,
        device=options.device,
        **facts,
    )
    print(_describe_data(record), flush=True)
    results, written = [], {}
    try:
        # The bar starts when the input is known to be good, so that an error has its own line.
        with tqdm(**progress) as bar:
            for result in runs:
                # The report shows the estimators of the first seed; more would fill the memory.
                if results:
                    result.fitted = None
                results.append(result)
                record["complete"] = len(results) == options.seeds
                for file, write in outputs:
                    write(file, record, results)
                    written[file] = write
                if is_table:
                    bar.update()
    finally:
        if len(results) < options.seeds:
            print(f"Finished {len(results)} of {options.seeds} seeds.", file=sys.stderr)
        if results:
            print(format_runs(results), format_table(results), "", sep="\n")
            print(format_verdict(results), *(f"Written: {file}" for file in written), sep="\n")
            if options.report:
                print(f"Report: {write_report(options.report, record, results)}")


def _prepare_outputs(options):
    """Return each file of results with its writer, once all files are known to be writable."""
    named = [(getattr(options, kind), write) for kind, write in WRITERS.items()]
    outputs = [(path.resolve(), write) for path, write in named if path is not None]
    files = [path for path, _ in outputs] + (report_files(options.report) if options.report else [])
    if len(set(files)) < len(files):
        raise ValueError("--json, --csv and --report must name different files.")
    data = options.data and options.data.resolve()
    for path in files:
        if path == data or (path.exists() and not path.is_file()):
            raise ValueError(f"{path} is the --data, or not a file. Name another file of results.")
        if path.exists() and not options.overwrite:
            raise ValueError(f"{path} exists. Pass --overwrite to replace it, or name another.")
    if options.report:
        prepare_report(options.report)
        # The page is drawn at the end, but no seed may be lost before.
        outputs.append((report_files(options.report)[1], write_json))
    for path in files:
        with TemporaryFile(dir=path.parent, prefix=path.name):
            pass
    return outputs


def _refuse_unused_options(options, get_default, known, used, what):
    for name in known:
        if name not in used and getattr(options, name) != get_default(name):
            raise ValueError(f"--{name.replace('_', '-')} does not apply to {what}.")


def _describe_data(record):
    data, arguments = record["data"], record["arguments"]
    ratio = arguments["imbalance_ratio"]
    if "features" in data:
        left_out = ", ".join(f"{name} ({why})" for name, why in data["left_out"].items())
        what = f"{data['shape'][0]} rows of {data['shape'][1]} features" + (
            f" (left out: {left_out})" if left_out else ""
        )
    else:
        n, channels, height, width = data["shape"]
        what = (
            f"{n} images of {height} x {width} pixels and {channels} channel{'s' * (channels > 1)}"
        )
    return (
        f"Data: {data['source']}, {what}, {data['classes']} classes.\n"
        f"Split per seed: {arguments['test_size']:.0%} to test; the training part is "
        + (f"made long-tailed, ratio {ratio:g}." if ratio else "left as it is.")
    )
