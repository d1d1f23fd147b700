import io
import os
import struct
import zlib
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from imblearn_eos import EOS
from imblearn_eos._validation import tensor_from_array
from imblearn_eos.compare import compare_table
from imblearn_eos.datasets import (
    load_digit_images,
    load_digits_long_tailed,
    load_image_folder,
    load_npz,
    long_tail_counts,
    make_imbalanced,
    split_imbalanced,
)
from imblearn_eos.datasets._image_headers import count_bits
from imblearn_eos.datasets._readers import read
from imblearn_eos.embedding import LinearHead

Image = pytest.importorskip("PIL.Image", reason="needs Pillow, of the extra 'images'")


def save_image(path, color=0, mode="L", size=(10, 8)):
    path.parent.mkdir(exist_ok=True)
    Image.new(mode, size, color).save(path)


def save_npz(path, **arrays):
    np.savez(path, **{"X": np.zeros((4, 8, 8)), "y": [0, 0, 1, 1], **arrays})
    return path


# Imbalance


def test_long_tail_of_the_paper():
    expected = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert long_tail_counts(5000, 10, ratio=100).tolist() == expected


def test_long_tail_of_ratio_1_is_balanced():
    assert long_tail_counts(7, 3, ratio=1).tolist() == [7, 7, 7]


@pytest.mark.parametrize(("kind", "sizes"), [("exponential", [90, 30, 10]), ("step", [90, 90, 9])])
def test_imbalance_has_the_profile_and_keeps_rows_with_their_labels(kind, sizes):
    y = np.random.RandomState(0).permutation(np.repeat(["a", "b", "c"], 90))
    X = np.arange(len(y)).reshape(-1, 1, 1, 1)
    ratio = sizes[0] // sizes[2]
    X_kept, y_kept = make_imbalanced(X, y, ratio=ratio, kind=kind, random_state=0)
    assert_array_equal(np.unique(y_kept, return_counts=True)[1], sizes)
    assert_array_equal(y[X_kept.ravel()], y_kept)
    assert (np.diff(X_kept.ravel()) > 0).all()


def test_imbalance_is_limited_by_what_the_data_supply():
    # The second class supplies a third of what the profile 90, 30, 10 asks for.
    y = np.repeat([0, 1, 2], [90, 10, 90])
    _, y = make_imbalanced(np.zeros((len(y), 1)), y, ratio=9, random_state=0)
    assert_array_equal(np.bincount(y), [30, 10, 3])


def test_imbalance_takes_tensors():
    X, y = make_imbalanced(torch.zeros(20, 3), np.repeat([0, 1], 10), ratio=5, random_state=0)
    assert isinstance(X, torch.Tensor)
    assert len(X) == len(y) == 12


def test_data_frames_and_series_stay_what_they_are():
    frame = pd.DataFrame({"a": np.arange(40)}, index=np.arange(40) + 100)
    labels = pd.Series(np.repeat(["x", "y"], 20), index=frame.index, name="kind")
    X, y = make_imbalanced(frame, labels, ratio=4, random_state=0)
    assert y.name == "kind"
    assert_array_equal(y.index, X.index)
    X_train, X_test, y_train, y_test = split_imbalanced(frame, labels, random_state=0)
    assert_array_equal(y_train.index, X_train.index)
    assert_array_equal(y_test.index, X_test.index)


def test_imbalance_that_leaves_a_class_without_rows_names_the_ratio():
    with pytest.raises(ValueError, match=r"ratio of 11 leaves no row.*ratio of at most 10"):
        make_imbalanced(np.zeros((20, 1)), np.repeat([0, 1], 10), ratio=11)


def test_imbalance_of_one_class_is_refused():
    with pytest.raises(ValueError, match=r"more than 1 class\. Got 1 class"):
        make_imbalanced(np.zeros((20, 1)), np.zeros(20), ratio=2)


# Splitting


