"""What all displays share: importing matplotlib, new figures, and class names along an axis."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np

# Longer names in a plot get an ellipsis in their middle.
MAX_NAME = 22

# Okabe and Ito's colors, which color-blind readers can tell apart.
BLUE, SKY, VERMILLION, ORANGE = "#0072B2", "#56B4E9", "#D55E00", "#E69F00"

# The style of cells without a value, with any color map.
NO_VALUE = {"facecolor": "0.9", "edgecolor": "0.6", "hatch": "////", "linewidth": 0}


def import_pyplot() -> Any:
    """Return matplotlib.pyplot, which is imported late because the package works without it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "imblearn_eos.plotting needs matplotlib. Install the extra 'report': "
            "pip install 'imblearn-eos[report]'."
        ) from error
    return plt


def check_axes(ax: Any, figsize: tuple[float, float]) -> Any:
    """Return ``ax``, or the axes of a new figure if it is None."""
    plt = import_pyplot()
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    return ax


def width_for(n_classes: int) -> float:
    """Return the width in inches of a new figure for a number of classes side by side."""
    return float(np.clip(2 + 0.6 * n_classes, 6.4, 11))


def name_for(label: object) -> str:
    """Return a label as a short text of one line that matplotlib does not read as a formula.

    The end of a long name stays, because class names often differ only there.
    """
    name = " ".join(str(label).split())
    if len(name) > MAX_NAME:
        name = name[: MAX_NAME - 7].rstrip() + "…" + name[-6:].lstrip()
    return name.replace("$", r"\$")


def label_classes(ax, labels, counts=None, *, grow=False):
    """Label the x axis with the classes, as many as fit, and a caption.

    Parameters
    ----------
    ax : matplotlib Axes
        Its x axis has class i at position i.
    labels : array-like of shape (n_classes,)
        Labels of the classes.
    counts : array-like of shape (n_classes,), default=None
        Their training rows, in descending order. If labels do not fit, ranks and counts replace
        them, because every tenth class name says less than the sizes.
    grow : bool, default=False
        Whether the figure grows by the height of upright labels, so that the axes do not shrink.
    """
    names, n_classes = [name_for(label) for label in labels], len(labels)
    counted = names if counts is None else [*names, *map(str, counts)]
    width, line = text_size(ax, counted)
    spacing = room(ax) / n_classes
    if width + line / 2 <= spacing:
        if counts is not None:
            names = [f"{name}\n{count}" for name, count in zip(names, counts, strict=True)]
        ax.set_xticks(range(n_classes), names)
    elif line <= spacing or counts is None:
        step = tick_step(line, spacing)
        if counts is not None:
            names = [f"{name} ({count})" for name, count in zip(names, counts, strict=True)]
        ax.set_xticks(range(0, n_classes, step), names[::step], rotation=90)
        if grow:
            figure, (length, _) = ax.figure, text_size(ax, names[::step])
            figure.set_figheight(figure.get_figheight() + length / figure.dpi)
    else:
        width, _ = text_size(ax, [*map(str, counts), str(n_classes)])
        # Ranks 1, 10, 20: the first two are closer by one place, which is less than the height of
        # a line.
        step = tick_step(width + line, spacing)
        ranks = [1, *range(step, n_classes + 1, step)]
        ax.set_xticks([r - 1 for r in ranks], [f"{r}\n{counts[r - 1]}" for r in ranks])
        ax.set_xlabel("Rank of the class by training rows, and number of these rows")
        return
    ax.set_xlabel("Class" if counts is None else "Class and number of its training rows")


def text_size(ax, lines):
    """Return the width of the widest of some tick labels, and the height of a line, in pixels."""
    size = import_pyplot().rcParams["xtick.labelsize"]
    text = ax.text(0, 0, "\n".join(lines), fontsize=size)
    box = text.get_window_extent()
    text.remove()
    return box.width, box.height / len(lines)


def room(ax):
    """Return the width in pixels that labels along the x axis can use.

    A layout engine sets the final size of the axes when the figure is drawn. Color bars and labels
    take part of the present size, and a larger part of square axes, which have names on two sides.
    """
    box = ax.get_window_extent()
    return 0.85 * box.width if ax.get_aspect() == "auto" else 0.7 * min(box.width, box.height)


def tick_step(size, spacing):
    """Return the smallest of 1, 2, 5, 10, 20, ... places that a label of some size fits into."""
    steps = (m * 10**power for power in count() for m in (1, 2, 5))
    return next(step for step in steps if step * spacing >= size)
