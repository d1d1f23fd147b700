"""Running a frozen backbone over samples: workers, precision, blocks, failures."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from hashlib import blake2b
from multiprocessing import current_process
from os import cpu_count
from typing import Any

import numpy as np
import torch
from joblib import effective_n_jobs
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from imblearn_eos._device import has_bfloat16
from imblearn_eos.embedding._backbones import Backbone
from imblearn_eos.embedding._cache import content_hash
from imblearn_eos.embedding._extractor_cache import FeatureCache
from imblearn_eos.embedding._extractor_samples import Batches, Failure, Samples, collate

# Fewer samples are read before worker processes have started.
MIN_ROWS_FOR_WORKERS = 256
MAX_WORKERS = 8
# Failures that one error lists at most.
MAX_FAILURES = 10
REMEDY = "Mend or remove them, or set on_error='nan' to get rows of NaN for them."


def embed_blocks(
    backbone: Backbone,
    samples: Samples,
    *,
    n_features: int,
    block_size: int,
    batch_size: int,
    device: torch.device,
    dtypes: list[torch.dtype],
    n_workers: int,
    on_error: str,
    cache: FeatureCache | None = None,
    verbose: bool = False,
) -> Iterator[tuple[int, np.ndarray, dict[int, Failure]]]:
    """Yield the position of each block, its embeddings, and the rows in it that failed.

    Parameters
    ----------
    backbone : Backbone
        On ``device``.
    samples : Samples
        What to embed.
    n_features : int
        Length of an embedding.
    block_size, batch_size : int
        Rows that are looked up and kept together, and rows that the backbone takes at once.
    device : torch.device
        Where the backbone is.
    dtypes : list of torch.dtype
        As :func:`run` takes them.
    n_workers : int
        Processes that read samples; 0 reads them here.
    on_error : {"raise", "nan"}
        What to do about samples that fail.
    cache : FeatureCache, default=None
        Where to look for embeddings and to keep new ones.
    verbose : bool, default=False
        Show progress.
    """
    batches = Batches(batch_size)
    # One loader for all blocks, so that its processes start once.
    loader = DataLoader(
        samples,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=n_workers,
        persistent_workers=n_workers > 0,
        pin_memory=device.type == "cuda",
        # Other methods import the user's script again, which must be written for it.
        multiprocessing_context="fork" if n_workers and sys.platform == "linux" else None,
    )
    bar = tqdm(total=len(samples), desc="Embedding", unit="sample", disable=not verbose)
    with bar:
        for start in range(0, len(samples), block_size):
            rows = range(start, min(start + block_size, len(samples)))
            digests = [samples.digest(row) if cache else None for row in rows]
            known = cache.read(digests) if cache else {}
            Z = np.full((len(rows), n_features), np.nan, dtype=np.float32)
            for i, digest in enumerate(digests):
                if digest in known:
                    Z[i] = known[digest]
            batches.rows = samples.sort(
                [row for row, digest in zip(rows, digests, strict=True) if digest not in known]
            )
            bar.update(len(rows) - len(batches.rows))
            new, failed = [], {}
            try:
                for found, inputs, failures in loader if batches.rows else ():
                    if found:
                        values = run(backbone, inputs, device, dtypes)
                        is_finite = np.isfinite(values).all(axis=1)
                        for row in np.compress(~is_finite, found):
                            failures[int(row)] = Failure(
                                f"{samples.label(row)}: its embedding contains NaN or infinity"
                            )
                        done = np.compress(is_finite, found) - start
                        Z[done] = values[is_finite]
                        new += done.tolist()
                    if failures and on_error == "raise":
                        raise_failures(failures)
                    failed.update(failures)
                    bar.update(len(found) + len(failures))
            finally:
                if cache:
                    cache.write([digests[i] for i in new], Z[new])
            yield start, Z, failed


def raise_failures(failures: Mapping[int, Failure], remedy: str = REMEDY) -> None:
    """Raise ValueError with the samples that cannot be embedded."""
    lines = [str(failures[row]) for row in sorted(failures)]
    more = f"; and {len(lines) - MAX_FAILURES} more" * (len(lines) > MAX_FAILURES)
    raise ValueError(
        f"X has samples that cannot be embedded: {'; '.join(lines[:MAX_FAILURES])}{more}. {remedy}"
    )


def run(
    backbone: Backbone, inputs: Any, device: torch.device, dtypes: list[torch.dtype]
) -> np.ndarray:
    """Return the embeddings of a batch, computed in the first of some dtypes that suffices.

    Parameters
    ----------
    backbone : Backbone
        On ``device``.
    inputs : tensor, dict of tensors or list of str
        A batch.
    device : torch.device
        Where the backbone is.
    dtypes : list of torch.dtype
        The next one is tried where results are not finite.

    Returns
    -------
    ndarray of shape (n_samples, n_features), dtype=float32
    """
    inputs = _move(inputs, device)
    with torch.inference_mode():
        for dtype in dtypes:
            is_whole = dtype == torch.float32
            with nullcontext() if is_whole else torch.autocast(device.type, dtype=dtype):
                # Checked on the CPU, because the copy waits for a GPU already.
                Z = backbone.embed(inputs).float().cpu().numpy()
            if np.isfinite(Z).all():
                break
    return Z


def _move(inputs, device):
    if isinstance(inputs, Mapping):
        return {name: values.to(device, non_blocking=True) for name, values in inputs.items()}
    return inputs.to(device, non_blocking=True) if isinstance(inputs, torch.Tensor) else inputs


def resolve_dtypes(dtype: str, device: torch.device) -> list[torch.dtype]:
    """Return the dtypes that a ``dtype`` parameter means on a device, the first one first."""
    if dtype != "auto":
        return [getattr(torch, dtype)]
    if device.type == "cpu":
        return [torch.float32]
    return [torch.bfloat16 if has_bfloat16(device.type) else torch.float16, torch.float32]


def count_workers(n_jobs: int | None, samples: Samples) -> int:
    """Return how many processes read samples; 0 means that this process does."""
    if samples.takes_text or current_process().daemon:
        return 0
    if n_jobs is None:
        is_worth = len(samples) >= MIN_ROWS_FOR_WORKERS and sys.platform == "linux"
        n_jobs = min(cpu_count() or 1, MAX_WORKERS) if is_worth else 1
    n_jobs = effective_n_jobs(n_jobs)
    return n_jobs if n_jobs > 1 else 0


def digest_weights(module: nn.Module) -> str:
    """Return a hash of the weights of a module, the same in every version of the libraries."""
    hasher = blake2b(digest_size=8)
    for name, values in module.state_dict().items():
        if isinstance(values, torch.Tensor):
            hasher.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
            hasher.update(values.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def digest_preprocess(preprocess: Callable | None) -> str:
    """Return a hash of a transform: of what it holds, and of the code of a function."""
    try:
        return content_hash(preprocess)[:16]
    # Local functions cannot be pickled.
    except Exception:
        code = getattr(preprocess, "__code__", None)
        parts = [repr(preprocess), repr(code and (code.co_code, code.co_consts, code.co_names))]
        return content_hash([re.sub("0x[0-9a-fA-F]+", "", part) for part in parts])[:16]
