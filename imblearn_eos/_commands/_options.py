"""Options that several commands have."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from tempfile import TemporaryFile

from imblearn_eos.datasets._readers import READERS, describe_formats

BACKBONES = (
    "timm/NAME, torchvision/NAME, transformers/REPO_OR_FOLDER, sentence-transformers/MODEL for "
    "texts, or FILE.py:FUNCTION that returns a torch module and its transform"
)

# Options of `compare` that its other kinds of work refuse.
ONLY_TRAINING = ("--train", "--image-size", "--epochs", "--lr")
ONLY_BACKBONE = ("--memory", "--trained-on-rows")
ONLY_TABLE = ("--classifier",)
FLAGS = ("--train", "--trained-on-rows")


def add_option(group, option, text, default=None, **params):
    """Add an option whose help states its default."""
    if default is not None:
        text = f"{text} (default: {default})"
    if "choices" not in params:
        params.setdefault("metavar", option.split("-")[-1].upper())
    group.add_argument(option, help=text.replace("%", "%%"), default=default, **params)


def add_flag(group, option, text):
    group.add_argument(option, help=text, action="store_true")


def add_data_options(data, without=""):
    """Add the options for reading data."""
    text = describe_formats() + without
    add_option(data, "--data", text, type=Path, metavar="PATH", required=not without)
    columns = {
        "--target": "that holds the labels",
        "--id": "with a name for each row",
        "--group": "with the group of each row, such as a patient or a video; no split parts one",
        "--split": "that says train, validation or test for each row",
        "--text": "with texts to embed",
        "--embedding": "that holds the embeddings, if there are several",
    }
    for option, text in columns.items():
        add_option(data, option, f"column or array {text}", metavar="COLUMN")
    text = "columns of a table to leave out, such as categories, which are refused"
    add_option(data, "--drop", text, nargs="+", action="extend", metavar="COLUMN")
    add_option(data, "--labels", "file with the labels of an .npy file", type=Path, metavar="PATH")
    add_flag(data, "--no-header", "the .csv file has no names of columns; they are then 0, 1...")
    add_option(
        data,
        "--sep",
        "character between the cells of a .csv file, or \\t for a tab (default: detected)",
        metavar="CHARACTER",
        type=lambda text: text.replace("\\t", "\t"),
    )
    text = "decimal mark of a .csv file: a point or a comma"
    add_option(data, "--decimal", text, ".", choices=[".", ","], metavar="MARK")


def add_backbone_options(group, **params):
    """Add the options of a pretrained network."""
    add_option(group, "--backbone", f"pretrained network: {BACKBONES}", metavar="NAME", **params)
    add_option(
        group,
        "--memory",
        "folder in which embeddings are kept, so that the same files are embedded once",
        type=Path,
        metavar="FOLDER",
    )
    add_option(group, "--device", "auto, cpu, cuda or cuda:N", "auto")
    text = "CPU cores (default: 1 for small data, which more cores slow down, else all)"
    add_option(group, "--n-jobs", text, type=positive)


def reading_options(options):
    """Return the options of all readers, as `read` takes them."""
    names = {name for reader in READERS.values() for name in reader.options} - {"pixels"}
    return {name: getattr(options, name, None) for name in sorted(names)}


def positive(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return int(text)


def refuse_unused(options, get_default, known, used, what):
    """Raise ValueError for a known option that was given but is not used."""
    for name in known:
        value = getattr(options, name, None)
        if name not in used and value is not None and value != get_default(name):
            raise ValueError(f"--{name.replace('_', '-')} does not apply to {what}.")


def offer_backbone(command, backbone):
    """Return a command line of `compare` with a pretrained network."""
    return f"{_leave_out(command, ONLY_TRAINING + ONLY_TABLE)} --backbone {backbone}"


def offer_training(command):
    """Return a command line of `compare` that trains a network."""
    return f"{_leave_out(command, ONLY_BACKBONE + ONLY_TABLE)} --train"


def _leave_out(command, options):
    """Return a command line without some options, which may be abbreviated."""
    kept, words = [], iter(shlex.split(command))
    for word in words:
        name, equals, _ = word.partition("=")
        found = [option for option in options if len(name) > 2 and option.startswith(name)]
        if not found:
            kept.append(word)
        elif not equals and found[0] not in FLAGS:
            next(words, None)
    return shlex.join(kept)


def check_output(path, option, overwrite, data):
    """Raise ValueError unless a file of results can be written."""
    if path == data or (path.exists() and not path.is_file()):
        raise ValueError(f"{path} is the --data, or not a file. Name another file of results.")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists. Pass --overwrite to replace it, or name another.")
    if not path.parent.is_dir():
        raise ValueError(f"The folder {path.parent} of {option} does not exist. Make it first.")
    check_folder(path.parent, f"{option} {path}")


def check_folder(folder, output):
    """Raise ValueError unless files can be written to a folder, or where it is to be made."""
    try:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        with TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ValueError(
            f"{output} cannot be written ({folder}: {error.strerror}). Name a path where you may "
            "write files."
        ) from error
