"""The settings for each situation; the reasons are in the guide to tuning."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.tree import DecisionTreeClassifier

from imblearn_eos.over_sampling import EOS

TREES = (
    DecisionTreeClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
# What is tried beside the default.
TABLE_GRID = {"n_neighbors": [5, 20], "max_step": [0.5, 1.0]}


def eos_for_embeddings(*, trained_on_rows: bool, **params: Any) -> EOS:
    """Return the sampler for embeddings, by whether their network was trained on these rows.

    Rows that a network has memorized lie farther from other classes than new rows will, so full
    steps score higher. On frozen features, which lie where those of new rows do, half steps do.
    """
    return EOS(n_neighbors=1000, max_step=1.0 if trained_on_rows else 0.5, **params)


def alpha_for_embeddings(*, trained_on_rows: bool) -> float:
    """Return the penalty of linear heads on embeddings of mean square 1."""
    return 0.01 if trained_on_rows else 0.03


def eos_for_table(classifier: BaseEstimator, **params: Any) -> EOS:
    """Return the sampler for the columns of a table, by the classifier that follows.

    Full steps cost F1 on tables, and most where the classifier is not one of trees; see
    ``benchmarks/tables.py``.
    """
    return EOS(n_neighbors=20, max_step=0.5 if isinstance(classifier, TREES) else 0.25, **params)
