"""The settings of EOS for each situation; the reasons are in the guide to tuning."""

from __future__ import annotations

from typing import Any

from imblearn_eos.over_sampling import EOS


def eos_for_embeddings(*, trained_on_rows: bool, **params: Any) -> EOS:
    """Return the sampler for embeddings, by whether their network was trained on these rows.

    Rows that a network has memorized lie farther from other classes than new rows will, so full
    steps pay. Other rows lie where new ones do, and shorter steps make fewer false alarms.
    """
    return EOS(n_neighbors=1000, max_step=1.0 if trained_on_rows else 0.5, **params)


def eos_for_table(**params: Any) -> EOS:
    """Return the sampler for the columns of a table."""
    return EOS(max_step=0.5, **params)
