"""The formats of photos, tables and texts, through one door."""

import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from imblearn_eos.datasets import _arrow, load_image_folder
from imblearn_eos.datasets._columns import SPLITS
from imblearn_eos.datasets._readers import READERS, describe_formats, find_reader, read

Image = pytest.importorskip("PIL.Image", reason="needs Pillow, of the extra 'images'")


def save_image(path, color=0, mode="L", size=(10, 8)):
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new(mode, size, color).save(path)
    return path


def save_photos(folder, classes=("cat", "dog"), **params):
    for name in classes:
        for number in (1, 2):
            save_image(folder / name / f"{number}.png", **params)
    return folder


# Formats


def test_every_format_is_described_and_an_unknown_one_says_which_there_are(tmp_path):
    path = tmp_path / "data.xyz"
    path.write_text("?")
    with zipfile.ZipFile(tmp_path / "book.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    for unknown in (path, tmp_path / "book.xlsx"):
        with pytest.raises(ValueError, match=rf"{unknown.name} has none of the formats") as error:
            find_reader(unknown)
        assert describe_formats() in str(error.value)
    with pytest.raises(ValueError, match=r"nowhere\.npz does not exist\.$"):
        find_reader(tmp_path / "nowhere.npz")
    assert all(reader.format in describe_formats() for reader in READERS.values())


# Folders of photos


def test_photos_are_paths_and_nothing_is_decoded(tmp_path, monkeypatch):
    save_photos(tmp_path, size=(30, 20))
    save_image(tmp_path / "cat" / "3.png", size=(300, 200), mode="RGB")
    monkeypatch.setattr("PIL.Image.Image.load", pytest.fail)
    data = read(tmp_path)
    assert data.kind == "photos"
    assert data.ids.tolist() == ["cat/1.png", "cat/2.png", "cat/3.png", "dog/1.png", "dog/2.png"]
    assert data.X.tolist() == [str(tmp_path / name) for name in data.ids]
    assert data.y.tolist() == 3 * ["cat"] + 2 * ["dog"]
    assert data.split is None
    assert data.facts["median_size"] == [20, 30]


@pytest.mark.parametrize("name", ["Thumbs.db", ".DS_Store", "desktop.ini", "._1.png", "__MACOSX"])
def test_files_of_the_system_are_no_problem(tmp_path, name):
    save_photos(tmp_path)
    if name == "__MACOSX":
        save_image(tmp_path / name / "cat" / "._1.png")
        save_image(tmp_path / "cat" / name / "._1.png")
    else:
        for folder in (tmp_path, tmp_path / "cat"):
            (folder / name).write_bytes(b"no image")
    assert len(load_image_folder(tmp_path)[1]) == len(read(tmp_path)) == 4


def test_problems_are_told_by_kind_in_one_message_with_what_to_do(tmp_path):
    save_photos(tmp_path)
    (tmp_path / "cat" / "1.png").write_bytes(b"no image")
    (tmp_path / "dog" / "2.png").write_bytes(b"no image")
    save_image(tmp_path / "dog" / "3.png", mode="I;16")
    (tmp_path / "fox").mkdir()
    with pytest.raises(ValueError, match="sub-folder of images") as error:
        read(tmp_path)
    message = str(error.value)
    assert message.count("remove them or save them again") == 1
    for words in ("cat/1.png (", "dog/2.png (", "dog/3.png (16 bits)", "/fox"):
        assert words in message


@pytest.mark.parametrize(
    "names", [("train", "test"), ("Train", "val", "TEST"), ("training", "validation")]
)
def test_nested_folders_are_a_split(tmp_path, names):
    for name in names:
        save_photos(tmp_path / name)
    data = read(tmp_path)
    parts = [SPLITS[name.lower()] for name in names]
    assert sorted(set(data.split)) == sorted(parts)
    for name, part in zip(names, parts, strict=True):
        rows = data.take(data.split == part)
        assert rows.ids.tolist() == [
            f"{name}/{x}.png" for x in ("cat/1", "cat/2", "dog/1", "dog/2")
        ]
        assert rows.y.tolist() == ["cat", "cat", "dog", "dog"]
    with pytest.raises(ValueError, match=r"parts of a split \(load each part by itself\)"):
        load_image_folder(tmp_path)


def test_classes_that_are_called_as_parts_of_a_split_are_classes(tmp_path):
    data = read(save_photos(tmp_path, classes=("test", "train")))
    assert data.split is None
    assert data.y.tolist() == ["test", "test", "train", "train"]


def test_class_of_the_test_part_that_training_lacks_is_named(tmp_path):
    save_photos(tmp_path / "train")
    save_photos(tmp_path / "test", classes=("cat", "owl"))
    with pytest.raises(ValueError, match=r"labels \['owl'\] do not occur in training"):
        read(tmp_path)


def test_another_folder_is_the_test_part(tmp_path):
    train, test = save_photos(tmp_path / "a"), save_photos(tmp_path / "b", classes=["cat"])
    assert read(train, test=test).split.tolist() == 4 * ["train"] + 2 * ["test"]
    images = read(train, test=test, pixels=True)
    assert images.X.shape == (6, 1, 8, 10)


@pytest.mark.parametrize(
    ("sizes", "image_size", "shape"),
    [
        ([(10, 8), (10, 8)], None, (8, 10)),
        ([(10, 8), (12, 8)], None, (64, 64)),
        ([(500, 400), (500, 400)], None, (64, 64)),
        ([(10, 8), (12, 8)], 16, (16, 16)),
    ],
)
def test_pixels_have_a_default_size_that_is_stated(tmp_path, sizes, image_size, shape):
    for number, size in enumerate(sizes):
        save_image(tmp_path / "cat" / f"{number}.png", size=size)
    data = read(tmp_path, pixels=True, image_size=image_size)
    assert data.kind == "images"
    assert data.X.shape == (2, 1, *shape)
    assert data.facts["image_size"] == list(shape)
    assert data.facts["median_size"] == np.median(sizes, axis=0)[::-1].astype(int).tolist()


@pytest.mark.parametrize("is_wide", [True, False])
def test_middle_of_an_image_is_cut_out_and_not_squashed(tmp_path, is_wide):
    # A white square in the middle of a black strip, three times as long.
    image = Image.new("L", (96, 32))
    image.paste(255, (32, 0, 64, 32))
    (tmp_path / "cat").mkdir()
    (image if is_wide else image.transpose(Image.Transpose.ROTATE_90)).save(tmp_path / "cat/1.png")
    X, _ = load_image_folder(tmp_path, size=16)
    assert X[:, :, 1:-1, 1:-1].min() > 0.95
    assert_array_equal(read(tmp_path, pixels=True, image_size=16).X, X)


def test_broken_pixels_are_named_when_they_are_decoded(tmp_path):
    rng = np.random.RandomState(0)
    file = save_image(tmp_path / "cat" / "1.png")
    Image.fromarray(rng.randint(256, size=(50, 50), dtype=np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:1000])
    assert len(read(tmp_path)) == 1
    with pytest.raises(ValueError, match=r"cannot be read as images .*cat/1\.png"):
        read(tmp_path, pixels=True)


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_bad_size_of_pixels_is_named(tmp_path, size):
    with pytest.raises(ValueError, match="'image_size' parameter of read"):
        read(save_photos(tmp_path), pixels=True, image_size=size)


def test_file_of_metadata_beside_classes_is_ignored(tmp_path):
    save_photos(tmp_path)
    pytest.importorskip("pyarrow")
    pd.DataFrame({"x": [1.0]}).to_parquet(tmp_path / "metadata.parquet")
    assert read(tmp_path).kind == "photos"


# Files of CSV


def save_csv(file, **columns):
    pd.DataFrame(columns).to_csv(file, index=False)
    return file


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_paths_and_labels_in_a_file_are_photos(tmp_path, suffix):
    save_photos(tmp_path / "photos")
    names, path = ["photos/cat/1.png", "photos/dog/2.png"], tmp_path / f"a.{suffix}"
    frame = pd.DataFrame({"path": names, "label": ["x", "y"], "age": [1, 2], "owner": [7, 7]})
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    data = read(path, group="owner")
    assert data.kind == "photos"
    assert data.X.tolist() == [str(tmp_path / name) for name in names]
    assert data.ids.tolist() == names
    assert data.y.tolist() == ["x", "y"]
    assert data.groups.tolist() == [7, 7]
    assert read(path, pixels=True).X.shape == (2, 1, 8, 10)


def test_missing_photos_of_a_csv_are_named(tmp_path):
    save_photos(tmp_path)
    names = ["cat/1.png", "cat/9.png"]
    path = save_csv(tmp_path / "a.csv", path=names, label=["x", "y"])
    data = read(path)
    assert data.y.tolist() == ["x"]
    entry = {"name": "cat/9.png", "label": "y", "problem": "FileNotFoundError"}
    assert data.facts["unreadable"] == [entry]
    with pytest.raises(ValueError, match=r"a\.csv must hold readable .* cat/9\.png \(FileNotFound"):
        read(path, pixels=True)


def test_photos_with_bad_headers_are_left_out_with_their_labels(tmp_path):
    save_photos(tmp_path / "train")
    save_photos(tmp_path / "test")
    (tmp_path / "train" / "cat" / "1.png").write_bytes(b"no image")
    (tmp_path / "test" / "dog" / "2.png").write_bytes(b"")
    save_image(tmp_path / "test" / "dog" / "3.png", mode="I;16")
    data = read(tmp_path)
    assert data.y.tolist() == ["cat", "dog", "dog", "cat", "cat", "dog"]
    assert data.split.tolist() == 3 * ["train"] + 3 * ["test"]
    assert data.X.tolist() == [str(tmp_path / name) for name in data.ids]
    found = [tuple(entry.values()) for entry in data.facts["unreadable"]]
    assert found == [
        ("train/cat/1.png", "cat", "UnidentifiedImageError"),
        ("test/dog/2.png", "dog", "UnidentifiedImageError"),
        ("test/dog/3.png", "dog", "16 bits"),
    ]
    with pytest.raises(ValueError, match="cannot be read as images") as error:
        read(tmp_path, pixels=True)
    for name, _, problem in found:
        assert f"{name} ({problem})" in str(error.value)


@pytest.mark.parametrize("broken", ["train", "test"])
def test_part_whose_photos_all_have_bad_headers_is_an_error(tmp_path, broken):
    for name in ("train", "test"):
        save_photos(tmp_path / name)
    for file in (tmp_path / broken).glob("*/*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(ValueError, match=rf"cannot be read as images .*{broken}/cat/1\.png"):
        read(tmp_path)


def test_column_of_paths_that_are_no_images_is_a_column_of_a_table(tmp_path):
    path = save_csv(tmp_path / "a.csv", path=["/a", "/b"], x=[1, 2], label=["x", "y"])
    data = read(path, target="label")
    assert data.kind == "table"
    assert data.facts == {"features": ["x"], "left_out": {"path": "text"}}


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip)
labels = st.sampled_from(["cat", "dog", "01", "1", "True"])
suffixes = st.sampled_from(["csv", "parquet"])
TEXTS = ["good, really", 'a "quoted" line\nand another', "None", "ä"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_texts_are_read_with_their_labels(tmp_path, suffix):
    frame = pd.DataFrame({"review": TEXTS, "stars": [1, 1, 5, 5], "split": 2 * ["train", "test"]})
    path = tmp_path / f"a.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    else:
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    data = read(path, text="review", target="stars")
    assert data.kind == "text"
    assert data.X.tolist() == TEXTS
    assert data.y.tolist() == [1, 1, 5, 5]
    assert data.split.tolist() == 2 * ["train", "test"]


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(texts, labels), min_size=2, max_size=8), suffix=suffixes)
def test_texts_and_labels_are_read_as_they_were_written(tmp_path_factory, rows, suffix):
    path = tmp_path_factory.mktemp("texts") / f"a.{suffix}"
    frame = pd.DataFrame(rows, columns=["text", "label"])
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    data = read(path, text="text", **({"sep": ","} if suffix == "csv" else {}))
    assert data.X.tolist() == frame["text"].tolist()
    # Texts that are numbers become numbers, if they print as the same texts.
    assert list(map(str, data.y)) == frame["label"].tolist()


