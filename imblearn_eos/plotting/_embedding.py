"""Where synthetic rows lie between their class and its enemies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted

from imblearn_eos._compat import StrOptions, validate_parameter_constraints
from imblearn_eos._validation import label_vector, to_array
from imblearn_eos.plotting._axes import (
    BLUE,
    ORANGE,
    SKY,
    VERMILLION,
    check_axes,
    import_pyplot,
    name_for,
)

# More segments would hide the rows.
_N_SEGMENTS = 30

# In drawing order: the smallest groups come last and lie on top.
_STYLES = {
    "others": ("rows of other classes", {"marker": ".", "s": 14, "color": "0.75"}),
    "synthetic": ("synthetic rows", {"marker": "+", "s": 30, "color": ORANGE, "linewidth": 1}),
    "originals": (
        "original rows",
        {"marker": "o", "s": 26, "facecolor": SKY, "edgecolor": "black", "linewidth": 0.6},
    ),
    "enemies": (
        "enemies (other classes)",
        {"marker": "v", "s": 42, "facecolor": VERMILLION, "edgecolor": "black", "linewidth": 0.8},
    ),
    "bases": (
        "bases (original rows)",
        {"marker": "s", "s": 36, "facecolor": BLUE, "edgecolor": "white", "linewidth": 0.8},
    ),
}


class EmbeddingDisplay:
    """Original and synthetic rows of one class, their bases and their enemies, in the plane.

    Create it with :meth:`from_estimator` or :meth:`from_embeddings`.

    Parameters
    ----------
    groups : dict of str to ndarray of shape (n_rows, 2)
        Points of the groups "others" (rows of other classes), "synthetic" and "originals" (rows of
        the class) and, if the sampler has them, "bases" and "enemies". Each row is in one group.

    target : object
        Label of the class.

    axis_labels : tuple of str
        Names of the two coordinates.

    segments : ndarray of shape (n_synthetic, 2, 2), default=None
        The points of the base and the enemy of each synthetic row.

    Attributes
    ----------
    scatters_ : dict of str to matplotlib PathCollection
        The points of each group that has rows.

    segments_ : matplotlib LineCollection or None
        Lines from base to enemy of up to 30 synthetic rows.

    ax_ : matplotlib Axes
        Axes of the plot.

    figure_ : matplotlib Figure
        Figure of these axes.

    Notes
    -----
    A projection loses most of an embedding with many features: rows that are far apart may overlap.
    The axes are limited to the class and its enemies, so distant rows of other classes are not
    visible.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos import EOS
    >>> from imblearn_eos.plotting import EmbeddingDisplay
    >>> Z, y = make_classification(weights=[0.9], class_sep=0.5, random_state=0)
    >>> display = EmbeddingDisplay.from_embeddings(Z, y, EOS(random_state=0))
    >>> display.target
    1
    >>> list(display.scatters_)
    ['others', 'synthetic', 'enemies', 'bases']
    """

    def __init__(
        self,
        groups: dict[str, np.ndarray],
        *,
        target: object,
        axis_labels: tuple[str, str] = ("", ""),
        segments: np.ndarray | None = None,
    ) -> None:
        self.groups = groups
        self.target = target
        self.axis_labels = axis_labels
        self.segments = segments

    @classmethod
    def from_estimator(cls, pipeline: Any, X: Any, y: ArrayLike, **params: Any) -> EmbeddingDisplay:
        """Plot the rows that the sampler of a fitted pipeline adds.

        For training data and an int as the sampler's ``random_state``, these are the rows that the
        pipeline was fitted to.

        Parameters
        ----------
        pipeline : EmbeddingPipeline, or another pipeline of imbalanced-learn
            Fitted. The steps before its last sampler embed, transform and resample ``X``.

        X : {array-like, torch.Tensor, torch.utils.data.Dataset} of shape (n_samples, ...)
            Input samples of the pipeline.

        y : {array-like, torch.Tensor} of shape (n_samples,)
            Their labels.

        **params : dict
            ``target``, ``projection``, ``max_rows``, ``random_state`` and ``ax``, as in
            :meth:`from_embeddings`.

        Returns
        -------
        EmbeddingDisplay

        Raises
        ------
        TypeError
            When ``pipeline`` has no sampler.
        sklearn.exceptions.NotFittedError
            When it is not fitted.
        ValueError
            As in :meth:`from_embeddings`.
        """
        import_pyplot()
        steps = getattr(pipeline, "steps", [])
        samplers = [i for i, (_, step) in enumerate(steps) if hasattr(step, "fit_resample")]
        if not samplers:
            raise TypeError(
                "pipeline must be a fitted pipeline with a sampler, got a "
                f"{type(pipeline).__name__} with the steps {[name for name, _ in steps]}. For "
                "embeddings and a sampler, use EmbeddingDisplay.from_embeddings."
            )
        check_is_fitted(pipeline)
        Z = X
        for _, step in steps[: samplers[-1]]:
            if hasattr(step, "fit_resample"):
                Z, y = clone(step).fit_resample(Z, y)
            elif step not in (None, "passthrough"):
                Z = step.transform(Z)
        return cls.from_embeddings(Z, y, steps[samplers[-1]][1], **params)

    @classmethod
    def from_embeddings(
        cls,
        Z: ArrayLike,
        y: ArrayLike,
        sampler: Any,
        *,
        target: object = None,
        projection: Any = None,
        max_rows: int = 2000,
        random_state: Any = 0,
        ax: Any = None,
    ) -> EmbeddingDisplay:
        """Plot the rows that a sampler adds to embeddings.

        Parameters
        ----------
        Z : {array-like, torch.Tensor} of shape (n_samples, n_features)
            Embeddings, or any numeric features.

        y : {array-like, torch.Tensor} of shape (n_samples,)
            Their labels.

        sampler : over-sampler of imbalanced-learn or with the same interface
            A clone of it is fitted. Bases and enemies are drawn if the clone then has
            ``base_indices_`` and ``enemy_indices_``, as :class:`~imblearn_eos.EOS` does.

        target : object, default=None
            Label of the class to show. None means the class with the most synthetic rows.

        projection : transformer, default=None
            Maps rows to two coordinates. A clone is fitted to the original rows of the class and
            its enemies (to all original rows if there are no enemies) and transforms all rows. None
            means :class:`~sklearn.decomposition.PCA`, or no projection if ``Z`` has two features.

        max_rows, random_state, ax
            As in :meth:`plot`. ``random_state`` also seeds the default projection.

        Returns
        -------
        EmbeddingDisplay

        Raises
        ------
        ValueError
            When ``Z`` and ``y`` differ in length, when ``Z`` has a single feature, when the sampler
            changes original rows or adds none to ``target``, or when the projection does not return
            two columns.
        """
        import_pyplot()
        rows = check_array(
            to_array(Z, "Z"), dtype=[np.float64, np.float32], ensure_min_features=2, input_name="Z"
        )
        labels, n_rows = column_or_1d(label_vector(y)), len(rows)
        sampler = clone(sampler)
        resampled, new_labels = sampler.fit_resample(rows, labels)
        if not np.array_equal(resampled[:n_rows], rows):
            raise ValueError(
                f"sampler {sampler!r} changes or drops original rows, so its synthetic rows cannot "
                "be identified. Use one that only appends rows, such as EOS or SMOTE."
            )
        target = _check_target(target, new_labels[n_rows:])
        synthetic = np.flatnonzero(new_labels[n_rows:] == target)
        in_target, indices = labels == target, {}
        base = enemy = None
        if hasattr(sampler, "base_indices_") and hasattr(sampler, "enemy_indices_"):
            base, enemy = sampler.base_indices_[synthetic], sampler.enemy_indices_[synthetic]
            indices = {"bases": np.unique(base), "enemies": np.unique(enemy)}
        rest = np.full(n_rows, True)
        rest[np.concatenate([[], *indices.values()]).astype(int)] = False
        indices["originals"] = np.flatnonzero(rest & in_target)
        indices["others"] = np.flatnonzero(rest & ~in_target)
        indices["synthetic"] = n_rows + synthetic

        if enemy is not None:
            rows = rows[np.union1d(np.flatnonzero(in_target), enemy)]
        points, axis_labels = _project(projection, rows, resampled, random_state)
        return cls(
            {name: points[i] for name, i in indices.items()},
            target=target,
            axis_labels=axis_labels,
            segments=None if base is None else np.stack([points[base], points[enemy]], axis=1),
        ).plot(ax, max_rows=max_rows, random_state=random_state)

    def plot(
        self, ax: Any = None, *, max_rows: int = 2000, random_state: Any = 0
    ) -> EmbeddingDisplay:
        """Draw the rows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.

        max_rows : int, default=2000
            Largest number of rows to draw of each group. The legend tells where a group has more.

        random_state : int, RandomState instance or None, default=0
            Seed for choosing the rows, and the synthetic rows with a line from base to enemy.

        Returns
        -------
        self : EmbeddingDisplay
        """
        for name in self.groups:
            validate_parameter_constraints(
                {"groups": [StrOptions(set(_STYLES))]}, {"groups": name}, "EmbeddingDisplay"
            )
        self.ax_ = ax = check_axes(ax, (7, 6))
        self.figure_ = ax.figure
        random_state = check_random_state(random_state)
        self.scatters_ = {}
        n_rows = sum(min(len(p), max_rows) for name, p in self.groups.items() if name != "others")
        shrink = np.clip(400 / n_rows, 0.4, 1)  # Of the area of the markers.
        order = list(_STYLES)
        for name in sorted(self.groups, key=order.index):
            points, (label, style) = self.groups[name], _STYLES[name]
            if len(points):
                label = f"{label} ({_count(len(points), max_rows)})"
                points = _draw(points, max_rows, random_state)
                style = {**style, "s": shrink * style["s"], "zorder": 2 + order.index(name)}
                self.scatters_[name] = ax.scatter(*points.T, label=label, **style)
        self.segments_ = None
        if self.segments is not None:
            from matplotlib.collections import LineCollection

            self.segments_ = LineCollection(
                _draw(self.segments, _N_SEGMENTS, random_state),
                color="0.3",
                linewidth=0.6,
                zorder=2.5,
                label="from a base to its enemy (some)",
            )
            ax.add_collection(self.segments_, autolim=False)
        self._focus(ax)
        ax.set(xlabel=self.axis_labels[0], ylabel=self.axis_labels[1])
        # Above the axes, where it hides no row.
        ax.legend(
            title=f"Class {name_for(self.target)}",
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            ncols=2,
            markerscale=shrink**-0.5,
            frameon=False,
        )
        return self

    def _focus(self, ax):
        """Limit the axes to the class and its enemies."""
        points = np.concatenate([p for name, p in self.groups.items() if name != "others"])
        low, high = points.min(axis=0), points.max(axis=0)
        margin = 0.08 * np.maximum(high - low, 1e-9)
        (left, bottom), (right, top) = low - margin, high + margin
        # With auto=False, matplotlib would log that equal units need wider limits.
        ax.set_xlim(left, right, auto=True)
        ax.set_ylim(bottom, top, auto=True)
        ax.set_aspect("equal", adjustable="datalim")


def _check_target(target, y_synthetic):
    labels, counts = np.unique(y_synthetic, return_counts=True)
    if target is None and len(labels):
        return labels.tolist()[counts.argmax()]
    if target not in labels.tolist():
        raise ValueError(
            f"target must be a class to which the sampler added rows, one of {labels.tolist()}, "
            f"got {target!r}. Choose one of them, or set the sampler's sampling_strategy."
        )
    return target


def _project(projection, rows, Z, random_state):
    """Return the rows of Z in the plane and axis labels, by a projection fitted to ``rows``."""
    if projection is None and Z.shape[1] == 2:
        return Z, ("First feature", "Second feature")
    if projection is None:
        pca = PCA(2, random_state=random_state).fit(rows)
        shares = 100 * pca.explained_variance_ratio_
        first, second = (f"{share:.0f} % of variance" for share in shares)
        axis_labels = f"First principal component ({first})", f"Second ({second})"
        return pca.transform(Z), axis_labels
    name = type(projection).__name__
    points = np.asarray(clone(projection).fit(rows).transform(Z))
    if points.shape != (len(Z), 2):
        raise ValueError(
            f"projection must return two columns, but {projection!r} returns shape {points.shape}. "
            "Set it to 2 components."
        )
    return points, (f"{name} 1", f"{name} 2")


def _draw(rows, max_rows, random_state):
    if len(rows) <= max_rows:
        return rows
    return rows[random_state.choice(len(rows), max_rows, replace=False)]


def _count(n_rows, max_rows):
    return f"{n_rows}" if n_rows <= max_rows else f"{max_rows} of {n_rows}"
