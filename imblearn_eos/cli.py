"""The command ``imblearn-eos``."""

import argparse
import shlex
import sys
from datetime import datetime, timezone
from inspect import signature
from itertools import chain
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, validate_parameter_constraints
from tqdm import tqdm

from imblearn_eos import __version__, _results
from imblearn_eos._device import resolve_device
from imblearn_eos.compare import CONSTRAINTS, SAMPLERS, compare
from imblearn_eos.datasets import load_digit_images, load_image_folder, load_npz

DIGITS_RATIO = 20
# After more, the network separates its training digits so well that no class has enemies.
DIGITS_EPOCHS = 10
# On fewer numbers than these, threads take longer to wait for each other than to compute.
MANY_NUMBERS = 10_000_000
INTERRUPTED = 130
DEFAULTS = {name: parameter.default for name, parameter in signature(compare).parameters.items()}


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
    parser = _build_parser()
    options = parser.parse_args(argv)
    if hasattr(options, "samplers"):
        options.samplers = list(dict.fromkeys(chain.from_iterable(options.samplers)))
    results = []
    try:
        _compare(options, argv, results)
    except (ImportError, MemoryError, OSError, ValueError) as error:
        parser.error(error)
    except KeyboardInterrupt:
        _report_interrupt(options, results)
        return INTERRUPTED
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
        help="compare samplers in the embedding space of a small CNN",
        description="Train a small CNN once per seed, over-sample its embeddings with each sampler,"
        " refit the head, and compare the heads on test images that serve no other purpose.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    data = job.add_argument_group("data")
    data.add_argument(
        "--data",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="PATH",
        help="a folder with one sub-folder of images per class, or an .npz file with X and y; "
        f"without it, scikit-learn's digits, long-tailed by ratio {DIGITS_RATIO}",
    )
    data.add_argument(
        "--image-size",
        type=_make_parser("image_size", int, [Interval(Integral, 1, None, closed="left")]),
        default=argparse.SUPPRESS,
        metavar="PIXELS",
        help="resize the images of a folder to squares of this side",
    )
    _add(data, "imbalance-ratio", float, "make the training part long-tailed by this ratio")
    _add(data, "test-size", float, "share of each class's images to test on")
    method = job.add_argument_group("method")
    method.add_argument(
        "--samplers",
        nargs="+",
        type=_parse_names,
        default=argparse.SUPPRESS,
        metavar="NAME",
        help=f"some of {', '.join(SAMPLERS)}, with commas or blanks between (default: all)",
    )
    _add(method, "n-neighbors", int, "K of EOS")
    _add(method, "enemy-search", str, "where EOS looks for enemies: neighborhood or nearest")
    _add(method, "alpha", float, "L2 penalty of the refitted heads")
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
            help=f"write the results as {kind.upper()}, after every seed",
        )
    return parser


def _add(group, option, convert, text):
    """Add an option for a parameter of `compare`, with its default and its constraints."""
    name = option.replace("-", "_")
    default = DEFAULTS[name]
    group.add_argument(
        f"--{option}",
        type=_make_parser(name, convert, CONSTRAINTS[name]),
        default=argparse.SUPPRESS if default is None else default,
        metavar=option.split("-")[-1].upper(),
        help=text,
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
    parameters = {name: getattr(options, name) for name in DEFAULTS if hasattr(options, name)}
    outputs = _get_outputs(options)
    if hasattr(options, "json") and len(outputs) < hasattr(options, "csv") + 1:
        raise ValueError(f"--json and --csv both name {options.json}; each needs a file of its own")
    for path in outputs:
        _results.check_writable(path)
    X, y, source = _load(options, parameters)
    if hasattr(options, "threads") or X.size < MANY_NUMBERS:
        torch.set_num_threads(getattr(options, "threads", 1))
    record = _make_record(argv, parameters, X, y, source, getattr(options, "image_size", None))
    # The bar appears when the input is known to be good, so an error stands on a line of its own.
    runs = compare(X, y, on_epoch=lambda: bar.update(), **parameters)
    print(_describe_data(record), flush=True)
    n_epochs = options.seeds * record["arguments"]["epochs"]
    with tqdm(total=n_epochs, unit="epoch", desc="training") as bar:
        for result in runs:
            results.append(result)
            record["complete"] = len(results) == options.seeds
            for path, write in outputs.items():
                write(path, record, results)
    _print_results(results, outputs)


def _get_outputs(options):
    writers = {"json": _results.write_json, "csv": _results.write_csv}
    return {
        getattr(options, kind).resolve(): write
        for kind, write in writers.items()
        if hasattr(options, kind)
    }


def _load(options, parameters):
    """Return X, y and the name of their source; the digits bring defaults of their own."""
    path = getattr(options, "data", None)
    size = getattr(options, "image_size", None)
    if path is not None:
        path = path.resolve()
        if not path.exists():
            raise ValueError(f"--data names {path}, but there is no such file or folder")
        if path.is_dir():
            return *load_image_folder(path, size=size), str(path)
    if size is not None:
        raise ValueError("--image-size resizes the images of a folder; --data names none")
    if path is not None:
        return *load_npz(path), str(path)
    parameters.setdefault("imbalance_ratio", DIGITS_RATIO)
    parameters.setdefault("epochs", DIGITS_EPOCHS)
    return *load_digit_images(), "the digits of scikit-learn"


def _make_record(argv, parameters, X, y, source, image_size):
    """Return what is needed to repeat the run."""
    defaults = {name: value for name, value in DEFAULTS.items() if name not in ("X", "y")}
    defaults.pop("on_epoch")
    return {
        "command": shlex.join(["imblearn-eos", *argv]),
        "complete": False,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "arguments": {**defaults, **parameters, "image_size": image_size},
        "data": {
            "source": source,
            "shape": X.shape,
            "classes": len(np.unique(y)),
            "sha256": _results.hash_data(X, y),
        },
        **_results.describe_environment(resolve_device(parameters["device"])),
    }


def _describe_data(record):
    data, arguments = record["data"], record["arguments"]
    n, channels, height, width = data["shape"]
    ratio = arguments["imbalance_ratio"]
    return (
        f"Data: {data['source']}, {n} images of {height} x {width} pixels and {channels} "
        f"channel{'s' * (channels > 1)}, {data['classes']} classes.\n"
        f"Split per seed: {arguments['test_size']:.0%} to test; the training part is "
        + (f"made long-tailed, ratio {ratio:g}." if ratio else "left as it is.")
    )


def _print_results(results, outputs):
    print(_results.format_runs(results))
    print(_results.format_table(results))
    print()
    print(_results.format_verdict(results))
    if outputs:
        print(f"Written: {', '.join(map(str, outputs))}")


def _report_interrupt(options, results):
    if results:
        _print_results(results, _get_outputs(options))
    print(f"Interrupted: {len(results)} of {options.seeds} seeds finished.", file=sys.stderr)
