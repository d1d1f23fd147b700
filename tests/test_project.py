"""The project's own files agree: what is imported is declared, and versions are stated once."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
REPOSITORY = "OWNER" + "/imblearn-eos"
needs_bash = pytest.mark.skipif(sys.platform == "win32", reason="needs bash and perl")


def names(requirements):
    return {re.match(r"[\w.-]+", requirement)[0].lower() for requirement in requirements}


def imported(statements):
    """Return the packages that some statements import, standard library left out."""
    modules = set()
    for node in statements:
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module.partition(".")[0])
    return modules - sys.stdlib_module_names - {"imblearn_eos"}


def distributions(modules):
    """Return the names under which pip knows modules; some may not be installed."""
    known = packages_distributions()
    return {known.get(name, [name])[0].lower().replace("_", "-") for name in modules}


def imports_of(paths, *, all_levels):
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    return imported(
        node for tree in trees for node in (ast.walk(tree) if all_levels else tree.body)
    )


def package_files():
    return sorted((ROOT / "imblearn_eos").rglob("*.py"))


def test_imported_packages_are_declared():
    extras = ("images", "tables", "report", "fast", "dask")
    extras += ("timm", "torchvision", "transformers", "text")
    optional = names([line for extra in extras for line in EXTRAS[extra]])
    # torch brings Triton, and only where it can run; polars is imported only if its user has it.
    # Dask's own extra brings distributed, libraries of backbones bring the last one.
    optional |= {"triton", "polars", "distributed", "huggingface-hub"}
    needed = distributions(imports_of(package_files(), all_levels=True)) - optional
    assert needed == names(PROJECT["dependencies"])


def test_imported_packages_of_the_tests_are_declared():
    extras = [name for name in EXTRAS if name not in ("docs", "benchmark")]
    declared = names(PROJECT["dependencies"] + [line for name in extras for line in EXTRAS[name]])
    own = {path.stem for path in [*ROOT.glob("tests/*.py"), *ROOT.glob("benchmarks/*.py")]}
    modules = imports_of(ROOT.glob("tests/*.py"), all_levels=True) - own
    # Dask's own extra brings distributed, libraries of backbones bring the last ones.
    assert distributions(modules) <= declared | {"distributed", "huggingface-hub", "tokenizers"}


def test_oldest_versions_are_the_lower_bounds():
    command = [sys.executable, str(ROOT / ".ci" / "oldest.py"), "test", "--torch", "9.9"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    oldest = dict(line.split("==") for line in lines)
    assert oldest["torch"] == "9.9"
    expected = PROJECT["dependencies"] + EXTRAS["fast"] + EXTRAS["report"]
    for requirement in expected:
        name, bound = requirement.split(">=")
        assert name == "torch" or oldest[name] == bound


def test_oldest_python_is_the_same_everywhere():
    oldest = PROJECT["requires-python"].removeprefix(">=")
    versions = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if " :: 3." in line]
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert versions[0] == oldest == config["tool"]["mypy"]["python_version"]
    assert f'python: ["{oldest}", "{versions[-1]}"]' in workflow


def test_hooks_use_the_pinned_ruff():
    pinned = re.search(
        r"^ruff==\S+$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), flags=re.M
    )[0]
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"ruff==[\d.]+", hooks)) == {pinned}


def test_files_that_name_the_repository():
    """RELEASING.md says to put the address into these files before the first release."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    command = ["git", "grep", "--untracked", "--files-with-matches", "--fixed-strings", REPOSITORY]
    found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert found.split() == [".ci/check-tag", "CITATION.cff", "RELEASING.md", "pyproject.toml"]


@needs_bash
@pytest.mark.parametrize(
    ("tag", "message"),
    [("v0.0.0", "The tag is v0.0.0"), (f"v{PROJECT['version']}", "has no section")],
)
def test_release_needs_the_tag_of_a_described_version(tag, message):
    check = subprocess.run([ROOT / ".ci" / "check-tag", tag], capture_output=True, text=True)
    assert check.returncode == 1
    assert message in check.stderr


@needs_bash
def test_links_on_the_package_index_are_absolute(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("![a](b.png) [c\nd](e.md#f) [g](https://h) [i](#j)\n", encoding="utf-8")
    subprocess.run([ROOT / ".ci" / "absolute-links", page, "https://x/y", "1"], check=True)
    assert page.read_text(encoding="utf-8") == (
        "![a](https://x/y/raw/1/b.png) [c\nd](https://x/y/blob/1/e.md#f) [g](https://h) [i](#j)\n"
    )
