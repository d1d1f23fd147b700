"""Readers for a user's own images. What is wrong with a file is said with its name."""

import zipfile
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path

import numpy as np


def load_image_folder(path, *, size=None):
    """Load images from a folder that has one sub-folder of images per class.

    Parameters
    ----------
    path : str or path-like
        The folder. Hidden files, and files beside the sub-folders, are left out.
    size : int, (height, width) or None, default=None
        Resize every image to this many pixels; one number means a square. None takes the images
        as they are, which must then all have the same size.

    Returns
    -------
    X : ndarray of shape (n_samples, channels, height, width), dtype float32
        Levels from 0 to 1. One channel if all images are grey, else three (red, green, blue).
    y : ndarray of shape (n_samples,), dtype str
        Names of the sub-folders.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        When there is no such folder.
    ImportError
        When Pillow is not installed.
    ValueError
        When a class has no image, images differ in size, or a file is no readable image. The
        message names it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from imblearn_eos.datasets import load_image_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cat", "dog"):
    ...         Path(folder, name).mkdir()
    ...         Image.new("RGB", (16, 12)).save(Path(folder, name, "1.png"))
    ...     X, y = load_image_folder(folder)
    >>> X.shape, y.tolist()
    ((2, 3, 12, 16), ['cat', 'dog'])
    """
    size = _check_size(size)
    files, labels = _list_images(Path(path))
    # Headers first: a wrong size is found in seconds, and pixels then go straight to their place.
    headers = [_read_header(file) for file in files]
    grey = all(is_grey for is_grey, _ in headers)
    height, width = size or headers[0][1]
    for file, (_, shape) in zip(files, headers, strict=True):
        if size is None and shape != (height, width):
            raise ValueError(
                f"{file} is {shape[1]} x {shape[0]} pixels, {files[0]} is {width} x {height}. "
                "Images must have the same size: resize them with the 'size' parameter "
                "(--image-size on the command line)."
            )
    X = np.empty((len(files), 1 if grey else 3, height, width), dtype=np.float32)
    for row, file in enumerate(files):
        X[row] = _read_pixels(file, grey, (height, width))
    return X, np.array(labels)


@contextmanager
def _opened_image(file):
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "Reading a folder of images needs Pillow. Install it: pip install pillow"
        ) from error
    try:
        with Image.open(file) as image:
            yield image
    # Pillow's decoders raise nearly anything on a broken file: OSError, SyntaxError, struct.error.
    except Exception as error:
        raise ValueError(
            f"{file} cannot be read as an image ({type(error).__name__}: {error}). "
            "Repair the file, or remove it."
        ) from error


def _read_header(file):
    """Return whether the image is grey, and its (height, width) once it is turned upright."""
    with _opened_image(file) as image:
        mode, sides = image.mode, image.size
        orientation = image.getexif().get(0x0112, 1)
    if mode.startswith(("I", "F")):
        raise ValueError(
            f"{file} has more than 8 bits per channel (mode {mode}). Convert it, or put the images "
            "in an .npz file."
        )
    # Cameras store a picture as the sensor lies, with a note how to turn it: 5 to 8 swap the sides.
    return mode in ("1", "L", "LA"), sides if orientation >= 5 else sides[::-1]


def _read_pixels(file, grey, shape):
    from PIL import ImageOps

    with _opened_image(file) as image:
        image = ImageOps.exif_transpose(image).convert("L" if grey else "RGB")
    if image.size != shape[::-1]:
        image = image.resize(shape[::-1])
    return np.atleast_3d(np.asarray(image, dtype=np.float32)).transpose(2, 0, 1) / 255


def _check_size(size):
    if size is None:
        return None
    pair = (size, size) if isinstance(size, Integral) else tuple(size)
    if len(pair) != 2 or not all(isinstance(side, Integral) and side > 0 for side in pair):
        raise ValueError(
            "The 'size' parameter must be a positive number of pixels, or a pair (height, width). "
            f"Got {size!r} instead."
        )
    return pair


