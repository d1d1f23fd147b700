"""Images of CIFAR-10: read, made imbalanced, and balanced again by adding images."""

import io
import math
import tarfile
import time
from itertools import pairwise
from pathlib import Path

import _gan
import numpy as np
from imblearn.over_sampling import SMOTE, RandomOverSampler
from sklearn.model_selection import StratifiedKFold

from imblearn_eos.datasets import make_imbalanced

N_CLASSES = 10
# Of the training images, per channel.
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
BATCHES = {
    "train": [f"data_batch_{number}.bin" for number in range(1, 6)],
    "test": ["test_batch.bin"],
}
# A label and three planes of pixels.
RECORD_BYTES = 1 + 3 * 32 * 32


def load_cifar10(path, split="train"):
    """Load CIFAR-10 from its binary version.

    Parameters
    ----------
    path : str or Path
        The archive ``cifar-10-binary.tar.gz``, which is not unpacked to disk, or the folder
        ``cifar-10-batches-bin``. The Python version is not read: its files are pickles, which can
        run code when they are loaded.
    split : {"train", "test"}

    Returns
    -------
    X : ndarray of shape (n, 3, 32, 32), dtype uint8
    y : ndarray of shape (n,), dtype int64
        Labels from 0 to 9.
    """
    contents = _read_files(Path(path), BATCHES[split])
    bad = [
        name
        for name in BATCHES[split]
        if not contents.get(name) or len(contents[name]) % RECORD_BYTES
    ]
    if bad:
        raise ValueError(
            f"{path} lacks {', '.join(bad)}, or these files are damaged. Download the binary "
            "version from https://www.cs.toronto.edu/~kriz/cifar.html."
        )
    joined = b"".join(contents[name] for name in BATCHES[split])
    records = np.frombuffer(joined, dtype=np.uint8).reshape(-1, RECORD_BYTES)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def _read_files(path, names):
    if path.is_dir():
        return {name: (path / name).read_bytes() for name in names if (path / name).exists()}
    with tarfile.open(path) as archive:
        members = {Path(member.name).name: member for member in archive if member.isfile()}
        return {
            name: archive.extractfile(members[name]).read() for name in names if name in members
        }


def load_images(path):
    """Load CIFAR-10 from the binary archive or from a pack of JPEG files.

    A pack is an ``.npz`` file of ``jpeg`` (all files end to end), ``offset`` (the start of each
    file, and the end of the last), ``label`` and ``is_test``.

    Returns
    -------
    X_train, y_train, X_test, y_test : ndarray
        Images of shape (n, 3, 32, 32), dtype uint8, and labels from 0 to 9.
    """
    if not str(path).endswith(".npz"):
        return *load_cifar10(path, "train"), *load_cifar10(path, "test")
    from PIL import Image

    with np.load(path, allow_pickle=False) as pack:
        content, offset = pack["jpeg"].tobytes(), pack["offset"]
        y, is_test = pack["label"].astype(np.int64), pack["is_test"]
    files = (content[start:end] for start, end in pairwise(offset))
    X = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
    X = np.ascontiguousarray(X.transpose(0, 3, 1, 2))
    return X[~is_test], y[~is_test], X[is_test], y[is_test]


def split_images(images, case, fold, n_folds):
    """Split the images of a case into those to train on and new ones.

    Returns
    -------
    X, y, X_new, y_new : ndarray
        The new images are the fold, or the test images if ``fold`` is None.
    """
    X, y, X_test, y_test = images
    rows = np.arange(len(y))
    rows, _ = make_imbalanced(rows, y, ratio=case.ratio, kind=case.kind, random_state=case.subset)
    if fold is None:
        return X[rows], y[rows], X_test, y_test
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=case.subset)
    inside, outside = list(folds.split(rows, y[rows]))[fold]
    return X[rows[inside]], y[rows[inside]], X[rows[outside]], y[rows[outside]]


def balance_images(X, y, how, budget, seed):
    """Add images until all classes are equally large.

    Returns
    -------
    X, y : ndarray
    n_parameters : int
        Parameters of the model that made the images.
    seconds : float
        Time to make them.
    """
    start, n_parameters = time.perf_counter(), 0
    if how == "GAN":
        n_steps = budget.epochs * math.ceil(len(y) / budget.batch_size)
        X, y, n_parameters = _gan.balance(X, y, n_steps=n_steps, device=budget.device, seed=seed)
    else:
        sampler = {"random": RandomOverSampler, "SMOTE": SMOTE}[how](random_state=seed)
        rows, y = sampler.fit_resample(X.reshape(len(X), -1).astype(np.float32), y)
        X = rows.round().astype(np.uint8).reshape(-1, *X.shape[1:])
    return X, y, n_parameters, time.perf_counter() - start


def normalize(X):
    """Convert uint8 images to float32 images whose channels have mean 0 and variance 1."""
    mean, std = (np.array(a, dtype=np.float32)[:, None, None] for a in (MEAN, STD))
    images = X.astype(np.float32)
    images /= 255
    images -= mean
    images /= std
    return images
