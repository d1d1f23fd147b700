"""TrivialAugment for batches on any device: one random change per image, of random strength.

Müller, Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", ICCV 2021,
with its wide space of strengths. kornia's draws one operation for the whole batch.
"""

import math

import torch
from torch.nn import functional

N_STRENGTHS = 31


def trivial_augment(images):
    """Change each image by one of all operations, at random.

    Parameters
    ----------
    images : torch.Tensor of shape (n, channels, height, width)
        Values from 0 to 1.
    """
    names = list(OPERATIONS)
    drawn = torch.randint(len(names), (len(images),), device=images.device)
    strengths = torch.randint(N_STRENGTHS, (len(images),), device=images.device)
    strengths = (strengths / (N_STRENGTHS - 1)).to(images)[:, None, None, None]
    signs = torch.where(torch.rand_like(strengths) < 0.5, -1.0, 1.0)
    found = images.clone()
    for number in drawn.unique().tolist():
        chosen = drawn == number
        change = OPERATIONS[names[number]]
        found[chosen] = change(images[chosen], strengths[chosen], signs[chosen])
    return found.clamp(0, 1)


def transform(images, matrices):
    """Take each pixel from where a matrix (n, 2, 3) maps it, in pixels around the center."""
    size = torch.tensor(images.shape[:1:-1], dtype=images.dtype, device=images.device) / 2
    scales = torch.cat([size, torch.ones_like(size[:1])]) / size[:, None]
    grid = functional.affine_grid(matrices * scales, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="nearest", align_corners=False)


def move(images, **entries):
    """Transform by the identity with other entries, which are numbers per image."""
    flat = {name: values.flatten() for name, values in entries.items()}
    one, zero = images.new_ones(len(images)), images.new_zeros(len(images))
    rows = [
        [flat.get("xx", one), flat.get("xy", zero), flat.get("x", zero)],
        [flat.get("yx", zero), flat.get("yy", one), flat.get("y", zero)],
    ]
    return transform(images, torch.stack([torch.stack(row, dim=1) for row in rows], dim=1))


def rotate(images, strengths, signs):
    angles = signs * strengths * math.radians(135)
    cos, sin = angles.cos(), angles.sin()
    return move(images, xx=cos, xy=sin, yx=-sin, yy=cos)


def blend(other):
    """Return an operation that moves images toward or away from other images."""
    return lambda images, strengths, signs: other(images).lerp(images, 1 + 0.99 * signs * strengths)


def gray(images):
    weights = images.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    return (weights * images).sum(dim=1, keepdim=True).expand_as(images)


def smooth(images):
    """Average each pixel with those around it, except at the border."""
    kernel = images.new_ones(images.shape[1], 1, 3, 3)
    kernel[:, :, 1, 1] = 5
    found = images.clone()
    found[:, :, 1:-1, 1:-1] = functional.conv2d(images, kernel / 13, groups=images.shape[1])
    return found


def posterize(images, strengths, signs):
    steps = 2 ** (6 * strengths).round()
    return (255 * images / steps + 1e-3).floor() * steps / 255


def autocontrast(images, strengths, signs):
    low, high = (part(images, dim=(2, 3), keepdim=True) for part in (torch.amin, torch.amax))
    return torch.where(high > low, (images - low) / (high - low), images)


def equalize(images, strengths, signs):
    """Spread the brightnesses of each channel evenly, as Pillow does."""
    values = (255 * images).round().long().flatten(2)
    counts = torch.zeros(*values.shape[:2], 256, dtype=torch.long, device=images.device)
    counts.scatter_add_(2, values, torch.ones_like(values))
    of_brightest = counts.gather(2, values.amax(dim=2, keepdim=True))
    step = (counts.sum(dim=2, keepdim=True) - of_brightest) // 255
    table = (counts.cumsum(dim=2) - counts + step // 2) // step.clamp(min=1)
    table = torch.where(step > 0, table, torch.arange(256, device=images.device)).clamp(0, 255)
    return (table.gather(2, values) / 255).view_as(images).to(images)


OPERATIONS = {
    "identity": lambda images, strengths, signs: images,
    "shear x": lambda images, strengths, signs: move(images, xy=0.99 * signs * strengths),
    "shear y": lambda images, strengths, signs: move(images, yx=0.99 * signs * strengths),
    "translate x": lambda images, strengths, signs: move(
        images, x=(32 * signs * strengths).round()
    ),
    "translate y": lambda images, strengths, signs: move(
        images, y=(32 * signs * strengths).round()
    ),
    "rotate": rotate,
    "brightness": blend(torch.zeros_like),
    "color": blend(gray),
    "contrast": blend(lambda images: gray(images).mean(dim=(2, 3), keepdim=True).expand_as(images)),
    "sharpness": blend(smooth),
    "posterize": posterize,
    "solarize": lambda images, strengths, signs: torch.where(
        images > 1 - strengths, 1 - images, images
    ),
    "autocontrast": autocontrast,
    "equalize": equalize,
}
