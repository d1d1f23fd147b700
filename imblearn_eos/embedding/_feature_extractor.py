"""A frozen, pretrained backbone as a transformer: photos or texts in, embeddings out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import torch
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, check_memory
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from imblearn_eos._compat import HasMethods, Interval, StrOptions, check_parameters, fit_context
from imblearn_eos._device import DEVICE_CONSTRAINT, resolve_device
from imblearn_eos.embedding._backbones import Backbone, load_backbone
from imblearn_eos.embedding._cache import content_hash
from imblearn_eos.embedding._extractor_inputs import Inputs, check_inputs, collate

DTYPES = ("float32", "float16", "bfloat16")
# Samples that are embedded, and kept in the cache, as one.
BLOCK_SIZE = 1024


class FeatureExtractor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Embed photos or texts by a frozen, pretrained backbone.

    Nothing is trained. Each library's own preprocessing and pooled output are used, in evaluation
    mode. The embeddings are rows of numbers for samplers and classifiers, such as :class:`EOS` and
    :class:`LinearHead`.

    Parameters
    ----------
    backbone : str or torch.nn.Module
        One of

        - ``"timm/NAME"``, ``"timm/NAME@REVISION"``, ``"timm/NAME@CHECKPOINT_FILE"`` or
          ``"timm/FOLDER"``,
        - ``"torchvision/NAME"``, ``"torchvision/NAME@WEIGHTS"`` or
          ``"torchvision/NAME@CHECKPOINT_FILE"``,
        - ``"transformers/REPO_OR_FOLDER"`` or ``"transformers/REPO@REVISION"``, for images,
        - ``"sentence-transformers/MODEL_OR_FOLDER"``, for texts,
        - ``"file.py:function"`` or ``"module:function"``, which returns a module, or a pair of a
          module and its preprocessing,
        - a module that returns one vector per image, with its ``preprocess``.

        Weights are downloaded by the library unless they are on disk. They are read as safetensors
        or without unpickling, and no code of a repository is run. The code of
        ``"file.py:function"`` is run.

    preprocess : callable, default=None
        Turns an RGB image of Pillow into a tensor. None means the backbone's own; a module without
        one takes pixels between 0 and 1 of shape (3, height, width).

    batch_size : int, default=32
        Samples per pass of the backbone.

    device : str or torch.device, default="auto"
        Where the backbone runs. "auto" is CUDA if there is a device, else the CPU.

    dtype : {"auto", "float32", "float16", "bfloat16"}, default="auto"
        Precision of the backbone's layers, by ``torch.autocast``. "auto" is float32 on the CPU, and
        on CUDA bfloat16 where the device supports it, else float16. Embeddings are float32.

    on_error : {"raise", "nan"}, default="raise"
        What to do with a sample that cannot be read: raise an error, or return a row of NaN and
        note it in ``failed_``.

    n_jobs : int, default=None
        Processes that read and preprocess images while the backbone runs. None and 1 mean no
        further process, -1 means one per CPU.

    memory : str or object with the joblib.Memory interface, default=None
        Where to keep embeddings, so that unchanged samples are not embedded again, also after an
        interruption. The key is the backbone with its weights, the preprocessing and the content
        of the samples, 1,024 of which are kept as one.

    verbose : bool, default=False
        Show progress.

    Attributes
    ----------
    n_features_out_ : int
        Length of an embedding, known after the first :meth:`transform`.

    failed_ : dict of int to str
        The samples of the last :meth:`transform` that could not be read, by position, with the
        reasons.

    See Also
    --------
    Embedder : The same with a network that is trained first.

    Notes
    -----
    It is stateless: :meth:`transform` needs no :meth:`fit`.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from imblearn_eos import FeatureExtractor
    >>> backbone = torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.Flatten())
    >>> images = np.zeros((5, 8, 8, 3), dtype=np.uint8)
    >>> FeatureExtractor(backbone).fit_transform(images).shape
    (5, 12)
    """

    _parameter_constraints: dict = {
        "backbone": [str, nn.Module],
        "preprocess": [callable, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": DEVICE_CONSTRAINT,
        "dtype": [StrOptions({"auto", *DTYPES})],
        "on_error": [StrOptions({"raise", "nan"})],
        "n_jobs": [Integral, None],
        "memory": [str, HasMethods(["cache"]), None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        backbone: str | nn.Module,
        *,
        preprocess: Callable[[Any], torch.Tensor] | None = None,
        batch_size: int = 32,
        device: str | torch.device = "auto",
        dtype: str = "auto",
        on_error: str = "raise",
        n_jobs: int | None = None,
        memory: Any = None,
        verbose: bool = False,
    ) -> None:
        self.backbone = backbone
        self.preprocess = preprocess
        self.batch_size = batch_size
        self.device = device
        self.dtype = dtype
        self.on_error = on_error
        self.n_jobs = n_jobs
        self.memory = memory
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any = None, y: Any = None) -> FeatureExtractor:
        """Check the parameters and load the backbone; nothing is learned.

        Parameters
        ----------
        X, y : None
            Ignored.

        Returns
        -------
        self : FeatureExtractor

        Raises
        ------
        ValueError, ImportError, OSError
            When there is no such backbone, its library is missing, or its weights are neither on
            disk nor can be downloaded. The message says what to install, or which file to put
            where.
        """
        self._load()
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Embed samples.

        Parameters
        ----------
        X : list or array of str, pathlib.Path, bytes or PIL.Image.Image, ndarray of shape \
                (n_samples, height, width, channels), dtype=uint8, or torch.utils.data.Dataset
            Images: paths, contents of files, images or arrays. Photos are turned upright as their
            EXIF data say; transparent ones are put on white. A dataset yields any of these, or
            tensors that are preprocessed already, alone or in a pair with a label. For a backbone
            of texts, a list of str.

        Returns
        -------
        ndarray of shape (n_samples, `n_features_out_`), dtype=float32
            One row per sample, in order.

        Raises
        ------
        ValueError
            When a sample cannot be read and ``on_error="raise"``, with its path; when the backbone
            does not return one vector per sample, or the vector is not finite.
        """
        check_parameters(self)
        blocks = []
        failed: dict[int, str] = {}
        n_samples = len(X)
        for start, Z, errors in self._iter_blocks(X):
            blocks.append((start, Z))
            failed.update(errors)
        width = self._width([Z for _, Z in blocks])
        embeddings = np.full((n_samples, width), np.nan, dtype=np.float32)
        for start, Z in blocks:
            if Z.shape[1]:
                embeddings[start : start + len(Z)] = Z
        self.failed_ = failed
        return embeddings

    def iter_transform(
        self, X: Any, *, block_size: int = BLOCK_SIZE
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Embed samples block by block, in bounded memory.

        Parameters
        ----------
        X
            As in :meth:`transform`.
        block_size : int, default=1024
            Samples per block.

        Yields
        ------
        start : int
            Position of the first sample of the block.
        Z : ndarray of shape (n_block, `n_features_out_`), dtype=float32
            Its embeddings. ``failed_`` has the failures of all blocks up to this one.

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> from imblearn_eos import FeatureExtractor
        >>> extractor = FeatureExtractor(torch.nn.Flatten())
        >>> images = np.zeros((5, 2, 2, 3), dtype=np.uint8)
        >>> [(start, Z.shape) for start, Z in extractor.iter_transform(images, block_size=3)]
        [(0, (3, 12)), (3, (2, 12))]
        """
        check_parameters(self)
        self.failed_ = {}
        waiting = []
        for start, Z, errors in self._iter_blocks(X, block_size):
            self.failed_.update(errors)
            # The width is not known before the first sample that can be read.
            waiting.append((start, Z))
            if not hasattr(self, "n_features_out_") and not Z.shape[1]:
                continue
            width = self._width([Z])
            for first, block in waiting:
                yield first, block if block.shape[1] else _all_nan(len(block), width)
            waiting.clear()
        if waiting:
            self._width([])

    @property
    def description_(self) -> str:
        """Backbone and preprocessing in words, for records."""
        loaded = self._load()
        preprocess = re.sub(r" at 0x\w+", "", repr(loaded.preprocess))
        name = self.backbone if isinstance(self.backbone, str) else type(self.backbone).__name__
        return f"{name}, preprocessed by {' '.join(preprocess.split())}"

    @property
    def takes_(self) -> str:
        """What a sample is: "images" or "texts"."""
        return self._load().takes

    def _width(self, blocks):
        widths = [Z.shape[1] for Z in blocks if Z.shape[1]]
        if not widths and not hasattr(self, "n_features_out_"):
            raise ValueError("None of the samples in X can be read, see failed_ for the reasons.")
        if widths:
            self.n_features_out_ = widths[0]
        return self.n_features_out_

    def _load(self) -> Backbone:
        """Return the backbone on its device, loaded once."""
        device = resolve_device(self.device)
        wanted = (self.backbone, self.preprocess, device)
        if getattr(self, "_loaded", (None, None))[0] != wanted:
            self._loaded = wanted, load_backbone(*wanted)
        return self._loaded[1]

    def _iter_blocks(self, X, block_size=BLOCK_SIZE):
        """Yield the start of each block, its embeddings, and its errors by position.

        Embeddings have no column if no sample of the block could be read.
        """
        loaded = self._load()
        device = resolve_device(self.device)
        samples = check_inputs(X, loaded.takes)
        inputs = Inputs(samples, loaded.preprocess, takes_texts=loaded.takes == "texts")
        memory = check_memory(self.memory)
        has_cache = self.memory is not None and memory.location is not None
        key = self._key(loaded, device) if has_cache else None
        embed = partial(_embed_block, loaded=loaded, options=self._options(device))
        cached = memory.cache(_embed_cached, ignore=["embed"])
        bar = tqdm(total=len(inputs), desc="Embedding", unit="sample", disable=not self.verbose)
        with bar:
            for start in range(0, len(inputs), block_size):
                rows = range(start, min(start + block_size, len(inputs)))
                block = Subset(inputs, rows)
                if has_cache:
                    digests = [inputs.digest(row) for row in rows]
                    Z, errors = cached((key, digests), partial(embed, block))
                    bar.update(len(rows))
                else:
                    Z, errors = embed(block, on_batch=bar.update)
                errors = {start + row: text for row, text in errors.items()}
                self._refuse(inputs, errors)
                yield start, Z, errors

    def _refuse(self, inputs, errors):
        for row, text in errors.items():
            if self.on_error == "raise":
                raise ValueError(
                    f"{inputs.name(row)} cannot be read ({text}). Remove or replace it, or pass "
                    "on_error='nan' to get a row of NaN for it."
                )

    def _key(self, loaded, device):
        weights = list(loaded.module.state_dict().items())
        preprocess = loaded.preprocess
        try:
            hashed = content_hash(preprocess)
        # Objects that cannot be pickled raise any type of exception.
        except Exception:
            hashed = None
        return content_hash(
            [type(loaded.module), self.description_, hashed, weights, self._precision(device)]
        )

    def _precision(self, device):
        if self.dtype != "auto":
            return self.dtype
        if device.type != "cuda":
            return "float32"
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"

    def _options(self, device):
        n_jobs = effective_n_jobs(self.n_jobs)
        return {
            "batch_size": self.batch_size,
            "n_workers": n_jobs if n_jobs > 1 else 0,
            "device": device,
            "dtype": getattr(torch, self._precision(device)),
        }

    @property
    def _n_features_out(self):
        check_is_fitted(
            self, "n_features_out_", msg="The number of features is known after transform."
        )
        return self.n_features_out_

    def __getstate__(self):
        state = super().__getstate__()
        # A backbone by name is loaded again; one that is a module is kept as the parameter.
        return {name: value for name, value in state.items() if name != "_loaded"}

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        # Embeddings are float32 whatever the samples are.
        tags.transformer_tags.preserves_dtype = []
        return tags


def _embed_cached(key: tuple[str, list[str]], embed: Callable) -> tuple[np.ndarray, dict[int, str]]:
    """Embed a block; ``key`` stands for the rest in the cache."""
    return embed()


def _embed_block(
    block: Dataset,
    *,
    loaded: Backbone,
    options: dict[str, Any],
    on_batch: Callable[[int], Any] = lambda n_samples: None,
) -> tuple[np.ndarray, dict[int, str]]:
    """Return the embeddings of a block, with NaN in rows that cannot be read, and the reasons."""
    device, n_workers = options["device"], options["n_workers"]
    loader = DataLoader(
        block,
        options["batch_size"],
        num_workers=n_workers,
        collate_fn=collate,
        pin_memory=device.type == "cuda" and loaded.takes == "images",
    )
    parts, failed, start = [], {}, 0
    is_single = options["dtype"] == torch.float32
    precision = nullcontext() if is_single else torch.autocast(device.type, options["dtype"])
    with torch.inference_mode(), precision:
        for batch, rows, errors in loader:
            failed.update({start + i: text for i, text in enumerate(errors) if text is not None})
            if rows:
                batch = batch.to(device) if isinstance(batch, torch.Tensor) else batch
                Z = loaded(batch).float().cpu().numpy()
                parts.append((start + np.array(rows), Z))
            start += len(errors)
            on_batch(len(errors))
    embeddings = _all_nan(start, parts[0][1].shape[1] if parts else 0)
    for positions, Z in parts:
        embeddings[positions] = Z
        if not np.isfinite(Z).all():
            raise ValueError(
                "The backbone returned NaN or infinity. With dtype='float16', try 'bfloat16' or "
                "'float32'."
            )
    return embeddings, failed


def _all_nan(n_samples, width):
    return np.full((n_samples, width), np.nan, dtype=np.float32)
