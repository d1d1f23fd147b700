import io
import pickle
import tarfile

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from imblearn_eos.datasets import load_cifar

CIFAR_10_NAMES = b"airplane\nautomobile\nbird\n\n"
CIFAR_100_NAMES = {
    "coarse_label_names.txt": b"aquatic_mammals\nfish\n",
    "fine_label_names.txt": b"apple\naquarium_fish\nbaby\n",
}


def random_images(n, seed=0):
    return np.random.RandomState(seed).randint(256, size=(n, 3, 32, 32), dtype=np.uint8)


def records(images, *labels):
    return b"".join(
        bytes(codes) + image.tobytes() for image, *codes in zip(images, *labels, strict=True)
    )


def cifar_10_files():
    files = {"batches.meta.txt": CIFAR_10_NAMES, "readme.html": b"<p>"}
    for number in range(1, 6):
        files[f"data_batch_{number}.bin"] = records(random_images(2, number), [number % 3, 0])
    files["test_batch.bin"] = records(random_images(1), [2])
    # Not in order, as in the published archive.
    return dict(sorted(files.items(), reverse=True))


def cifar_100_files():
    return {
        **CIFAR_100_NAMES,
        "train.bin": records(random_images(3), [0, 1, 1], [2, 1, 0]),
        "test.bin": records(random_images(1), [1], [2]),
    }


def save_folder(path, files):
    folder = path / "unpacked"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def save_archive(path, files, mode="w:gz"):
    path = path / "cifar.tar.gz"
    with tarfile.open(path, mode) as archive:
        folder = tarfile.TarInfo("cifar-binary")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-binary/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


either = pytest.mark.parametrize("save", [save_folder, save_archive])


# What is read


@either
def test_cifar_10_gives_images_in_order_and_names(tmp_path, save):
    path = save(tmp_path, cifar_10_files())
    X, y = load_cifar(str(path))
    assert X.shape == (10, 3, 32, 32)
    assert X.dtype == np.float32
    assert X.flags.c_contiguous
    assert_allclose(X * 255, np.concatenate([random_images(2, n) for n in range(1, 6)]))
    assert y.dtype.kind == "U"
    assert_array_equal(y[::2], ["automobile", "bird", "airplane", "automobile", "bird"])
    assert set(y[1::2]) == {"airplane"}
    X, y = load_cifar(path, split="test")
    assert_allclose(X * 255, random_images(1))
    assert y.tolist() == ["bird"]


@either
def test_cifar_100_gives_fine_or_coarse_names(tmp_path, save):
    path = save(tmp_path, cifar_100_files())
    X, y = load_cifar(path)
    assert_allclose(X * 255, random_images(3))
    assert y.tolist() == ["baby", "aquarium_fish", "apple"]
    assert load_cifar(path, label="coarse")[1].tolist() == ["aquatic_mammals", "fish", "fish"]
    X, y = load_cifar(path, split="test")
    assert_allclose(X * 255, random_images(1))
    assert y.tolist() == ["baby"]


@pytest.mark.parametrize(("channel", "row", "column"), [(0, 0, 1), (1, 2, 0), (2, 31, 30)])
def test_pixels_are_planes_of_rows(tmp_path, channel, row, column):
    content = bytearray(1 + 3072)
    content[1 + 1024 * channel + 32 * row + column] = 51
    files = {"batches.meta.txt": CIFAR_10_NAMES, "test_batch.bin": content}
    X, _ = load_cifar(save_folder(tmp_path, files), split="test")
    assert np.argwhere(X).tolist() == [[0, channel, row, column]]
    assert_allclose(X.max(), 0.2)


def test_archive_is_not_unpacked_to_disk(tmp_path):
    path = save_archive(tmp_path, cifar_100_files())
    load_cifar(path)
    assert list(tmp_path.iterdir()) == [path]


