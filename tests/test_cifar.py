"""The reader of CIFAR-10 in benchmarks: the archive as its author publishes it."""

import io
import pickle
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from _cifar_images import load_cifar10


def random_images(n, seed=0):
    return np.random.RandomState(seed).randint(256, size=(n, 3, 32, 32), dtype=np.uint8)


def records(images, labels):
    return b"".join(
        bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True)
    )


def cifar_10_files():
    files = {"batches.meta.txt": b"airplane\nautomobile\nbird\n\n", "readme.html": b"<p>"}
    for number in range(1, 6):
        files[f"data_batch_{number}.bin"] = records(random_images(2, number), [number % 3, 0])
    files["test_batch.bin"] = records(random_images(1), [2])
    # Not in order, as in the published archive.
    return dict(sorted(files.items(), reverse=True))


def save_folder(path, files):
    folder = path / "unpacked"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def save_archive(path, files):
    path = path / "cifar.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-binary/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


either = pytest.mark.parametrize("save", [save_folder, save_archive])


@either
def test_images_come_in_order(tmp_path, save):
    path = save(tmp_path, cifar_10_files())
    X, y = load_cifar10(str(path))
    np.testing.assert_array_equal(X, np.concatenate([random_images(2, n) for n in range(1, 6)]))
    assert y.tolist() == [1, 0, 2, 0, 0, 0, 1, 0, 2, 0]
    X, y = load_cifar10(path, split="test")
    np.testing.assert_array_equal(X, random_images(1))
    assert y.tolist() == [2]


@pytest.mark.parametrize(("channel", "row", "column"), [(0, 0, 1), (1, 2, 0), (2, 31, 30)])
def test_pixels_are_planes_of_rows(tmp_path, channel, row, column):
    content = bytearray(1 + 3072)
    content[1 + 1024 * channel + 32 * row + column] = 51
    X, _ = load_cifar10(save_folder(tmp_path, {"test_batch.bin": content}), split="test")
    assert np.argwhere(X).tolist() == [[0, channel, row, column]]
    assert X.max() == 51


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


@either
def test_python_version_is_refused_and_not_unpickled(tmp_path, save):
    path = save(tmp_path, {f"data_batch_{n}": pickle.dumps(Bomb()) for n in range(1, 6)})
    with pytest.raises(ValueError, match=r"lacks data_batch_1\.bin, .*binary version from https"):
        load_cifar10(path)


@either
@pytest.mark.parametrize("content", [None, b"", bytes(2 * 3073 + 1)])
def test_missing_or_truncated_file_is_named(tmp_path, save, content):
    files = cifar_10_files()
    del files["data_batch_4.bin"]
    if content is not None:
        files["data_batch_4.bin"] = content
    path = save(tmp_path, files)
    with pytest.raises(ValueError, match=r"lacks data_batch_4\.bin, or these files are damaged"):
        load_cifar10(path)
    assert len(load_cifar10(path, split="test")[0]) == 1