def test_split_separates_the_rows_and_leaves_the_test_part_alone():
    y = np.random.RandomState(0).permutation(np.repeat([0, 1], 100))
    X = np.arange(200)
    X_train, X_test, y_train, y_test = split_imbalanced(
        X, y, test_size=0.3, imbalance_ratio=10, random_state=0
    )
    assert not set(X_train) & set(X_test)
    assert_array_equal(y[X_train], y_train)
    assert_array_equal(y[X_test], y_test)
    assert_array_equal(np.bincount(y_test), [30, 30])
    assert_array_equal(np.bincount(y_train), [70, 7])
    same_test = split_imbalanced(X, y, test_size=0.3, random_state=0)[1]
    assert_array_equal(X_test, same_test)


@pytest.mark.parametrize("test_size", [0.01, 0.99])
def test_every_class_is_on_both_sides_of_a_split(test_size):
    y = np.repeat([0, 1], [50, 2])
    _, _, y_train, y_test = split_imbalanced(y, y, test_size=test_size, random_state=0)
    assert set(y_train) == set(y_test) == {0, 1}


def test_split_names_a_class_of_one_row():
    with pytest.raises(ValueError, match=r"Class fox has 1 row.*needs at least 2"):
        split_imbalanced(np.zeros(5), ["cat", "cat", "dog", "dog", "fox"])


MISSING_LABELS = {
    "float": lambda: np.array([0, 0, 1, 1, np.nan, np.nan]),
    "numbers as objects": lambda: np.array([0, 0, 1, 1, np.nan, np.nan], dtype=object),
    "None": lambda: np.array(["a", "a", "b", "b", None, None], dtype=object),
    "strings and NaN": lambda: np.array(["a", "a", "b", "b", np.nan, np.nan], dtype=object),
    "dates": lambda: np.array(2 * ["2020"] + 2 * ["2021"] + 2 * ["NaT"], dtype="datetime64[D]"),
    "tensor": lambda: torch.tensor([0, 0, 1, 1, np.nan, np.nan]),
    **{
        dtype: partial(pd.Series, [*values, None, None], dtype=dtype)
        for dtype, values in {
            "Int64": [0, 0, 1, 1],
            "Float64": [0, 0, 1, 1],
            "boolean": [False, False, True, True],
            "string": ["a", "a", "b", "b"],
            "category": ["a", "a", "b", "b"],
            "str": ["a", "a", "b", "b"],
        }.items()
    },
}


@pytest.mark.parametrize("make", MISSING_LABELS.values(), ids=MISSING_LABELS)
def test_missing_labels_of_every_kind_are_refused(make):
    y = make()
    for use in (split_imbalanced, partial(make_imbalanced, ratio=2), compare_table):
        with pytest.raises(ValueError, match=r"y has missing labels|cannot be sorted"):
            use(np.zeros((6, 2)), y)


def test_fields_of_a_structured_array_are_split_and_over_sampled():
    # The strides of a field are not multiples of the size of its items.
    rows = np.zeros(24, dtype=[("flag", "i1"), ("X", "f4", (3,)), ("y", "i2")])
    rows["X"] = np.random.RandomState(0).rand(24, 3)
    rows["y"] = np.repeat([0, 1], [18, 6])
    # Where there is one row, NumPy takes it for contiguous.
    assert_array_equal(tensor_from_array(rows["X"][:1]), rows["X"][:1])
    packed = np.ascontiguousarray(rows["X"]), np.ascontiguousarray(rows["y"])
    for use in (
        partial(split_imbalanced, random_state=0),
        partial(make_imbalanced, ratio=6, random_state=0),
        EOS(random_state=0).fit_resample,
        lambda X, y: [LinearHead().fit(X, y).predict(X)],
        lambda X, y: [next(compare_table(X, y, samplers=["eos"])).fitted.Z_train],
    ):
        for found, expected in zip(use(rows["X"], rows["y"]), use(*packed), strict=True):
            assert_array_equal(found, expected)


def test_same_seed_splits_alike_and_another_does_not():
    first, again, other = (load_digits_long_tailed(random_state=seed)[0] for seed in (0, 0, 1))
    assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("ratio", [0, "20", float("nan")])
def test_a_wrong_ratio_of_digits_is_named(ratio):
    with pytest.raises(ValueError, match="'ratio' parameter of load_digits_long_tailed"):
        load_digits_long_tailed(ratio=ratio)


