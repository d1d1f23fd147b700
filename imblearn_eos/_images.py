"""Opening one image: upright, and in the mode that is asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

# Modes without transparency of their own.
OPAQUE = ("1", "L", "RGB", "CMYK", "YCbCr", "LAB", "HSV")


def open_image(file: str | os.PathLike | BinaryIO, mode: str = "RGB") -> PILImage:
    """Open an image file, turned upright as its EXIF data say.

    Parameters
    ----------
    file : str, path-like or binary file
        Of files with several frames the first is taken.
    mode : {"RGB", "L"}, default="RGB"
        Color or grey.

    Returns
    -------
    PIL.Image.Image
        As :func:`convert_image` returns it.

    Raises
    ------
    Exception
        Whatever Pillow's decoders raise on a broken file: OSError, SyntaxError, ...
    """
    from PIL import Image

    if not hasattr(file, "read"):
        # Pillow 13 mixes the rows of a TIFF that lies on its side, but not of an open file.
        with open(file, "rb") as stream:
            return open_image(stream, mode)
    with Image.open(file) as image:
        return convert_image(image, mode)


def convert_image(image: PILImage, mode: str = "RGB") -> PILImage:
    """Turn an image upright, put transparent pixels on white, and convert it to a mode.

    Parameters
    ----------
    image : PIL.Image.Image
        It is not changed.
    mode : {"RGB", "L"}, default="RGB"
        Color or grey.

    Returns
    -------
    PIL.Image.Image
        A new image, or ``image`` itself if nothing has to be changed.

    Raises
    ------
    ValueError
        When the image has more than 8 bits per pixel and channel, which Pillow would clip.
    """
    from PIL import Image, ImageOps

    if image.mode[0] in "IF":
        raise ValueError(f"mode {image.mode} has more than 8 bits per channel; convert it first")
    image = ImageOps.exif_transpose(image)
    if image.mode not in OPAQUE or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
