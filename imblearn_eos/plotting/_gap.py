"""Generalization gaps by class, beside what explains them without any learning."""

import numpy as np

from imblearn_eos.metrics import generalization_gap_report
from imblearn_eos.plotting._axes import (
    BLUE,
    VERMILLION,
    check_axes,
    import_pyplot,
    label_classes,
    width_for,
)

_TEST_ROWS = {
    "all": "all test rows",
    "right": "rightly classified test rows",
    "wrong": "wrongly classified test rows",
}


class GeneralizationGapDisplay:
    r"""Generalization gap of each class, before and after over-sampling, with references.

    Classes are ordered from the most training rows to the fewest, which is what gaps follow
    first of all. Hence the references, which are always drawn: a gap that is no larger than that
    of a class of this size, or no more narrowed than by random rows with a wrong label, tells
    nothing of the class or the sampler.

    It is best made with :meth:`from_estimator` or :meth:`from_embeddings`.

    Parameters
    ----------
    report : :class:`~sklearn.utils.Bunch`
        What :func:`~imblearn_eos.metrics.generalization_gap_report` returns.

    Attributes
    ----------
    before_, after_ : matplotlib Line2D
        Markers of the gaps; classes without such test rows are NaN.

    label_noise_ : matplotlib StepPatch
        Reference for ``after_``.

    size_matched_ : matplotlib StepPatch
        Reference for ``before_``.

    ax_ : matplotlib Axes
        Axes with the picture.

    figure_ : matplotlib Figure
        Figure that holds them.

    See Also
    --------
    imblearn_eos.metrics.generalization_gap_report : The numbers, and what the references are.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.model_selection import train_test_split
    >>> from imblearn_eos import EOS
    >>> from imblearn_eos.plotting import GeneralizationGapDisplay
    >>> X, y = make_classification(n_samples=2000, weights=[0.95], random_state=0)
    >>> Z, Z_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    >>> resampled = EOS(random_state=0).fit_resample(Z, y)
    >>> display = GeneralizationGapDisplay.from_embeddings(Z, y, *resampled, Z_test, y_test)
    >>> [label.get_text() for label in display.ax_.get_xticklabels()]
    ['0\n1417', '1\n83']
    """

    def __init__(self, report):
        self.report = report

    @classmethod
    def from_estimator(cls, pipeline, X_test, y_test=None, *, test_rows="all", ax=None):
        """Plot the gaps of a fitted pipeline.

        Parameters
        ----------
        pipeline : EmbeddingPipeline
            Fitted, so that its ``generalization_gap`` knows the training data.

        X_test : {array-like, torch.Tensor, torch.utils.data.Dataset} of shape (n_test, ...)
            Test samples, before embedding.

        y_test : {array-like, torch.Tensor} of shape (n_test,), default=None
            Their labels.

        test_rows : {"all", "right", "wrong"}, default="all"
            As in :meth:`plot`.

        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.

        Returns
        -------
        GeneralizationGapDisplay

        Raises
        ------
        TypeError
            When ``pipeline`` has no method ``generalization_gap``.
        ValueError
            As in :meth:`plot`.
        """
        import_pyplot()
        if not hasattr(pipeline, "generalization_gap"):
            raise TypeError(
                f"pipeline is of type {type(pipeline).__name__}, which has no method "
                "generalization_gap. Pass a fitted EmbeddingPipeline, or embeddings to "
                "GeneralizationGapDisplay.from_embeddings."
            )
        return cls(pipeline.generalization_gap(X_test, y_test)).plot(ax, test_rows=test_rows)

    @classmethod
    def from_embeddings(
        cls,
        Z_train,
        y_train,
        Z_resampled,
        y_resampled,
        Z_test,
        y_test,
        *,
        y_pred=None,
        test_rows="all",
        ax=None,
    ):
        """Plot the gaps of embeddings.

        Parameters
        ----------
        Z_train : {array-like, torch.Tensor} of shape (n_train, n_features)
            Embeddings of the training rows.

        y_train : {array-like, torch.Tensor} of shape (n_train,)
            Their labels.

        Z_resampled : {array-like, torch.Tensor} of shape (n_resampled, n_features)
            What a sampler made of them.

        y_resampled : {array-like, torch.Tensor} of shape (n_resampled,)
            Labels of those rows.

        Z_test : {array-like, torch.Tensor} of shape (n_test, n_features)
            Embeddings of test rows.

        y_test : {array-like, torch.Tensor} of shape (n_test,)
            Their labels, each of which must be in ``y_train`` too.

        y_pred : {array-like, torch.Tensor} of shape (n_test,), default=None
            Predicted labels of the test rows, which "right" and "wrong" need.

        test_rows : {"all", "right", "wrong"}, default="all"
            As in :meth:`plot`.

        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.

        Returns
        -------
        GeneralizationGapDisplay

        Raises
        ------
        ValueError
            As in :func:`~imblearn_eos.metrics.generalization_gap_report` and :meth:`plot`.
        """
        import_pyplot()
        report = generalization_gap_report(
            Z_train, y_train, Z_resampled, y_resampled, Z_test, y_test, y_pred=y_pred
        )
        return cls(report).plot(ax, test_rows=test_rows)

    def plot(self, ax=None, *, test_rows="all"):
        """Draw the gaps.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.

        test_rows : {"all", "right", "wrong"}, default="all"
            Which test rows: all, or those classified rightly or wrongly, if the report was made
            with predictions.

        Returns
        -------
        self : GeneralizationGapDisplay

        Raises
        ------
        ValueError
            When the report has no such test rows.
        """
        report = self.report
        if test_rows not in report.before:
            raise ValueError(
                f"test_rows is {test_rows!r}, but the report has {list(report.before)}. 'right' "
                "and 'wrong' need predictions: pass y_pred to from_embeddings or "
                "generalization_gap_report."
            )
        is_new = ax is None
        self.ax_ = ax = check_axes(ax, (width_for(len(report.classes)), 5.5))
        self.figure_ = ax.figure
        order = np.argsort(-report.train_counts, kind="stable")
        x, edges = np.arange(len(order)), np.arange(len(order) + 1) - 0.5
        before, after = report.before[test_rows][order], report.after[test_rows][order]

        # Many markers side by side must be small.
        size = float(np.clip(120 / len(order), 4, 8))
        (self.before_,) = ax.plot(
            x, before, "o", color=BLUE, markersize=size, label="before over-sampling"
        )
        # Steps, not lines, so that a class whose neighbours have no test rows shows its reference.
        self.size_matched_ = ax.stairs(
            report.size_matched[test_rows][order],
            edges,
            baseline=None,
            color="0.35",
            linestyle=(0, (6, 2)),
            linewidth=1.3,
            label="before, by size alone: largest class cut to this size",
        )
        (self.after_,) = ax.plot(
            x,
            after,
            "D",
            color=VERMILLION,
            markerfacecolor="none",
            markeredgewidth=1.3,
            markersize=size,
            label="after over-sampling",
        )
        self.label_noise_ = ax.stairs(
            report.label_noise[test_rows][order],
            edges,
            baseline=None,
            color=VERMILLION,
            linestyle=(0, (1, 1.5)),
            linewidth=1.8,
            label="after, by label noise: random rows of other classes",
        )
        # matplotlib's own order would part each reference from what it refers to.
        handles = [self.before_, self.size_matched_, self.after_, self.label_noise_]
        absent = np.flatnonzero(np.isnan(before))
        if len(absent):
            handles += ax.plot(
                absent,
                np.zeros(len(absent)),
                "x",
                color="0.5",
                markersize=size,
                label="no test rows" if test_rows == "all" else f"no {_TEST_ROWS[test_rows]}",
            )
        label_classes(ax, report.classes[order], report.train_counts[order], grow=is_new)
        ax.set_xlim(edges[0], edges[-1])
        ax.set_ylabel(f"Generalization gap\nof {_TEST_ROWS[test_rows]}")
        # Above the axes, where it hides no class.
        ax.legend(
            handles=handles,
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            frameon=False,
        )
        return self
