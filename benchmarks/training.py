"""Three-phase training: the time of phase 1 beside a hand-written loop, and of phases 2 and 3.

    python benchmarks/training.py --output training.jsonl

trains a ResNet-32 in torch alone and through ``Embedder``, in turns, with the same batches,
augmentation, optimizer and precision, and prints seconds per epoch. Then it times the other phases,
and scikit-learn's LogisticRegression in place of the head. The result is added to the file. Images
are random pixels: their content does not matter to speed. Over-sampling and heads take other
embeddings, normal around a center for each class, because random pixels teach a network nothing.
"""

import argparse
import time
from pathlib import Path
from statistics import median

import _grid
import numpy as np
import torch
from _recipes import batch_callbacks, crop_and_flip, make_resnet
from sklearn.linear_model import LogisticRegression
from tabulate import tabulate
from torch import nn
from tqdm import tqdm

from imblearn_eos import EOS, Embedder, LinearHead
from imblearn_eos._device import has_bfloat16
from imblearn_eos.datasets import long_tail_counts
from imblearn_eos.models import ResNet

BATCH_SIZE = 128


def make_images(n_images, seed=0):
    """Draw random pixels, in ten classes of a long tail."""
    share = long_tail_counts(5000, 10, ratio=100) / 12_406
    generator = np.random.default_rng(seed)
    y = generator.choice(10, size=n_images, p=share)
    y[:20] = np.arange(20) % 10
    return generator.random((n_images, 3, 32, 32), dtype=np.float32), y


def make_embeddings(n_features, y, seed=0):
    """Draw normal embeddings around a center for each class."""
    generator = np.random.default_rng(seed)
    centers = generator.normal(size=(10, n_features))
    return (centers[y] / 2 + generator.normal(size=(len(y), n_features))).astype(np.float32)


def train_by_hand(X, y, n_epochs, device):
    """Train with a loop written by hand in torch, and return the seconds of each epoch."""
    module = ResNet(10, depth=32).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=2e-4)
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    is_bfloat16 = has_bfloat16(torch.device(device).type)
    seconds = []
    for _ in range(n_epochs):
        start = time.perf_counter()
        module.train()
        for batch in torch.randperm(len(X)).split(BATCH_SIZE):
            images, labels = crop_and_flip(X[batch].to(device)), y[batch].to(device)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=is_bfloat16):
                logits = module(images)
            loss = nn.functional.cross_entropy(logits.float(), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            loss.item()
        seconds.append(time.perf_counter() - start)
    return seconds


def train_by_embedder(X, y, n_epochs, device):
    """Train through `Embedder`, and return it and the seconds of each epoch."""
    embedder = Embedder(
        make_resnet(n_epochs, batch_callbacks(), device=device), random_state=0
    ).fit(X, y)
    return embedder, embedder.net_.history[:, "dur"]


def time_of(function, *args):
    """Call a function, and return its result and the seconds that it took."""
    start = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - start


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, default=2, help="of each measurement")
    parser.add_argument("--recipe-epochs", type=int, default=200, help="to which shares refer")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output", type=Path, help="JSON lines, to which the result is added")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    X, y = make_images(options.images)
    by_hand, by_embedder = [], []
    for _ in tqdm(range(options.repeat), unit="repetition"):
        by_hand += train_by_hand(X, y, options.epochs, options.device)
        embedder, seconds = train_by_embedder(X, y, options.epochs, options.device)
        by_embedder += seconds
    Z, embedding = time_of(embedder.transform, X)
    sampler = EOS(random_state=0, device=options.device)
    (Z, y), sampling = time_of(sampler.fit_resample, make_embeddings(Z.shape[1], y), y)
    heads, peers = [], []
    for _ in range(options.repeat):
        head, seconds = time_of(LinearHead(device=options.device).fit, Z, y)
        heads.append(seconds)
        same = LogisticRegression(C=1 / (head.alpha * len(Z)), tol=head.tol, max_iter=1000)
        peers.append(time_of(same.fit, Z, y)[1])
    head, peer = median(heads), median(peers)
    training = median(by_embedder) * options.recipe_epochs
    result = {
        "images": options.images,
        "bfloat16": has_bfloat16(torch.device(options.device).type),
        "by hand, s per epoch": median(by_hand),
        "Embedder, s per epoch": median(by_embedder),
        "speed of Embedder": median(by_hand) / median(by_embedder),
        "embedding, s": embedding,
        "over-sampling, s": sampling,
        "head, s": head,
        "head by scikit-learn, s": peer,
        "speed of the head": peer / head,
        f"share of phases 2 and 3 at {options.recipe_epochs} epochs": (
            (embedding + sampling + head) / (training + embedding + sampling + head)
        ),
    }
    print(tabulate(result.items(), floatfmt=".4f"))
    if options.output:
        settings = _grid.settings(options.threads, [], options.device)
        _grid.append(options.output, benchmark="training", settings=settings, result=result)


if __name__ == "__main__":
    main()
