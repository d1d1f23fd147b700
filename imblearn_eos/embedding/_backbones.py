"""Sources of frozen backbones: one function per library, and the registry of them.

Each function takes what follows the name of its library in ``backbone``, and returns the module
without its head and the module's own preprocessing. Nothing that comes with weights is run as code.
"""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from imblearn_eos._extras import import_extra

# Checkpoints of trainings hold the weights under one of these names.
STATE_KEYS = ("state_dict", "model_state_dict", "model")


@dataclass
class Backbone:
    """A module that turns prepared samples into vectors."""

    module: Any
    # From a PIL image, in RGB, to what the module takes: a tensor, or a dict of tensors.
    preprocess: Callable | None = None
    takes_text: bool = False

    def embed(self, inputs: Any) -> torch.Tensor:
        """Return the pooled outputs of a batch, of shape (n_samples, n_features)."""
        if self.takes_text:
            return self.module.encode(inputs, convert_to_tensor=True, show_progress_bar=False)
        run = getattr(self.module, "get_image_features", self.module)
        return pool(run(**inputs) if isinstance(inputs, Mapping) else run(inputs))


def load_backbone(backbone: str | nn.Module, preprocess: Callable | None = None) -> Backbone:
    """Load a backbone from where its name says.

    Parameters
    ----------
    backbone : str or torch.nn.Module
        As the parameter of :class:`~imblearn_eos.FeatureExtractor`.
    preprocess : callable, default=None
        Replaces the module's own preprocessing.

    Returns
    -------
    Backbone
        With float32 weights on the CPU, in evaluation mode.

    Raises
    ------
    ImportError
        When the library is not installed, or cannot be used with this torch.
    OSError
        When the weights are not on this machine and cannot be downloaded.
    ValueError
        When ``backbone`` names no source or no model, or a file has other weights.
    """
    if isinstance(backbone, nn.Module):
        # The user's module keeps its mode, its device and its dtype.
        loaded = Backbone(deepcopy(backbone))
    else:
        source, _, name = backbone.partition("/")
        load = SOURCES.get(source)
        loaded = load(name) if load else from_function(backbone)
    if preprocess is not None:
        loaded.preprocess = preprocess
    loaded.module.float().eval().requires_grad_(False)
    return loaded


def pool(output: Any) -> torch.Tensor:
    """Return one vector per sample of what a module returns.

    ``pooler_output`` or else the first token of a transformer, the first of several outputs, and
    the mean over the pixels of a feature map.
    """
    if isinstance(output, Mapping):
        pooled = output.get("pooler_output")
        output = output["last_hidden_state"] if pooled is None else pooled
        output = output[:, 0] if output.ndim == 3 else output
    if isinstance(output, (tuple, list)):
        output = output[0]
    if isinstance(output, torch.Tensor) and output.ndim == 4:
        output = output.mean(dim=(2, 3))
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        found = tuple(output.shape) if hasattr(output, "shape") else type(output).__name__
        raise ValueError(
            f"The backbone must return one vector per sample, shape (n_samples, n_features), got "
            f"{found}. Wrap it in a module that pools its output."
        )
    return output


# --- sources --------------------------------------------------------------------------------------


def from_timm(name: str) -> Backbone:
    """Load a model of timm with pooled outputs, from its registry, a folder or the hub."""
    timm = import_library("timm", "timm")
    name, file = (name, None) if name.startswith("hf-hub:") else split_version(name)
    if Path(name).is_dir():
        name = f"local-dir:{name}"
    is_registered = ":" not in name
    if is_registered:
        check_known("timm", name.partition(".")[0], timm.list_models())
    if file is not None:
        module = timm.create_model(name, num_classes=0)
        load_weights(module, file)
    else:
        config = timm.models.get_pretrained_cfg(name) if is_registered else None
        repository = config.hf_hub_id if config else name.partition(":")[2]
        remedy = (
            f"Download model.safetensors from https://huggingface.co/{repository} on another "
            f"machine, and pass its path: backbone='timm/{name}@FOLDER/model.safetensors'"
            if is_registered
            else f"Put config.json and model.safetensors of {repository} into a folder, and pass "
            "backbone='timm/FOLDER'"
        )
        with explained(f"timm/{name}", remedy):
            module = timm.create_model(name, pretrained=True, num_classes=0)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(module))
    return Backbone(module, transform)