def test_missing_texts_are_refused(tmp_path):
    path = save_csv(tmp_path / "a.csv", review=["good", " "], label=[0, 1])
    with pytest.raises(ValueError, match=r"'review' .* has no value in 1 rows; .* row 1"):
        read(path, text="review")
    with pytest.raises(
        ValueError, match=r"text='words' .* names none of the columns of .*'review', 'label'"
    ):
        read(path, text="words")


@pytest.mark.parametrize("header", [True, False])
def test_separator_header_and_compression_hold_for_texts_too(tmp_path, header):
    path = tmp_path / "a.csv.gz"
    frame = pd.DataFrame({"review": TEXTS, "label": [0, 0, 1, 1]})
    frame.to_csv(path, index=False, header=header, sep=";", encoding="utf-8-sig")
    names = {"text": "review", "target": "label"} if header else {"text": "0", "target": "1"}
    data = read(path, no_header=not header, sep=";", **names)
    assert data.X.tolist() == TEXTS
    assert data.y.tolist() == [0, 0, 1, 1]


# Tables


def save_table(folder, suffix, **columns):
    frame = pd.DataFrame({"x": [1.5, np.nan, 3.5, 4.5], "kind": list("aabb"), **columns})
    path = folder / f"a.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    else:
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    return path


formats = pytest.mark.parametrize("suffix", ["csv", "parquet"])


