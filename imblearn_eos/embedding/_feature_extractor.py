"""A frozen backbone as a transformer: photos or texts in, embeddings out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, check_memory
from torch.utils.data import Dataset

from imblearn_eos._compat import HasMethods, Interval, StrOptions, fit_context
from imblearn_eos._device import DEVICE_CONSTRAINT, resolve_device
from imblearn_eos._frames import by_blocks, is_dask
from imblearn_eos.embedding._backbones import load_backbone
from imblearn_eos.embedding._cache import content_hash, describe
from imblearn_eos.embedding._extractor_cache import open_cache
from imblearn_eos.embedding._extractor_run import (
    count_workers,
    digest_preprocess,
    digest_weights,
    embed_blocks,
    raise_failures,
    resolve_dtypes,
    run,
)
from imblearn_eos.embedding._extractor_samples import Samples, collate

# What a frozen backbone is applied to.
Inputs = Sequence | ArrayLike | torch.Tensor | Dataset

# Rows that are kept in memory, looked up and written to the cache together.
BLOCK_ROWS = 4096


class FeatureExtractor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turn images or texts into the embeddings of a frozen, pretrained backbone.

    Nothing is trained: :meth:`fit` loads the backbone. The embedding of a sample is the pooled
    output of the backbone as its library defines it, after the backbone's own preprocessing.

    Parameters
    ----------
    backbone : str or torch.nn.Module
        The network, as one of

        - ``"timm/NAME"``, where NAME may also be a folder that timm has saved, or
          ``hf-hub:OWNER/NAME``;
        - ``"torchvision/NAME"``, with the default weights;
        - ``"transformers/NAME"``, a repository of the Hugging Face hub or a folder;
        - ``"sentence-transformers/NAME"``, the same, for texts;
        - ``"module:function"`` or ``"file.py:function"``, a function without arguments that
          returns a module without head, or a pair of a module and its ``preprocess``;
        - a module without head.

        ``@`` chooses the weights: ``"timm/NAME@FILE"`` and ``"torchvision/NAME@FILE"`` take a
        checkpoint (``.pth`` or ``.safetensors``), ``"torchvision/NAME@IMAGENET1K_V1"`` weights by
        name, and ``"transformers/NAME@REVISION"`` and ``"sentence-transformers/NAME@REVISION"`` a
        commit, tag or branch. Code that comes with weights is never run.

    preprocess : callable, default=None
        Function from an RGB image of Pillow to a tensor of shape (channels, height, width), or to
        a dict of the module's arguments. None takes the backbone's own; a module has none.

    batch_size : int, default=32
        Samples that the backbone takes at once.

    device : str or torch.device, default="auto"
        Where the backbone runs. "auto" is CUDA if there is one, else the CPU.

    dtype : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        Precision of the backbone, by :class:`torch.autocast`. "auto" is float32 on the CPU. On
        CUDA it is bfloat16, or float16 on devices without it, and float32 for batches that have
        no finite result in it. Embeddings are float32 in any case.

    on_error : {"raise", "nan"}, default="raise"
        What to do about a sample that cannot be read or has no finite embedding: raise ValueError,
        or return a row of NaN and note it in ``failed_``.

    n_jobs : int, default=None
        Processes that read and preprocess images while the backbone runs. 1 reads in this process,
        -1 uses all cores. None uses up to 8 for 256 samples or more on Linux, else 1. On other
        systems, scripts that set it must protect their main part by ``if __name__ == "__main__"``.

    memory : str or object with the joblib.Memory interface, default=None
        Folder for embeddings, so that the same sample is embedded once by the same weights,
        preprocessing and dtype. Files, images and texts are recognized by content; samples of a
        Dataset are not kept. An interrupted run goes on where it stopped.

    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    backbone_ : object
        With the attributes ``module``, a copy of the network without head, and ``preprocess``. It
        is not pickled if ``backbone`` is a string, but loaded again when it is needed.

    description_ : str
        The backbone, and digests of its weights and of its preprocessing.

    failed_ : dict of int to str
        Rows of the last X in :meth:`transform` that could not be embedded, and why.

    n_features_out_ : int
        Length of an embedding.

    See Also
    --------
    Embedder : Train a network on the samples.

    Notes
    -----
    Images are turned upright by their EXIF data, and transparent pixels are put on white.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from imblearn_eos import FeatureExtractor
    >>> def preprocess(image):
    ...     return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    >>> backbone = torch.nn.Sequential(
    ...     torch.nn.Conv2d(3, 5, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    ... )
    >>> X = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    >>> extractor = FeatureExtractor(backbone, preprocess=preprocess)
    >>> extractor.fit_transform(X).shape
    (4, 5)
    """

    _parameter_constraints = {
        "backbone": [str, torch.nn.Module],
        "preprocess": [callable, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": DEVICE_CONSTRAINT,
        "dtype": [StrOptions({"auto", "float32", "bfloat16", "float16"})],
        "on_error": [StrOptions({"raise", "nan"})],
        "n_jobs": [Integral, None],
        "memory": [str, HasMethods(["cache"]), None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        backbone: str | torch.nn.Module,
        *,
        preprocess: Callable | None = None,
        batch_size: int = 32,
        device: str | torch.device = "auto",
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        on_error: Literal["raise", "nan"] = "raise",
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
    def fit(self, X: Inputs, y: Any = None) -> FeatureExtractor:
        """Load the backbone, and embed the first sample that can be read.

        Parameters
        ----------
        X : list, array or torch.utils.data.Dataset of length n_samples
            As in :meth:`transform`.

        y : object, default=None
            Not used.

        Returns
        -------
        self : FeatureExtractor
            The fitted transformer.

        Raises
        ------
        ImportError
            When the library of the backbone is not installed, or does not fit torch.

        OSError
            When the weights are neither on this machine nor can be downloaded.

        ValueError
            When there is no such backbone, or no sample can be embedded.
        """
        backbone, device = self._load()
        samples = Samples(X, backbone.preprocess, backbone.takes_text)
        failed = {}
        for row in range(len(samples)):
            found, inputs, failures = collate([samples[row]])
            if found:
                break
            failed.update(failures)
            if self.on_error == "raise":
                raise_failures(failures)
        else:
            raise_failures(failed, "Mend them: none of the samples can be embedded.")
        dtypes = resolve_dtypes(self.dtype, device)
        self.n_features_out_ = run(backbone, inputs, device, dtypes).shape[1]
        name = self.backbone if isinstance(self.backbone, str) else type(self.backbone).__name__
        self._weights = digest_weights(backbone.module)
        self.description_ = (
            f"{name}, weights {self._weights}, "
            f"preprocess {digest_preprocess(backbone.preprocess)}, "
            f"{str(dtypes[0]).removeprefix('torch.')}"
        )
        self.backbone_ = backbone
        return self

    def transform(self, X: Inputs) -> np.ndarray:
        """Return the embeddings of samples.

        Parameters
        ----------
        X : list, array, torch.utils.data.Dataset, or Dask array, bag, series or dataframe of \
                length n_samples
            Paths of images, images of Pillow or arrays of shape (height, width) or (height, width,
            channels) and dtype uint8; with a backbone for texts, strings. Other arrays and tensors
            count as preprocessed. A dataset returns such a sample, or a tuple that begins with it.
            A Dask dataframe has one column.

        Returns
        -------
        Z : {ndarray, Dask array} of shape (n_samples, `n_features_out_`), dtype=float32
            One row per sample, in the order of X. Lazy if X is a Dask collection: each partition
            is read by one process unless ``n_jobs`` says otherwise, and ``failed_`` is not set.

        Raises
        ------
        ValueError
            When a sample cannot be embedded and ``on_error`` is "raise"; it names the file.
        """
        if is_dask(X):
            return by_blocks(self.transform, X, self._no_embeddings, is_numeric=False)
        samples = self._samples(X)
        Z = np.empty((len(samples), self.n_features_out_), dtype=np.float32)
        for start, block in self._iterate(samples, BLOCK_ROWS):
            Z[start : start + len(block)] = block
        return Z

    def iter_transform(
        self, X: Inputs, block_size: int = BLOCK_ROWS
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the embeddings of samples block by block, with the memory of one block.

        Parameters
        ----------
        X : list, array or torch.utils.data.Dataset of length n_samples
            As in :meth:`transform`.

        block_size : int, default=4096
            Rows of a block; the last one may have fewer.

        Yields
        ------
        start : int
            Position in X of the first row of the block.

        Z : ndarray of shape (<= block_size, `n_features_out_`), dtype=float32
            Embeddings.
        """
        return self._iterate(self._samples(X), block_size)

    def _iterate(self, samples, block_size):
        device = resolve_device(self.device)
        self.failed_ = {}
        with self._open_cache() as cache:
            for start, Z, failed in embed_blocks(
                self.backbone_,
                samples,
                n_features=self.n_features_out_,
                block_size=block_size,
                batch_size=self.batch_size,
                device=device,
                dtypes=resolve_dtypes(self.dtype, device),
                n_workers=count_workers(self.n_jobs, samples),
                on_error=self.on_error,
                cache=cache,
                verbose=self.verbose,
            ):
                self.failed_.update((row, str(why)) for row, why in failed.items())
                yield start, Z

    def _no_embeddings(self):
        return np.empty((0, self.n_features_out_), np.float32)

    def _load(self):
        device = resolve_device(self.device)
        backbone = load_backbone(self.backbone, self.preprocess)
        backbone.module.to(device)
        return backbone, device

    def _samples(self, X):
        """Return X as the backbone reads it, which an unpickled extractor loads first."""
        check_is_fitted(self)
        if not hasattr(self, "backbone_"):
            backbone, _ = self._load()
            if digest_weights(backbone.module) != self._weights:
                raise ValueError(
                    f"The weights of backbone={self.backbone!r} are not the ones that this "
                    f"FeatureExtractor was fitted with ({self.description_}). Restore them, or fit "
                    "it and all steps after it again."
                )
            self.backbone_ = backbone
        samples = Samples(X, self.backbone_.preprocess, self.backbone_.takes_text)
        if samples.is_random():
            warnings.warn(
                f"Two reads of the first sample of {type(X).__name__} differ, so its transform is "
                "random, and embeddings cannot be reproduced. Remove augmentation from it.",
                UserWarning,
                # The caller of transform, which set_output wraps.
                stacklevel=4,
            )
        return samples

    def _open_cache(self):
        folder = getattr(check_memory(self.memory), "location", None)
        if folder is None:
            return nullcontext()
        module = self.backbone_.module
        key = content_hash(
            [self.description_, describe(module), str(getattr(module, "config", ""))]
        )
        return open_cache(Path(folder) / "feature_extractor" / f"{key}.sqlite")

    def __getstate__(self):
        state = super().__getstate__()
        # Hundreds of megabytes that can be loaded again.
        is_named = isinstance(self.backbone, str)
        return {k: v for k, v in state.items() if not (is_named and k == "backbone_")}

    def __sklearn_is_fitted__(self):
        return hasattr(self, "n_features_out_")

    @property
    def _n_features_out(self):
        return self.n_features_out_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        tags.transformer_tags.preserves_dtype = []
        return tags