def from_torchvision(name: str) -> Backbone:
    """Load a model of torchvision, with an identity in place of its last layer."""
    import_library("torchvision", "torchvision")
    models = importlib.import_module("torchvision.models")
    name, version = split_version(name)
    check_known("torchvision", name, models.list_models(models))
    choices = models.get_model_weights(name)
    file = None if version in {None, *choices.__members__} else version
    weights = choices["DEFAULT" if file or version is None else version]
    if file is not None:
        module = models.get_model(name, weights=None)
    else:
        place = f"{torch.hub.get_dir()}/checkpoints/{weights.url.rpartition('/')[2]}"
        with explained(f"torchvision/{name}", f"Put the file {weights.url} there as {place}"):
            # The builder below loads the file as a pickle that may run code; this refuses it.
            weights.get_state_dict(check_hash=True, weights_only=True, map_location="cpu")
            module = models.get_model(name, weights=weights)
    # The last layer is a convolution only in SqueezeNet.
    *_, head = (
        layer for layer, part in module.named_modules() if isinstance(part, (nn.Linear, nn.Conv2d))
    )
    parent, _, child = head.rpartition(".")
    setattr(module.get_submodule(parent), child, nn.Identity())
    if file is not None:
        load_weights(module, file)
    return Backbone(module, weights.transforms())


def from_transformers(name: str) -> Backbone:
    """Load a vision model of transformers, from a folder or the hub."""
    transformers = import_library("transformers", "transformers")
    name, revision = split_version(name)
    options = {"revision": revision or "main", "trust_remote_code": False}
    remedy = (
        f"Put config.json, preprocessor_config.json and model.safetensors of "
        f"https://huggingface.co/{name} into a folder, and pass backbone='transformers/FOLDER'"
    )
    with explained(f"transformers/{name}", remedy), quiet(transformers):
        module, info = transformers.AutoModel.from_pretrained(
            name, output_loading_info=True, weights_only=True, **options
        )
        # The other kind needs torchvision, and may resize to slightly different pixels.
        processor = transformers.AutoImageProcessor.from_pretrained(name, backend="pil", **options)
    missing = set(info["missing_keys"])
    # A network that was trained to classify has no pooler; a new one would be random.
    without_pooler = {key for key in missing if not key.startswith("pooler.")}
    if missing > without_pooler:
        module.pooler = None
    check_complete(without_pooler, name, module)
    return Backbone(module, ProcessorTransform(processor))


def from_sentence_transformers(name: str) -> Backbone:
    """Load a model of sentence-transformers, from a folder or the hub."""
    library = import_library("sentence_transformers", "text")
    name, revision = split_version(name)
    remedy = (
        f"Put all files of the model {name} of https://huggingface.co/sentence-transformers into a "
        "folder, and pass backbone='sentence-transformers/FOLDER'"
    )
    with (
        explained(f"sentence-transformers/{name}", remedy),
        quiet(importlib.import_module("transformers")),
    ):
        module = library.SentenceTransformer(
            name, revision=revision, trust_remote_code=False, device="cpu"
        )
    return Backbone(module, takes_text=True)


def from_function(name: str) -> Backbone:
    """Call a function of the user's, named as ``"module:function"`` or ``"file.py:function"``."""
    place, _, function = name.rpartition(":")
    if not place or not function.isidentifier():
        raise ValueError(
            f"The 'backbone' parameter must begin with one of {sorted(SOURCES)} and '/', or "
            f"name a function as 'module_or_file.py:function', got {name!r}."
        )
    try:
        module = _import_file(place) if place.endswith(".py") else importlib.import_module(place)
        if hasattr(module, function):
            made = getattr(module, function)()
            return Backbone(*made) if isinstance(made, tuple) else Backbone(made)
    # A wrong path, or whatever the file and its function raise.
    except Exception as error:
        raise ImportError(
            f"The 'backbone' (--backbone) {name!r} cannot be imported and called "
            f"({type(error).__name__}: {error}). Check the path of the file, and install or "
            "provide what it needs."
        ) from error
    raise ValueError(f"The 'backbone' {name!r} names a function that {place} does not have.")


