"""Files that hold a comparison and let it be repeated."""

import contextlib
import csv
import hashlib
import io
import json
import os
import platform
from dataclasses import fields
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from imblearn_eos._device import resolve_device
from imblearn_eos.compare._methods import METRICS
from imblearn_eos.compare._statistics import as_list, summarize
from imblearn_eos.embedding import EmbeddingPipeline

PACKAGES = (
    "imblearn-eos",
    "numpy",
    "scipy",
    "scikit-learn",
    "imbalanced-learn",
    "torch",
    "skorch",
    "pillow",
    "pandas",
    "matplotlib",
)


def make_record(X, y, *, source, arguments, command=None, complete=True, device="auto", **data):
    """Collect what is needed to repeat a comparison.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
        The data that were compared on.
    y : ndarray of shape (n_samples,)
        Their labels.
    source : str
        What the data are called in the report.
    arguments : dict
        The arguments of `compare` or `compare_table`.
    command : str or None, default=None
        The command line, if there was one.
    complete : bool, default=True
        Whether all seeds were run.
    device : str or torch.device, default="auto"
        Where the comparison computed.
    **data : dict
        What else is to be said of the data.

    Returns
    -------
    dict
        With the versions of the packages, the machine, the date, and a SHA-256 of the data.

    Examples
    --------
    >>> import numpy as np
    >>> from imblearn_eos.compare import make_record
    >>> record = make_record(
    ...     np.zeros((4, 2)), np.array([0, 0, 1, 1]), source="zeros", arguments={"seeds": 1}
    ... )
    >>> record["data"]["shape"], record["data"]["classes"]
    ([4, 2], 2)
    """
    X, y = np.asarray(X), np.asarray(y)
    device = resolve_device(device)
    on_cuda = device.type == "cuda"
    return {
        "command": command,
        "complete": complete,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "arguments": arguments,
        "data": {
            "source": source,
            "shape": list(X.shape),
            "classes": len(np.unique(y)),
            "sha256": hash_data(X, y),
            **data,
        },
        "versions": {
            "python": platform.python_version(),
            **{package: _installed_version(package) for package in PACKAGES},
        },
        "platform": platform.platform(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if on_cuda else platform.machine(),
        "threads": torch.get_num_threads(),
    }


def hash_data(X, y):
    """Give the SHA-256 of the samples and labels: their shape, dtype and content."""
    digest = hashlib.sha256()
    for array in (X, y):
        if array.dtype.hasobject:
            array = array.astype(str)
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def _installed_version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        # Some belong to extras.
        return None


def write_json(path, record, results):
    """Write everything as JSON: ``record``, each seed's result, and the summary.

    Parameters
    ----------
    path : str or path-like
        The file, which is replaced when all is written, and not before.
    record : dict
        What is needed to repeat the run.
    results : iterable of SeedResult
        What `compare` or `compare_table` gave.

    Raises
    ------
    ValueError
        When results are empty, as those of a comparison are that were read before.
    OSError
        When the file cannot be written. It names the file.

    Examples
    --------
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos.compare import compare_table, make_record, write_json
    >>> X, y = make_classification(n_samples=300, weights=[0.9], random_state=0)
    >>> results = list(compare_table(X, y, samplers=["eos"], seeds=2))
    >>> record = make_record(X, y, source="made-up rows", arguments={"seeds": 2})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_json(Path(folder, "results.json"), record, results)
    ...     content = json.loads(Path(folder, "results.json").read_text())
    >>> len(content["runs"]), list(content["summary"])
    (2, ['none', 'logit_adjustment', 'eos'])
    """
    results = as_list(results)
    runs = [_to_dict(result) for result in results]
    content = {**record, "summary": summarize(results), "runs": runs}
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, default=_to_json) + "\n")