def test_archive_that_a_browser_decompressed(tmp_path):
    assert len(load_cifar(save_archive(tmp_path, cifar_100_files(), mode="w"))[0]) == 3


# What is refused


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


@either
@pytest.mark.parametrize(
    "names",
    [["batches.meta", "data_batch_1", "test_batch"], ["data_batch_1"], ["meta", "train", "test"]],
)
def test_python_version_is_refused_and_not_unpickled(tmp_path, save, names):
    path = save(tmp_path, dict.fromkeys(names, pickle.dumps(Bomb())))
    message = rf"{path.name} is the Python version.*\"binary version\" from https://www\.cs"
    with pytest.raises(ValueError, match=message):
        load_cifar(path)


@either
def test_what_is_no_cifar_says_where_to_get_it(tmp_path, save):
    path = save(tmp_path, {"data_batch_1.mat": b"MATLAB"})
    with pytest.raises(ValueError, match=rf"{path.name} is neither.*\"binary version\" from"):
        load_cifar(path)


@either
@pytest.mark.parametrize("name", ["data_batch_4.bin", "batches.meta.txt"])
def test_missing_file_is_named(tmp_path, save, name):
    files = cifar_10_files()
    del files[name]
    with pytest.raises(ValueError, match=f"has files of CIFAR-10, but not {name}. Download"):
        load_cifar(save(tmp_path, files))


@either
@pytest.mark.parametrize("size", [0, 3072, 2 * 3073 + 1])
def test_truncated_file_is_named(tmp_path, save, size):
    path = save(tmp_path, {**cifar_10_files(), "data_batch_2.bin": bytes(size)})
    with pytest.raises(ValueError, match=rf"data_batch_2\.bin in .* has {size} bytes.* 3073 for"):
        load_cifar(path)
    assert len(load_cifar(path, split="test")[0]) == 1


@pytest.mark.parametrize(("label", "code"), [("fine", 3), ("coarse", 2)])
def test_label_without_a_name_is_named(tmp_path, label, code):
    content = records(random_images(2), [1, 2], [1, 3])
    path = save_folder(tmp_path, {**CIFAR_100_NAMES, "train.bin": content})
    message = rf"train\.bin in .* has the label {code} at image 1, but only {code} classes"
    with pytest.raises(ValueError, match=message):
        load_cifar(path, label=label)


def test_cifar_10_has_no_coarse_labels(tmp_path):
    with pytest.raises(ValueError, match=r"is CIFAR-10, which has no coarse.*label='fine'"):
        load_cifar(save_folder(tmp_path, cifar_10_files()), label="coarse")


@pytest.mark.parametrize("params", [{"split": "all"}, {"label": "superclass"}])
def test_bad_parameter_is_named(tmp_path, params):
    name, value = next(iter(params.items()))
    with pytest.raises(ValueError, match=f"The '{name}' parameter.*Got '{value}'"):
        load_cifar(tmp_path, **params)


def test_missing_path_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tar\.gz cannot be read"):
        load_cifar(tmp_path / "nowhere.tar.gz")


def test_file_that_is_no_archive_is_named(tmp_path):
    path = save_folder(tmp_path, cifar_100_files()) / "train.bin"
    with pytest.raises(
        ValueError, match=r"train\.bin cannot be read: it is no tar archive.*binary"
    ):
        load_cifar(path)


def test_damaged_archive_is_always_a_value_error_with_the_name(tmp_path):
    path = save_archive(tmp_path, cifar_100_files())
    content = path.read_bytes()
    random_state = np.random.RandomState(0)
    # The first bytes hold the time and the name, which nobody checks.
    for position in random_state.randint(100, len(content), size=100):
        damaged = bytearray(content)
        damaged[position] ^= 1 << random_state.randint(8)
        for bad in (damaged, content[:position]):
            path.write_bytes(bad)
            with pytest.raises(ValueError, match=r"cifar\.tar\.gz"):
                load_cifar(path)
