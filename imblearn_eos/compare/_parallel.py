"""How many cores a comparison uses, and the warnings of methods that run side by side."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from joblib import Parallel, cpu_count, delayed
from threadpoolctl import threadpool_limits

from imblearn_eos._device import resolve_device

# For fewer numbers, the threads of one computation wait for each other longer than they compute.
MANY_NUMBERS = 10_000_000

_caught = threading.local()


@dataclass(frozen=True)
class Cores:
    """The cores of one comparison: tasks side by side, and the threads of each."""

    n_workers: int = 1
    n_threads: int = 1

    @contextmanager
    def limit_threads(self) -> Iterator[None]:
        """Let torch and the libraries for matrices use this many threads per task."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.n_threads)
        try:
            with threadpool_limits(self.n_threads):
                yield
        finally:
            torch.set_num_threads(before)

    def map(self, tasks: Iterable[Callable[[], Any]]) -> list[Any]:
        """Call all tasks, which may record warnings, and return their results."""
        # While threads run, the state of the module `warnings` that they share must not change.
        context = record_warnings() if self.n_workers > 1 else nullcontext()
        with context, self.limit_threads():
            # torch, SciPy and scikit-learn release the interpreter's lock where they compute.
            parallel = Parallel(n_jobs=self.n_workers, backend="threading")
            return parallel(delayed(task)() for task in tasks)


def choose_cores(
    n_jobs: int | None, n_numbers: int, *, many: int, n_tasks: int, device: str | torch.device
) -> Cores:
    """Divide cores among tasks.

    Parameters
    ----------
    n_jobs : int or None
        The cores to use. None means all if there are ``many`` numbers, and else one; each task
        has one thread unless there are `MANY_NUMBERS`.
    n_numbers : int
        Numbers in the data.
    many : int
    n_tasks : int
        Tasks that could run side by side.
    device : str or torch.device
        On a CUDA device, tasks run one after the other.

    Returns
    -------
    Cores
    """
    is_free = n_jobs is None
    if n_jobs is None:
        n_jobs = cpu_count() if n_numbers >= many else 1
    n_workers = min(n_jobs, n_tasks) if resolve_device(device).type == "cpu" else 1
    if is_free and n_numbers < MANY_NUMBERS:
        return Cores(n_workers)
    return Cores(n_workers, max(1, n_jobs // n_workers))


@contextmanager
def record_warnings() -> Iterator[list[str]]:
    """Collect the warnings of this thread, each time that they occur.

    Unlike ``warnings.catch_warnings(record=True)`` it can be used in several threads at once, if
    the thread that starts them is inside of it as well.
    """
    before, _caught.messages = getattr(_caught, "messages", None), []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = _keep
            yield _caught.messages
    finally:
        _caught.messages = before


def _keep(message, *args, **params):
    messages = getattr(_caught, "messages", None)
    if messages is not None:
        messages.append(str(message))
