"""Single rows of a comparison that a person should look at, with thumbnails of images."""

from __future__ import annotations

import base64
import io

import numpy as np
from sklearn.utils import Bunch

from imblearn_eos import TorchNearestNeighbors
from imblearn_eos.compare._summary import rare_classes

MAX_CHANGED, MAX_SYNTHETIC, MAX_SUSPECTS = 12, 6, 20
# Pixels of the longer side of a thumbnail, and the JPEG quality.
SIDE, QUALITY = 96, 70
MAX_TEXT = 160
# A row is suspect if so many of its nearest training rows are of one other class.
N_NEIGHBORS = 5
# More rows of a part are sampled, because each costs a search among all training rows.
MAX_QUERIES = 5000


def find_examples(results, method, data):
    """Return the rows to show.

    Parameters
    ----------
    results : list of SeedResult
        The first one with its ``fitted``.
    method : str
        The method to use.
    data : LabeledData or None
        The rows of the comparison.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        ``changed``: by "better" and "worse", test rows of the rarest classes that a method gets
        right and no over-sampling wrong, or the other way round, with ``n_changed``, the number of
        all of them. ``synthetic``: bases and enemies of some new rows of the rarest classes.
        ``suspects``: rows whose nearest training rows are all of one other class, with
        ``n_suspects`` and ``n_searched``.
    """
    result, found = results[0], Bunch(changed={}, n_changed={}, synthetic=[], suspects=[])
    show = _Rows(data)
    found.update(n_suspects=0, n_searched=0, has_pictures=show.has_pictures)
    fitted = result.fitted
    if fitted is None or "train" not in fitted:
        return found
    rare = rare_classes(results)
    _add_changed(found, fitted, method, rare, show)
    if show.has_pictures:
        found.synthetic = _find_synthetic(fitted, rare, show)
    _add_suspects(found, fitted, show)
    return found


class _Rows:
    """Name and thumbnail of rows of the data."""

    def __init__(self, data):
        self.data = data
        self.has_pictures = data is not None and data.kind in ("photos", "images")

    def __call__(self, row, **facts):
        return Bunch(name=self._name(row), picture=self._picture(row), **facts)

    def _name(self, row):
        data = self.data
        if data is not None and data.kind == "text":
            text = " ".join(str(data.X[row]).split())
            return text[:MAX_TEXT] + "…" * (len(text) > MAX_TEXT)
        if data is not None and data.ids is not None:
            return str(data.ids[row])
        if data is not None and data.kind == "photos" and isinstance(data.X[row], str):
            return data.X[row].replace("\\", "/").rsplit("/", 1)[-1]
        return f"row {row}"

    def _picture(self, row):
        if not self.has_pictures:
            return None
        try:
            if self.data.kind == "images":
                image = _image_of_pixels(self.data.X[row])
            else:
                image = _open(self.data.X[row])
        # Pillow's decoders raise nearly anything on a broken file; the page needs no picture.
        except Exception:
            return None
        file = io.BytesIO()
        image.save(file, format="JPEG", quality=QUALITY)
        return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _open(source):
    from PIL import Image, ImageOps

    with Image.open(source if isinstance(source, str) else io.BytesIO(source)) as image:
        # Draft mode decodes a large JPEG at a fraction of its size.
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
        image = ImageOps.exif_transpose(image).convert("RGB")
    image.thumbnail((SIDE, SIDE))
    return image


def _image_of_pixels(pixels):
    from PIL import Image

    low, high = float(pixels.min()), float(pixels.max())
    # Files of images are between 0 and 1; other pixels are shown in their own range.
    low, high = (0, 1) if low >= 0 and high <= 1 else (low, high)
    pixels = (pixels - low) * (255 / max(high - low, 1e-12))
    pixels = pixels.clip(0, 255).round().astype(np.uint8)
    image = Image.fromarray(pixels.transpose(1, 2, 0) if len(pixels) == 3 else pixels[0])
    if max(image.size) <= SIDE // 2:
        factor = SIDE // max(image.size)
        return image.resize([factor * side for side in image.size], Image.Resampling.NEAREST)
    image.thumbnail((SIDE, SIDE))
    return image


