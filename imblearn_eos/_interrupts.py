"""What Ctrl-C does while something must be finished, or must not."""

import signal
import threading
from contextlib import contextmanager


@contextmanager
def interruptible():
    """Let Ctrl-C end the block, although skorch takes it for "enough epochs".

    Half a training must not go on to the next phase, nor into the cache. A KeyboardInterrupt
    that is raised by a callback, as early stopping does, is still skorch's.
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
    """Give what Python calls at Ctrl-C; None where it is ignored, or comes to another thread."""
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if is_main else None
    return handler if callable(handler) else None


@contextmanager
def _handled_by(handler):
    """Call another handler at Ctrl-C, if one is called at all."""
    before = _handler()
    if before is None:
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
