"""What the header of an image file says beyond its mode and size."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from PIL.Image import Image

ORIENTATION, BITS_PER_SAMPLE = 0x0112, 258
# Cameras store an image as the sensor lies and note its rotation. These swap the sides; numbers
# beyond 8 mean nothing.
SIDEWAYS = (5, 6, 7, 8)
# Their other frames are previews or layers of the same image.
SINGLE_FORMATS = ("MPO", "PSD")
# Bytes in which the headers of files are found.
HEAD = 1 << 16


def find_shape(image: Image, stream: BinaryIO) -> tuple[int, int]:
    """Return the (height, width) of an image, open as ``stream``, once it is turned upright."""
    width, height = image.size
    has_exif = image.format != "PNG" or _has_exif(image, stream)
    if has_exif and image.getexif().get(ORIENTATION) in SIDEWAYS:
        if image.format == "TIFF":
            # Pillow turns these itself: the size when it opens or loads them, as its version does.
            from PIL import ImageOps

            width, height = ImageOps.exif_transpose(image).size
        else:
            width, height = height, width
    return height, width


def _has_exif(image, stream):
    """Return whether a PNG may have EXIF data, which Pillow looks for behind the pixels, too.

    It decodes the pixels for that; few files have any.
    """
    if any(name in image.info for name in ("exif", "Raw profile type exif", "xmp")):
        return True
    position = stream.tell()
    stream.seek(0, os.SEEK_END)
    stream.seek(max(stream.tell() - HEAD, 0))
    tail = stream.read()
    stream.seek(position)
    return any(name in tail for name in (b"eXIf", b"Raw profile type", b"com.adobe.xmp"))


def has_more_frames(image: Image) -> bool:
    """Return whether a file has more images than the one that is open."""
    return image.format not in SINGLE_FORMATS and getattr(image, "is_animated", False)


def count_bits(image: Image, stream: BinaryIO) -> int:
    """Return the bits per channel of an image, whose file is open as ``stream``.

    Pillow has modes for deep grey images, but none for deep colors, which it reads as 8 bits.
    """
    n_bits = 8
    if image.format in _COUNTERS:
        stream.seek(0)
        n_bits = _COUNTERS[image.format](image, stream.read(HEAD))
    return max(n_bits, 16) if image.mode.startswith(("I", "F")) else n_bits


def _count_jpeg_2000(image, head):
    # The codestream begins with the markers SOC and SIZ; the depths follow 38 bytes of sizes.
    start = head.find(b"\xff\x4f\xff\x51")
    n_channels = int.from_bytes(head[start + 40 : start + 42], "big")
    depths = head[start + 42 :: 3][:n_channels] if start >= 0 else b""
    return max((depth & 0x7F for depth in depths), default=7) + 1


def _count_avif(image, head):
    # Version, profile and level, and then the flags high_bitdepth and twelve_bit.
    found = re.search(rb"av1C\x81.(.)", head, re.DOTALL)
    flags = found[1][0] if found else 0
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


_COUNTERS: dict[str | None, Callable[[Any, bytes], int]] = {
    "PNG": lambda image, head: head[24],
    "TIFF": lambda image, head: max(image.tag_v2.get(BITS_PER_SAMPLE, (1,))),
    # The largest value follows the sizes, of which Pillow has kept only it.
    "PPM": lambda image, head: max(_numbers(image.tile[0][3]), default=255).bit_length(),
    "SGI": lambda image, head: 8 * head[3],
    "JPEG2000": _count_jpeg_2000,
    "AVIF": _count_avif,
}


def _numbers(arguments):
    return [number for number in arguments if isinstance(number, int)]
