"""Photos or texts become embeddings."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from imblearn_eos.datasets._labeled import LabeledData

EMBEDDED = ("photos", "images", "text")
# Files that are named.
MAX_NAMES = 10


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


def names_of(data):
    """Return the name of each row."""
    if data.ids is not None:
        return np.asarray(data.ids, dtype=str)
    if data.kind == "photos" and all(isinstance(source, str) for source in data.X):
        return data.X.astype(str)
    return np.arange(len(data)).astype(str)


def embed(data: LabeledData, options) -> tuple[LabeledData, LabeledData]:
    """Return the rows that can be embedded, as they are and as embeddings."""
    extractor = make_extractor(options, data.kind)
    Z = extractor.fit(inputs_of(data)).transform(inputs_of(data))
    failed = name_failed(data, extractor.failed_)
    if failed:
        is_kept = ~np.isin(np.arange(len(data)), list(extractor.failed_))
        data, Z = data.take(is_kept), Z[is_kept]
    facts = {**data.facts, "embedder": extractor.description_, "unreadable": failed}
    facts["embedded"] = data.kind
    return data, replace(data, kind="embeddings", X=Z, facts=facts)


def name_failed(data, failed):
    """Return {name: message} of the rows that could not be embedded, and list them on stderr."""
    found = {str(names_of(data)[row]): message for row, message in sorted(failed.items())}
    if len(found) == len(data):
        raise ValueError(f"None of the {len(data)} {data.kind} can be read: {next(iter(found))}")
    if found:
        names = [f"{name} ({message})" for name, message in list(found.items())[:MAX_NAMES]]
        more = f"; and {len(found) - MAX_NAMES} more" * (len(found) > MAX_NAMES)
        print(
            f"Left out {len(found)} of {len(data)} {data.kind} that cannot be read: "
            f"{'; '.join(names)}{more}",
            file=sys.stderr,
        )
    return found
