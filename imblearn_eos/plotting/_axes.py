"""What all displays share: matplotlib itself, figures, and names of classes along an axis."""

from itertools import count

import numpy as np

# Most characters of a name in a picture; the middle of a longer one gives way to an ellipsis.
MAX_NAME = 22

# Okabe and Ito's colours, which colour-blind readers tell apart.
BLUE, SKY, VERMILLION, ORANGE = "#0072B2", "#56B4E9", "#D55E00", "#E69F00"

# How cells without a value look, whatever the colour map.
NO_VALUE = {"facecolor": "0.9", "edgecolor": "0.6", "hatch": "////", "linewidth": 0}


def import_pyplot():
    """Import matplotlib where it is needed, since the package works without it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "imblearn_eos.plotting needs matplotlib. Install the extra 'report': "
            "pip install 'imblearn-eos[report]'."
        ) from error
    return plt


def check_axes(ax, figsize):
    """Give ``ax``, or the axes of a new figure when it is None."""
    plt = import_pyplot()
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    return ax


def width_for(n_classes):
    """Give the width in inches of a new figure with so many classes side by side."""
    return float(np.clip(2 + 0.6 * n_classes, 6.4, 11))


def name_for(label):
    """Write a label so that it is short, of one line and no formula.

    The end of a long name stays, since names of classes often differ there only.
    """
    name = " ".join(str(label).split())
    if len(name) > MAX_NAME:
        name = name[: MAX_NAME - 7].rstrip() + "…" + name[-6:].lstrip()
    return name.replace("$", r"\$")


def label_classes(ax, labels, counts=None, *, grow=False):
    """Write the classes along the x axis, as many as there is room for, and a caption.

    Parameters
    ----------
    ax : matplotlib Axes
        Its x axis has class i at position i.
    labels : array-like of shape (n_classes,)
        Labels of the classes.
    counts : array-like of shape (n_classes,), default=None
        Their training rows, in descending order. With these, labels that do not fit give way to
        ranks: names of every tenth class say less than the sizes of all.
    grow : bool, default=False
        Whether the figure becomes higher by what upright labels take, so that the axes do not
        shrink.
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
        # Ranks 1, 10, 20: the first two are a place nearer to each other than a step, which is less
        # than a line is high.
        step = tick_step(width + line, spacing)
        ranks = [1, *range(step, n_classes + 1, step)]
        ax.set_xticks([r - 1 for r in ranks], [f"{r}\n{counts[r - 1]}" for r in ranks])
        ax.set_xlabel("Rank of the class by training rows, and number of these rows")
        return
    ax.set_xlabel("Class" if counts is None else "Class and number of its training rows")


def text_size(ax, lines):
    """Give the width of the widest of some tick labels, and the height of a line, in pixels."""
    size = import_pyplot().rcParams["xtick.labelsize"]
    text = ax.text(0, 0, "\n".join(lines), fontsize=size)
    box = text.get_window_extent()
    text.remove()
    return box.width, box.height / len(lines)


def room(ax):
    """Give the pixels that labels along the x axis can count on.

    A layout engine gives axes their final size only when the figure is drawn, and colour bars and
    labels take some of what there is now: of square axes more, on both sides of which names stand.
    """
    box = ax.get_window_extent()
    return 0.85 * box.width if ax.get_aspect() == "auto" else 0.7 * min(box.width, box.height)


def tick_step(size, spacing):
    """Give the smallest of 1, 2, 5, 10, 20, ... places that a label of some size fits into."""
    steps = (m * 10**power for power in count() for m in (1, 2, 5))
    return next(step for step in steps if step * spacing >= size)
