"""Embeddings of the study's networks: the format of their files, and which ones are published.

``embeddings.json`` lists the published files that are not part of the repository. Those in
``cifar_lt/embeddings`` are.
"""

import hashlib
import json
import re
import shlex
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from _recipes import RECIPES, Budget, Case

REGISTRY = Path(__file__).with_name("embeddings.json")
# To be counted up when networks are trained in another way than before: old ones are then not used.
VERSION = 1


@dataclass
class Embedded:
    """Embeddings of training rows and of rows that the network has not seen, and its head.

    ``is_unit`` says that the head takes embeddings of length 1. ``seconds`` are the times of
    training, of embedding the training rows and, if images were made, of making them;
    ``n_parameters`` includes the model that made them. ``precision`` names the type of the products
    in training, or nothing where it was not recorded.
    """

    Z: np.ndarray
    y: np.ndarray
    Z_new: np.ndarray
    y_new: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    is_unit: bool
    n_parameters: int
    seconds: dict = field(default_factory=dict)
    precision: str = ""


def read_embedded(file):
    """Read embeddings as `write_embedded` wrote them."""
    with np.load(file, allow_pickle=False) as arrays:
        contents = {name: arrays[name] for name in arrays.files}
    for name in ("Z", "Z_new"):
        Z = contents[name]
        contents[name] = (join_bytes(Z) if Z.dtype == np.uint8 else Z).astype(np.float32)
    contents["seconds"] = json.loads(str(contents["seconds"]))
    for name in {"is_unit", "n_parameters", "precision"} & contents.keys():
        contents[name] = contents[name].item()
    return Embedded(**contents)


def write_embedded(file, embedded):
    """Write embeddings, rounded to float16 if they are small enough, with their bytes apart."""
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = asdict(embedded)
    arrays["seconds"] = json.dumps(embedded.seconds)
    for name in ("Z", "Z_new"):
        # Half the size of float32.
        with np.errstate(over="ignore"):
            rounded = arrays[name].astype(np.float16)
        if np.isfinite(rounded).all():
            arrays[name] = split_bytes(rounded)
    # A name that an interrupted write cannot leave behind.
    unfinished = file.with_suffix(".tmp")
    with open(unfinished, "wb") as stream:
        np.savez_compressed(stream, **arrays)
    unfinished.replace(file)


def split_bytes(Z):
    """Put first all low bytes of float16, then all high ones: a tenth less when compressed.

    Parameters
    ----------
    Z : ndarray of shape (n_rows, n_features), dtype=float16

    Returns
    -------
    ndarray of shape (2, n_features, n_rows), dtype=uint8
    """
    return np.stack([(Z.T.view(np.uint16) >> shift).astype(np.uint8) for shift in (0, 8)])


def join_bytes(halves):
    """Undo `split_bytes`."""
    low, high = halves.astype(np.uint16)
    return np.ascontiguousarray((high << 8 | low).T).view(np.float16)


def name_of(case, budget, fold, n_folds):
    """Return the name of a network's files, without what tells its images and recipe apart."""
    which = "all" if fold is None else f"without{fold}of{n_folds}"
    return f"{case.name}_{budget.name}_{which}"


def digest_of(images, case):
    """Compute a number that differs for other images and for another recipe of the same name."""
    X_train, _, X_test, _ = images
    digest = zlib.crc32(repr((VERSION, RECIPES[case.recipe].changes)).encode())
    return zlib.crc32(X_test, zlib.crc32(X_train, digest))


def find_embedded(folder, case, budget, fold, n_folds):
    """Find the embeddings of a network, trained on whatever images by a recipe of this name.

    Raises
    ------
    FileNotFoundError
        If there are none, or of more than one such network.
    """
    name = name_of(case, budget, fold, n_folds)
    files = list(folder.glob(f"{name}_*.npz"))
    if len(files) != 1:
        remedy = "Keep one of them."
        if not files:
            remedy = f"This makes it: {training_command(case, budget, n_folds)}"
        raise FileNotFoundError(
            f"{folder} must have one file {name}_*.npz, got {len(files)}. {remedy}"
        )
    return files[0]


def training_command(case, budget, n_folds):
    """Return the command that trains a case's networks and keeps their embeddings."""
    options = {
        "--recipes": case.recipe,
        "--kinds": case.kind,
        "--ratios": f"{case.ratio:g}",
        "--subsets": case.subset,
        "--seeds": case.seed,
        "--folds": n_folds,
        "--epochs": budget.epochs,
        "--schedule": budget.schedule,
        "--batch-size": budget.batch_size,
    }
    words = [word for name, value in options.items() for word in (name, str(value))]
    return f"python benchmarks/cifar_lt.py --data DATA --output STUDY {shlex.join(words)} --methods"


def read_registry():
    """Return the entries of the published files, in the order of their names."""
    return json.loads(REGISTRY.read_text())


def write_registry(entries):
    """Write the entries of the published files, a line each."""
    lines = ",\n".join(json.dumps(entry) for entry in sorted(entries, key=lambda e: e["name"]))
    REGISTRY.write_text(f"[\n{lines}\n]\n")


def describe_file(file):
    """Return the registry's entry for a file of embeddings."""
    recipe, kind, ratio, subset, seed, epochs, schedule, batch_size, _, fold, n_folds = (
        re.fullmatch(
            r"(.+)_([a-z]+)_([\d.]+)_subset(\d+)_seed(\d+)_(\d+)epochs_([a-z]+)_batch(\d+)"
            r"_(all|without(\d+)of(\d+))_[0-9a-f]{8}",
            file.stem,
        ).groups()
    )
    recipe = next(name for name in RECIPES if Case(name).name.startswith(f"{recipe}_"))
    case = Case(recipe, kind, float(ratio), int(subset), int(seed))
    budget = Budget(int(epochs), int(batch_size), schedule)
    return {
        "name": file.name,
        "bytes": file.stat().st_size,
        "sha256": hash_of(file),
        "recipe": recipe,
        "subset": case.subset,
        "fold": None if fold is None else int(fold),
        # The network on all rows is trained by the same command as those without a fold.
        "command": training_command(case, budget, int(n_folds or 2)),
    }


def hash_of(file):
    """Compute the SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
