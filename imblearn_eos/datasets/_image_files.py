"""Image files: check all headers first, then read the pixels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imblearn_eos._extras import import_extra
from imblearn_eos._images import open_source, read_image
from imblearn_eos.datasets._image_headers import count_bits, find_shape, has_more_frames

# Files that one error lists at most per kind of problem.
MAX_NAMES = 10
# The side of the squares that photos of several sizes become, and the longest side that is kept
# where all have one size.
DEFAULT_SIZE, KEPT_SIDE = 64, 256
UNREADABLE = (
    "files that cannot be read as images of 8 bits per channel (remove them or save them again)"
)
# Modes of images without color.
GREY = ("1", "L", "LA")

Source = Any  # A path, or the content of a file as a buffer.
Size = tuple[int, int]


class TooDeepError(ValueError):
    """Channels of more than 8 bits, which Pillow would cut."""


@dataclass(frozen=True)
class Header:
    """What the header of an image says.

    Attributes
    ----------
    name : object
        What to call the image in errors.
    mode : str
        Pillow's name for the kind of pixels.
    shape : (int, int)
        Height and width of the upright image.
    has_more : bool
        Whether the file has further frames.
    """

    name: object
    mode: str
    shape: Size
    has_more: bool


@dataclass
class Problems:
    """What is wrong with files, by kind, so that one error tells all.

    Attributes
    ----------
    found : dict of str to list of str
        The kind, which says what to do, and the names of the files or folders.
    """

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: object) -> None:
        """Note a file or folder."""
        self.found.setdefault(kind, []).append(str(name))

    def add_unreadable(
        self, names: Sequence[object] | np.ndarray, failed: Mapping[int, str]
    ) -> None:
        """Note the files at some positions, with the reason."""
        for row, why in failed.items():
            self.add(UNREADABLE, f"{names[row]} ({why})")

    def refuse(self, path: object, wanted: str) -> None:
        """Raise one error if there are problems."""
        if self.found:
            kinds = [f"{kind}: {_list(names)}" for kind, names in self.found.items()]
            raise ValueError(f"{path} must hold {wanted}. Found {'; '.join(kinds)}.")


def _list(names):
    more = f" and {len(names) - MAX_NAMES} more" * (len(names) > MAX_NAMES)
    return ", ".join(names[:MAX_NAMES]) + more


def read_headers(
    sources: Collection[Source], names: Sequence[object] | np.ndarray
) -> tuple[list[Header], dict[int, str]]:
    """Return the headers of the images that can be read, and why others cannot, by position."""
    import_extra("PIL", "images")
    failed: dict[int, str] = {}
    headers = [
        Header(names[row], *found) for row, found in _read_all(_read_header, sources, failed)
    ]
    return headers, failed


def warn_of_frames(headers: Sequence[Header]) -> None:
    """Warn once if files have several frames, of which only the first is used."""
    animated = [header.name for header in headers if header.has_more]
    if animated:
        warnings.warn(
            f"{len(animated)} of the image files have several frames; only the first is read; "
            f"one is {animated[0]}. Save each frame to be used as a file of its own.",
            UserWarning,
            # The caller of load_image_folder, which validate_params wraps.
            stacklevel=4,
        )


def check_sizes(headers: Sequence[Header], problems: Problems) -> None:
    """Add the images that differ in size from the first one to ``problems``."""
    for header in headers:
        if header.shape != headers[0].shape:
            first = _pixels(headers[0].shape)
            kind = (
                f"images that are not of {first} pixels as the first one (pass 'size', on the "
                "command line --image-size, to resize all)"
            )
            problems.add(kind, f"{header.name} ({_pixels(header.shape)})")


def _pixels(shape):
    return f"{shape[1]} x {shape[0]}"


def median_size(headers: Sequence[Header]) -> list[int]:
    """Return the median height and width."""
    return np.median([header.shape for header in headers], axis=0).astype(int).tolist()


def default_size(headers: Sequence[Header]) -> Size:
    """Return the one size of all images if it is small, else a square of `DEFAULT_SIZE`."""
    shapes = {header.shape for header in headers}
    if len(shapes) == 1 and max(headers[0].shape) <= KEPT_SIDE:
        return headers[0].shape
    return DEFAULT_SIZE, DEFAULT_SIZE


def read_pixels(
    sources: Sequence[Source] | np.ndarray,
    headers: Sequence[Header],
    size: Size,
) -> tuple[np.ndarray, dict[int, str]]:
    """Return images as float32 from 0 to 1, and why some cannot be read, by position.

    They have one channel if all of them are grey. Images of another size are scaled until they
    cover it, and their middle is cut out.
    """
    is_grey = all(header.mode in GREY for header in headers)
    X = np.empty((len(sources), 1 if is_grey else 3, *size), dtype=np.float32)

    def read(source):
        return _read_pixels(source, "L" if is_grey else "RGB", size)

    failed: dict[int, str] = {}
    for row, pixels in _read_all(read, sources, failed):
        X[row] = pixels
    return X, failed


def _read_all(read: Callable, sources: Iterable[Source], failed: dict[int, str]):
    for row, source in enumerate(sources):
        try:
            yield row, read(source)
        # Pillow's decoders raise nearly anything on a broken file: OSError, SyntaxError...
        except Exception as error:
            failed[row] = str(error) if isinstance(error, TooDeepError) else type(error).__name__


def _read_header(source):
    from PIL import Image

    with open_source(source) as stream, Image.open(stream) as image:
        has_more, mode = has_more_frames(image), image.mode
        shape, n_bits = find_shape(image, stream), count_bits(image, stream)
    if n_bits > 8:
        raise TooDeepError(f"{n_bits} bits")
    return mode, shape, has_more


def _read_pixels(source, mode, size):
    from PIL import ImageOps

    image = read_image(source, mode)
    if image.size != size[::-1]:
        image = ImageOps.fit(image, size[::-1])
    return np.atleast_3d(np.asarray(image, dtype=np.float32)).transpose(2, 0, 1) / 255


def is_image_name(name: str) -> bool:
    """Return whether a file's suffix is one that Pillow reads."""
    image = import_extra("PIL.Image", "images")
    formats: Mapping[str, str] = image.registered_extensions()
    return os.path.splitext(name)[1].lower() in formats
