"""Rows of Dask whose reading kills workers."""

import os
import signal
from functools import partial

import numpy as np
import oracle

CHUNKS = (13,) * 7


def data():
    """Return rows of these chunks, and their classes."""
    X, y = oracle.three_classes(3, (55, 24, 12))
    return X.astype(np.float32), y


def read(X, log, deadly, victims, block_info=None):
    """Read a block of X. At the reading of the last block of this number, workers die."""
    start, stop = block_info[None]["array-location"][0]
    if stop == len(X):
        with open(log, "ab") as file:
            file.write(b".")
            file.flush()
            n_read = file.tell()
        if n_read == deadly:
            # The worker itself is the last.
            for process in sorted(victims or [os.getpid()], key=os.getpid().__eq__):
                os.kill(process, signal.SIGKILL)
    return X[start:stop]


def lazy_rows(X, log, deadly=0, victims=()):
    """Return X as a Dask array that logs how often its last block is read."""
    import dask.array as da

    log.write_bytes(b"")
    return da.map_blocks(
        partial(read, X, str(log), deadly, victims),
        chunks=(CHUNKS, (X.shape[1],)),
        dtype=X.dtype,
        meta=np.empty((0, 0), X.dtype),
    )