def _add_changed(found, fitted, method, rare, show):
    before, after = (fitted.get("predictions", {}).get(name) for name in ("none", method))
    # A method that failed, or without test rows, has none.
    if method == "none" or before is None or after is None:
        return
    y_test = fitted.y_test
    is_rare = np.isin(y_test.astype(str), rare)
    was_right, is_right = before == y_test, after == y_test
    for kind, changed in (("better", ~was_right & is_right), ("worse", was_right & ~is_right)):
        rows = np.flatnonzero(changed & is_rare)
        found.n_changed[kind] = len(rows)
        found.changed[kind] = [
            show(fitted.test[i], label=str(y_test[i]), before=str(before[i]), after=str(after[i]))
            for i in _spread(rows, MAX_CHANGED)
        ]


def _find_synthetic(fitted, rare, show):
    """Return base, enemy and step of some new rows of EOS, the rarest classes first."""
    sampler = fitted.samplers.get("eos")
    if sampler is None or not len(sampler.base_indices_):
        return []
    labels, found = fitted.y_train.astype(str), []
    for name in rare:
        of_class = np.flatnonzero(labels[sampler.base_indices_] == name)
        # Each base once: one with several new rows would fill the page.
        _, first = np.unique(sampler.base_indices_[of_class], return_index=True)
        for i in _spread(of_class[first], max(1, MAX_SYNTHETIC // len(rare))):
            base, enemy = sampler.base_indices_[i], sampler.enemy_indices_[i]
            found.append(
                Bunch(
                    base=show(fitted.train[base], label=name),
                    enemy=show(fitted.train[enemy], label=labels[enemy]),
                    step=float(sampler.steps_[i]),
                )
            )
    return found[:MAX_SYNTHETIC]


def _add_suspects(found, fitted, show):
    """Find rows whose nearest training rows are all of one other class."""
    classes, codes = np.unique(fitted.y_train, return_inverse=True)
    if len(codes) <= N_NEIGHBORS:
        return
    search = TorchNearestNeighbors().fit(fitted.Z_train)
    counts, suspects = np.bincount(codes), []
    for part in ("train", "test"):
        y = fitted.get(f"y_{part}", ())
        rows = _spread(np.arange(len(y)), MAX_QUERIES)
        if not len(rows):
            continue
        near = codes[_neighbors(search, fitted[f"Z_{part}"], rows, is_own=part == "train")]
        own = np.searchsorted(classes, y[rows])
        found.n_searched += len(rows)
        for i in np.flatnonzero((near == near[:, :1]).all(axis=1) & (near[:, 0] != own)):
            row = fitted[part][rows[i]]
            suspects.append((counts[own[i]], row, part, classes[own[i]], classes[near[i, 0]]))
    # Rows of large classes first: by chance, most of their neighbors would be of their class.
    suspects.sort(key=lambda suspect: -suspect[0])
    found.n_suspects = len(suspects)
    found.suspects = [
        show(row, part=part, label=str(label), neighbors=str(other))
        for _, row, part, label, other in suspects[:MAX_SUSPECTS]
    ]


def _neighbors(search, Z, rows, *, is_own):
    """Return the nearest training rows of some rows, which are no neighbors of themselves."""
    nearest = search.kneighbors(Z[rows], N_NEIGHBORS + is_own, return_distance=False)
    if not is_own:
        return nearest
    dropped = nearest == rows[:, np.newaxis]
    # Among many equal rows, a row may not find itself.
    dropped[~dropped.any(axis=1), -1] = True
    return nearest[~dropped].reshape(len(rows), N_NEIGHBORS)


def _spread(rows, n):
    """Return at most n of some rows, evenly spread."""
    return rows if len(rows) <= n else rows[np.linspace(0, len(rows) - 1, n).round().astype(int)]
