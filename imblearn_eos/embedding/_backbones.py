"""Loading pretrained backbones. To add a library, add one entry to `SOURCES`."""

from __future__ import annotations

import copy
import difflib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from imblearn_eos._extras import import_extra


@dataclass
class Backbone:
    """A frozen network with its preprocessing.

    Attributes
    ----------
    module : torch.nn.Module
        In evaluation mode.
    preprocess : callable or None
        Turns one RGB image of Pillow into a tensor. None takes the pixels, scaled to [0, 1].
    embed : callable or None, default=None
        Called as ``embed(module, batch)``; returns the embeddings in any of the forms that
        :func:`pool` takes. None calls the module.
    takes : {"images", "texts"}, default="images"
        What a sample is. Texts come as a list of str in a batch.
    """

    module: nn.Module
    preprocess: Callable[[Any], torch.Tensor] | None
    embed: Callable[[nn.Module, Any], Any] | None = None
    takes: str = "images"

    def __call__(self, batch: Any) -> torch.Tensor:
        """Return the embeddings of a batch, of shape (n_samples, n_features)."""
        output = self.module(batch) if self.embed is None else self.embed(self.module, batch)
        return pool(output)


def load_backbone(backbone: Any, preprocess: Callable | None, device: torch.device) -> Backbone:
    """Load the backbone that a `FeatureExtractor` names.

    Parameters
    ----------
    backbone : str or torch.nn.Module
        As in `FeatureExtractor`.
    preprocess : callable or None
        Replaces the backbone's own preprocessing if it is given.
    device : torch.device
        Where to put the module.

    Returns
    -------
    Backbone

    Raises
    ------
    ValueError
        When the name has none of the known forms, or the library does not know it.
    ImportError
        When the library is missing, or does not fit the installed torch.
    OSError
        When weights are neither on disk nor to be had.
    """
    if isinstance(backbone, nn.Module):
        # A copy, because the caller's module keeps its device and mode.
        loaded = Backbone(copy.deepcopy(backbone), None)
    else:
        source, _, name = str(backbone).partition("/")
        if source in SOURCES and name:
            loaded = SOURCES[source](*_split_revision(name))
        else:
            loaded = _load_function(str(backbone))
    loaded.module.eval().to(device)
    if preprocess is not None:
        loaded.preprocess = preprocess
    return loaded


def pool(output: Any) -> torch.Tensor:
    """Return the one vector per sample that a module returned, alone or in a structure.

    Of a ``ModelOutput`` of transformers this is its ``pooler_output``, else the embedding of the
    first token (CLS); of a tuple, its first entry.
    """
    for name in ("pooler_output", "image_embeds", "last_hidden_state"):
        if isinstance(getattr(output, name, None), torch.Tensor):
            output = getattr(output, name)
            output = output[:, 0] if name == "last_hidden_state" and output.ndim == 3 else output
            break
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, torch.Tensor):
        raise ValueError(
            f"The backbone returned {type(output).__name__}, not a tensor of shape (n_samples, "
            "n_features). Pass a module that returns one vector per sample."
        )
    # Pooling may leave a height and a width of 1.
    if output.ndim > 2 and output[0].numel() == output.shape[1]:
        output = output.flatten(1)
    if output.ndim != 2:
        raise ValueError(
            f"The backbone returned a tensor of shape {tuple(output.shape)}, not (n_samples, "
            "n_features). Pass a module that pools its features, with one vector per sample."
        )
    return output


