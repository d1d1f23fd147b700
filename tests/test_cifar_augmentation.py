"""TrivialAugment in the recipes of the CIFAR-10 study, compared with Pillow."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("PIL")
from PIL import Image, ImageEnhance, ImageOps

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import _recipes
import _trivial_augment
from _trivial_augment import OPERATIONS

STRENGTHS = [0.0, 0.3, 0.9]
SIGNS = [1.0, -1.0, 1.0]


def make_images():
    """Make smooth colored images with values from 0 to 255, as uint8."""
    rng = np.random.RandomState(0)
    coarse = rng.randint(20, 230, (len(STRENGTHS), 8, 8, 3)).astype(np.uint8)
    return [Image.fromarray(part).resize((32, 32), Image.BILINEAR) for part in coarse]


def affine(image, a, b, x, d, e, y):
    """Transform around the center."""
    center = 16
    matrix = a, b, center - a * center - b * center + x, d, e, center - d * center - e * center + y
    return image.transform((32, 32), Image.AFFINE, matrix, Image.NEAREST)


def rotated(image, degrees):
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return affine(image, cos, sin, 0, -sin, cos, 0)


PILLOW = {
    "identity": lambda image, strength, sign: image,
    "shear x": lambda image, s, sign: affine(image, 1, 0.99 * s * sign, 0, 0, 1, 0),
    "shear y": lambda image, s, sign: affine(image, 1, 0, 0, 0.99 * s * sign, 1, 0),
    "translate x": lambda image, s, sign: affine(image, 1, 0, round(32 * s * sign), 0, 1, 0),
    "translate y": lambda image, s, sign: affine(image, 1, 0, 0, 0, 1, round(32 * s * sign)),
    "rotate": lambda image, s, sign: rotated(image, 135 * s * sign),
    "brightness": lambda i, s, sign: ImageEnhance.Brightness(i).enhance(1 + 0.99 * s * sign),
    "color": lambda i, s, sign: ImageEnhance.Color(i).enhance(1 + 0.99 * s * sign),
    "contrast": lambda i, s, sign: ImageEnhance.Contrast(i).enhance(1 + 0.99 * s * sign),
    "sharpness": lambda i, s, sign: ImageEnhance.Sharpness(i).enhance(1 + 0.99 * s * sign),
    "posterize": lambda image, s, sign: ImageOps.posterize(image, 8 - round(6 * s)),
    "solarize": lambda image, s, sign: ImageOps.solarize(image, 256 - 256 * s),
    "autocontrast": lambda image, s, sign: ImageOps.autocontrast(image),
    "equalize": lambda image, s, sign: ImageOps.equalize(image),
}


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_operations_are_those_of_pillow(name):
    images = make_images()
    pixels = torch.from_numpy(np.stack([np.array(image) for image in images]))
    pixels = pixels.permute(0, 3, 1, 2).float() / 255
    strengths, signs = (torch.tensor(part)[:, None, None, None] for part in (STRENGTHS, SIGNS))
    found = 255 * OPERATIONS[name](pixels, strengths, signs).clamp(0, 1).permute(0, 2, 3, 1)
    expected = [
        np.array(PILLOW[name](*drawn)) for drawn in zip(images, STRENGTHS, SIGNS, strict=True)
    ]
    far = np.abs(found.numpy() - np.stack(expected).astype(float)) > 2
    # Rounding decides which of two pixels is the nearest.
    assert far.mean(axis=(1, 2, 3)).max() < 0.02
    if name != "identity":
        assert not torch.allclose(found, 255 * pixels.permute(0, 2, 3, 1), atol=2)


def test_each_image_is_changed_by_itself(monkeypatch):
    seen = {}

    def record(name):
        def operation(images, strengths, signs):
            seen.setdefault(name, set()).update(strengths.flatten().tolist())
            return images + 0.001 * len(seen)

        return operation

    monkeypatch.setattr(_trivial_augment, "OPERATIONS", {name: record(name) for name in OPERATIONS})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _trivial_augment.trivial_augment(torch.full((2000, 3, 4, 4), 0.5))
    assert set(seen) == set(OPERATIONS)
    assert all(len(strengths) > 20 for strengths in seen.values())
    np.testing.assert_allclose(sorted(set().union(*seen.values())), np.linspace(0, 1, 31))


def test_few_images_are_changed_without_the_operations_that_none_has():
    images = torch.rand(2, 3, 32, 32)
    assert _trivial_augment.trivial_augment(images).shape == images.shape


def test_augmented_batches_are_normalized_as_the_others():
    rng = np.random.RandomState(0)
    pixels = torch.from_numpy(rng.uniform(size=(40, 3, 32, 32)).astype(np.float32))
    mean, std = (torch.tensor(part)[:, None, None] for part in (_recipes.MEAN, _recipes.STD))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        augmented = _recipes.augment_trivially((pixels - mean) / std) * std + mean
    assert augmented.shape == pixels.shape
    assert augmented.min() > -1e-5
    assert augmented.max() < 1 + 1e-5
    assert all(not torch.allclose(*pair, atol=1e-3) for pair in zip(augmented, pixels, strict=True))