def test_digits_are_images_between_0_and_1():
    X, y = load_digit_images()
    assert X.shape == (1797, 1, 8, 8)
    assert (X.min(), X.max()) == (0, 1)
    assert set(y) == set(range(10))


# Folders of images


def test_folder_gives_classes_by_name_and_levels_from_0_to_1(tmp_path):
    save_image(tmp_path / "dog" / "1.png", color=255)
    save_image(tmp_path / "cat" / "2.png", color=51)
    save_image(tmp_path / "cat" / "1.png", color=0)
    save_image(tmp_path / "cat" / ".hidden.png")
    (tmp_path / "notes.txt").write_text("not an image")
    X, y = load_image_folder(tmp_path)
    assert X.shape == (3, 1, 8, 10)
    assert X.dtype == np.float32
    assert y.tolist() == ["cat", "cat", "dog"]
    assert_allclose(X[:, 0, 0, 0], [0, 0.2, 1])


def test_one_color_image_makes_all_of_them_color(tmp_path):
    save_image(tmp_path / "a" / "1.png", color=51)
    save_image(tmp_path / "b" / "1.png", color=(255, 0, 51), mode="RGB")
    X, _ = load_image_folder(tmp_path)
    assert_allclose(X[:, :, 0, 0], [[0.2, 0.2, 0.2], [1, 0, 0.2]])


@pytest.mark.parametrize(("size", "shape"), [(12, (12, 12)), ((9, 11), (9, 11))])
def test_images_are_resized(tmp_path, size, shape):
    save_image(tmp_path / "a" / "1.png", size=(20, 30))
    save_image(tmp_path / "b" / "1.png", size=(16, 8))
    assert load_image_folder(tmp_path, size=size)[0].shape == (2, 1, *shape)


def test_photographs_are_turned_upright(tmp_path):
    (tmp_path / "a").mkdir()
    image = Image.new("L", (10, 8))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a" / "1.jpg", exif=exif)
    assert load_image_folder(tmp_path)[0].shape == (1, 1, 10, 8)


def test_images_of_different_size_are_named(tmp_path):
    save_image(tmp_path / "a" / "1.png")
    save_image(tmp_path / "a" / "2.png", size=(11, 8))
    with pytest.raises(ValueError, match=r"not of 10 x 8 pixels .*'size'.*2\.png \(11 x 8\)"):
        load_image_folder(tmp_path)


@pytest.mark.parametrize("damage", ["text", "truncated"])
def test_broken_image_is_named(tmp_path, damage):
    save_image(tmp_path / "a" / "1.png", size=(100, 100))
    file = tmp_path / "a" / "1.png"
    file.write_bytes(b"no image" if damage == "text" else file.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"cannot be read as images .*\(remove them .*1\.png \("):
        load_image_folder(tmp_path)


def deep_png(n_channels):
    color = {1: 0, 2: 4, 3: 2, 4: 6}[n_channels]
    header = struct.pack(">IIBBBBB", 4, 4, 16, color, 0, 0, 0)
    rows = 4 * (b"\0" + 4 * n_channels * b"\0\x28")
    parts = {b"IHDR": header, b"IDAT": zlib.compress(rows), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts.items()
    )


def deep_tiff(n_channels):
    # Width, height, bits, compression, color, offset of pixels, channels, rows, bytes, extra.
    pixels, n_bytes = 8, 4 * 4 * n_channels * 2
    tags = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, n_channels, pixels + n_bytes), (259, 3, 1, 1)]
    tags += [(262, 3, 1, 2), (273, 4, 1, pixels), (277, 3, 1, n_channels), (278, 3, 1, 4)]
    tags += [(279, 4, 1, n_bytes), *([(338, 3, 1, 2)] if n_channels == 4 else [])]
    bits = n_channels * struct.pack("<H", 16)
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    start = struct.pack("<2sHI", b"II", 42, pixels + n_bytes + len(bits))
    return start + n_bytes // 2 * b"\x28\0" + bits + directory + bytes(4)


def deep_jpeg_2000():
    # Only the header of a codestream; the pixels are not read.
    depths = 3 * bytes([15, 1, 1])
    sizes = struct.pack(">HIIIIIIIIH", 0, 4, 4, 0, 0, 4, 4, 0, 0, 3) + depths
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(sizes) + 2) + sizes + b"\xff\x90\0\x0a"


