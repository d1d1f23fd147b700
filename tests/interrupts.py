"""A user who presses Ctrl-C."""

import signal


class InterruptedBar:
    """A progress bar during whose display the user presses Ctrl-C."""

    def __init__(self, after):
        self.left = after

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def update(self):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)
