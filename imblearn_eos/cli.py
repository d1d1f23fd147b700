"""The command ``imblearn-eos``."""

import argparse
import shlex
import sys
from functools import partial
from inspect import signature
from itertools import chain
from numbers import Integral
from pathlib import Path

import torch
from sklearn.base import clone
from tqdm import tqdm

from imblearn_eos import __version__
from imblearn_eos._compat import Interval, validate_parameter_constraints
from imblearn_eos._device import resolve_device
from imblearn_eos._interrupts import uninterrupted
from imblearn_eos.compare import (
    CLASSIFIERS,
    SAMPLERS,
    compare,
    compare_table,
    format_table,
    format_verdict,
    make_record,
    write_csv,
    write_json,
    write_report,
)
from imblearn_eos.compare._files import check_replaceable, check_writable
from imblearn_eos.compare._images import CONSTRAINTS
from imblearn_eos.compare._report import check_report, report_files
from imblearn_eos.compare._text import format_runs
from imblearn_eos.datasets import load_digit_images, load_image_folder, load_npz, load_table

DIGITS_RATIO = 20
# After more, the network separates its training digits so well that no class has enemies.
DIGITS_EPOCHS = 10
# On fewer numbers than these, threads take longer to wait for each other than to compute.
MANY_NUMBERS = 10_000_000
INTERRUPTED = 130
DEFAULTS, TABLE_DEFAULTS = (
    {name: parameter.default for name, parameter in signature(function).parameters.items()}
    for function in (compare, compare_table)
)
# What only a network has, and what only a table has.
NETWORK_OPTIONS = ("image_size", "epochs", "batch_size", "lr", "alpha")
TABLE_OPTIONS = ("target", "no_header", "classifier")


def main(argv=None):
    """Run the command line; return the exit status.

    Parameters
    ----------
    argv : list of str or None, default=None
        The arguments; None takes those of the process.

    Returns
    -------
    int
        0, or 130 after Ctrl-C. Bad input ends the process with status 2 and a line that says what
        is wrong with it.
    """
    argv = sys.argv[1:] if argv is None else argv
    # Names of files and classes may be what the terminal cannot show, and must not end a run. What
    # replaces them already stays; "surrogateescape" is that of the locale C, and replaces few.
    is_strict = getattr(sys.stdout, "errors", None) in ("strict", "surrogateescape")
    if is_strict and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = _build_parser()
    options = parser.parse_args(argv)
    if hasattr(options, "samplers"):
        options.samplers = list(dict.fromkeys(chain.from_iterable(options.samplers)))
    results = []
    try:
        _compare(options, argv, results)
    except KeyboardInterrupt:
        _print_finished(options, results, "Interrupted")
        return INTERRUPTED
    except Exception as error:
        _print_finished(options, results, "Stopped by an error")
        if not isinstance(error, (ImportError, MemoryError, OSError, ValueError)):
            raise
        parser.error(str(error) or type(error).__name__)
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        # One line: the usage that argparse prints above it hides what went wrong.
        self.exit(2, f"{self.prog}: error: {' '.join(str(message).split())}\n")


