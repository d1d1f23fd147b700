"""Random numbers of Python, NumPy and torch that do not depend on what ran before."""

import random
import threading
import warnings
from contextlib import contextmanager

import torch
from sklearn.utils import check_random_state

from imblearn_eos._device import seed_torch, seeded_devices
from imblearn_eos._threads import one_thread_after_fork

# The random states are those of the whole process: one thread at a time may set them.
_lock = threading.RLock()


@contextmanager
def seeded(seed, device):
    """Seed Python, NumPy and torch to run a net, and restore their global states afterwards."""
    numpy_random = check_random_state(None)
    fork_rng = torch.random.fork_rng(devices=seeded_devices(device))
    with _lock, one_thread_after_fork(), fork_rng, warnings.catch_warnings():
        python_state, numpy_state = random.getstate(), numpy_random.get_state()
        # Data frames and joblib's memory maps are read-only, and batches are copies of them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        random.seed(seed)
        numpy_random.seed(seed)
        seed_torch(seed, device)
        try:
            yield
        finally:
            random.setstate(python_state)
            numpy_random.set_state(numpy_state)
