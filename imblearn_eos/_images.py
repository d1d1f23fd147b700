"""Opening one image: upright, without transparency, in red, green and blue."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch

from imblearn_eos._extras import import_extra

if TYPE_CHECKING:
    from PIL.Image import Image

# Modes without transparency of their own.
OPAQUE = ("1", "L", "RGB", "CMYK", "YCbCr", "LAB", "HSV")


def open_source(source: str | os.PathLike | bytes | bytearray | memoryview) -> BinaryIO:
    """Open a file by its path, or by its content in any buffer."""
    return open(source, "rb") if isinstance(source, (str, os.PathLike)) else io.BytesIO(source)


def read_image(
    source: str | os.PathLike | bytes | bytearray | memoryview, mode: str = "RGB"
) -> Image:
    """Read an image from a file, or from the content of one.

    It is turned upright as its EXIF data say; transparent images are put on white. Of files with
    several frames the first is taken.
    """
    pillow = import_extra("PIL.Image", "images")
    # Pillow 13 mixes the rows of a TIFF that lies on its side, but not when it gets an open file.
    with open_source(source) as stream, pillow.open(stream) as image:
        return convert_image(image, mode)


def convert_image(image: Image, mode: str = "RGB") -> Image:
    """Return an open image upright, without transparency, in another mode."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            f"The image has the mode {image.mode!r}, more than 8 bits per channel, which would be "
            "cut. Convert it to 8 bits first."
        )
    if image.mode not in OPAQUE or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    # A copy even where nothing is converted: the file of an open image is closed.
    return image.convert(mode)


def is_content(sample: Any) -> bool:
    """Return whether a sample is the content of a file: bytes, or any other buffer of them."""
    if isinstance(sample, (np.ndarray, torch.Tensor)):
        return False
    try:
        return memoryview(sample).ndim == 1
    except TypeError:
        return False
