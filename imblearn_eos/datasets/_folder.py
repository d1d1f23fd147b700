"""Images from a folder with one sub-folder per class."""

from __future__ import annotations

import os
from numbers import Integral
from pathlib import Path

import numpy as np

from imblearn_eos._compat import Interval, validate_params
from imblearn_eos.datasets._image_files import (
    Problems,
    check_sizes,
    read_headers,
    read_pixels,
    warn_of_frames,
)
from imblearn_eos.datasets._labeled import LabeledData, concatenate, split_name
from imblearn_eos.datasets._photos import READABLE, add_left_out, leave_out_unreadable

WANTED = "one sub-folder of images per class, or train, validation and test folders of such"
# What systems and archives leave in folders, beside hidden files.
SYSTEM_FILES = frozenset(
    ["thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin"]
)


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
        The folder. Files beside the sub-folders, hidden files and files of the system
        (``Thumbs.db``, ``desktop.ini``...) are ignored.
    size : int, (height, width) or None, default=None
        Give every image this many pixels; one number means a square. An image is scaled until it
        covers this size, and its middle is cut out, so that nothing is squashed. None takes the
        images as they are, and then all must have the same size.

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
        more than 8 bits per channel, which Pillow would cut. The headers of all files are checked
        first, and one message lists what is wrong by kind, up to 10 files each. Also when the
        folders are named ``train`` and ``test``, and have folders inside: load each by itself.

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
    problems = Problems()
    if find_splits(Path(path)):
        problems.add("folders with the parts of a split (load each part by itself)", path)
    files, labels = _list_images(Path(path), problems)
    # Headers first: most problems are found in seconds, and the pixels then go to their place.
    headers, failed = read_headers(files, files)
    warn_of_frames(headers)
    problems.add_unreadable(files, failed)
    if size is None:
        check_sizes(headers, problems)
    problems.refuse(path, WANTED)
    height, width = np.broadcast_to(headers[0].shape if size is None else size, 2)
    X, failed = read_pixels(files, headers, (int(height), int(width)))
    problems.add_unreadable(files, failed)
    problems.refuse(path, WANTED)
    return X, np.array(labels)


def read_folder(path: Path) -> LabeledData:
    """Return the paths of the photos in a folder, without those whose headers are bad."""
    splits, problems, parts = find_splits(path), Problems(), {}
    for name, folder in (splits or {"train": path}).items():
        files, labels = _list_images(folder, problems)
        ids = [file.relative_to(path).as_posix() for file in files]
        photos = np.array([str(file) for file in files], dtype=object)
        part = LabeledData("photos", photos, np.array(labels), np.array(ids, dtype=object))
        parts[name] = leave_out_unreadable(part)
    if problems.found or not all(map(len, parts.values())):
        wanted = WANTED if problems.found else READABLE
        for part in parts.values():
            add_left_out(problems, part)
        problems.refuse(path, wanted)
    return concatenate(**parts)


def find_splits(path: Path) -> dict[str, Path]:
    """Return the folders of a split by part, or none if these are folders of classes."""
    folders = [entry for entry in _visible(path) if entry.is_dir()]
    splits = {split_name(folder.name): folder for folder in folders}
    is_split = None not in splits and "train" in splits and len(splits) == len(folders)
    has_classes = all(any(map(Path.is_dir, _visible(folder))) for folder in folders)
    return {str(name): f for name, f in splits.items()} if is_split and has_classes else {}


def _list_images(path, problems):
    """Return the images and the class of each."""
    files, labels = [], []
    folders = [entry for entry in _visible(path) if entry.is_dir()]
    if not folders:
        problems.add("folders without sub-folders (put the images of each class into one)", path)
    for folder in folders:
        entries = _visible(folder)
        if not entries:
            problems.add("classes without images (add images or remove the folders)", folder)
        for entry in entries:
            if entry.is_dir():
                problems.add("folders inside a class (move their images up)", entry)
            elif entry.exists() and not entry.is_file():
                # To read a named pipe would wait for a writer forever.
                problems.add("pipes or devices inside a class (remove them)", entry)
            else:
                files.append(entry)
                labels.append(folder.name)
    return files, labels


def _visible(folder):
    entries = sorted(folder.iterdir())
    return [e for e in entries if e.name[0] != "." and e.name.lower() not in SYSTEM_FILES]
