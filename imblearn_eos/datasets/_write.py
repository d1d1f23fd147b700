"""Write embeddings to a file while they are computed."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length

from imblearn_eos._extras import import_extra
from imblearn_eos.datasets._columns import to_label_array

# Bytes of vectors in a row group of Parquet, which is what a writer and a reader hold at a time,
# and in a file of a folder.
GROUP_BYTES, SHARD_BYTES = 1 << 24, 1 << 28


class EmbeddingWriter:
    """Write embeddings block by block; the file appears when all are written.

    Until the end of the ``with`` statement the file has a temporary name beside the final one,
    which is removed after an error or Ctrl-C. An older file is replaced at the end only.

    Parameters
    ----------
    path : path-like
        ``.parquet``, with the columns path, label, split and embedding; ``.npz``, with the arrays
        path, y, split and X; or, without a suffix, a folder of Parquet files ``part-00000.parquet``
        and so on.
    description : str, default=""
        How the embeddings were made, for ``facts`` of `LabeledData`.
    group_bytes, shard_bytes : int
        Bytes of vectors per row group, and per file of a folder.

    Raises
    ------
    ValueError
        When the name has another suffix, or is a folder with other files, or no rows were written.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        description: str = "",
        group_bytes: int = GROUP_BYTES,
        shard_bytes: int = SHARD_BYTES,
    ):
        self.path, self.description = Path(path), description
        self.group_bytes, self.shard_bytes = group_bytes, shard_bytes
        suffix = self.path.suffix.lower()
        others = [file for file in _entries(self.path) if not file.match("part-*.parquet")]
        if suffix not in OUTPUTS or others or (suffix and self.path.is_dir()):
            raise ValueError(
                f"Embeddings cannot be written to {self.path}. Name a .parquet or .npz file, or "
                "without a suffix a folder that is new or holds nothing but part-*.parquet."
            )

    def __enter__(self) -> EmbeddingWriter:
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        self._output = OUTPUTS[self.path.suffix.lower()](self, self._partial)
        self._n_rows = 0
        return self

    def write(
        self, ids: ArrayLike, y: ArrayLike, split: ArrayLike | str | None, Z: ArrayLike
    ) -> None:
        """Write further rows.

        Parameters
        ----------
        ids : array-like of shape (n,)
            Names of the rows, such as the paths of photos.
        y : array-like of shape (n,)
            Labels, of one type in all blocks.
        split : array-like of shape (n,), str or None
            The part of each row, or of all rows. None, for all blocks, if there is no split.
        Z : array-like of shape (n, d)
            Embeddings, which are written as float32.
        """
        check_consistent_length(ids, y, Z)
        Z = np.ascontiguousarray(Z, dtype=np.float32)
        rows = {"path": np.asarray(ids, dtype=str), "label": to_label_array(np.asarray(y))}
        if split is not None:
            rows["split"] = np.broadcast_to(np.asarray(split, dtype=str), len(Z))
        if len(Z):
            self._output.write(rows, Z)
            self._n_rows += len(Z)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            self._output.close(is_complete=kind is None)
            if kind is None:
                if not self._n_rows:
                    raise ValueError(f"No embeddings were written to {self.path}.")
                if self.path.is_dir():
                    shutil.rmtree(self.path)
                os.replace(self._partial, self.path)
        finally:
            if self._partial.is_dir():
                shutil.rmtree(self._partial)
            self._partial.unlink(missing_ok=True)


def _entries(path):
    return list(path.iterdir()) if path.is_dir() else []


class _ParquetOutput:
    """One Parquet file, written in row groups."""

    shard_bytes: float = float("inf")

    def __init__(self, settings, path):
        self.pa = import_extra("pyarrow", "embeddings")
        self.settings, self.files = settings, self._name_files(path)
        self.writer, self.groups, self.n_bytes, self.n_written = None, [], 0, 0

    def _name_files(self, path) -> Iterator[Path]:
        return iter([path])

    def write(self, rows, Z):
        pa = self.pa
        arrays = {name: pa.array(values.tolist()) for name, values in rows.items()}
        arrays["embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(Z.ravel()), Z.shape[1])
        self.groups.append(pa.table(arrays))
        self.n_bytes += Z.nbytes
        if self.n_bytes >= self.settings.group_bytes:
            self._flush()

    def _flush(self):
        parquet = import_extra("pyarrow.parquet", "embeddings")
        table = self.pa.concat_tables(self.groups)
        if self.writer is None:
            metadata = {"description": self.settings.description}
            # Dictionaries shorten texts that repeat, and only slow down the others.
            self.writer = parquet.ParquetWriter(
                next(self.files),
                table.schema.with_metadata(metadata),
                use_dictionary=[name for name in ("label", "split") if name in table.column_names],
            )
        self.writer.write_table(table, row_group_size=len(table))
        self.n_written += self.n_bytes
        self.groups, self.n_bytes = [], 0
        if self.n_written >= self.shard_bytes:
            self._close_file()

    def _close_file(self):
        if self.writer is not None:
            self.writer.close()
        self.writer, self.n_written = None, 0

    def close(self, is_complete):
        if self.groups and is_complete:
            self._flush()
        self._close_file()


class _ShardsOutput(_ParquetOutput):
    """A folder of Parquet files."""

    def __init__(self, settings, path):
        super().__init__(settings, path)
        self.shard_bytes = settings.shard_bytes
        path.mkdir()

    def _name_files(self, path):
        return (path / f"part-{number:05}.parquet" for number in count())


class _NpzOutput:
    """An .npz file. The vectors wait in a file, because its header says how many there are."""

    def __init__(self, settings, path):
        self.settings, self.path = settings, path
        # `close` closes it.
        self.vectors = TemporaryFile(dir=path.parent)  # noqa: SIM115
        self.rows, self.n_features = [], 0

    def write(self, rows, Z):
        self.rows.append(rows)
        self.n_features = Z.shape[1]
        self.vectors.write(Z)

    def close(self, is_complete):
        with self.vectors:
            if is_complete and self.rows:
                self._write_archive()

    def _write_archive(self):
        arrays = {
            {"label": "y"}.get(name, name): np.concatenate([rows[name] for rows in self.rows])
            for name in self.rows[0]
        }
        arrays["description"] = np.array(self.settings.description)
        shape = len(arrays["y"]), self.n_features
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        self.vectors.seek(0)
        with zipfile.ZipFile(self.path, "w") as archive:
            with archive.open("X.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                shutil.copyfileobj(self.vectors, file)
            for name, values in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, values, allow_pickle=False)


OUTPUTS: dict[str, Any] = {".parquet": _ParquetOutput, ".npz": _NpzOutput, "": _ShardsOutput}
