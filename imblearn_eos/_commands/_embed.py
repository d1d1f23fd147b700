"""The command ``imblearn-eos embed``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imblearn_eos._commands._backbone import (
    inputs_of,
    leave_out_failed,
    make_extractor,
    tell_left_out,
)
from imblearn_eos._commands._options import (
    add_backbone_options,
    add_data_options,
    add_flag,
    add_option,
    check_folder,
    check_output,
    positive,
    reading_options,
)
from imblearn_eos.datasets._readers import read
from imblearn_eos.datasets._write import EmbeddingWriter

# Rows that are embedded before they are written.
BLOCK_ROWS = 1024


def add_options(parser):
    parser.description = (
        "Embed photos or texts with a pretrained network, and write path, label, split and "
        "embedding of each. 'imblearn-eos compare --data OUTPUT' reads the file. Photos that "
        "cannot be read are left out and listed."
    )
    data = parser.add_argument_group("data")
    add_data_options(data)
    add_option(data, "--test", "further rows, which become the test part", type=Path)
    add_option(data, "--validation", "further rows, the validation part", type=Path)
    network = parser.add_argument_group("network")
    add_backbone_options(network, required=True)
    add_option(network, "--batch-size", "rows per step (default: 32)", type=positive)
    output = parser.add_argument_group("output")
    text = "a .parquet or .npz file, or a folder for Parquet files"
    add_option(output, "--output", text, type=Path, metavar="PATH", required=True)
    add_flag(output, "--overwrite", "replace an existing output")


def run(options, get_default, command):
    """Embed all rows block by block, so that memory does not grow with their number."""
    output = options.output.resolve()
    check_output(output, "--output", options.overwrite, options.data.resolve())
    if options.memory:
        check_folder(options.memory, f"--memory {options.memory}")
    parts = {"test": options.test, "validation": options.validation}
    data = read(options.data, **parts, **reading_options(options))
    extractor = make_extractor(options, data.kind)
    X, names = inputs_of(data), data.names()
    extractor.fit(X)
    with EmbeddingWriter(output, description=extractor.description_) as writer:
        for start, Z in extractor.iter_transform(X, block_size=BLOCK_ROWS):
            rows = start + np.flatnonzero(~np.isnan(Z).any(axis=1))
            split = None if data.split is None else data.split[rows]
            writer.write(names[rows], data.y[rows], split, Z[rows - start])
        kept = leave_out_failed(data, extractor.failed_)
    tell_left_out(kept)
    print(f"Written: {options.output} with {len(kept)} embeddings of {Z.shape[1]} numbers.")
