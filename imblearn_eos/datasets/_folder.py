"""Images from a folder with one sub-folder per class."""

from __future__ import annotations

import os
import warnings
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from imblearn_eos._compat import Interval, validate_params
from imblearn_eos._extras import import_extra
from imblearn_eos.datasets._image_headers import count_bits, find_shape, has_more_frames

# Problems that one error lists at most.
MAX_PROBLEMS = 10

# Modes without transparency of their own.
OPAQUE = ("1", "L", "RGB", "CMYK", "YCbCr", "LAB", "HSV")


@validate_params(
    {
        "path": "no_validation",
        "size": [Interval(Integral, 1, None, closed="left"), "array-like", None],
    },
    prefer_skip_nested_validation=True,
)
def load_image_folder(
    path: str | os.PathLike, *, size: int | tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Load images from a folder that has one sub-folder of images per class.

    Images are turned upright as their EXIF data say. Transparent ones are put on white. Of files
    with several frames (animations, or pages of a TIFF) the first frame is taken, with a warning.

    Parameters
    ----------
    path : str or path-like
        The folder. Hidden files, and files beside the sub-folders, are ignored.
    size : int, (height, width) or None, default=None
        Resize every image to this many pixels; one number means a square. None takes the images
        as they are, and then all must have the same size.

    Returns
    -------
    X : ndarray of shape (n_samples, channels, height, width), dtype float32
        Levels from 0 to 1. One channel if all images are grey, else three (red, green, blue).
    y : ndarray of shape (n_samples,), dtype str
        Names of the sub-folders.

    Raises
    ------
    ImportError
        When Pillow is not installed; the extra ``images`` installs it.
    ValueError
        When a class has no image, images differ in size, or a file is not a readable image or has
        more than 8 bits per channel, which Pillow would cut. The message lists all such files and
        folders, up to 10.

    Warns
    -----
    UserWarning
        When files have several frames.

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
    import_extra("PIL", "images")
    files, labels, problems = _list_images(Path(path))
    # Headers first: most problems are found in seconds, and the pixels then go to their place.
    headers = dict(_read_all(_read_header, files, problems))
    shape: Any = (size, size) if isinstance(size, Integral) else size
    for file, (_, found, n_bits, _) in headers.items():
        shape = found if shape is None else shape
        if size is None and found != shape:
            problems.append(
                f"{file} is {found[1]} x {found[0]} pixels, not {shape[1]} x {shape[0]} as the "
                "first image (pass 'size', on the command line --image-size, to resize them)"
            )
        if n_bits > 8:
            problems.append(f"{file} has more than 8 bits per channel ({n_bits}); convert it")
    if not problems:
        _warn_of_frames([file for file, (*_, has_more) in headers.items() if has_more])
        grey = all(mode in ("1", "L", "LA") for mode, *_ in headers.values())
        X = np.empty((len(files), 1 if grey else 3, *shape), dtype=np.float32)
        read = partial(_read_pixels, grey=grey, shape=tuple(shape))
        for row, (_, pixels) in enumerate(_read_all(read, files, problems)):
            X[row] = pixels
    if problems:
        more = f"; and {len(problems) - MAX_PROBLEMS} more" * (len(problems) > MAX_PROBLEMS)
        raise ValueError(
            f"{path} must hold one sub-folder of images per class, but "
            f"{'; '.join(problems[:MAX_PROBLEMS])}{more}."
        )
    return X, np.array(labels)


def _list_images(path):
    """Return the images, the class of each, and what is wrong with the folders."""
    files, labels, problems = [], [], []
    folders = [entry for entry in _visible(path) if entry.is_dir()]
    if not folders:
        problems.append("it has no sub-folders")
    for folder in folders:
        entries = _visible(folder)
        if not entries:
            problems.append(f"class {folder.name} has no image")
        problems += [f"{entry} is a folder inside a class" for entry in entries if entry.is_dir()]
        images = [entry for entry in entries if not entry.is_dir()]
        files += images
        labels += [folder.name] * len(images)
    return files, labels, problems


def _visible(folder):
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _read_all(read, files, problems):
    """Yield each file with what ``read`` returns of it; append errors to ``problems``."""
    for file in files:
        try:
            yield file, read(file)
        # Pillow's decoders raise nearly anything on a broken file: OSError, SyntaxError...
        except Exception as error:
            problems.append(f"{file} cannot be read as an image ({type(error).__name__}: {error})")


def _read_header(file):
    """Return the mode of an image, its upright shape, its bits per channel, and if it has frames.

    The shape is (height, width).
    """
    from PIL import Image

    with open(file, "rb") as stream, Image.open(stream) as image:
        has_more, mode = has_more_frames(image), image.mode
        return mode, find_shape(image), count_bits(image, stream), has_more


def _warn_of_frames(files):
    if files:
        warnings.warn(
            f"{len(files)} of the image files have several frames; only the first is read; "
            f"one is {files[0]}. Save each frame to be used as a file of its own.",
            UserWarning,
            # The caller of load_image_folder, which validate_params wraps.
            stacklevel=4,
        )


def _read_pixels(file, grey, shape):
    from PIL import Image, ImageOps

    # Pillow 13 mixes the rows of a TIFF that lies on its side, but not when it gets an open file.
    with open(file, "rb") as stream, Image.open(stream) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode not in OPAQUE or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if grey else "RGB")
    if image.size != shape[::-1]:
        image = image.resize(shape[::-1])
    return np.atleast_3d(np.asarray(image, dtype=np.float32)).transpose(2, 0, 1) / 255
