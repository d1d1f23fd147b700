"""Confusion matrices of several samplers, side by side."""

import numpy as np
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
# With more classes, numbers no longer fit into their cells.
_MAX_CLASSES_WITH_VALUES = 10


def plot_confusion_matrices(matrices, *, display_labels, axes=None):
    """Plot confusion matrices of several samplers, side by side and on the same scale.

    Each row is divided by its sum, so that the diagonal has the recalls and a rare class is as
    visible as a common one.

    Parameters
    ----------
    matrices : dict of str to array-like of shape (n_classes, n_classes)
        Numbers of test rows by true class (rows) and predicted class (columns), as from
        :func:`sklearn.metrics.confusion_matrix`, by the name of the sampler.

    display_labels : array-like of shape (n_classes,)
        Labels of the classes, in the order of the matrices.

    axes : array-like of matplotlib Axes, default=None
        Where to draw, at least as many as matrices. None makes a new figure with rows of at most
        three.

    Returns
    -------
    list of :class:`~sklearn.metrics.ConfusionMatrixDisplay`
        One for each matrix, with the shares that it shows as ``confusion_matrix``. Classes without
        test rows are zero there and hatched in the picture.

    Raises
    ------
    ValueError
        When there are no matrices, when they are not of shape (n_classes, n_classes) or hold a
        negative number, or when there are fewer axes than matrices.

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
    if not matrices:
        raise ValueError("matrices is empty. Give the confusion matrix of one sampler.")
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
            f"axes has {len(axes)} axes for {len(matrices)} matrices. Give one for each."
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
    if matrix.shape != (n_classes, n_classes):
        raise ValueError(
            f"matrices[{name!r}] has shape {matrix.shape}, but display_labels has {n_classes} "
            "labels. Pass labels to sklearn.metrics.confusion_matrix, so that it has every class."
        )
    if not (matrix >= 0).all():
        raise ValueError(f"matrices[{name!r}] must hold numbers of rows, none NaN or below 0.")
    return matrix


def _plot_matrix(name, matrix, labels, ax, grow):
    n_rows = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, n_rows, out=np.zeros(matrix.shape), where=n_rows > 0)
    has_values = len(labels) <= _MAX_CLASSES_WITH_VALUES
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
            # scikit-learn goes by the largest share, not the scale: that can be white on light.
            text.set_color("white" if share > 0.5 else "black")
            if share == 0:
                text.set_text("0")
    for i in np.flatnonzero(n_rows == 0):
        # Above the image, and the zeros of this row, which no prediction stands behind.
        ax.axhspan(i - 0.5, i + 0.5, zorder=4, **NO_VALUE)
    return display
