"""Decide what Ctrl-C does within a block."""

import signal
import threading
from contextlib import contextmanager


@contextmanager
def interruptible():
    """Raise KeyboardInterrupt after Ctrl-C, although skorch only stops the training.

    A network that is half trained must not reach the next phase or the cache. skorch still handles
    a KeyboardInterrupt that a callback raises, for example to stop early.
    """
    handler, was_interrupted = _handler(), False

    def note(*args):
        nonlocal was_interrupted
        try:
            handler(*args)
        except KeyboardInterrupt:
            was_interrupted = True
            raise

    with _handled_by(note):
        yield
    if was_interrupted:
        raise KeyboardInterrupt


@contextmanager
def uninterrupted():
    """Hold Ctrl-C back until the block has ended."""
    handler, pressed = _handler(), []
    try:
        with _handled_by(lambda *args: pressed.append(args)):
            yield
    finally:
        if pressed:
            handler(*pressed[0])


def _handler():
    """Return what Python calls at Ctrl-C; None where Ctrl-C is ignored, or in another thread."""
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if is_main else None
    return handler if callable(handler) else None


@contextmanager
def _handled_by(handler):
    """Call another handler at Ctrl-C, unless Ctrl-C is ignored."""
    before = _handler()
    if before is None:
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
