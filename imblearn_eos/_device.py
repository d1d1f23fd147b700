"""Where tensors live: the one meaning of every ``device`` parameter."""

import torch

# What scikit-learn's parameter validation accepts; `resolve_device` checks the value.
DEVICE_CONSTRAINT = [str, torch.device]


def resolve_device(device, like=None):
    """Turn a ``device`` parameter into a `torch.device`.

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
        resolved = None
    if resolved is None or resolved.type not in ("cpu", "cuda"):
        raise ValueError(
            "The 'device' parameter must be 'auto', or a cpu or cuda device such as 'cpu', 'cuda' "
            f"or 'cuda:1'. Got {str(device)!r} instead."
        )
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"The 'device' parameter is {str(device)!r}, but torch finds "
            f"{torch.cuda.device_count()} CUDA devices here. Use 'auto' or 'cpu', or install a "
            "CUDA build of torch."
        )
    if resolved.type == "cuda" and resolved.index is None:
        # torch takes "cuda" for another device than "cuda:0", and it may become another one.
        resolved = torch.device("cuda", torch.cuda.current_device())
    return resolved


def has_bfloat16(device_type):
    """Whether a kind of device, "cpu" or "cuda", multiplies bfloat16 numbers by itself."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # What torch itself asks, since its later versions; on others the answer is no.
    is_supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return device_type == "cpu" and is_supported()
