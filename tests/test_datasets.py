import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from imblearn_eos.datasets import (
    load_digit_images,
    load_digits_long_tailed,
    load_image_folder,
    load_npz,
    long_tail_counts,
    make_imbalanced,
    split_imbalanced,
)

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
    with pytest.raises(ValueError, match=r"2\.png is 11 x 8 pixels, not 10 x 8 .*'size'"):
        load_image_folder(tmp_path)


@pytest.mark.parametrize("damage", ["text", "truncated"])
def test_broken_image_is_named(tmp_path, damage):
    save_image(tmp_path / "a" / "1.png", size=(100, 100))
    file = tmp_path / "a" / "1.png"
    file.write_bytes(b"no image" if damage == "text" else file.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"1\.png cannot be read as an image"):
        load_image_folder(tmp_path)


def test_sixteen_bit_image_is_refused_by_name(tmp_path):
    save_image(tmp_path / "a" / "1.png", mode="I;16")
    with pytest.raises(ValueError, match=r"1\.png has more than 8 bits"):
        load_image_folder(tmp_path)


def test_class_without_images_is_named(tmp_path):
    save_image(tmp_path / "a" / "1.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="class empty has no image"):
        load_image_folder(tmp_path)


def test_folder_without_classes_and_folder_in_a_class_are_refused(tmp_path):
    with pytest.raises(ValueError, match="has no sub-folders"):
        load_image_folder(tmp_path)
    (tmp_path / "a" / "inner").mkdir(parents=True)
    with pytest.raises(ValueError, match="inner is a folder inside a class"):
        load_image_folder(tmp_path)


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
    for words in ("2.png cannot", "3.png is 11", "4.png has more", "inner is a", "class empty"):
        assert words in str(error.value)


def test_of_many_problems_the_first_are_told(tmp_path):
    for number in range(13):
        save_image(tmp_path / "a" / f"{number:02}.png", size=(number + 1, 8))
    with pytest.raises(ValueError, match=r"10\.png .*; and 2 more\.") as error:
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
        ({"X": np.zeros((4, 8, 8), dtype=complex)}, "X of .* complex"),
        ({"X": np.full((4, 8, 8), np.nan)}, "NaN.* in 4 of 4 rows.*; the first is row 0"),
        ({"X": np.full((4, 8, 8), 1e300)}, "beyond float32"),
        ({"y": [0, 1]}, r"y of shape \(2,\)"),
        ({"y": [0, 1, np.nan, 1]}, "NaN.* in 1 of 4 rows.*; the first is row 2"),
        ({"y": [b"a", b"a", b"b", b"b"]}, "dtype .S1.*not bytes"),
    ],
)
def test_unusable_array_is_named(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        load_npz(save_npz(tmp_path / "a.npz", **arrays))


def test_missing_array_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((2, 8, 8)), labels=[0, 1])
    with pytest.raises(ValueError, match=r"a\.npz cannot be read .*y is not a file"):
        load_npz(tmp_path / "a.npz")


def test_pickles_are_never_loaded(tmp_path):
    path = save_npz(tmp_path / "a.npz", y=np.array([Bomb()] * 4, dtype=object))
    with pytest.raises(ValueError, match=r"a\.npz cannot be read .*Object arrays"):
        load_npz(path)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_single_array_without_a_name_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 8, 8)))
    with pytest.raises(ValueError, match=r"a\.npy cannot be read .*must be an \.npz file"):
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
