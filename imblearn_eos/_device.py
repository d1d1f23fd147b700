"""Where tensors live: the one meaning of every ``device`` parameter."""

from functools import cache
from timeit import repeat

import torch

from imblearn_eos._compat import cpu_has_bfloat16

# What scikit-learn's parameter validation accepts; `resolve_device` checks the value.
DEVICE_CONSTRAINT = [str, torch.device]


def resolve_device(device, like=None):
    """Return the `torch.device` that a ``device`` parameter means.

    Parameters
    ----------
    device : str or torch.device
        "auto", or a cpu or cuda device such as "cpu", "cuda" or "cuda:1".
    like : object, default=None
        With "auto", a tensor here decides: its own device is used. Otherwise "auto" is CUDA
        where there is one, else the CPU.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        When ``device`` is anything else, or names a CUDA device that this machine lacks.
    """
    if device == "auto":
        if isinstance(like, torch.Tensor):
            device = like.device
        else:
            device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        resolved = torch.device("meta")
    n_devices = {"cpu": 1, "cuda": torch.cuda.device_count()}.get(resolved.type, 0)
    if (resolved.index or 0) >= n_devices:
        raise ValueError(
            "The 'device' parameter must be 'auto', 'cpu', or a CUDA device such as 'cuda' or "
            f"'cuda:1'. Got {str(device)!r} instead; torch finds {torch.cuda.device_count()} CUDA "
            "devices."
        )
    if resolved.type == "cuda" and resolved.index is None:
        # torch takes "cuda" for another device than "cuda:0", and it may become another one.
        resolved = torch.device("cuda", torch.cuda.current_device())
    return resolved


def free_bytes(device):
    """Return the memory of a CUDA device that is free, with what torch holds there unused."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def seeded_devices(device):
    """Return the CUDA devices whose generators :func:`seed_torch` seeds for a net's device."""
    return range(0 if _is_cpu(device) else torch.cuda.device_count())


def seed_torch(seed, device):
    """Seed the generators of torch that a net may draw from.

    Parameters
    ----------
    seed : int
        The seed.
    device : str, torch.device or None
        Where the net is; None means that its user moves it. On the CPU, generators of other devices
        stay as they are, whereas `torch.manual_seed` seeds those of all devices.
    """
    if _is_cpu(device):
        torch.default_generator.manual_seed(int(seed))
    else:
        torch.manual_seed(seed)


def _is_cpu(device):
    return device is not None and torch.device(device).type == "cpu"


def has_bfloat16(device_type):
    """Return whether "cuda" multiplies bfloat16 at all, or "cpu" faster than float32."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device_type == "cpu" and cpu_has_bfloat16() and _cpu_is_fast_in_bfloat16()


@cache
def _cpu_is_fast_in_bfloat16():
    """Return whether this CPU multiplies in bfloat16 faster than in float32, measured once.

    Its instructions do not tell. Those of AVX-512 take half the time of float32 on some
    processors, and twice the time on others whose matrix units are not available.
    """
    seconds = [_seconds_of_product(dtype) for dtype in (torch.bfloat16, torch.float32)]
    # Far from where chance would decide.
    return seconds[0] < 0.75 * seconds[1]


def _seconds_of_product(dtype):
    factors = torch.ones(256, 256, dtype=dtype, device="cpu")
    with torch.autocast("cpu", enabled=False):
        return min(repeat(lambda: factors @ factors, number=1, repeat=5))