@formats
def test_numbers_and_booleans_of_a_table_are_features(tmp_path, suffix):
    path = save_table(tmp_path, suffix, smokes=[True, False, False, True], n=[1, 2, 3, 4])
    data = read(path, target="kind")
    assert data.kind == "table"
    assert data.facts == {"features": ["x", "smokes", "n"], "left_out": {}}
    assert data.X.dtype == np.float64
    assert_allclose(data.X, [[1.5, 1, 1], [np.nan, 0, 2], [3.5, 0, 3], [4.5, 1, 4]])
    assert data.y.tolist() == ["a", "a", "b", "b"]


@formats
def test_categories_are_refused_with_what_takes_them(tmp_path, suffix):
    path = save_table(tmp_path, suffix, color=["red", "red", "blue", "blue"])
    with pytest.raises(ValueError, match=r"'color' \(2 values\).*--drop color .*SMOTENC"):
        read(path, target="kind")
    # Named for another purpose, it is no feature.
    assert read(path, target="kind", group="color").groups.tolist() == 2 * ["red"] + 2 * ["blue"]


@formats
def test_dropped_columns_are_no_features_whatever_they_hold(tmp_path, suffix):
    columns = {"color": ["red", "red", "blue", "blue"], "huge": [np.inf, 1, 2, 3], "n": range(4)}
    path = save_table(tmp_path, suffix, **columns)
    data = read(path, target="kind", drop=["color", "huge"])
    assert data.facts["features"] == ["x", "n"]
    assert data.facts["left_out"] == {"color": "dropped", "huge": "dropped"}
    with pytest.raises(ValueError, match=r"drop='size' \(--drop .* names none of the columns"):
        read(path, target="kind", drop=["size"])


