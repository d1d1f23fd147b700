"""Photos or texts become embeddings."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from imblearn_eos.datasets._labeled import LabeledData, describe_left_out

EMBEDDED = ("photos", "images", "text")


def make_extractor(options, kind):
    """Return an unfitted `FeatureExtractor` for the options of a command."""
    from imblearn_eos.embedding import FeatureExtractor

    if kind not in EMBEDDED:
        raise ValueError(f"--backbone embeds photos and texts, but the --data are {kind}. Omit it.")
    return FeatureExtractor(
        options.backbone,
        **({} if options.batch_size is None else {"batch_size": options.batch_size}),
        device=options.device,
        n_jobs=options.n_jobs,
        memory=options.memory and str(options.memory),
        on_error="nan",
        verbose=True,
    )


def inputs_of(data):
    """Return what a `FeatureExtractor` takes: pixels as whole numbers, with the channels last."""
    if data.kind != "images":
        return data.X
    pixels = np.clip(data.X * 255, 0, 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    return np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels


def embed(data: LabeledData, options, check) -> tuple[LabeledData, LabeledData]:
    """Return the rows that can be embedded, as they are and as embeddings.

    ``check``, called with the data, raises what would stop the comparison after minutes of this.
    """
    extractor = make_extractor(options, data.kind)
    check_parts(data, data)
    check(data)
    Z = extractor.fit(inputs_of(data)).transform(inputs_of(data))
    kept = leave_out_failed(data, extractor.failed_)
    check_parts(data, kept)
    tell_left_out(kept)
    Z = np.delete(Z, list(extractor.failed_), axis=0)
    facts = {**kept.facts, "embedder": extractor.description_, "embedded": kept.kind}
    return kept, replace(kept, kind="embeddings", X=Z, facts=facts)


def leave_out_failed(data, failed):
    """Return the rows that could be embedded; ``facts["unreadable"]`` lists the others."""
    # The name of the row is stated before.
    kept = data.leave_out(
        {
            row: text.removeprefix(f"{data.X[row]}: ").removeprefix(f"row {row} of X: ")
            for row, text in failed.items()
        }
    )
    if not len(kept):
        raise ValueError(f"{_list_left_out(kept)} Nothing is left: mend the files, or use others.")
    return kept


def tell_left_out(kept):
    """List on stderr what was left out."""
    if kept.facts["unreadable"]:
        print(_list_left_out(kept), file=sys.stderr)


def _list_left_out(kept):
    return describe_left_out(kept.facts["unreadable"], len(kept), kept.kind)


def check_parts(data, kept):
    """Raise ValueError if a class has no row to train on, or a given part has no row, any more."""
    is_train = slice(None) if kept.split is None else kept.split == "train"
    labels = {entry["label"] for entry in kept.facts.get("unreadable", ())}
    if lost := sorted(labels - set(map(str, kept.y[is_train]))):
        raise ValueError(
            f"{_list_left_out(kept)} No {data.kind} of the classes {lost} are left to train on. "
            "Mend these files, or remove them to compare the other classes."
        )
    if data.split is not None and (gone := sorted({*data.split} - {*kept.split})):
        raise ValueError(f"{_list_left_out(kept)} Nothing is left of the part '{gone[0]}'.")
