"""Rows of Parquet files and of folders that `datasets.save_to_disk` writes, read with pyarrow."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.random import sample_without_replacement

from imblearn_eos._extras import import_extra
from imblearn_eos.datasets._cells import ROW_NUMBER, counts_rows
from imblearn_eos.datasets._columns import (
    Columns,
    check_finite,
    check_parts,
    read_labels,
    shorten,
)
from imblearn_eos.datasets._features import (
    is_category,
    name_others,
    refuse_categories,
    refuse_features,
)
from imblearn_eos.datasets._labeled import LabeledData, concatenate, split_name
from imblearn_eos.datasets._photos import PATH, are_photos, find_files, make_photos

# Rows that are read at a time.
BATCH_ROWS = 4096
# Files of `datasets.save_to_disk`: of several parts of a split, and of one.
PARTS, STATE = "dataset_dict.json", "state.json"


def is_parquet(path: Path) -> bool:
    """Return whether this is a Parquet file, or a folder of such."""
    if not path.is_dir():
        return _starts_with(path, b"PAR1")
    # A folder of images may have a file of metadata, too.
    return bool(_shards(path)) and not any(map(Path.is_dir, path.iterdir()))


def is_arrow(path: Path) -> bool:
    """Return whether this is an Arrow file, or a folder that `datasets.save_to_disk` wrote."""
    if path.is_dir():
        return (path / PARTS).exists() or (path / STATE).exists()
    return path.suffix.lower() == ".arrow"


def read_parquet(path: Path, *, sample: int | None = None, **options: Any) -> LabeledData:
    """Read embeddings, photos, texts, or a table from Parquet; see `_read_rows`.

    ``sample`` is the number of rows to draw, of which only these are kept in memory.
    """
    dataset = import_extra("pyarrow.dataset", "embeddings")
    files = [str(file) for file in (_shards(path) if path.is_dir() else [path])]
    # Otherwise whole files are read ahead.
    scan = dataset.ParquetFragmentScanOptions(pre_buffer=False)
    parquet = dataset.ParquetFileFormat(default_fragment_scan_options=scan)
    rows = dataset.dataset(files, format=parquet)
    n_rows = rows.count_rows()
    if sample is None or sample >= n_rows:
        return _read_rows(path, rows, **options)
    drawn = sample_without_replacement(n_rows, sample, random_state=0)
    data = _read_rows(path, _SomeRows(rows, np.sort(drawn)), **options)
    data.facts["sampled_from"] = n_rows
    return data


class _SomeRows:
    """Some rows of a dataset of pyarrow, read one batch after the other.

    Parameters
    ----------
    dataset : pyarrow.dataset.Dataset
    rows : ndarray of int64
        Positions, ascending.
    """

    def __init__(self, dataset: Any, rows: np.ndarray) -> None:
        self.dataset, self.rows, self.schema = dataset, rows, dataset.schema

    def count_rows(self) -> int:
        return len(self.rows)

    def to_batches(self, columns: Sequence[str], **params: Any) -> Iterator[Any]:
        start = 0
        for batch in self.dataset.to_batches(columns=columns, **params):
            stop = start + len(batch)
            first, last = np.searchsorted(self.rows, [start, stop])
            if first < last:
                yield batch.take(self.rows[first:last] - start)
            start = stop

    def to_table(self, columns: Sequence[str]) -> Any:
        pa = import_extra("pyarrow", "embeddings")
        schema = pa.schema([self.schema.field(name) for name in columns])
        return pa.Table.from_batches(self.to_batches(columns, **_scan()), schema)


def read_arrow(path: Path, **options: Any) -> LabeledData:
    """Read the same from a folder that `datasets.save_to_disk` wrote, or an Arrow file."""
    if not (path / PARTS).exists():
        return _read_rows(path, _open_arrow(path), **options)
    names = json.loads((path / PARTS).read_text(encoding="utf-8"))["splits"]
    parts = {part: path / name for name in names if (part := split_name(name))}
    left_out = [name for name in names if path / name not in parts.values()]
    check_parts(path, parts, names)
    read = {
        part: _read_rows(folder, _open_arrow(folder), **options) for part, folder in parts.items()
    }
    data = concatenate(**read) if "train" in read else next(iter(read.values()))
    if left_out:
        data.facts["left_out_parts"] = left_out
    return data


def _starts_with(path, magic):
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic


def _shards(folder):
    return sorted(file for file in folder.glob("*.parquet") if not file.name.startswith("."))


def _open_arrow(path):
    """Return the rows of Arrow files as a dataset in mapped memory."""
    pa = import_extra("pyarrow", "embeddings")
    dataset = import_extra("pyarrow.dataset", "embeddings")
    files = [path]
    if path.is_dir():
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        files = [path / file["filename"] for file in state["_data_files"]]
    if not files:
        raise ValueError(f"{path} has no rows.")
    tables = []
    for file in files:
        source = pa.memory_map(str(file))
        is_stream = not _starts_with(file, b"ARROW1")
        reader = pa.ipc.open_stream(source) if is_stream else pa.ipc.open_file(source)
        tables.append(reader.read_all())
    return dataset.dataset(pa.concat_tables(tables))


def _read_rows(
    path: Path,
    rows: Any,
    *,
    target: str | None = None,
    id: str | None = None,
    group: str | None = None,
    split: str | None = None,
    text: str | None = None,
    embedding: str | None = None,
    drop: Sequence[str] = (),
) -> LabeledData:
    """Return the rows of a dataset of pyarrow.

    They are texts if ``text`` names a column, else photos if there is one column of images, else
    embeddings if there is one column of lists of numbers or ``embedding`` names one, else photos
    if a column "path" names images, else a table of the numeric columns.
    """
    features = _find_features(rows.schema)
    lists = [field.name for field in rows.schema if _is_vector(field.type)]
    others = [f"{f.name!r} ({f.type})" for f in rows.schema if _is_other_list(f.type)]
    hint = f" Only lists of numbers are embeddings, not {', '.join(others)}." if others else ""
    columns = Columns(path, rows.schema.names, partial(_read_column, rows, features), hint=hint)
    arguments = columns, target, id, group, split
    if text is not None:
        texts = columns.read_complete(columns.choose("text", text, ()))
        X = np.array([str(value) for value in texts], dtype=object)
        return LabeledData("text", X, **read_labels(*arguments)[0], facts={"text": text})
    images = [field.name for field in rows.schema if _is_image(field, features)]
    if images and embedding is None:
        if len(images) > 1:
            raise ValueError(
                f"{path} has several columns of images: {shorten(images)}. Keep one of them, for "
                "example with remove_columns of the library datasets."
            )
        found = read_labels(*arguments)[0]
        return make_photos(path, _read_images(path, rows, images[0]), found)
    if embedding is not None or lists:
        name = replace(columns, names=lists, hint=f" They hold lists of numbers.{hint}").choose(
            "embedding", embedding, lists
        )
        Z = _read_vectors(path, rows, name)
        found = read_labels(*arguments)[0]
        check_finite(path, Z)
        facts = {"embedding": name, **_read_description(rows.schema)}
        return LabeledData("embeddings", Z, **found, facts=facts)
    if PATH in columns.names and PATH not in drop and are_photos(columns.read(PATH)):
        files = find_files(path.parent, columns.read_complete(PATH))
        return make_photos(path, files, read_labels(*arguments)[0])
    others = name_others(columns, drop, id, group, split)
    columns.names = [name for name in columns.names if name not in drop]
    return _read_table(columns, rows, features, arguments, others)


def _types():
    return import_extra("pyarrow.types", "embeddings")


def _find_features(schema):
    """Return what the library datasets says about each column: ClassLabel, Image..."""
    content = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    return content.get("info", {}).get("features", {})


def _read_description(schema):
    description = (schema.metadata or {}).get(b"description")
    return {"description": description.decode()} if description else {}


def _class_names(features, name):
    feature = features.get(name)
    is_label = isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    return feature["names"] if is_label else None


def _is_image(field, features):
    feature = features.get(field.name)
    if isinstance(feature, dict) and feature.get("_type") == "Image":
        return True
    names = {child.name for child in field.type} if _types().is_struct(field.type) else set()
    return names == {"bytes", "path"}


def _is_vector(kind):
    is_list = (_types().is_list, _types().is_large_list, _types().is_fixed_size_list)
    if not any(is_kind(kind) for is_kind in is_list):
        return False
    return _types().is_floating(kind.value_type) or _types().is_integer(kind.value_type)


def _is_other_list(kind):
    # Arrays of several dimensions are an extension of the library datasets.
    return re.match("list|large_list|fixed_size_list|extension", str(kind)) and not _is_vector(kind)


def _read_column(rows, features, name):
    """Return a column as numbers or objects, with the names of classes."""
    column = rows.to_table(columns=[name]).column(name)
    if _types().is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    has_all = column.null_count == 0
    values = column.to_numpy() if has_all else np.array(column.to_pylist(), dtype=object)
    if names := _class_names(features, name):
        # A label of -1 says that there is none.
        values = [names[int(v)] if v is not None and v >= 0 else None for v in values]
        values = np.array(values, dtype=object)
    return values


def _read_images(path, rows, name):
    """Return paths, or the contents of files in the memory of the column."""
    sources: list[Any] = []
    for chunk in rows.to_table(columns=[name]).column(name).chunks:
        contents, paths = chunk.field("bytes"), chunk.field("path")
        for content, file in zip(contents, paths, strict=True):
            is_content = content.is_valid
            sources.append(content.as_buffer() if is_content else file.as_py())
    array = np.empty(len(sources), dtype=object)
    array[:] = sources
    values = Columns(path, [name], lambda name: array).read_complete(name)
    is_path = [isinstance(value, str) for value in values]
    values[is_path] = find_files(path if path.is_dir() else path.parent, values[is_path])
    return values


def _read_vectors(path, rows, name):
    """Return a column of lists as an array of float32, read part by part."""
    compute = import_extra("pyarrow.compute", "embeddings")
    n_rows, Z, start = rows.count_rows(), None, 0
    for batch in rows.to_batches(columns=[name], **_scan()):
        column = batch.column(name)
        widths = set(compute.list_value_length(column).to_pylist())
        width = next(iter(widths), 0) if Z is None else Z.shape[1]
        if len(column) and (widths - {width} or not width):
            raise ValueError(
                f"The column {name!r} of {path} has lists of several lengths, empty or missing "
                f"ones, in the rows from {start} on. All must have one length; drop the others."
            )
        if Z is None:
            Z = np.empty((n_rows, width), dtype=np.float32)
        values = column.flatten().to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            Z[start : start + len(column)] = values.reshape(len(column), width)
        start += len(column)
    return np.empty((0, 0), dtype=np.float32) if Z is None else Z


def _scan():
    # Reading ahead would hold many parts in memory.
    return {"batch_size": BATCH_ROWS, "batch_readahead": 1, "fragment_readahead": 1}


def _read_table(columns, rows, features, arguments, others):
    """Return the numeric columns, and say why the others are left out."""
    labels, used = read_labels(*arguments, guess=False)
    data, left_out, categories = {}, dict(others), {}
    for field in rows.schema:
        name, kind = field.name, field.type
        if name in left_out or name in used.values():
            continue
        is_text = _types().is_string(kind) or _types().is_large_string(kind)
        if is_text or _types().is_dictionary(kind) or _class_names(features, name):
            n_values = len(set(columns.read(name).tolist()))
            if not is_text or is_category(n_values, len(labels["y"])):
                categories[name] = n_values
            left_out[name] = "text"
        elif name.startswith("__index_level_"):
            left_out[name] = "names of the rows"
        elif any(is_kind(kind) for is_kind in _numbers()):
            data[name] = _read_numbers(rows, name)
            if reason := _reason_to_leave_out(data[name], labels["y"]):
                left_out[name] = reason
                del data[name]
        else:
            left_out[name] = f"not numbers but {kind}"
    refuse_categories(columns.path, categories, used["target"], labels["y"])
    infinite = [name for name, values in data.items() if np.isinf(values).any()]
    refuse_features(columns.path, used["target"], data, infinite, left_out)
    left_out = {name: why for name, why in left_out.items() if name not in used.values()}
    facts = {"features": list(data), "left_out": left_out}
    return LabeledData("table", np.column_stack(list(data.values())), **labels, facts=facts)


def _numbers() -> tuple[Callable[[Any], bool], ...]:
    kinds = _types()
    return kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_decimal


def _read_numbers(rows, name):
    """Return a column as float64, NaN for missing values."""
    column = rows.to_table(columns=[name]).column(name)
    return column.cast("float64", safe=False).to_numpy()


def _reason_to_leave_out(values, y):
    if np.isnan(values).all():
        return "no values"
    if y.dtype.kind in "buif" and np.array_equal(values, y):
        return "a copy of the target"
    if counts_rows(values):
        return ROW_NUMBER
    # float64 holds no more digits, and numbers of so many are names.
    with np.errstate(invalid="ignore"):
        is_whole = np.nanmax(np.abs(values)) > 2**53 and np.all(values % 1 == 0)
    return "an identifier, of more digits than float64 holds" if is_whole else None