def write_csv(path, record, results):
    """Write one line for each seed and method; what repeats the run stands on every line.

    Parameters
    ----------
    path : str or path-like
        The file, which is replaced when all is written, and not before.
    record : dict
        What is needed to repeat the run.
    results : iterable of SeedResult
        What `compare` or `compare_table` gave.

    Raises
    ------
    ValueError
        When results are empty, as those of a comparison are that were read before.
    OSError
        When the file cannot be written. It names the file.

    Examples
    --------
    >>> import csv, tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos.compare import compare_table, make_record, write_csv
    >>> X, y = make_classification(n_samples=300, weights=[0.9], random_state=0)
    >>> results = list(compare_table(X, y, samplers=["eos"], seeds=2))
    >>> record = make_record(X, y, source="made-up rows", arguments={"seeds": 2})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_csv(Path(folder, "results.csv"), record, results)
    ...     lines = list(csv.DictReader(Path(folder, "results.csv").open()))
    >>> [(line["seed"], line["method"]) for line in lines[:3]]
    [('0', 'none'), ('0', 'logit_adjustment'), ('0', 'eos')]
    """
    lines = [
        {
            "seed": result.seed,
            "method": method,
            **{metric: outcome.scores.get(metric) for metric in METRICS},
            **{key: value for key, value in _to_dict(outcome).items() if key != "scores"},
            **{key: value for key, value in _to_dict(result).items() if key != "methods"},
            **record,
        }
        for result in as_list(results)
        for method, outcome in result.methods.items()
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=lines[0], lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({key: _to_cell(value) for key, value in line.items()})
    write_text(path, text.getvalue())


def write_network(path, result):
    """Write the network of one seed, with the head refitted for EOS, or for the last sampler.

    Parameters
    ----------
    path : str or path-like
        The file, for ``torch.load(path, weights_only=True)``.
    result : SeedResult
        Of images, with its ``fitted``.

    Raises
    ------
    OSError
        When the file cannot be written. It names the file.
    """
    fitted, name = result.fitted, sampler_of_network(result)
    steps = [("embedder", fitted.embedder), ("head", fitted.heads[name])]
    net = fitted.embedder.net_
    content = {
        "state_dict": EmbeddingPipeline(steps).to_module().state_dict(),
        "arguments": {
            "n_classes": net.module__n_classes,
            "in_channels": net.module__in_channels,
        },
        "classes": [str(label) for label in fitted.classes],
        "sampler": name,
        "seed": result.seed,
    }
    # On a full disk torch's own writer raises a RuntimeError that names no file.
    stream = io.BytesIO()
    torch.save(content, stream)
    with _replacing(path) as temporary:
        temporary.write_bytes(stream.getbuffer())


def sampler_of_network(result):
    """Give the sampler whose head the network of a seed gets: EOS, or else the last."""
    heads = result.fitted.heads
    return "eos" if "eos" in heads else list(heads)[-1]


def _to_dict(result):
    """Give the fields of a result that files hold, those of its methods too."""
    content = {
        field.name: getattr(result, field.name)
        for field in fields(result)
        if field.name not in ("details", "fitted")
    }
    if "methods" in content:
        content["methods"] = {name: _to_dict(o) for name, o in content["methods"].items()}
    return content


def _to_cell(value):
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=_to_json)
    return value


def _to_json(value):
    """Give numbers of NumPy as numbers, and what JSON does not know, as an estimator, as text."""
    return value.item() if isinstance(value, np.generic) else repr(value)


def check_writable(path):
    """Raise OSError unless a file can be written at ``path``; nothing there is changed."""
    path = Path(path).resolve()
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a file, so no result can be written there")
    with _temporary_beside(path) as temporary:
        temporary.touch()


def check_replaceable(path):
    """Raise ValueError if there is a file at ``path`` that no comparison has written."""
    path = Path(path).resolve()
    if path.is_file() and not _has_results(path):
        raise ValueError(
            f"{path} is there already and holds no results of a comparison, so it is not replaced. "
            "Name another file, or remove it."
        )


def _has_results(path):
    """Whether a file is empty, or as `write_json` or `write_csv` write it."""
    try:
        # Spreadsheets put a mark in front of UTF-8.
        text = path.read_text(encoding="utf-8-sig")
        if not text or text.startswith(f"seed,method,{','.join(METRICS)},"):
            return True
        content = json.loads(text)
    except (RecursionError, ValueError):
        return False
    return isinstance(content, dict) and {"summary", "runs"} <= content.keys()


def write_text(path, text):
    # Names of files may be what UTF-8 cannot hold.
    content = text.encode("utf-8", errors="backslashreplace")
    with _replacing(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def _replacing(path):
    """Give a path to write to, which then replaces the file at ``path``."""
    path = Path(path).resolve()
    with _temporary_beside(path) as temporary:
        yield temporary
        os.replace(temporary, path)


@contextlib.contextmanager
def _temporary_beside(path):
    # In the same folder: only within one file system is replacing a file atomic.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
