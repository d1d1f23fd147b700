import signal
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _interruptible():
    """Tests press Ctrl-C, also where the test run itself ignores it, as under nohup."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data():
    """Give the path of a file of real data, which a user need not have."""

    def find(name):
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"needs the data file {name}, which is not part of the project")
        return path

    return find
