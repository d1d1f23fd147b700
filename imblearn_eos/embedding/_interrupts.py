"""Ctrl-C while a network is trained."""

import signal
import threading
from contextlib import contextmanager


@contextmanager
def interruptible():
    """Raise KeyboardInterrupt after Ctrl-C, although skorch only stops the training.

    A half-trained network must not reach the next phase or the cache. skorch still handles a
    KeyboardInterrupt that a callback raises, for example to stop early.
    """
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if is_main else None
    # Python can set handlers in its main thread only, and Ctrl-C may be ignored.
    if not callable(handler):
        yield
        return
    was_interrupted = False

    def note(*args):
        nonlocal was_interrupted
        try:
            handler(*args)
        except KeyboardInterrupt:
            was_interrupted = True
            raise

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if was_interrupted:
        raise KeyboardInterrupt