DEEP_IMAGES = {
    **{f"{n}.png": partial(deep_png, n) for n in (1, 2, 3, 4)},
    **{f"{n}.tif": partial(deep_tiff, n) for n in (3, 4)},
    "1.ppm": lambda: b"P6\n4 4\n65535\n" + 48 * b"\0\x28",
    "2.ppm": lambda: b"P6\n4 4\n1023\n" + 48 * b"\0\x28",
    "3.ppm": lambda: b"P3\n4 4\n65535\n" + 48 * b"40 ",
    "1.pgm": lambda: b"P5\n4 4\n65535\n" + 16 * b"\0\x28",
    "1.sgi": lambda: struct.pack(">hBBHHHH", 474, 0, 2, 3, 4, 4, 3).ljust(512, b"\0") + 96 * b"\1",
    "1.j2k": deep_jpeg_2000,
}


@pytest.mark.parametrize("name", DEEP_IMAGES)
def test_images_of_more_than_8_bits_per_channel_are_refused(tmp_path, name):
    save_image(tmp_path / "a" / "0.png", size=(4, 4))
    (tmp_path / "a" / name).write_bytes(DEEP_IMAGES[name]())
    with pytest.raises(ValueError, match=rf"8 bits per channel .*/a/{name} \(\d+ bits\)") as error:
        load_image_folder(tmp_path)
    assert "0.png" not in str(error.value)


@pytest.mark.parametrize(("flags", "n_bits"), [(0x0C, 8), (0x4C, 10), (0x6C, 12)])
def test_bits_of_avif_are_in_its_header(flags, n_bits):
    image, stream = SimpleNamespace(format="AVIF", mode="RGB"), io.BytesIO()
    stream.write(b"\0\0\0 ftypavif\0\0\0\x0cav1C\x81\0" + bytes([flags, 0]))
    assert count_bits(image, stream) == n_bits


@pytest.mark.parametrize("name", ["png", "tif", "ppm", "sgi", "jp2", "bmp", "gif", "webp", "jpg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_images_of_8_bits_are_read_from_every_format(tmp_path, name, mode):
    save_image(tmp_path / "a" / f"1.{name}", color=51 if mode == "L" else (51,) * 3, mode=mode)
    assert_allclose(load_image_folder(tmp_path)[0], 0.2, atol=0.01)


@pytest.mark.parametrize(
    ("mode", "opaque", "transparency"),
    [
        ("RGBA", (51, 51, 51, 255), None),
        ("LA", (51, 255), None),
        ("PA", (51, 51, 51, 255), None),
        ("P", 1, 0),
        ("L", 51, 0),
        ("RGB", (51, 51, 51), (0, 0, 0)),
    ],
)
def test_transparent_pixels_are_white(tmp_path, mode, opaque, transparency):
    (tmp_path / "a").mkdir()
    image = Image.new("RGBA" if mode == "PA" else mode, (2, 1))
    if mode == "P":
        image.putpalette([0, 0, 0, 51, 51, 51])
    image.putpixel((0, 0), opaque)
    options = {} if transparency is None else {"transparency": transparency}
    # A PNG of a palette with degrees of transparency, as pngquant writes it.
    image = image.quantize(2) if mode == "PA" else image
    image.save(tmp_path / "a" / "1.png", **options)
    X, _ = load_image_folder(tmp_path)
    assert X.shape == (1, 1 if mode in ("L", "LA") else 3, 1, 2)
    assert_allclose(X[0, :, 0], [[0.2, 1]] * X.shape[1])


def test_half_transparent_pixels_are_mixed_with_white(tmp_path):
    save_image(tmp_path / "a" / "1.png", color=(0, 102, 255, 127), mode="RGBA")
    X, _ = load_image_folder(tmp_path)
    assert_allclose(X[0, :, 0, 0], [128 / 255, 179 / 255, 1], atol=0.005)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "lzw.tif"])
