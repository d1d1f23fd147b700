"""A matrix of costs from a CSV file."""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path

import numpy as np

from imblearn_eos.compare._costs import CostTable

LAYOUT = (
    "The first line names the predicted classes, and each further line a true class and its costs, "
    "as in\n    ,healthy,ill\n    healthy,0,1\n    ill,20,0"
)


def read_costs(text: str) -> CostTable:
    """Read costs whose rows and columns have the names of classes.

    Raises
    ------
    argparse.ArgumentTypeError
        When the file cannot be read, or cells are missing or not finite numbers.
    """
    try:
        lines = Path(text).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise argparse.ArgumentTypeError(
            f"{text} cannot be read ({reason}). Name a .csv file with a cost for each error."
        ) from error
    lines = [line for line in lines if line.strip(" ,;\t")]
    separator = max(",;\t", key=lines[0].count) if lines else ","
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    header, *rows = rows or [[]]
    if len(header) < 2 or not rows or any(len(row) != len(header) for row in rows):
        raise argparse.ArgumentTypeError(f"{text} is not a table of costs. {LAYOUT}")
    values = [
        [_to_cost(cell, text, row[0], name) for cell, name in zip(row[1:], header[1:], strict=True)]
        for row in rows
    ]
    return CostTable([row[0] for row in rows], header[1:], np.array(values), path=text)


def _to_cost(cell, path, true, predicted):
    try:
        cost = float(cell)
    except ValueError:
        cost = math.nan
    if not math.isfinite(cost):
        raise argparse.ArgumentTypeError(
            f"{path} has {cell!r} as the cost of {true!r} that is taken for {predicted!r}. Write a "
            "finite number, with a point as decimal mark."
        )
    return cost
