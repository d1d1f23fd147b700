"""What the command says before it compares."""

from __future__ import annotations

import math
import time

import numpy as np
import torch

from imblearn_eos._commands._options import offer_backbone
from imblearn_eos._device import resolve_device
from imblearn_eos.models import SmallCNN

# Training that takes longer is announced.
MANY_SECONDS = 60
# Photos that lose more of each side are announced.
MUCH_SMALLER = 2


def describe_data(record, data):
    """Return lines on the data and on how they are split."""
    facts, arguments = record["data"], record["arguments"]
    ratio, shape = arguments["imbalance_ratio"], facts["shape"]
    if data.kind == "images":
        n, channels, height, width = shape
        what = (
            f"{n} images of {height} x {width} pixels and {channels} channel{'s' * (channels > 1)}"
        )
    elif data.kind == "embeddings":
        what = f"{shape[0]} embeddings of {shape[1]} numbers"
    else:
        left_out = ", ".join(f"{name} ({why})" for name, why in facts["left_out"].items())
        left_out = f" (left out: {left_out})" if left_out else ""
        what = f"{shape[0]} rows of {shape[1]} features{left_out}"
    if "sampled_from" in facts:
        what += f" (drawn from {facts['sampled_from']})"
    groups = f", {len(np.unique(data.groups))} groups" if data.groups is not None else ""
    lines = [f"Data: {facts['source']}, {what}, {facts['classes']} classes{groups}."]
    if data.kind == "embeddings":
        trained = "was" if arguments["trained_on_rows"] else "was not"
        lines.append(f"Assumed: the network {trained} trained on these rows.")
    tail = f"made long-tailed, ratio {ratio:g}." if ratio else "left as it is."
    if data.split is None:
        to_test = "no rows" if arguments.get("trained_on_rows") else f"{arguments['test_size']:.0%}"
        split = f"Split per seed: {to_test} to test; the training part is {tail}"
    else:
        names, counts = np.unique(data.split, return_counts=True)
        parts = ", ".join(f"{n} {name}" for name, n in zip(names, counts, strict=True))
        split = f"Split: given ({parts}); the training part is {tail}"
    return "\n".join([*lines, split])


def advise_training(data, command, n_networks, params, cores):
    """Print what training a network on photos will cost: details, and time."""
    height, width = data.X.shape[2:]
    offer = ""
    if "median_size" in data.facts:
        offer = f" A pretrained network takes less: {offer_backbone(command, 'timm/resnet50')}"
        found = data.facts["median_size"]
        if min(found) > MUCH_SMALLER * max(height, width):
            print(
                f"The photos, typically {found[0]} x {found[1]} pixels, are reduced to {height} x "
                f"{width} for training, which loses details; --image-size keeps more."
            )
    seconds = estimate_seconds(data, n_networks, params, cores)
    if seconds > MANY_SECONDS:
        print(
            f"Training takes about {math.ceil(seconds / 60)} minutes: {n_networks} networks of "
            f"{params['epochs']} epochs.{offer}",
            flush=True,
        )


def estimate_seconds(data, n_networks, params, cores):
    """Return the time that training takes on this CPU, by one step; 0 on a CUDA device."""
    device = resolve_device(params["device"])
    if device.type != "cpu":
        return 0.0
    share = 1 if "test" in params else 1 - params["test_size"]
    n_steps = math.ceil(len(data) * share / params["batch_size"]) * params["epochs"] * n_networks
    batch = torch.from_numpy(np.asarray(data.X[: params["batch_size"]], dtype=np.float32))
    with cores.limit_threads(), torch.random.fork_rng(devices=[]):
        module = SmallCNN(n_classes=len(np.unique(data.y)), in_channels=batch.shape[1])
        # The first step is slower than the others.
        for _ in range(2):
            start = time.perf_counter()
            module(batch).logsumexp(dim=1).mean().backward()
            seconds = time.perf_counter() - start
    return seconds * n_steps
