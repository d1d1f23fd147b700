"""The pages in docs, run as they stand: in a folder that holds the data they name."""

import doctest
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


def assert_runs(page):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    page = str(DOCS / page)
    failed, attempted = doctest.testfile(page, module_relative=False, optionflags=flags)
    assert attempted > 0
    assert failed == 0


def test_mammography(real_data, monkeypatch):
    monkeypatch.chdir(real_data("mammography.csv").parent)
    assert_runs("mammography.md")


def test_training(tmp_path, monkeypatch):
    for library in ("safetensors", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(library, reason=f"needs {library}, from the extra 'export'")
    monkeypatch.chdir(tmp_path)
    assert_runs("training.md")
