"""Image files: check all headers first, then read the pixels."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imblearn_eos._extras import import_extra
from imblearn_eos.datasets._image_headers import count_bits, find_shape, has_more_frames

# Files that one error lists at most per kind of problem.
MAX_NAMES = 10
# The side of the squares that photos of several sizes become, and the longest side that is kept
# where all have one size.
DEFAULT_SIZE, KEPT_SIDE = 64, 256
# Modes of images without color, and without transparency of their own.
GREY = ("1", "L", "LA")
OPAQUE = ("1", "L", "RGB", "CMYK", "YCbCr", "LAB", "HSV")

Source = Any  # A path, or the content of a file as a buffer.
Size = tuple[int, int]


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
    n_bits : int
        Bits per channel.
    has_more : bool
        Whether the file has further frames.
    """

    name: object
    mode: str
    shape: Size
    n_bits: int
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

    def refuse(self, path: object, wanted: str) -> None:
        """Raise one error if there are problems."""
        if self.found:
            kinds = [f"{kind}: {_list(names)}" for kind, names in self.found.items()]
            raise ValueError(f"{path} must hold {wanted}. Found {'; '.join(kinds)}.")


def _list(names):
    more = f" and {len(names) - MAX_NAMES} more" * (len(names) > MAX_NAMES)
    return ", ".join(names[:MAX_NAMES]) + more


def read_headers(
    sources: Iterable[Source], names: Iterable[object], problems: Problems
) -> list[Header]:
    """Return the headers of the images that can be read; add the others to ``problems``.

    Warns once if files have several frames, of which only the first is used.
    """
    import_extra("PIL", "images")
    found = _read_all(_read_header, sources, names, problems)
    headers = [Header(name, *values) for name, values in found]
    for header in headers:
        if header.n_bits > 8:
            kind = "images with more than 8 bits per channel, which would be cut (convert them)"
            problems.add(kind, f"{header.name} ({header.n_bits} bits)")
    animated = [header.name for header in headers if header.has_more]
    if animated and not problems.found:
        warnings.warn(
            f"{len(animated)} of the image files have several frames; only the first is read; "
            f"one is {animated[0]}. Save each frame to be used as a file of its own.",
            UserWarning,
            # The caller of load_image_folder, which validate_params wraps.
            stacklevel=4,
        )
    return headers


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
    names: Iterable[object],
    headers: Sequence[Header],
    size: Size,
    problems: Problems,
) -> np.ndarray:
    """Return images as float32 from 0 to 1, of one channel if all of them are grey.

    Images of another size are scaled until they cover it, and their middle is cut out.
    """
    is_grey = all(header.mode in GREY for header in headers)
    X = np.empty((len(sources), 1 if is_grey else 3, *size), dtype=np.float32)

    def read(source):
        return _read_pixels(source, "L" if is_grey else "RGB", size)

    for row, (_, pixels) in enumerate(_read_all(read, sources, names, problems)):
        X[row] = pixels
    return X


def _read_all(
    read: Callable, sources: Iterable[Source], names: Iterable[object], problems: Problems
):
    for source, name in zip(sources, names, strict=True):
        try:
            yield name, read(source)
        # Pillow's decoders raise nearly anything on a broken file: OSError, SyntaxError...
        except Exception as error:
            kind = "files that cannot be read as images (remove them or save them again)"
            problems.add(kind, f"{name} ({type(error).__name__})")


def _open(source):
    is_path = isinstance(source, (str, os.PathLike))
    return open(source, "rb") if is_path else io.BytesIO(source)


def _read_header(source):
    from PIL import Image

    with _open(source) as stream, Image.open(stream) as image:
        has_more, mode = has_more_frames(image), image.mode
        return mode, find_shape(image, stream), count_bits(image, stream), has_more


def _read_pixels(source, mode, size):
    from PIL import Image, ImageOps

    # Pillow 13 mixes the rows of a TIFF that lies on its side, but not when it gets an open file.
    with _open(source) as stream, Image.open(stream) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode not in OPAQUE or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert(mode)
    if image.size != size[::-1]:
        image = ImageOps.fit(image, size[::-1])
    return np.atleast_3d(np.asarray(image, dtype=np.float32)).transpose(2, 0, 1) / 255


def is_image_name(name: str) -> bool:
    """Return whether a file's suffix is one that Pillow reads."""
    image = import_extra("PIL.Image", "images")
    formats: Mapping[str, str] = image.registered_extensions()
    return os.path.splitext(name)[1].lower() in formats
