"""The pages in docs, run as they stand: in a folder that holds the data they name."""

import doctest
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_mammography(real_data, monkeypatch):
    monkeypatch.chdir(real_data("mammography.csv").parent)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    page = str(DOCS / "mammography.md")
    failed, attempted = doctest.testfile(page, module_relative=False, optionflags=flags)
    assert attempted > 0
    assert failed == 0
