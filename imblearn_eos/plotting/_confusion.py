"""Confusion matrices of several samplers, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import ConfusionMatrixDisplay

from imblearn_eos.plotting._axes import (
    NO_VALUE,
    import_pyplot,
    label_classes,
    name_for,
    room,
    text_size,
    tick_step,
)

_MAX_COLUMNS = 3
# With more classes, numbers no longer fit into the cells of a new figure.
_MAX_CLASSES_WITH_VALUES = 10


def plot_confusion_matrices(
    matrices: dict[str, ArrayLike], *, display_labels: Sequence | np.ndarray, axes: Any = None
) -> list[ConfusionMatrixDisplay]:
    """Plot confusion matrices of several samplers, side by side and on the same scale.

    Each row is divided by its sum. The diagonal then holds the recalls, and rare classes are as
    visible as common ones.

    Parameters
    ----------
    matrices : dict of str to array-like of shape (n_classes, n_classes)
        Numbers of test rows by true class (rows) and predicted class (columns), as from
        :func:`sklearn.metrics.confusion_matrix`. The keys are the names of the samplers.

    display_labels : array-like of shape (n_classes,)
        Labels of the classes, in the order of the matrices.

    axes : array-like of matplotlib Axes, default=None
        Where to draw, at least one for each matrix. None makes a new figure with at most three
        matrices per row.

    Returns
    -------
    list of :class:`~sklearn.metrics.ConfusionMatrixDisplay`
        One for each matrix; its ``confusion_matrix`` holds the shares. Classes without test rows
        have shares of zero and are hatched in the plot.

    Raises
    ------
    ValueError
        When a matrix is not of shape (n_classes, n_classes) or holds a negative number or NaN, or
        when there are fewer axes than matrices.

    Examples
    --------
    >>> from imblearn_eos.plotting import plot_confusion_matrices
    >>> matrices = {"none": [[90, 10], [8, 2]], "EOS": [[85, 15], [4, 6]]}
    >>> displays = plot_confusion_matrices(matrices, display_labels=["cat", "lynx"])
    >>> [display.ax_.get_title() for display in displays]
    ['none', 'EOS']
    >>> displays[1].confusion_matrix.tolist()
    [[0.85, 0.15], [0.4, 0.6]]
    """
    plt = import_pyplot()
    n_classes = len(display_labels)
    matrices = {name: _check_matrix(name, m, n_classes) for name, m in matrices.items()}
    is_new = axes is None
    if is_new:
        n_columns = min(len(matrices), _MAX_COLUMNS)
        n_rows = -(-len(matrices) // n_columns)
        figsize = (4 * n_columns + 1, 4.2 * n_rows)
        figure, axes = plt.subplots(
            n_rows, n_columns, figsize=figsize, squeeze=False, layout="compressed"
        )
        for ax in axes.flat[len(matrices) :]:
            figure.delaxes(ax)
    axes = list(np.ravel(axes))[: len(matrices)]
    if len(axes) < len(matrices):
        raise ValueError(
            f"axes must have at least one Axes for each of the {len(matrices)} matrices, got "
            f"{len(axes)}."
        )
    displays = []
    for i, ((name, matrix), ax) in enumerate(zip(matrices.items(), axes, strict=True)):
        starts_row = i % _MAX_COLUMNS == 0
        displays.append(_plot_matrix(name, matrix, display_labels, ax, is_new and starts_row))
        if is_new and not starts_row:
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)
    axes[0].figure.colorbar(displays[0].im_, ax=axes, label="Share of the true class", aspect=30)
    return displays


def _check_matrix(name, matrix, n_classes):
    matrix = np.asarray(matrix)
    if matrix.shape != (n_classes, n_classes) or not (matrix >= 0).all():
        raise ValueError(
            f"matrices[{name!r}] must hold {n_classes} x {n_classes} numbers of rows, none NaN or "
            f"below 0, got shape {matrix.shape}. Pass labels to sklearn.metrics.confusion_matrix, "
            "so that it has every class."
        )
    return matrix


def _plot_matrix(name, matrix, labels, ax, grow):
    n_rows = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, n_rows, out=np.zeros(matrix.shape), where=n_rows > 0)
    cell = room(ax) / len(labels)
    has_values = len(labels) <= _MAX_CLASSES_WITH_VALUES or text_size(ax, ["0.00"])[0] <= cell
    display = ConfusionMatrixDisplay(shares, display_labels=labels).plot(
        include_values=has_values,
        values_format=".2f",
        cmap="Blues",
        ax=ax,
        colorbar=False,
        im_kw={"vmin": 0, "vmax": 1},
        text_kw={"fontsize": "small" if len(labels) > 5 else "medium"},
    )
    ax.set(title=name_for(name), ylabel="True class")
    label_classes(ax, labels, grow=grow)
    ax.set_xlabel("Predicted class")
    step = tick_step(text_size(ax, ["0"])[1], room(ax) / len(labels))
    ax.set_yticks(range(0, len(labels), step), [name_for(label) for label in labels[::step]])
    if has_values:
        for text, share in zip(display.text_.flat, shares.flat, strict=True):
            # scikit-learn compares with the largest share, which can put white text on light cells.
            text.set_color("white" if share > 0.5 else "black")
            if share == 0:
                text.set_text("0")
    for i in np.flatnonzero(n_rows == 0):
        # Above the image and the zeros of this row, which come from no prediction.
        ax.axhspan(i - 0.5, i + 0.5, zorder=4, **NO_VALUE)
    return display
