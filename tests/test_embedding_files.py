"""Embeddings on disk: every format that is read, and what is written."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse

from imblearn_eos.datasets import load_embeddings
from imblearn_eos.datasets._readers import read
from imblearn_eos.datasets._write import EmbeddingWriter

pa = pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra 'embeddings'")
pq = pytest.importorskip("pyarrow.parquet")
safetensors = pytest.importorskip("safetensors.torch", reason="of the extra 'embeddings'")
torch = pytest.importorskip("torch")

Z = np.random.RandomState(0).randn(6, 4).astype(np.float32)
Y = np.array(["cat", "cat", "dog", "dog", "fox", "fox"])


def save_npz(path, **arrays):
    np.savez(path, **{"X": Z, "y": Y, **arrays})
    return path


def save_parquet(file, column=None, **columns):
    column = pa.array(list(Z)) if column is None else column
    pq.write_table(pa.table({"vector": column, "label": Y, **columns}), file)
    return file


def save_npy(folder, labels):
    np.save(folder / "X.npy", Z)
    file = folder / labels
    content = {"y.npy": None, "y.txt": "\n".join(Y) + "\n", "y.csv": "kind\n" + "\n".join(Y) + "\n"}
    if labels == "y.npy":
        np.save(file, Y)
    else:
        file.write_text(content[labels])
    return folder / "X.npy", file


# Formats


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
def test_npz_of_two_dimensions_holds_embeddings_of_float32(tmp_path, dtype):
    data = read(save_npz(tmp_path / "a.npz", X=Z.astype(dtype)))
    assert data.kind == "embeddings"
    assert data.X.dtype == np.float32
    assert_array_equal(data.X, Z.astype(dtype).astype(np.float32))
    assert_array_equal(data.y, Y)
    assert data.ids is data.groups is data.split is None


def test_npz_of_four_dimensions_holds_images(tmp_path):
    data = read(save_npz(tmp_path / "a.npz", X=np.full((6, 3, 8, 8), 255, np.uint8)))
    assert data.kind == "images"
    assert data.X.shape == (6, 3, 8, 8)
    assert data.X.max() == 1


@pytest.mark.parametrize("labels", ["y.npy", "y.txt", "y.csv"])
def test_npy_takes_its_labels_from_a_file(tmp_path, labels):
    path, file = save_npy(tmp_path, labels)
    data = read(path, labels=file)
    assert_array_equal(data.X, Z)
    assert_array_equal(data.y, Y)


def test_labels_in_a_column_of_a_csv_are_named(tmp_path):
    path, file = save_npy(tmp_path, "y.csv")
    file.write_text("row,kind\n" + "".join(f"{i},{label}\n" for i, label in enumerate(Y)))
    assert_array_equal(read(path, labels=file, target="kind").y, Y)
    with pytest.raises(
        ValueError, match=r"^The data need target= .* columns of \S+\.csv: 'row', 'kind'\.$"
    ):
        read(path, labels=file)


def test_numbers_in_a_file_of_labels_are_numbers(tmp_path):
    path, file = save_npy(tmp_path, "y.txt")
    file.write_text("0\n0\n1\n1\n2\n2\n")
    assert read(path, labels=file).y.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\nb\n", r"\(--labels\) of \S+y\.txt has shape \(2,\), not \(6,\)"),
        ("a\na\n\nb\nb\nb\n", r"y\.txt has no value in 1 rows; the first is row 2"),
    ],
)
def test_file_of_labels_that_does_not_fit_is_named(tmp_path, content, message):
    path, file = save_npy(tmp_path, "y.txt")
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        read(path, labels=file)


def test_npy_without_labels_says_which_option_it_needs(tmp_path):
    path, _ = save_npy(tmp_path, "y.txt")
    with pytest.raises(
        ValueError, match=r"need target= .* \S+X\.npy has no array .*labels= \(--labels\)"
    ):
        read(path)


LISTS = {
    "list": lambda: pa.array(list(Z)),
    "large list": lambda: pa.array(Z.tolist(), pa.large_list(pa.float64())),
    "fixed size": lambda: pa.FixedSizeListArray.from_arrays(pa.array(Z.ravel()), 4),
    "half": lambda: pa.array(list(Z.astype(np.float16)), pa.list_(pa.float16())),
    "integers": lambda: pa.array(np.rint(Z).astype(int).tolist()),
}


@pytest.mark.parametrize("name", LISTS)
def test_only_column_of_lists_is_the_embedding(tmp_path, name):
    column = LISTS[name]()
    data = read(save_parquet(tmp_path / "a.parquet", column, other=np.arange(6)))
    assert data.kind == "embeddings"
    assert data.facts["embedding"] == "vector"
    assert data.X.dtype == np.float32
    assert_array_equal(data.X, np.array(column.to_pylist(), np.float32))


def test_one_of_several_columns_of_lists_is_named(tmp_path):
    path = save_parquet(tmp_path / "a.parquet", other=pa.array(list(-Z)))
    with pytest.raises(
        ValueError, match=r"need embedding= .*: 'vector', 'other'\. They hold lists"
    ):
        read(path)
    assert_array_equal(read(path, embedding="other").X, -Z)


def test_parquet_is_known_by_its_content(tmp_path):
    assert read(save_parquet(tmp_path / "vectors.db")).kind == "embeddings"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[1.0, 2.0]] * 5 + [[1.0]]), "several lengths, empty or missing ones"),
        (pa.array([[1.0, 2.0]] * 5 + [None]), "several lengths, empty or missing ones"),
        (pa.array([[]] * 6, pa.list_(pa.float32())), "several lengths, empty or missing ones"),
        (pa.array([[1.0, 2.0]] * 5 + [[1.0, None]]), "in 1 of 6 rows; the first is row 5"),
        (pa.array([[1.0, 2.0]] * 4 + [[1.0, np.inf]] * 2), "in 2 of 6 rows; the first is row 4"),
    ],
)
def test_embeddings_that_are_missing_or_not_finite_are_refused(tmp_path, column, message):
    with pytest.raises(ValueError, match=rf"a\.parquet.*{message}"):
        read(save_parquet(tmp_path / "a.parquet", column))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([{"a": 1}] * 6), r"holds lists or structures, such as \{'a': 1\}"),
        (pa.array([1, 2] * 3, pa.date32()), r"has dtype datetime64\[D\]"),
        (pa.array(["a", " "] * 3), "has no value in 3 rows; the first is row 1"),
        (pa.array(["a", None] * 3).dictionary_encode(), "has no value in 3 rows"),
        (pa.array([0.5, 1.0] * 3), "2 distinct numbers, not all whole, such as 0.5"),
    ],
)
def test_labels_of_parquet_that_are_no_classes_are_refused(tmp_path, column, message):
    path = save_parquet(tmp_path / "a.parquet", kind=column)
    with pytest.raises(ValueError, match=rf"'kind' \(--target.*{message}"):
        read(path, target="kind")


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        (pa.array([b"a", b"b"] * 3), ["a", "b"]),
        (pa.array(["a", "b"] * 3).dictionary_encode(), ["a", "b"]),
        (pa.array([0.0, 1.0] * 3), [0, 1]),
        (pa.array([False, True] * 3), [False, True]),
        (pa.array([0, 1] * 3, pa.uint8()), [0, 1]),
    ],
)
def test_labels_of_parquet_of_any_type(tmp_path, column, labels):
    path = save_parquet(tmp_path / "a.parquet", kind=column)
    assert read(path, target="kind").y.tolist() == 3 * labels


@pytest.mark.parametrize("column", [[[[1.0]]] * 6, [[True]] * 6, [["a"]] * 6])
def test_lists_that_are_no_embeddings_are_named(tmp_path, column):
    path = save_parquet(tmp_path / "a.parquet", pa.array(column))
    with pytest.raises(ValueError, match=r"Only lists of numbers are embeddings, not 'vector' \(l"):
        read(path)


def test_part_of_a_split_that_is_unknown_is_not_ignored(tmp_path):
    path = save_parquet(tmp_path / "a.parquet", split=["train", "test", "all"] * 2)
    with pytest.raises(ValueError, match=r"'split' .* must name the part .* it has 'all'"):
        read(path)
    assert read(save_parquet(path, split=["a", "b"] * 3)).split is None
    assert read(save_parquet(path, split=["test"] * 6)).split is None
    with pytest.raises(ValueError, match=r"parts 'dev', 'test', none of which is called train\."):
        read(save_parquet(path, split=["dev", "test"] * 3))


def test_files_that_numpy_cannot_read_say_so(tmp_path):
    path, labels = save_npy(tmp_path, "y.npy")
    (tmp_path / "b.npy").write_text("no array")
    with pytest.raises(ValueError, match=r"b\.npy cannot be read .* does not have NumPy's format"):
        read(tmp_path / "b.npy", labels=labels)
    np.save(labels, Y.astype(object))
    with pytest.raises(ValueError, match=r"^\S+y\.npy holds Python objects, .*astype\(str\)"):
        read(path, labels=labels)


def test_sparse_matrix_says_what_to_save(tmp_path):
    sparse.save_npz(tmp_path / "a.npz", sparse.csr_matrix(Z))
    with pytest.raises(ValueError, match=r"X = matrix\.toarray\(\)"):
        read(tmp_path / "a.npz")


def test_columns_of_groups_names_and_parts_are_read(tmp_path):
    part = ["train", "Train", "valid", "dev", "test", "testing"]
    path = save_parquet(tmp_path / "a.parquet", patient=[1, 1, 2, 2, 3, 3], split=part, path=Y)
    data = read(path, group="patient")
    assert_array_equal(data.groups, [1, 1, 2, 2, 3, 3])
    assert data.split.tolist() == 2 * ["train"] + 2 * ["validation"] + 2 * ["test"]
    assert data.ids.tolist() == Y.tolist()
    found = load_embeddings(path, group="patient")
    assert_array_equal(found.data, Z)
    for value, expected in zip(
        (found.target, found.ids, found.groups, found.split),
        (data.y, data.ids, data.groups, data.split),
        strict=True,
    ):
        assert_array_equal(value, expected)


def test_column_of_parts_with_other_values_is_refused_only_if_named(tmp_path):
    path = save_parquet(tmp_path / "a.parquet", split=["left", "right"] * 3)
    assert read(path).split is None
    with pytest.raises(ValueError, match=r"'split' .* train, .*'left', 'right'"):
        read(path, split="split")


def test_target_is_found_by_its_usual_name_or_asked_for(tmp_path):
    path = save_parquet(tmp_path / "a.parquet", y=np.arange(6))
    with pytest.raises(
        ValueError, match=r"need target= .*'label', 'y'\. Without it, the only one of label, "
    ):
        read(path)
    assert_array_equal(read(path, target="label").y, Y)


def test_missing_labels_of_parquet_are_refused(tmp_path):
    path = save_parquet(tmp_path / "a.parquet", kind=["a", None, "a", "b", "b", None])
    with pytest.raises(ValueError, match=r"'kind' .* has no value in 2 rows; the first is row 1"):
        read(path, target="kind")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_safetensors_are_read_by_their_names(tmp_path, dtype):
    tensor = torch.from_numpy(np.rint(Z)).to(dtype)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    path = tmp_path / "a.safetensors"
    safetensors.save_file({"embeddings": tensor, "labels": labels}, path)
    data = read(path)
    assert data.X.dtype == np.float32
    assert_array_equal(data.X, np.rint(Z))
    assert_array_equal(data.y, labels)


def test_unknown_tensors_are_listed(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.save_file({"foo": torch.zeros(6, 4), "bar": torch.arange(6)}, path)
    with pytest.raises(ValueError, match=r"need embedding= .* tensors of .*: 'bar', 'foo'"):
        read(path)
    assert read(path, embedding="foo", target="bar").X.shape == (6, 4)


def test_options_of_another_format_are_refused(tmp_path):
    path = save_npz(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"--sep, --text does not apply to .*a\.npz"):
        read(path, sep=";", text="words", decimal=".", no_header=False, target=None)


@pytest.mark.parametrize("suffix", ["parquet", "npz", "safetensors", "npy"])
def test_damaged_files_are_named(tmp_path, suffix):
    path, labels = tmp_path / f"a.{suffix}", tmp_path / "y.txt"
    labels.write_text("0\n" * 6)
    if suffix == "parquet":
        save_parquet(path)
    elif suffix == "safetensors":
        safetensors.save_file({"X": torch.zeros(6, 4), "y": torch.zeros(6)}, path)
    else:
        (np.save if suffix == "npy" else np.savez)(path, Z)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises((ValueError, OSError), match=rf"a\.{suffix}"):
        read(path, **({"labels": labels} if suffix == "npy" else {}))


def test_load_embeddings_refuses_images_and_tables(tmp_path):
    path = save_npz(tmp_path / "a.npz", X=np.zeros((6, 8, 8)))
    with pytest.raises(ValueError, match=r"a\.npz holds images, not embeddings"):
        load_embeddings(path)


# Test and validation files


def test_test_and_validation_files_are_appended(tmp_path):
    train = save_npz(tmp_path / "train.npz")
    test = save_parquet(tmp_path / "test.parquet")
    validation = save_npz(tmp_path / "validation.npz", X=Z[:2], y=Y[:2], ids=["a", "b"])
    data = read(train, test=test, validation=validation)
    assert_array_equal(data.X, np.concatenate([Z, Z[:2], Z]))
    assert data.split.tolist() == 6 * ["train"] + 2 * ["validation"] + 6 * ["test"]
    assert data.ids.tolist() == 6 * [""] + ["a", "b"] + 6 * [""]
    assert_array_equal(data.take(data.split == "test").X, Z)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": Z[:, :3]}, r"shape \(3,\), not \(4,\)"),
        ({"X": np.zeros((6, 8, 8))}, "they are images, not embeddings"),
        ({"y": ["cat", "owl", "dog", "elk", "fox", "fox"]}, r"\['elk', 'owl'\] do not occur"),
        ({"split": ["train", "test"] * 3}, "a split of their own"),
    ],
)
def test_test_file_that_does_not_fit_is_refused(tmp_path, arrays, message):
    test = save_npz(tmp_path / "test.npz", **arrays)
    with pytest.raises(ValueError, match=rf"The test data do not fit.*{message}"):
        read(save_npz(tmp_path / "train.npz"), test=test)


@pytest.mark.parametrize("kind", [float, int, bool, np.float16])
def test_numbers_of_another_type_are_the_same_labels(tmp_path, kind):
    train = save_npz(tmp_path / "train.npz", y=np.array([0, 1] * 3))
    data = read(train, test=save_npz(tmp_path / "test.npz", y=np.array([0, 1] * 3, dtype=kind)))
    assert data.y.tolist() == [0, 1] * 6


def test_test_part_without_labels_of_its_own_says_what_to_save(tmp_path):
    path, labels = save_npy(tmp_path, "y.npy")
    with pytest.raises(ValueError, match=r"\(--labels\) are those of .*X\.npy has none\. Save"):
        read(path, labels=labels, test=path)


# Writing


labels = st.sampled_from([["a", "b", "c é"], [0, 1, 2], ["0", "01", "10"]])
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=40, deadline=None)
@given(
    suffix=st.sampled_from([".parquet", ".npz", ""]),
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any),
    width=st.integers(1, 4),
    classes=labels,
    has_split=st.booleans(),
    group_bytes=st.integers(1, 64),
    shard_bytes=st.integers(1, 128),
    values=st.data(),
)
def test_what_is_written_is_read_again(
    tmp_path_factory, suffix, sizes, width, classes, has_split, group_bytes, shard_bytes, values
):
    path = tmp_path_factory.mktemp("written") / f"embeddings{suffix}"
    n_rows = sum(sizes)
    X = np.array(values.draw(st.lists(floats, min_size=n_rows * width, max_size=n_rows * width)))
    X = X.reshape(n_rows, width).astype(np.float32)
    y = np.resize(classes, n_rows)
    ids = np.array([f"{label}/{row} ü.png" for row, label in enumerate(y)])
    split = np.resize(["train", "test"], n_rows) if has_split else None
    options = {"group_bytes": group_bytes, "shard_bytes": shard_bytes}
    with EmbeddingWriter(path, description="a model", **options) as writer:
        for stop, size in zip(np.cumsum(sizes), sizes, strict=True):
            rows = slice(stop - size, stop)
            writer.write(ids[rows], y[rows], split[rows] if has_split else None, X[rows])
        assert not path.exists()
    data = read(path)
    assert_array_equal(data.X, X)
    assert data.y.dtype.kind == y.dtype.kind
    assert_array_equal(data.y, y)
    assert_array_equal(data.ids, ids)
    assert data.facts["description"] == "a model"
    # A single part is no split.
    assert data.split is None if split is None or n_rows == 1 else (data.split == split).all()
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("name", ["a.parquet", "a.npz", "shards"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_unfinished_file_is_removed_and_the_old_one_kept(tmp_path, name, error):
    path = tmp_path / name
    write_all(path, Z)
    for content in (Z, -Z):
        with pytest.raises(error):
            write_all(path, content, error=error, group_bytes=1)
    assert_array_equal(read(path).X, Z)
    assert os.listdir(tmp_path) == [name]
    write_all(path, -Z)
    assert_array_equal(read(path).X, -Z)


def write_all(path, vectors, error=None, **options):
    with EmbeddingWriter(path, **options) as writer:
        writer.write(Y, Y, "train", vectors)
        if error:
            raise error


def test_folder_is_written_in_shards_and_parquet_in_row_groups(tmp_path):
    for name in ("shards", "a.parquet"):
        with EmbeddingWriter(tmp_path / name, group_bytes=32, shard_bytes=64) as writer:
            for row in range(6):
                writer.write(Y[[row]], Y[[row]], None, Z[[row]])
    # A row has 16 bytes.
    files = sorted(file.name for file in (tmp_path / "shards").iterdir())
    assert files == ["part-00000.parquet", "part-00001.parquet"]
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 3
    assert_array_equal(read(tmp_path / "shards").X, Z)


def test_places_that_are_not_for_embeddings_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "a.csv"):
        with pytest.raises(ValueError, match=rf"{path.name}\. Name a \.parquet"):
            EmbeddingWriter(path)
    with (
        pytest.raises(ValueError, match="No embeddings were written"),
        EmbeddingWriter(tmp_path / "x"),
    ):
        pass
    assert os.listdir(tmp_path) == ["notes.txt"]


# Folders of the library datasets


@pytest.fixture
def datasets(monkeypatch, tmp_path):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    return pytest.importorskip("datasets")


def make_features(datasets, **features):
    return datasets.Features(
        {"label": datasets.ClassLabel(names=["cat", "dog", "fox"]), **features}
    )


def test_folder_of_datasets_keeps_the_names_of_classes(tmp_path, datasets):
    features = make_features(datasets, vector=datasets.Sequence(datasets.Value("float32"), 4))
    rows = {"label": [0, 0, 1, 1, 2, 2], "vector": Z.tolist()}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(
        tmp_path / "rows", num_shards=2
    )
    data = read(tmp_path / "rows")
    assert data.kind == "embeddings"
    assert_array_equal(data.X, Z)
    assert_array_equal(data.y, Y)


def test_parts_of_a_folder_of_datasets_are_a_split(tmp_path, datasets):
    features = make_features(datasets, vector=datasets.Sequence(datasets.Value("float64")))
    part = datasets.Dataset.from_dict(
        {"label": [0, 1, 2], "vector": Z[:3].tolist()}, features=features
    )
    unlabeled = part.map(lambda row: {"label": -1}, features=features)
    parts = {"train": part, "validation": part, "test": part, "unsupervised": unlabeled}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "rows")
    data = read(tmp_path / "rows")
    assert data.split.tolist() == 3 * ["train"] + 3 * ["validation"] + 3 * ["test"]
    assert_array_equal(data.X, np.tile(Z[:3], (3, 1)))
    assert data.facts["left_out_parts"] == ["unsupervised"]
    with pytest.raises(ValueError, match=r"'label' .* has no value in 3 rows"):
        read(tmp_path / "rows" / "unsupervised")


def test_parts_that_are_no_split_are_listed(tmp_path, datasets):
    part = datasets.Dataset.from_dict({"label": [0, 1, 2], "vector": Z[:3].tolist()})
    datasets.DatasetDict({"a": part, "b": part}).save_to_disk(tmp_path / "rows")
    datasets.DatasetDict({"test": part, "dev": part}).save_to_disk(tmp_path / "untrained")
    for folder, names in {"rows": "'a', 'b'", "untrained": "'dev', 'test'"}.items():
        with pytest.raises(ValueError, match=rf"{folder} has the parts {names}, none .* train\."):
            read(tmp_path / folder)
    empty = datasets.Dataset.from_dict({"label": [], "vector": []})
    empty.save_to_disk(tmp_path / "empty")
    with pytest.raises(ValueError, match="empty has no rows"):
        read(tmp_path / "empty")


def test_single_part_of_a_folder_of_datasets_is_no_split(tmp_path, datasets):
    part = datasets.Dataset.from_dict({"label": [0, 1, 2], "vector": Z[:3].tolist()})
    datasets.DatasetDict({"test": part}).save_to_disk(tmp_path / "rows")
    data = read(tmp_path / "rows")
    assert data.split is None
    assert data.y.tolist() == [0, 1, 2]


def test_arrow_file_is_read(tmp_path):
    table = pa.table({"vector": pa.array(list(Z)), "label": Y})
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    assert_array_equal(read(tmp_path / "a.arrow").X, Z)


def test_images_of_a_folder_of_datasets_are_photos(tmp_path, datasets):
    image = pytest.importorskip("PIL.Image")
    files = []
    for row in range(4):
        files.append(str(tmp_path / f"{row}.png"))
        image.new("RGB", (20, 10), (51 * row, 0, 0)).save(files[-1])
    features = make_features(datasets, image=datasets.Image())
    rows = datasets.Dataset.from_dict({"label": [0, 0, 1, 1], "image": files}, features=features)
    # With the bytes of the files, which save_to_disk embeds.
    rows.save_to_disk(tmp_path / "rows")
    rows = datasets.load_from_disk(tmp_path / "rows")
    rows.to_parquet(tmp_path / "rows.parquet")
    for file in files:
        Path(file).unlink()
    for path in (tmp_path / "rows", tmp_path / "rows.parquet"):
        data = read(path)
        assert data.kind == "photos"
        assert data.facts["median_size"] == [10, 20]
        assert data.y.tolist() == ["cat", "cat", "dog", "dog"]
        images = read(path, pixels=True, image_size=8)
        assert images.X.shape == (4, 3, 8, 8)
        np.testing.assert_allclose(images.X[:, 0, 0, 0], [0, 0.2, 0.4, 0.6], atol=1e-6)


def test_paths_of_images_in_a_folder_of_datasets_are_found(tmp_path):
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "rows").mkdir()
    image.new("L", (20, 10)).save(tmp_path / "rows" / "1.png")
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    images = pa.array([{"bytes": None, "path": "1.png"}] * 2, kind)
    table = pa.table({"image": images, "label": [0, 1]})
    with pa.ipc.new_stream(str(tmp_path / "rows" / "data.arrow"), table.schema) as stream:
        stream.write_table(table)
    state = {"_data_files": [{"filename": "data.arrow"}]}
    (tmp_path / "rows" / "state.json").write_text(json.dumps(state))
    assert read(tmp_path / "rows").X.tolist() == 2 * [str(tmp_path / "rows" / "1.png")]