def test_nothing_can_be_dropped_from_texts(tmp_path):
    path = save_csv(tmp_path / "a.csv", review=["good", "bad"], label=[0, 1], n=[1, 2])
    with pytest.raises(ValueError, match=r"--drop does not apply to .* holds text, not a table"):
        read(path, text="review", drop=["n"])


@formats
@pytest.mark.parametrize("target", ["id", "age", "name", "site"])
def test_target_that_looks_unlike_classes_is_named_before_categories(tmp_path, suffix, target):
    rows = np.arange(60)
    frame = pd.DataFrame({"id": rows, "age": rows % 30, "site": 1, "x": rows / 7})
    frame["name"] = [f"name {row}" for row in rows]
    frame["ill"] = np.where(rows < 9, "yes", "no")
    path = tmp_path / f"a.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    doubt = {"id": "60 distinct numbers", "age": "30 distinct numbers", "site": "1 distinct number"}
    doubt = doubt.get(target, "60 distinct texts")
    with pytest.raises(ValueError, match=rf"^target='{target}' .* a column of {doubt} ") as error:
        read(path, target=target)
    assert "'ill' (2 values)" in str(error.value)
    assert f"if it is '{target}', leave out the others with drop= (--drop ill" in str(error.value)


@formats
def test_target_of_fractions_is_named(tmp_path, suffix):
    path = save_table(tmp_path, suffix, size=[1.5, 1.5, 2, 3.25])
    with pytest.raises(ValueError, match=r"target='size' .* has 3 distinct numbers, not all who"):
        read(path, target="size")
    path = save_table(tmp_path, suffix, size=[1.0, 1.0, 0.0, 0.0], kind=range(4))
    assert read(path, target="size").y.tolist() == [1, 1, 0, 0]