def load_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Load a state dict from a checkpoint without running code that it may contain."""
    if Path(path).suffix == ".safetensors":
        weights = import_extra("safetensors.torch", "embeddings").load_file(path)
    else:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    # Training scripts keep the weights beside the state of the optimizer.
    for name in ("state_dict", "model"):
        if isinstance(weights.get(name), dict):
            weights = weights[name]
    return weights


def _split_revision(name):
    """Return the name of a model, and what follows the last @, or None."""
    name, _, revision = name.rpartition("@") if "@" in name else (name, "", None)
    return name, revision


def _find_checkpoint(revision):
    """Return the path of a checkpoint, or None if a revision is not a path."""
    if not revision or (Path(revision).name == revision and not Path(revision).is_file()):
        return None
    if not Path(revision).is_file():
        raise FileNotFoundError(f"The 'backbone' names the checkpoint {revision}: no such file.")
    return revision


def _load_timm(name, revision):
    with _needs("timm", "timm") as timm:
        from timm.data import create_transform, resolve_model_data_config
    if Path(name).is_dir():
        name = f"local-dir:{name}"
    checkpoint = _find_checkpoint(revision)
    if revision and checkpoint is None:
        name = f"hf-hub:timm/{name}@{revision}"
    with _unknown(timm, name):
        config = None if ":" in name else timm.get_pretrained_cfg(name)
    place = f"the file model.safetensors of {getattr(config, 'hf_hub_id', None) or name}"
    with _weights_of(name, f"{place} on the Hugging Face hub"), _unknown(timm, name):
        module = timm.create_model(name, pretrained=checkpoint is None, num_classes=0)
    if checkpoint:
        _load_into(module, checkpoint)
    return Backbone(module, create_transform(**resolve_model_data_config(module)))


def _load_torchvision(name, revision):
    with _needs("torchvision", "torchvision"):
        from torchvision import models
    with _unknown(models, name):
        weights = models.get_model_weights(name)
    checkpoint = _find_checkpoint(revision)
    if revision and checkpoint is None and revision not in weights.__members__:
        raise ValueError(
            f"torchvision/{name} has no weights {revision!r}, and there is no such file. Its "
            f"weights are {', '.join(weights.__members__)}."
        )
    chosen = weights.DEFAULT if checkpoint or not revision else weights[revision]
    module = models.get_model(name, weights=None)
    if checkpoint is None:
        folder = Path(torch.hub.get_dir(), "checkpoints")
        with _weights_of(f"torchvision/{name}", chosen.url, folder):
            state = chosen.get_state_dict(progress=False, check_hash=True, weights_only=True)
        module.load_state_dict(state)
    _remove_head(module)
    if checkpoint:
        _load_into(module, checkpoint)
    return Backbone(module, chosen.transforms())


def _load_transformers(name, revision):
    with _needs("transformers", "transformers"):
        from transformers import AutoImageProcessor, AutoModel
    options = {"revision": revision or "main", "trust_remote_code": False}
    with _weights_of(name, f"the repository {name} on the Hugging Face hub"):
        processor = AutoImageProcessor.from_pretrained(name, **options)
        module, facts = AutoModel.from_pretrained(name, output_loading_info=True, **options)
    # The checkpoint of a classifier may have no pooler, and one with random weights is of no use.
    has_pooler = not any("pooler" in key for key in facts["missing_keys"])
    return Backbone(
        module, partial(_process, processor), partial(_embed_pixels, has_pooler=has_pooler)
    )


def _process(processor, image):
    return processor(images=image, return_tensors="pt")["pixel_values"][0]


def _embed_pixels(module, batch, *, has_pooler):
    # Models of images and texts have two towers.
    run = getattr(module, "get_image_features", module)
    output = run(pixel_values=batch)
    return output if has_pooler else output.last_hidden_state[:, 0]


def _load_sentence_transformers(name, revision):
    with _needs("sentence_transformers", "text") as library:
        pass
    with _weights_of(name, f"the repository {name} on the Hugging Face hub"):
        module = library.SentenceTransformer(
            name, revision=revision, trust_remote_code=False, device="cpu"
        )
    return Backbone(module, None, _encode_texts, takes="texts")


def _encode_texts(module, texts):
    return module.encode(
        list(texts), batch_size=len(texts), convert_to_tensor=True, show_progress_bar=False
    )


def _load_function(name):
    place, _, function = name.rpartition(":")
    if not place or not function:
        forms = ", ".join(f'"{source}/NAME"' for source in SOURCES)
        raise ValueError(
            f"The 'backbone' parameter must be one of {forms}, "
            f'"file.py:function", "module:function" or a torch.nn.Module, got {name!r}.'
        )
    if place.endswith(".py"):
        module_name = f"_backbone_{Path(place).stem}"
        spec = importlib.util.spec_from_file_location(module_name, place)
        if not Path(place).is_file():
            raise FileNotFoundError(
                f"The 'backbone' {name!r} names the file {place}: no such file."
            )
        module = importlib.util.module_from_spec(spec)
        # DataLoader workers unpickle functions of the file by this name.
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
    else:
        module = import_module(place)
    made = getattr(module, function)()
    module, preprocess = made if isinstance(made, tuple) else (made, None)
    if not isinstance(module, nn.Module):
        raise ValueError(
            f"The function {name!r} must return a torch.nn.Module, or a pair of it and its "
            f"preprocessing, got {type(module).__name__}."
        )
    return Backbone(module, preprocess)


# Each takes what stands behind its name, and the revision behind an @ or None.
SOURCES: dict[str, Callable[[str, str | None], Backbone]] = {
    "timm": _load_timm,
    "torchvision": _load_torchvision,
    "transformers": _load_transformers,
    "sentence-transformers": _load_sentence_transformers,
}


def _remove_head(module):
    """Put Identity in place of the last linear layer."""
    name = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)][-1]
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, nn.Identity())


def _load_into(module, checkpoint):
    """Load the weights of a file into a module without a head."""
    missing, unexpected = module.load_state_dict(load_weights(checkpoint), strict=False)
    # The weights of the head may stay unused, all others may not.
    extra = {name.rpartition(".")[0] for name in unexpected}
    if missing or len(extra) > 1:
        listed = ", ".join([*missing, *unexpected][:4])
        raise ValueError(
            f"The checkpoint {checkpoint} does not fit the backbone: {len(missing)} weights are "
            f"missing, and {len(unexpected)} are unknown ({listed}...)."
        )


@contextmanager
def _needs(package: str, extra: str) -> Iterator[Any]:
    """Import a library, and say which torchvision is needed where its build does not fit torch."""
    try:
        yield import_extra(package, extra)
    except (ModuleNotFoundError, RuntimeError) as error:
        causes = [str(error), str(error.__cause__), str(error.__context__)]
        if not any("torchvision::" in text for text in causes):
            raise
        from importlib.metadata import version

        raise ImportError(
            f"{package} needs torchvision, and torchvision {version('torchvision')} was built for "
            f"another torch than the installed torch {torch.__version__}. Install the pair from "
            "PyTorch's own index in one command (pytorch.org/get-started)."
        ) from error


@contextmanager
def _unknown(library: Any, name: str) -> Iterator[None]:
    """Say which model a library does not know, with names like it."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError) as error:
        if "unknown model" not in str(error).lower():
            raise
        library_name = library.__name__.partition(".")[0]
        like = difflib.get_close_matches(name, library.list_models(), n=5)
        raise ValueError(
            f"{library_name} has no model {name!r}"
            + (f"; names like it are {', '.join(like)}." if like else ".")
        ) from error


@contextmanager
def _weights_of(name: str, place: str, folder: Path | None = None) -> Iterator[None]:
    """Say which file is needed and where to put it, if weights cannot be downloaded."""
    try:
        yield
    except OSError as error:
        if folder is None:
            from huggingface_hub.constants import HF_HUB_CACHE

            folder = Path(HF_HUB_CACHE)
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OSError(
            f"The weights of {name} are not on this machine and cannot be downloaded. Get "
            f"{place} elsewhere, and put it into {folder}, or pass the path of a local copy: "
            f"NAME@FILE for timm and torchvision, else the folder as NAME. ({first})"
        ) from error
