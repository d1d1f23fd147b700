"""A reader for CIFAR-10 and CIFAR-100 as their author publishes them."""

import os
import tarfile
from pathlib import Path

import numpy as np

from imblearn_eos._compat import StrOptions, validate_params

_N_PIXELS = 3 * 32 * 32

# For each dataset the files of each split, and for each label of an image, in the order of their
# bytes in a record, the file that names the classes.
_DATASETS = {
    "CIFAR-10": (
        {
            "train": [f"data_batch_{number}.bin" for number in range(1, 6)],
            "test": ["test_batch.bin"],
        },
        {"fine": "batches.meta.txt"},
    ),
    "CIFAR-100": (
        {"train": ["train.bin"], "test": ["test.bin"]},
        {"coarse": "coarse_label_names.txt", "fine": "fine_label_names.txt"},
    ),
}

_PICKLES = {"batches.meta", "data_batch_1", "test_batch", "meta"}

_REMEDY = (
    'Download the "binary version" from https://www.cs.toronto.edu/~kriz/cifar.html and give the '
    "path of the archive, or of the folder with the .bin files that is unpacked from it."
)


@validate_params(
    {
        "path": [str, os.PathLike],
        "split": [StrOptions({"train", "test"})],
        "label": [StrOptions({"fine", "coarse"})],
    },
    prefer_skip_nested_validation=True,
)
def load_cifar(path, *, split="train", label="fine"):
    r"""Load CIFAR-10 or CIFAR-100 from its binary version.

    Parameters
    ----------
    path : str or path-like
        The archive ``cifar-10-binary.tar.gz`` or ``cifar-100-binary.tar.gz``, which is read without
        unpacking it to disk, or the folder ``cifar-10-batches-bin`` or ``cifar-100-binary`` that is
        unpacked from it. [1]_ has both to download. The Python version is refused: its files are
        pickles, which can run code when they are loaded.
    split : {"train", "test"}, default="train"
        The 50,000 images to train on, or the 10,000 to test on.
    label : {"fine", "coarse"}, default="fine"
        For CIFAR-100, the 100 classes or their 20 superclasses. CIFAR-10 has fine labels only.

    Returns
    -------
    X : ndarray of shape (n_samples, 3, 32, 32), dtype float32
        Levels of red, green and blue from 0 to 1.
    y : ndarray of shape (n_samples,), dtype str
        Names of the classes. Their sorted order is that of the numbers in the files.

    Raises
    ------
    FileNotFoundError
        When there is nothing at the path.
    ValueError
        When what is there is not the binary version of one of the two, or is damaged or
        incomplete, or coarse labels of CIFAR-10 are asked for.

    References
    ----------
    .. [1] Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
       https://www.cs.toronto.edu/~kriz/cifar.html

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from imblearn_eos.datasets import load_cifar
    >>> with tempfile.TemporaryDirectory() as folder:  # two images, in place of all
    ...     _ = Path(folder, "batches.meta.txt").write_text("airplane\nautomobile\n")
    ...     records = bytes([1] + [0] * 3072 + [0] + [255] * 3072)
    ...     _ = Path(folder, "test_batch.bin").write_bytes(records)
    ...     X, y = load_cifar(folder, split="test")
    >>> X.shape, float(X.max()), y.tolist()
    ((2, 3, 32, 32), 1.0, ['automobile', 'airplane'])
    """
    wanted = {
        name
        for splits, label_names in _DATASETS.values()
        for name in [*splits[split], *label_names.values()]
    }
    contents = _read_files(Path(path), wanted)
    dataset = _identify(path, contents)
    splits, label_names = _DATASETS[dataset]
    if label not in label_names:
        raise ValueError(f"{path} is {dataset}, which has no {label} labels. Use label='fine'.")
    missing = [name for name in [*splits[split], label_names[label]] if name not in contents]
    if missing:
        raise ValueError(
            f"{path} has files of {dataset}, but not {', '.join(missing)}. Download it again."
        )
    classes = np.array(contents[label_names[label]].decode("ascii", errors="replace").split())
    byte = list(label_names).index(label)
    records = []
    for name in splits[split]:
        file = f"{name} in {path}"
        records.append(_records(file, contents[name], len(label_names)))
        _check_labels(file, records[-1][:, byte], classes)
    records = np.concatenate(records)
    X = records[:, len(label_names) :].astype(np.float32)
    X /= 255
    return X.reshape(-1, 3, 32, 32), classes[records[:, byte]]


def _read_files(path, wanted):
    """Return the contents of files in a folder or archive by name, None for those not wanted."""
    if not path.exists():
        raise FileNotFoundError(f"{path} cannot be read: there is no such file or folder.")
    if path.is_dir():
        return {
            entry.name: entry.read_bytes() if entry.name in wanted else None
            for entry in path.iterdir()
            if entry.is_file()
        }
    contents = {}
    try:
        if not tarfile.is_tarfile(path):
            raise ValueError("it is no tar archive, or a damaged one")
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile():
                    name = Path(member.name).name
                    contents[name] = archive.extractfile(member).read() if name in wanted else None
            # gzip compares its checksum when it comes to the end of the file.
            archive.fileobj.read()
    # As with images, a damaged archive raises nearly anything.
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read: {str(error) or type(error).__name__}. {_REMEDY}"
        ) from error
    return contents


def _identify(path, names):
    for dataset, (splits, _) in _DATASETS.items():
        if any(name in names for files in splits.values() for name in files):
            return dataset
    if not _PICKLES.isdisjoint(names):
        raise ValueError(
            f"{path} is the Python version of CIFAR. Its files are pickles, which can run code "
            f"when they are loaded, and are not read. {_REMEDY}"
        )
    raise ValueError(f"{path} is neither CIFAR-10 nor CIFAR-100. {_REMEDY}")


def _records(file, content, n_labels):
    size = n_labels + _N_PIXELS
    if len(content) == 0 or len(content) % size:
        raise ValueError(
            f"{file} has {len(content)} bytes; it must have {size} for each image and its label. "
            "Download it again."
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(-1, size)


def _check_labels(file, codes, classes):
    bad = np.flatnonzero(codes >= len(classes))
    if len(bad):
        raise ValueError(
            f"{file} has the label {codes[bad[0]]} at image {bad[0]}, but only {len(classes)} "
            "classes have names. Download it again."
        )