def _build_parser():
    parser = _Parser(prog="imblearn-eos", description="Expansive over-sampling (EOS).")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    job = commands.add_parser(
        "compare",
        help="compare samplers on your data, and write a report",
        description="Images: train a small CNN once per seed, over-sample its embeddings with each "
        "sampler, refit the head, and compare the heads on test images that serve no other purpose."
        " A table: the same with its numeric columns and a scikit-learn classifier.",
    )
    data = job.add_argument_group("data")
    data.add_argument(
        "--data",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="PATH",
        help="a folder with one sub-folder of images per class, an .npz file with X and y, or, "
        "with --target, a .csv file; without it, scikit-learn's digits, long-tailed by ratio "
        f"{DIGITS_RATIO}",
    )
    data.add_argument(
        "--target",
        default=argparse.SUPPRESS,
        metavar="COLUMN",
        help="name of the column of a .csv file that holds the labels",
    )
    data.add_argument(
        "--no-header",
        action="store_true",
        default=argparse.SUPPRESS,
        help="the .csv file has no names of columns; they are then 0, 1...",
    )
    data.add_argument(
        "--image-size",
        type=_make_parser("image_size", int, [Interval(Integral, 1, None, closed="left")]),
        default=argparse.SUPPRESS,
        metavar="PIXELS",
        help="resize the images of a folder to squares of this side",
    )
    _add(data, "imbalance-ratio", float, "make the training part long-tailed by this ratio")
    _add(data, "test-size", float, "share of each class's rows to test on")
    method = job.add_argument_group("method")
    method.add_argument(
        "--samplers",
        nargs="+",
        type=_parse_names,
        default=argparse.SUPPRESS,
        metavar="NAME",
        help=f"some of {', '.join(SAMPLERS)}, with commas or blanks between (default: all); none "
        "always runs",
    )
    _add(method, "n-neighbors", int, "K of EOS")
    _add(method, "enemy-search", str, "where EOS looks for enemies: neighborhood or nearest")
    _add(method, "alpha", float, "L2 penalty of the refitted heads")
    method.add_argument(
        "--classifier",
        choices=CLASSIFIERS,
        default=argparse.SUPPRESS,
        help="what a table is classified with (default: logistic)",
    )
    training = job.add_argument_group("network and run")
    _add(training, "seeds", int, "number of seeds: 0, 1, 2...")
    training.add_argument(
        "--epochs",
        type=_make_parser("epochs", int, CONSTRAINTS["epochs"]),
        default=argparse.SUPPRESS,
        metavar="EPOCHS",
        help=f"passes over the training images (default: {DEFAULTS['epochs']}, or "
        f"{DIGITS_EPOCHS} for the digits)",
    )
    _add(training, "batch-size", int, "training images per step")
    _add(training, "lr", float, "learning rate of Adam")
    _add(training, "device", _parse_device, "auto, cpu, cuda or cuda:N")
    training.add_argument(
        "--threads",
        type=_make_parser("threads", int, [Interval(Integral, 1, None, closed="left")]),
        default=argparse.SUPPRESS,
        metavar="THREADS",
        help="CPU threads of torch (default: 1 for small data, for which more take longer, else "
        "torch's own choice)",
    )
    output = job.add_argument_group("output")
    for kind in ("json", "csv"):
        output.add_argument(
            f"--{kind}",
            type=Path,
            default=argparse.SUPPRESS,
            metavar="PATH",
            help=f"file to write the results to as {kind.upper()}, after every seed",
        )
    output.add_argument(
        "--report",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="FOLDER",
        help="write a page to look at (report.html), with the results and the network beside it",
    )
    return parser


def _add(group, option, convert, text):
    """Add an option for a parameter of `compare`, with its default and its constraints."""
    name = option.replace("-", "_")
    default = "" if DEFAULTS[name] is None else f" (default: {DEFAULTS[name]})"
    group.add_argument(
        f"--{option}",
        type=_make_parser(name, convert, CONSTRAINTS[name]),
        default=argparse.SUPPRESS,
        metavar=option.split("-")[-1].upper(),
        help=text + default,
    )


def _make_parser(name, convert, constraints):
    """Return a function that converts an argument and checks it as scikit-learn would."""

    def parse(text):
        value = convert(text)
        try:
            validate_parameter_constraints({name: constraints}, {name: value}, "compare")
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return value

    # argparse names the type where the conversion fails: invalid int value.
    parse.__name__ = convert.__name__
    return parse


def _parse_names(text):
    names = text.replace(",", " ").split()
    unknown = [name for name in names if name not in SAMPLERS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"unknown sampler {unknown[0] if unknown else text!r}; the samplers are "
            f"{', '.join(SAMPLERS)}"
        )
    return names