def test_decimal_commas_are_not_left_out_in_silence(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("n;size;kind\n1;1,5;x\n2;2,5;y\n")
    with pytest.raises(
        ValueError, match=r"decimal comma in 'size', such as '1,5'\..*--decimal ,.*--drop size"
    ):
        read(path, target="kind")
    assert read(path, target="kind", decimal=",").X.tolist() == [[1, 1.5], [2, 2.5]]
    assert read(path, target="kind", drop=["size"]).X.tolist() == [[1], [2]]
    path.write_text("n;size;kind\n1;1.5;x\n2;2.5;y\n")
    with pytest.raises(
        ValueError, match=r"decimal point in 'size', such as '1\.5'\..*--decimal \. "
    ):
        read(path, target="kind", decimal=",")


@formats
def test_photos_that_are_not_there_are_named_or_dropped(tmp_path, suffix):
    path = save_table(tmp_path, suffix, path=["a.png", "b.png", "c.png", "d.png"])
    with pytest.raises(ValueError, match=r"hold readable images.*a\.png \(FileNotFound"):
        read(path, target="kind")
    assert read(path, target="kind", drop=["path"]).facts["features"] == ["x"]


@formats
def test_column_split_of_other_texts_is_refused_or_dropped(tmp_path, suffix):
    path = save_table(tmp_path, suffix, split=["train", "all", "test", "all"])
    with pytest.raises(ValueError, match=r"'split' .* it has 'all'"):
        read(path, target="kind")
    data = read(path, target="kind", drop=["split"])
    assert data.split is None
    assert data.facts == {"features": ["x"], "left_out": {"split": "dropped"}}


@formats
def test_group_that_is_the_target_is_refused(tmp_path, suffix):
    path = save_table(tmp_path, suffix)
    with pytest.raises(ValueError, match="--group and --target both name 'kind'"):
        read(path, target="kind", group="kind")


@formats
def test_table_whose_only_numbers_are_names_is_refused(tmp_path, suffix):
    path = save_table(tmp_path, suffix, x=[1, 2, 3, 4])
    with pytest.raises(ValueError, match=r"no numeric column .* 'kind'.*'x' \(named by --id\)"):
        read(path, target="kind", id="x")


def test_category_type_is_refused_however_many_values_it_has(tmp_path):
    path = save_table(tmp_path, "parquet", color=pd.Categorical(["a", "b", "c", "d"]))
    with pytest.raises(ValueError, match=r"'color' \(4 values\).*SMOTENC"):
        read(path, target="kind")


@formats
def test_identifiers_are_left_out_and_stated(tmp_path, suffix):
    names, numbers = ["Tom", "Rex", "Kim", "Pip"], [2**60 + i for i in range(4)]
    copies = [0, 0, 1, 1]
    path = save_table(tmp_path, suffix, name=names, number=numbers, t=copies, copy=copies)
    data = read(path, target="t", group="kind")
    assert data.facts["features"] == ["x"]
    assert sorted(data.facts["left_out"]) == ["copy", "name", "number"]
    assert "identifier" in data.facts["left_out"]["number"]
    assert data.facts["left_out"]["copy"] == "a copy of the target"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_row_numbers_are_left_out_and_other_whole_numbers_are_not(tmp_path, suffix):
    n = 300
    counts = {"from_0": np.arange(n), "from_7": np.arange(n) + 7.0, "below_0": np.arange(n) - 900}
    swapped, gap, missing = np.arange(n), np.arange(n), np.arange(n, dtype=float)
    swapped[[5, 6]] = swapped[[6, 5]]
    gap[-1:] += 1
    missing[8] = np.nan
    features = {
        "swapped": swapped,
        "gap": gap,
        "missing": missing,
        "fractions": np.arange(n) + 0.5,
        "twos": 2 * np.arange(n),
        "down": -np.arange(n),
    }
    table = pd.DataFrame({**counts, **features, "kind": np.repeat(["a", "b"], n // 2)})
    path = tmp_path / f"table.{suffix}"
    getattr(table, f"to_{suffix}")(path, index=False)
    data = read(path, target="kind")
    assert data.facts["features"] == list(features)
    assert data.facts["left_out"] == dict.fromkeys(counts, "row number")


@pytest.mark.parametrize("has_vectors", [False, True])
def test_a_sample_of_parquet_keeps_rows_whole_and_in_order(tmp_path, has_vectors, monkeypatch):
    pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra 'embeddings'")
    monkeypatch.setattr(_arrow, "BATCH_ROWS", 7)
    number = np.arange(50)
    frame = pd.DataFrame({"x": number + 0.5, "t": number % 3 + 10 * number, "id": number})
    if has_vectors:
        frame["Z"] = [[i, -i] for i in range(50)]
    for shard in range(3):
        part = frame.iloc[20 * shard : 20 * shard + 20]
        part.to_parquet(tmp_path / f"part-{shard}.parquet")
    options = {"target": "t", "id": "id"}
    data = read(tmp_path, sample=12, **options)
    assert data.X.shape == (12, 1 + has_vectors)
    assert data.facts["sampled_from"] == 50
    rows = data.X[:, 0].astype(int)
    assert (np.diff(rows) > 0).all()
    assert data.y.tolist() == frame["t"][rows].tolist()
    assert data.names().tolist() == [str(row) for row in rows]
    assert_array_equal(read(tmp_path, sample=12, **options).X, data.X)
    for sample in (50, 51):
        data = read(tmp_path, sample=sample, **options)
        assert len(data) == 50
        assert "sampled_from" not in data.facts
    frame.drop(columns="Z", errors="ignore").to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match="--sample does not apply to"):
        read(tmp_path / "a.csv", sample=12, **options)


def test_other_columns_of_parquet_are_left_out_with_the_reason(tmp_path):
    pytest.importorskip("pyarrow")
    days = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"])
    frame = pd.DataFrame({"x": [1, 2, 3, 4], "day": days, "empty": 4 * [np.nan], "t": [0, 0, 1, 1]})
    frame.set_index(pd.Index([5, 7, 9, 12])).to_parquet(tmp_path / "a.parquet")
    left_out = read(tmp_path / "a.parquet", target="t").facts["left_out"]
    assert left_out.pop("day").startswith("not numbers but timestamp")
    assert left_out == {"empty": "no values", "__index_level_0__": "names of the rows"}


@formats
def test_names_groups_and_parts_are_no_features_of_a_table(tmp_path, suffix):
    part = ["train", "train", "test", "test"]
    path = save_table(tmp_path, suffix, row=[5, 6, 7, 8], patient=[1, 1, 2, 3], part=part)
    data = read(path, target="kind", id="row", group="patient", split="part")
    assert data.facts["features"] == ["x"]
    assert data.ids.tolist() == ["5", "6", "7", "8"]
    assert data.groups.tolist() == [1, 1, 2, 3]
    assert data.split.tolist() == part


@formats
def test_target_of_a_table_is_never_guessed(tmp_path, suffix):
    path = save_table(tmp_path, suffix, y=[1, 2, 3, 4])
    with pytest.raises(
        ValueError, match=r"needs? target= \(--target .* of \S+a\.\w+: 'x', 'kind', 'y'"
    ):
        read(path)


@formats
def test_table_without_numbers_or_with_infinite_ones_is_refused(tmp_path, suffix):
    path = save_table(tmp_path, suffix, x=["Tom", "Rex", "Kim", "Pip"])
    with pytest.raises(ValueError, match=r"a\.\w+ .*numeric column.*'x"):
        read(path, target="kind")
    path = save_table(tmp_path, suffix, x=[1, 2, np.inf, 4])
    with pytest.raises(ValueError, match=r"a\.\w+ .*infinite|Infinite: 'x'"):
        read(path, target="kind")


def test_columns_of_a_test_table_are_matched_by_name(tmp_path):
    train = save_csv(tmp_path / "train.csv", a=[1, 2], b=[3, 4], kind=["x", "y"])
    test = save_csv(tmp_path / "test.csv", b=[5, 6], c=[0, 0], a=[7, 8], kind=["x", "y"])
    data = read(train, test=test, target="kind")
    assert data.X.tolist() == [[1, 3], [2, 4], [7, 5], [8, 6]]
    with pytest.raises(ValueError, match=r"lack the numeric columns 'c' \(not there\).*--drop"):
        read(test, test=train, target="kind")


def test_file_without_rows_is_named(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    pd.DataFrame({"x": [1.0], "kind": ["a"]}).iloc[:0].to_parquet(path)
    with pytest.raises(ValueError, match=r"a\.parquet has no rows"):
        read(path, target="kind")