@pytest.mark.parametrize("orientation", [0, 1, 3, 6, 8, 9, 65535])
def test_shape_is_that_of_the_upright_image(tmp_path, suffix, orientation):
    (tmp_path / "a").mkdir()
    image, exif = Image.new("L", (16, 8)), Image.Exif()
    image.paste(255, (0, 0, 8, 8))
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    if suffix == "lzw.tif" and 1 <= orientation <= 8:
        options = {"compression": "tiff_lzw"}
    image.save(tmp_path / "a" / f"1.{suffix}", exif=exif, **options)
    X, _ = load_image_folder(tmp_path)
    pixels = np.zeros((8, 16))
    pixels[:, :8] = 1
    turned = np.rot90(pixels, {3: 2, 6: -1, 8: 1}.get(orientation, 0))
    assert_allclose(X[0, 0], turned, atol=0.05)


def test_orientation_behind_the_pixels_of_a_png_counts(tmp_path):
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + data))
    file = tmp_path / "a" / "1.png"
    Image.new("L", (16, 8)).save(file)
    content = file.read_bytes()
    file.write_bytes(content[:-12] + chunk + content[-12:])
    assert load_image_folder(tmp_path)[0].shape == (1, 1, 16, 8)


@pytest.mark.parametrize("suffix", ["gif", "tif", "png", "webp"])
def test_first_of_several_frames_is_taken_with_a_warning(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), 3 * (level,)) for level in (0, 255)]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        frames[0].save(tmp_path / name / f"1.{suffix}", save_all=True, append_images=frames[1:])
        save_image(tmp_path / name / "2.png", size=(8, 8))
    with pytest.warns(UserWarning, match=rf"2 of the .* several frames.*1\.{suffix}") as caught:
        X, _ = load_image_folder(tmp_path)
    assert caught[0].filename == __file__
    assert X.shape == (4, 3, 8, 8)
    assert_allclose(X, 0, atol=0.02)


def test_previews_beside_a_photograph_are_no_frames(tmp_path, recwarn):
    (tmp_path / "a").mkdir()
    image = Image.new("RGB", (8, 8))
    image.save(tmp_path / "a" / "1.jpg", "MPO", save_all=True, append_images=[image])
    load_image_folder(tmp_path)
    assert not recwarn.list


def test_class_without_images_is_named(tmp_path):
    save_image(tmp_path / "a" / "1.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"classes without images .*/empty"):
        load_image_folder(tmp_path)


def test_folder_without_classes_and_folder_in_a_class_are_refused(tmp_path):
    with pytest.raises(ValueError, match="folders without sub-folders"):
        load_image_folder(tmp_path)
    (tmp_path / "a" / "inner").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"folders inside a class .*/inner"):
        load_image_folder(tmp_path)


def test_named_pipe_in_a_class_is_refused_and_not_read(tmp_path):
    save_image(tmp_path / "a" / "1.png")
    os.mkfifo(tmp_path / "a" / "2.png")
    for load in (load_image_folder, read):
        with pytest.raises(ValueError, match=r"pipes or devices inside a class .*/2\.png"):
            load(tmp_path)


def test_all_problems_of_a_folder_are_told_at_once(tmp_path):
    for name in ("1", "2"):
        save_image(tmp_path / "a" / f"{name}.png")
    (tmp_path / "a" / "2.png").write_bytes(b"no image")
    save_image(tmp_path / "b" / "3.png", size=(11, 8))
    save_image(tmp_path / "b" / "4.png", mode="I;16")
    (tmp_path / "b" / "inner").mkdir()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="sub-folder") as error:
        load_image_folder(tmp_path)
    for words in ("2.png (Unid", "3.png (11", "4.png (16", "/b/inner", "/empty"):
        assert words in str(error.value)


def test_of_many_problems_the_first_are_told(tmp_path):
    for number in range(13):
        save_image(tmp_path / "a" / f"{number:02}.png", size=(number + 1, 8))
    with pytest.raises(ValueError, match=r"10\.png \(\S+ x 8\) and 2 more\.") as error:
        load_image_folder(tmp_path)
    assert "11.png" not in str(error.value)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_image_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("size", [0, "8"])
def test_bad_size_is_named(tmp_path, size):
    with pytest.raises(ValueError, match="'size' parameter"):
        load_image_folder(tmp_path, size=size)


# Files of arrays