def _parse_device(text):
    try:
        resolve_device(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _compare(options, argv, results):
    """Run the comparison and fill ``results`` seed by seed, so that Ctrl-C loses none."""
    outputs = _get_outputs(options)
    if hasattr(options, "json") and len(outputs) < hasattr(options, "csv") + 1:
        raise ValueError(f"--json and --csv both name {options.json}; each needs a file of its own")
    for path in outputs:
        taken = report_files(options.report) if hasattr(options, "report") else []
        if path in taken or any(path in file.parents for file in taken):
            raise ValueError(f"{path} is a file or folder of the --report; give results another")
        check_replaceable(path)
    X, y, said = _load(options)
    if hasattr(options, "report"):
        check_report(options.report)
    for path in outputs:
        check_writable(path)
    is_table = "features" in said
    job, defaults = (compare_table, TABLE_DEFAULTS) if is_table else (compare, DEFAULTS)
    parameters = {name: getattr(options, name) for name in defaults if hasattr(options, name)}
    defaults = {k: v for k, v in defaults.items() if k not in ("X", "y", "on_epoch", "classifier")}
    arguments = {**defaults, **parameters}
    if is_table:
        arguments["classifier"] = name = parameters.get("classifier", "logistic")
        parameters["classifier"] = clone(CLASSIFIERS[name])
    else:
        arguments["image_size"] = getattr(options, "image_size", None)
    if hasattr(options, "threads") or X.size < MANY_NUMBERS:
        torch.set_num_threads(getattr(options, "threads", 1))
    record = make_record(
        X,
        y,
        arguments=arguments,
        command=shlex.join(["imblearn-eos", *argv]),
        complete=False,
        device=arguments["device"],
        **said,
    )
    n_seeds = arguments["seeds"]
    n_steps, unit = (n_seeds, "seed") if is_table else (n_seeds * arguments["epochs"], "epoch")
    if not is_table:
        parameters["on_epoch"] = lambda: bar.update()
    # The bar appears when the input is known to be good, so an error stands on a line of its own.
    runs = job(X, y, **parameters)
    print(_describe_data(record), flush=True)
    options.record, options.n_seeds = record, n_seeds
    with tqdm(total=n_steps, unit=unit, desc="comparing" if is_table else "training") as bar:
        for result in runs:
            # The report shows the first; more would fill the memory.
            if results:
                result.fitted = None
            results.append(result)
            record["complete"] = len(results) == n_seeds
            for path, write in outputs.items():
                try:
                    write(path, record, results)
                except Exception as error:
                    # Seeds take longer than to free some space, or to close a spreadsheet.
                    tqdm.write(f"{error}. All is written again after the last seed.", sys.stderr)
            if is_table:
                bar.update()
    _print_results(results, options)


def _get_outputs(options):
    writers = {"json": write_json, "csv": write_csv}
    return {
        getattr(options, kind).resolve(): write
        for kind, write in writers.items()
        if hasattr(options, kind)
    }


def _load(options):
    """Return X, y and what is to be said of them; the digits bring defaults of their own."""
    path = getattr(options, "data", None)
    if path is not None:
        path = path.resolve()
        if not path.exists():
            raise ValueError(f"--data names {path}, but there is no such file or folder")
    is_table = path is not None and ".csv" in [suffix.lower() for suffix in path.suffixes]
    _refuse_useless_options(options, path, is_table)
    if is_table:
        if not hasattr(options, "target"):
            raise ValueError(f"--target must name the column of {path} that holds the labels")
        table = load_table(path, target=options.target, header=not hasattr(options, "no_header"))
        said = {"features": table.data.columns.tolist(), "left_out": table.left_out}
        return table.data.to_numpy(), table.target, {"source": str(path), **said}
    if path is not None and path.is_dir():
        images = load_image_folder(path, size=getattr(options, "image_size", None))
        return *images, {"source": str(path)}
    if path is not None:
        return *load_npz(path), {"source": str(path)}
    options.imbalance_ratio = getattr(options, "imbalance_ratio", DIGITS_RATIO)
    options.epochs = getattr(options, "epochs", DIGITS_EPOCHS)
    return *load_digit_images(), {"source": "the digits of scikit-learn"}


def _refuse_useless_options(options, path, is_table):
    for name in NETWORK_OPTIONS if is_table else TABLE_OPTIONS:
        if hasattr(options, name):
            option = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{option} is for networks; the table {path} is compared with a --classifier"
                if is_table
                else f"{option} is for tables; --data names no .csv file"
            )
    if hasattr(options, "image_size") and (path is None or not path.is_dir()):
        raise ValueError("--image-size resizes the images of a folder; --data names none")


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


def _print_results(results, options):
    """Write and print all there is; an error in one part does not keep the others back."""
    writes = {f"Written: {path}": partial(w, path) for path, w in _get_outputs(options).items()}
    if hasattr(options, "report"):
        page, *_ = report_files(options.report)
        writes[f"Report: {page}"] = partial(write_report, options.report)
    written, errors = [], []
    try:
        # A report takes some seconds, in which Ctrl-C would leave a part of it.
        with uninterrupted():
            options.is_printed = True
            for said, write in writes.items():
                try:
                    write(options.record, results)
                    written.append(said)
                except Exception as error:
                    errors.append(error)
            print(format_runs(results))
            print(format_table(results))
            print()
            print(format_verdict(results))
            for said in written:
                print(said)
    except BaseException:
        # Another error, or Ctrl-C, is what ends this.
        _print_errors(errors)
        raise
    if errors:
        _print_errors(errors[1:])
        raise errors[0]


def _print_errors(errors):
    for error in errors:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)


def _print_finished(options, results, what):
    """Print and write the seeds that are finished when others are not."""
    n_seeds = getattr(options, "n_seeds", getattr(options, "seeds", DEFAULTS["seeds"]))
    if what == "Interrupted" or 0 < len(results) < n_seeds:
        print(f"{what}: {len(results)} of {n_seeds} seeds finished.", file=sys.stderr)
    if not results or hasattr(options, "is_printed"):
        return
    try:
        _print_results(results, options)
    except KeyboardInterrupt:
        # Once more, which has waited until all was written.
        pass
    except Exception as error:
        # What stopped the seeds is told after this.
        _print_errors([error])
