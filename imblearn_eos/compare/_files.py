"""Write a comparison to files, with what is needed to repeat it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from imblearn_eos._device import resolve_device
from imblearn_eos.compare._recommend import recommend
from imblearn_eos.compare._run import SeedResult
from imblearn_eos.compare._statistics import as_list, metrics_of, summarize

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


def make_record(
    X: ArrayLike,
    y: ArrayLike,
    *,
    source: str,
    arguments: dict[str, Any],
    command: str | None = None,
    complete: bool = True,
    device: str | torch.device = "auto",
    **data: Any,
) -> dict[str, Any]:
    """Return what is needed to repeat a comparison.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
        The data of the comparison.
    y : ndarray of shape (n_samples,)
        Their labels.
    source : str
        Name of the data in the report.
    arguments : dict
        The arguments of `compare` or `compare_table`.
    command : str or None, default=None
        The command line, if there was one.
    complete : bool, default=True
        Whether all seeds were run.
    device : str or torch.device, default="auto"
        Where the comparison was computed.
    **data : dict
        More facts on the data.

    Returns
    -------
    dict
        The arguments, and the versions of the packages, the machine, the date, and a SHA-256 of the
        data.

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
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
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


def hash_data(X: np.ndarray, y: np.ndarray) -> str:
    """Return the SHA-256 of the shape, dtype and content of samples and labels."""
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
        # An extra may be missing.
        return None


def write_json(
    path: str | os.PathLike, record: dict[str, Any], results: Iterable[SeedResult]
) -> None:
    """Write a comparison as JSON: the record, the recommendation, a summary, and each seed.

    Parameters
    ----------
    path : str or path-like
        The file. An existing file is replaced, once everything is written.
    record : dict
        What is needed to repeat the run, from `make_record`.
    results : iterable of SeedResult
        As returned by `compare` or `compare_table`.

    Raises
    ------
    ValueError
        When results are empty.
    OSError
        When the file cannot be written.

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
    found = recommend(results)
    content = {
        **record,
        "recommendation": asdict(found) if found else None,
        "summary": summarize(results),
        "runs": runs,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, default=_to_json)
    write_text(path, text + "\n")


def write_csv(
    path: str | os.PathLike, record: dict[str, Any], results: Iterable[SeedResult]
) -> None:
    """Write a comparison as CSV: one line for each seed and method, with the record on every line.

    If the scorer has the name of another column, such as "recall", its column is "recall_score".

    Parameters
    ----------
    path : str or path-like
        The file. An existing file is replaced, once everything is written.
    record : dict
        What is needed to repeat the run, from `make_record`.
    results : iterable of SeedResult
        As returned by `compare` or `compare_table`.

    Raises
    ------
    ValueError
        When results are empty.
    OSError
        When the file cannot be written.

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
    lines, results = [], as_list(results)
    names = metrics_of(results)
    for result in map(_to_dict, results):
        seed, methods = result.pop("seed"), result.pop("methods")
        for method, outcome in methods.items():
            scores = outcome.pop("scores")
            # A scorer may have the name of another column, such as "recall".
            taken = {**outcome, **result, **record}
            columns = (name + "_score" * (name in taken) for name in names)
            metrics = dict(zip(columns, map(scores.get, names), strict=True))
            lines.append({"seed": seed, "method": method, **metrics, **taken})
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _to_cell(value) for key, value in line.items()} for line in lines)
    write_text(path, text.getvalue())


def _to_dict(result):
    """Return the fields of a result, and of its methods, that are written to files."""
    content = {
        field.name: getattr(result, field.name)
        for field in fields(result)
        if field.name not in ("details", "fitted", "setting_scores")
    }
    if "methods" in content:
        content["methods"] = {name: _to_dict(o) for name, o in content["methods"].items()}
    return content


def _to_cell(value):
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=_to_json)
    return value


def _to_json(value):
    """Return NumPy's numbers as numbers, and what else JSON does not know as text."""
    return value.item() if isinstance(value, np.generic) else repr(value)


def write_text(path, text):
    # Names of files may contain what UTF-8 cannot encode.
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_bytes(path, content):
    """Write a file under another name first, so that a failure leaves an earlier file as it is."""
    path = Path(path).resolve()
    # In the same folder, because replacing is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
