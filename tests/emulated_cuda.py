"""A CUDA device for tests on machines without one: CPU tensors that say that they are on it.

Within an :class:`EmulatedCuda`, torch finds one CUDA device. As on a real one, operations on
tensors of several devices fail, NumPy cannot read the tensors of the device, and the host waits
where it needs a value. Waits and copies are counted. What happens inside of torch's own functions
is not seen, and neither is Triton.
"""

from collections import Counter
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

DEVICE = torch.device("cuda", 0)

# The host waits for their results: values, or numbers of rows.
WAITING = {
    *("item", "tolist", "__bool__", "__float__", "__int__", "__index__", "__contains__"),
    *("equal", "allclose", "is_nonzero"),
    *("nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "bincount"),
    *("linalg_cholesky", "linalg_eigh", "coalesce"),
}
# These take tensors of the host beside those of the device, and copy them.
COPYING = {"__getitem__", "__setitem__", "index_put_", "copy_", "as_tensor", "tensor"}
DRAWING = {"rand", "randn", "randint", "randperm"}


class CudaTensor(torch.Tensor):
    """A tensor that says that it is on the device."""


class EmulatedCuda(TorchFunctionMode):
    """A context in which torch finds a CUDA device.

    Attributes
    ----------
    waits : Counter
        How often the host waited for the device, by the name of what it called.
    copies_to_host, copies_to_device : list of int
        The sizes of the copies in bytes.
    generator : torch.Generator
        Draws the random numbers of the device.
    free_bytes : int
        The memory that is free on the device.
    """

    def __init__(self):
        super().__init__()
        self.free_bytes = 2**33
        self.generator = torch.Generator()
        self.reset()

    def reset(self):
        """Forget what was counted."""
        self.waits, self.copies_to_host, self.copies_to_device = Counter(), [], []

    def __enter__(self):
        self.patches = mock.patch.multiple(
            torch.cuda,
            is_available=lambda: True,
            device_count=lambda: 1,
            current_device=lambda: 0,
            is_bf16_supported=lambda **_: True,
            get_device_capability=lambda *_: (9, 0),
            get_device_properties=lambda *_: SimpleNamespace(multi_processor_count=2),
            mem_get_info=lambda *_: (self.free_bytes, 2 * self.free_bytes),
            memory_reserved=lambda *_: 0,
            memory_allocated=lambda *_: 0,
            manual_seed_all=self.generator.manual_seed,
            get_rng_state=lambda *_: self.generator.get_state(),
            set_rng_state=lambda state, *_: self.generator.set_state(state),
        )
        self.patches.start()
        # Else a parameter would get the data of a CudaTensor, and not become one.
        self.overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        torch.__future__.set_overwrite_module_params_on_conversion(self.overwrites)
        self.patches.stop()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        if name in ("to", "cpu", "cuda"):
            return self._move(name, *args, **kwargs)
        if is_cuda(kwargs.get("device")):
            return self._make(func, name, args, kwargs)
        parts = leaves([args, kwargs])
        if not any(isinstance(part, CudaTensor) for part in parts):
            return func(*args, **kwargs)
        if name == "__get__":
            return _attribute(func, *args)
        if name == "__deepcopy__":
            return _deepcopy(*args)
        if name in ("numpy", "__array__"):
            raise TypeError(f"can't convert {DEVICE} device type tensor to numpy.")
        is_from_host = [_is_on_host(part) for part in parts]
        if name in COPYING:
            self._count_copies(name, parts, is_from_host)
        # Tensors of the host without dimensions count as numbers.
        elif name != "_has_compatible_shallow_copy_type" and any(is_from_host):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device.")
        if name in WAITING:
            self.waits[name] += 1
        result = run(func, *args, **kwargs)
        return result if name == "copy_" else on_device(result)

    def _count_copies(self, name, parts, is_from_host):
        """Count what indexing and assigning copy, and where a mask makes the host wait."""
        if isinstance(parts[0], CudaTensor):
            self.copies_to_device += [
                part.nbytes
                for part, is_copied in zip(parts, is_from_host, strict=True)
                if is_copied
            ]
            masks = [part for part in parts[1:] if isinstance(part, CudaTensor)]
            if name == "__getitem__" and any(mask.dtype == torch.bool for mask in masks):
                self.waits["mask"] += 1
        elif name == "copy_":
            self._copy_to_host(parts[1])
        elif any(isinstance(part, CudaTensor) and part.ndim for part in parts):
            raise RuntimeError(f"{name}: expected the indices to be on the device of the tensor.")

    def _copy_to_host(self, tensor):
        self.waits["copy to the host"] += 1
        self.copies_to_host.append(n_bytes(tensor))

    def _move(self, name, tensor, *args, device=None, dtype=None, copy=False, **_):
        """Do what ``Tensor.to``, ``cpu`` and ``cuda`` do."""
        device = device if name == "to" else name
        for arg in args:
            if isinstance(arg, torch.Tensor):
                # Its own attribute is that of its data here.
                device, dtype = DEVICE if isinstance(arg, CudaTensor) else "cpu", arg.dtype
            elif isinstance(arg, torch.dtype):
                dtype = arg
            elif isinstance(arg, (str, torch.device)):
                device = arg
        was_away = isinstance(tensor, CudaTensor)
        is_away = was_away if device is None else is_cuda(device)
        copy = copy or was_away != is_away
        moved = run(torch.Tensor.to, tensor, dtype or tensor.dtype, copy=copy)
        if was_away and not is_away:
            self._copy_to_host(tensor)
            return run(torch.Tensor.as_subclass, moved, torch.Tensor)
        if is_away and not was_away:
            self.copies_to_device.append(n_bytes(tensor))
        return on_device(moved) if is_away else moved

    def _make(self, func, name, args, kwargs):
        """Make a tensor on the device."""
        kwargs["device"] = "cpu"
        requires_grad = kwargs.pop("requires_grad", False)
        if name in DRAWING:
            kwargs.setdefault("generator", self.generator)
        parts = leaves([args, kwargs])
        self.copies_to_device += [part.nbytes for part in parts if _is_on_host(part)]
        return on_device(run(func, *args, **kwargs)).requires_grad_(requires_grad)


def is_cuda(device):
    """Return whether a device, as torch takes it, is the emulated one."""
    return device is not None and (isinstance(device, int) or torch.device(device).type == "cuda")


def run(func, *args, **kwargs):
    """Run a function of torch on the data of tensors, wherever they say that they are."""
    return torch.Tensor.__torch_function__(func, (), args, kwargs)


def on_device(result):
    """Return a result with its tensors on the device; data are shared, not copied."""
    if isinstance(result, (list, tuple)):
        return type(result)([on_device(part) for part in result])
    if not isinstance(result, torch.Tensor) or isinstance(result, CudaTensor):
        return result
    if result.is_sparse:
        # Has no views. The history of gradients is left behind.
        return run(torch.Tensor._make_subclass, CudaTensor, result)
    return run(torch.Tensor.as_subclass, result, CudaTensor)


def leaves(part):
    """Return what lists, tuples and dicts hold, however deep."""
    if isinstance(part, dict):
        part = list(part.values())
    is_nested = isinstance(part, (list, tuple))
    return [leaf for inner in part for leaf in leaves(inner)] if is_nested else [part]


def n_bytes(tensor):
    """Return the size of a tensor; of a sparse one, that of its values."""
    values = run(torch.Tensor.values, tensor) if tensor.is_sparse else tensor
    return run(torch.Tensor.nbytes.__get__, values)


def _is_on_host(part):
    """Return whether an argument is an array or a CPU tensor, other than a single number."""
    is_array = isinstance(part, (np.ndarray, torch.Tensor))
    return is_array and not isinstance(part, CudaTensor) and part.ndim > 0


def _attribute(func, tensor, *rest):
    name = func.__self__.__name__
    if name in ("device", "is_cuda", "is_cpu"):
        return {"device": DEVICE, "is_cuda": True, "is_cpu": False}[name]
    return on_device(run(func, tensor, *rest))


def _deepcopy(tensor, memo):
    if id(tensor) not in memo:
        copied = on_device(run(torch.Tensor.clone, run(torch.Tensor.detach, tensor)))
        memo[id(tensor)] = copied.requires_grad_(tensor.requires_grad)
    return memo[id(tensor)]
