"""torch's threads in a forked process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_is_forked = False


def _after_fork() -> None:
    global _is_forked
    _is_forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def one_thread_after_fork() -> Iterator[None]:
    """Let torch use one thread in a process that was forked after this package was imported.

    torch's threads do not survive a fork: a child would wait for them forever.
    """
    with one_thread(_is_forked):
        yield


@contextmanager
def one_thread(condition: bool = True) -> Iterator[None]:
    """Let torch use one thread if a condition holds."""
    # Only here, so that importing the package does not import torch.
    import torch

    n_threads = torch.get_num_threads()
    if not condition or n_threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