@pytest.mark.parametrize(
    ("dtype", "level", "expected"),
    [("uint8", 51, 0.2), ("uint16", 65535, 1), ("int64", 3, 3), ("float64", 0.5, 0.5)],
)
def test_npz_becomes_float32_images(tmp_path, dtype, level, expected):
    X, y = load_npz(save_npz(tmp_path / "a.npz", X=np.full((4, 8, 9), level, dtype=dtype)))
    assert X.shape == (4, 1, 8, 9)
    assert X.dtype == np.float32
    assert_allclose(X, expected)
    assert y.tolist() == [0, 0, 1, 1]


def test_npz_of_color_images_with_names(tmp_path):
    y = ["cat", "cat", "dog", "dog"]
    X, labels = load_npz(save_npz(tmp_path / "a.npz", X=np.zeros((4, 3, 8, 8)), y=y))
    assert X.shape == (4, 3, 8, 8)
    assert labels.tolist() == y


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.zeros((4, 64))}, r"X of shape \(4, 64\)"),
        ({"X": np.zeros((4, 8, 8), dtype=complex)}, "'X' of .* has shape .* complex"),
        ({"X": np.full((4, 8, 8), np.nan)}, "NaN.* in 4 of 4 rows.*; the first is row 0"),
        ({"X": np.full((4, 8, 8), 1e300)}, "beyond float32"),
        ({"y": [0, 1]}, r"'y' \(--target\) .* has shape \(2,\), not \(4,\)"),
        ({"y": [0, 1, np.nan, 1]}, "'y' .* has no value in 1 rows; the first is row 2"),
        ({"y": np.array(4 * ["2020-01-01"], "M8[D]")}, "target='y' .* has dtype datetime64"),
        ({"y": ["a", " ", "b", "b"]}, "'y' .* has no value in 1 rows; the first is row 1"),
        ({"y": np.eye(4)}, r"'y' .* has shape \(4, 4\), not \(4,\)"),
        ({"ids": ["a"]}, r"'ids' \(--id\) .* has shape \(1,\), not \(4,\)"),
        ({"split": ["train", "test", "x", "test"]}, "'split' .* it has 'x'"),
    ],
)
def test_unusable_array_is_named(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        load_npz(save_npz(tmp_path / "a.npz", **arrays))


def test_missing_array_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((2, 8, 8)), labels=[0, 1])
    with pytest.raises(
        ValueError, match=r"target='y' .* names none of the arrays of \S+a\.npz: 'labels'"
    ):
        load_npz(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", X=np.zeros((2, 8, 8)))
    with pytest.raises(ValueError, match=r"need target= .* but \S+a\.npz has no array that could"):
        load_npz(tmp_path / "a.npz")


def test_scaling_of_pixels_is_a_fact_of_the_data(tmp_path):
    for dtype, facts in (("u1", {"scaling": "divided by 255"}), ("f4", {})):
        np.savez(tmp_path / "a.npz", X=np.zeros((2, 8, 8), dtype), y=[0, 1])
        assert read(tmp_path / "a.npz").facts == facts


def test_pickles_are_never_loaded(tmp_path):
    path = save_npz(tmp_path / "a.npz", y=np.array([Bomb()] * 4, dtype=object))
    with pytest.raises(
        ValueError, match=r"a\.npz holds Python objects in the array 'y'.*astype\(str\)"
    ):
        load_npz(path)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_single_array_without_a_name_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 8, 8)))
    with pytest.raises(ValueError, match=r"a\.npy cannot be read as an \.npz file"):
        load_npz(tmp_path / "a.npy")


def test_missing_npz_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        load_npz(tmp_path / "nowhere.npz")


def test_damaged_npz_is_always_a_value_error_with_the_name(tmp_path):
    path = save_npz(tmp_path / "a.npz", X=np.random.RandomState(0).rand(4, 8, 8))
    content = path.read_bytes()
    random_state = np.random.RandomState(0)
    for _ in range(200):
        damaged = bytearray(content)
        for position in random_state.randint(len(content), size=20):
            damaged[position] = random_state.randint(256)
        path.write_bytes(damaged[: random_state.randint(len(content) // 2, len(content))])
        with pytest.raises(ValueError, match=r"a\.npz"):
            load_npz(path)