def _import_file(path):
    spec: Any = importlib.util.spec_from_file_location(f"_backbone_{Path(path).stem}", path)
    module = importlib.util.module_from_spec(spec)
    # Processes that read images, and pickle, look its classes up there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


SOURCES: dict[str, Callable[[str], Backbone]] = {
    "sentence-transformers": from_sentence_transformers,
    "timm": from_timm,
    "torchvision": from_torchvision,
    "transformers": from_transformers,
}


class ProcessorTransform:
    """An image processor of transformers as a function of one image."""

    def __init__(self, processor):
        self.processor = processor

    def __call__(self, image):
        inputs = self.processor(images=image, return_tensors="pt")
        return {name: values[0] for name, values in inputs.items()}

    def __repr__(self):
        return f"{type(self).__name__}({type(self.processor).__name__})"


# --- what the sources share -----------------------------------------------------------------------


def import_library(name: str, extra: str) -> Any:
    """Import a library that uses torchvision, if it is installed and fits torch."""
    try:
        if importlib.util.find_spec("torchvision"):
            importlib.import_module("torchvision")
    # What torchvision raises where its operators are missing.
    except RuntimeError as error:
        raise ImportError(
            f"{name} cannot be used, because the installed torchvision was not built for torch "
            f"{torch.__version__} ({error}). Install both again, from the index that pytorch.org "
            "names for your device: pip install --force-reinstall torch torchvision -i URL."
        ) from error
    return import_extra(name, extra)


def split_version(name: str) -> tuple[str, str | None]:
    """Split "NAME@VERSION"; a path that exists is one name."""
    if "@" not in name or Path(name).exists():
        return name, None
    name, _, version = name.rpartition("@")
    return name, version


def check_known(source: str, name: str, known: list[str]) -> None:
    """Raise ValueError if a library has no model of a name."""
    if name not in known:
        raise ValueError(
            f"{source} has no model or folder {name!r}. Similar names: "
            f"{get_close_matches(name, known, n=5) or known[:5]}."
        )


def load_weights(module: nn.Module, file: str) -> None:
    """Load a checkpoint into a module whose head was removed."""
    with explained(file, "Check the path of the file"):
        if Path(file).suffix == ".safetensors":
            state = import_extra("safetensors.torch", "embeddings").load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    for key in STATE_KEYS:
        state = state.get(key, state)
    consume_prefix_in_state_dict_if_present(state, "module.")
    own = module.state_dict()
    state = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    missing = module.load_state_dict(state, strict=False).missing_keys
    # Auxiliary heads serve training only.
    check_complete([key for key in missing if not key.lower().startswith("aux")], file, module)


def check_complete(missing: Any, source: str, module: nn.Module) -> None:
    """Raise ValueError if weights are missing, which would be random."""
    if missing:
        raise ValueError(
            f"{source} lacks weights of {type(module).__name__}: {sorted(missing)[:5]} "
            f"({len(missing)} in all). Pass the checkpoint of the same architecture."
        )


@contextmanager
def explained(name: str, remedy: str) -> Iterator[None]:
    """Raise one error on why weights cannot be loaded, and what to do."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        text = str(error).strip()
        reason = f"{type(error).__name__}: {text.partition(chr(10))[0]}"
        if isinstance(error, OSError):
            raise OSError(
                f"The weights of {name} are not on this machine, and cannot be downloaded "
                f"({reason}). {remedy}."
            ) from error
        # How torch, timm, transformers and sentence-transformers refuse to run code.
        if "trust_remote_code" in text or "weights_only" in text:
            raise ValueError(
                f"{name} cannot be loaded without running code that comes with it ({reason}). Load "
                "it yourself, and pass the module as 'backbone', its transform as 'preprocess'."
            ) from error
        raise


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Keep transformers from printing a report of the weights that it loads."""
    logging = transformers.utils.logging
    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()
