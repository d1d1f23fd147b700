"""Embeddings on disk, found by the content of samples."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np

# SQLite before 3.32 takes no more values in one statement.
MAX_VALUES = 999
# Seconds to wait for other processes that write.
TIMEOUT = 60


@contextmanager
def open_cache(file: Path) -> Iterator[FeatureCache]:
    """Open a cache, and say what to do where its file cannot be used."""
    try:
        with FeatureCache(file) as cache:
            yield cache
    except sqlite3.Error as error:
        raise OSError(
            f"The embeddings that 'memory' keeps in {file} cannot be used ({error}). Remove this "
            "file, or name another folder."
        ) from error


class FeatureCache(AbstractContextManager):
    """Rows of float32 in an SQLite file, which processes can share, and which holds no code.

    Parameters
    ----------
    file : pathlib.Path
        Created with its folders if it is not there.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(file, timeout=TIMEOUT)
        with self._connection as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS features (digest BLOB PRIMARY KEY, row BLOB)"
            )

    def read(self, digests: Sequence[bytes | None]) -> dict[bytes, np.ndarray]:
        """Return the rows that are kept for some digests."""
        known = [digest for digest in digests if digest is not None]
        found: dict[bytes, np.ndarray] = {}
        for start in range(0, len(known), MAX_VALUES):
            some = known[start : start + MAX_VALUES]
            rows = self._connection.execute(
                f"SELECT digest, row FROM features WHERE digest IN ({', '.join('?' * len(some))})",
                some,
            )
            found.update((digest, np.frombuffer(row, "<f4")) for digest, row in rows)
        return found

    def write(self, digests: Sequence[bytes | None], rows: np.ndarray) -> None:
        """Keep rows; those without digest are left out."""
        pairs = zip(digests, rows.astype("<f4", copy=False), strict=True)
        with self._connection as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO features VALUES (?, ?)",
                [(digest, row.tobytes()) for digest, row in pairs if digest is not None],
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._connection.close()