def _list_images(path):
    if not path.exists():
        raise FileNotFoundError(f"{path} is no folder: there is nothing of that name.")
    folders = [entry for entry in _visible(path) if entry.is_dir()]
    if not folders:
        raise ValueError(
            f"{path} has no sub-folders. Put the images of each class in a sub-folder of its own, "
            "named like the class."
        )
    files, labels = [], []
    for folder in folders:
        if not folder.name.isprintable():
            raise ValueError(
                f"The class {folder.name!r} in {path} has a name that cannot be printed. Rename "
                "the folder."
            )
        images = _visible(folder)
        for entry in images:
            if entry.is_dir():
                raise ValueError(
                    f"{entry} is a folder inside a class. A class is one folder of images, without "
                    "sub-folders."
                )
        if not images:
            raise ValueError(f"Class {folder.name} has no image: {folder} is empty.")
        files += images
        labels += [folder.name] * len(images)
    return files, labels


def _visible(folder):
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def load_npz(path):
    """Load images and labels from an ``.npz`` file, as written by `numpy.savez`.

    Parameters
    ----------
    path : str or path-like
        A file with the arrays ``X``, of shape (n_samples, channels, height, width), or (n_samples,
        height, width) for grey images, and ``y``, of shape (n_samples,). Nothing in it is
        unpickled, so that a file from a stranger cannot run code.

    Returns
    -------
    X : ndarray of shape (n_samples, channels, height, width), dtype float32
        Unsigned integers of 8 and 16 bits are scaled to between 0 and 1, other types are taken as
        they are.
    y : ndarray of shape (n_samples,)
        The labels.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is broken or has other arrays than these. The message says which.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from imblearn_eos.datasets import load_npz
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "images.npz")
    ...     np.savez(path, X=np.full((4, 8, 8), 255, dtype=np.uint8), y=[0, 0, 1, 1])
    ...     X, y = load_npz(path)
    >>> X.shape, X.dtype, float(X.max())
    ((4, 1, 8, 8), dtype('float32'), 1.0)
    """
    X, y = _read_arrays(path)
    if X.ndim not in (3, 4) or X.dtype.kind not in "buif":
        raise ValueError(
            f"X in {path} has shape {X.shape} and dtype {X.dtype}. Images must be numbers of shape "
            "(n, channels, height, width), or (n, height, width) if grey."
        )
    if y.shape != (len(X),) or y.dtype.kind not in "buifU":
        raise ValueError(
            f"y in {path} has shape {y.shape} and dtype {y.dtype}. Labels must be numbers or "
            f"strings (not bytes) of shape ({len(X)},), one for each image in X."
        )
    scale = np.iinfo(X.dtype).max if X.dtype in (np.uint8, np.uint16) else 1
    with np.errstate(over="ignore"):
        X = X.astype(np.float32)
    X /= scale
    if X.ndim == 3:
        X = X[:, np.newaxis]
    bad = np.flatnonzero(~np.isfinite(X).all(axis=(1, 2, 3)))
    if len(bad):
        raise ValueError(
            f"X in {path} has NaN, infinity or a value beyond float32 in {len(bad)} of {len(X)} "
            f"images; the first is number {bad[0]}. Repair or remove them."
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(f"y in {path} has NaN or infinity. Every image needs a label.")
    return X, y


def _read_arrays(path):
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is no .npz archive, or a damaged one")
            file.seek(0)
            arrays = np.load(file, allow_pickle=False)
            missing = sorted({"X", "y"} - set(arrays.files))
            if missing:
                raise ValueError(
                    f"it has no array named {' or '.join(missing)}, only "
                    f"{', '.join(arrays.files) or 'nothing'}"
                )
            return _read_array(arrays, "X"), _read_array(arrays, "y")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} cannot be read: there is no such file.") from error
    # As with images, a damaged archive raises nearly anything.
    except Exception as error:
        raise ValueError(
            f"{path} cannot be used: {str(error) or type(error).__name__}. It must be an .npz file "
            "with the images as X and the labels as y, as written by numpy.savez(path, X=X, y=y)."
        ) from error


def _read_array(arrays, name):
    try:
        return arrays[name]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        # NumPy's own message advises to unpickle.
        raise ValueError(
            f"its {name} cannot be read without unpickling, which can run code. Store numbers, "
            f"or strings with {name}.astype(str)"
        ) from error
