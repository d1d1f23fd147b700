"""Recall of each class under several samplers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import recall_score
from sklearn.utils import column_or_1d

from imblearn_eos._validation import label_vector
from imblearn_eos.plotting._axes import (
    NO_VALUE,
    check_axes,
    import_pyplot,
    label_classes,
    name_for,
    width_for,
)

# With more classes, numbers no longer fit into their cells.
_MAX_CLASSES_WITH_VALUES = 12


class RecallDisplay:
    r"""Recall of each class under several samplers, as a heat map.

    Rows are samplers. Columns are classes, from the most training rows to the fewest, so losses for
    common classes stand on the left and gains for rare classes on the right.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    recalls : dict of str to array-like of shape (n_classes,)
        The recalls for each sampler, from 0 to 1. NaN marks a class without test rows, which is
        hatched.

    classes : array-like of shape (n_classes,)
        Labels of the classes.

    train_counts : array-like of shape (n_classes,), default=None
        Their training rows. None keeps the order of ``classes``.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The heat map; missing values are masked.

    text_ : ndarray of matplotlib Text, of shape (n_samplers, n_classes), or None
        The values in the cells; None with more than 12 classes.

    ax_ : matplotlib Axes
        Axes of the plot.

    figure_ : matplotlib Figure
        Figure of these axes.

    Examples
    --------
    >>> from imblearn_eos.plotting import RecallDisplay
    >>> recalls = {"none": [0.9, 0.2], "EOS": [0.85, 0.6]}
    >>> display = RecallDisplay(recalls, classes=["cat", "lynx"], train_counts=[900, 30]).plot()
    >>> [label.get_text() for label in display.ax_.get_xticklabels()]
    ['cat\n900', 'lynx\n30']
    """

    def __init__(
        self,
        recalls: dict[str, Sequence[float] | np.ndarray],
        *,
        classes: ArrayLike,
        train_counts: Sequence[int] | np.ndarray | None = None,
    ) -> None:
        self.recalls = recalls
        self.classes = classes
        self.train_counts = train_counts

    @classmethod
    def from_estimator(
        cls,
        estimators: Any,
        X: Any,
        y: ArrayLike,
        *,
        y_train: ArrayLike | None = None,
        ax: Any = None,
    ) -> RecallDisplay:
        """Plot the recalls of fitted classifiers.

        Parameters
        ----------
        estimators : classifier, or dict of str to classifier
            Fitted classifiers by the name of their sampler, or a single one.

        X : array-like of shape (n_samples, ...)
            Test samples for ``predict``.

        y : {array-like, torch.Tensor} of shape (n_samples,)
            Their labels.

        y_train, ax
            As in :meth:`from_predictions`.

        Returns
        -------
        RecallDisplay
        """
        import_pyplot()
        if not isinstance(estimators, dict):
            estimators = {type(estimators).__name__: estimators}
        predictions = {name: estimator.predict(X) for name, estimator in estimators.items()}
        return cls.from_predictions(y, predictions, y_train=y_train, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        predictions: dict[str, ArrayLike],
        *,
        y_train: ArrayLike | None = None,
        ax: Any = None,
    ) -> RecallDisplay:
        """Plot the recalls of predicted labels.

        Parameters
        ----------
        y_true : {array-like, torch.Tensor} of shape (n_samples,)
            Labels of the test rows.

        predictions : dict of str to {array-like, torch.Tensor} of shape (n_samples,)
            Predicted labels by the name of the sampler.

        y_train : {array-like, torch.Tensor} of shape (n_train,), default=None
            Labels of the training rows before over-sampling, which define the order of the
            classes. None means sorted order.

        ax : matplotlib Axes, default=None
            As in :meth:`plot`.

        Returns
        -------
        RecallDisplay

        Raises
        ------
        ValueError
            When predictions differ from ``y_true`` in length or in the type of labels, or when
            ``y_train`` lacks a class of ``y_true``.
        """
        import_pyplot()
        y_true = column_or_1d(label_vector(y_true))
        classes, counts = np.unique(y_true), None
        if y_train is not None:
            known, counts = np.unique(column_or_1d(label_vector(y_train)), return_counts=True)
            missing = np.setdiff1d(classes, known)
            if len(missing):
                raise ValueError(
                    f"y_train lacks the classes {missing.tolist()} of y_true. Pass the labels of "
                    "all training rows, of the same kind as y_true."
                )
            classes = known
        recalls = {
            name: recall_score(
                y_true,
                column_or_1d(label_vector(y_pred)),
                labels=classes,
                average=None,
                zero_division=np.nan,
            )
            for name, y_pred in predictions.items()
        }
        return cls(recalls, classes=classes, train_counts=counts).plot(ax)

    def plot(self, ax: Any = None) -> RecallDisplay:
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.

        Returns
        -------
        self : RecallDisplay

        Raises
        ------
        ValueError
            When recalls or ``train_counts`` do not have one value for each class.
        """
        classes, counts = np.asarray(self.classes), self.train_counts
        for name, values in [*self.recalls.items(), ("train_counts", counts)]:
            if values is not None and len(values) != len(classes):
                raise ValueError(
                    f"{name!r} has {len(values)} values, but there are {len(classes)} classes. "
                    "Pass one for each class, in the order of classes."
                )
        order = np.arange(len(classes))
        if counts is not None:
            order = np.argsort(-np.asarray(counts), kind="stable")
            counts = np.asarray(counts)[order]
        values = np.array([np.asarray(v, dtype=float)[order] for v in self.recalls.values()])

        is_new = ax is None
        self.ax_ = ax = check_axes(ax, (width_for(len(classes)), 2 + 0.45 * len(values)))
        self.figure_ = ax.figure
        ax.patch.set(**NO_VALUE)
        self.im_ = ax.imshow(
            np.ma.masked_invalid(values), cmap="cividis", vmin=0, vmax=1, aspect="auto"
        )
        self.figure_.colorbar(self.im_, ax=ax, label="Recall", ticks=[0, 0.25, 0.5, 0.75, 1])
        self.text_ = None
        if len(classes) <= _MAX_CLASSES_WITH_VALUES:
            self.text_ = np.empty(values.shape, dtype=object)
            for (i, j), value in np.ndenumerate(values):
                label = "" if np.isnan(value) else f"{value:.2f}"
                # cividis is dark up to its middle.
                color = "white" if value < 0.5 else "black"
                self.text_[i, j] = ax.text(j, i, label, ha="center", va="center", color=color)
        ax.set_yticks(range(len(values)), [name_for(name) for name in self.recalls])
        label_classes(ax, classes[order], counts, grow=is_new)
        if np.isnan(values).any():
            ax.set_xlabel(f"{ax.get_xlabel()} (hatched: no test rows)")
        return self
