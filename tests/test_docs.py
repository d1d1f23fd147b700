"""The documentation: its code runs, its links have targets, and it lists every public name."""

import doctest
import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from backbones import declare_torchvision_operators

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [DOCS / "index.md", *sorted((DOCS / "guide").glob("*.md"))]
# Pages that are read on GitHub.
ON_GITHUB = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
    *sorted((DOCS / "guide").glob("*.md")),
]
LINKED = [*ON_GITHUB, *sorted(DOCS.glob("*.md"))]
PUBLIC_MODULES = [
    f"imblearn_eos{name}"
    for name in (
        "",
        ".compare",
        ".datasets",
        ".losses",
        ".metrics",
        ".models",
        ".neighbors",
        ".plotting",
        ".training",
    )
]


def relative_to_root(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=relative_to_root)
def test_page_runs(page, tmp_path, monkeypatch, request):
    if page.name == "export.md":
        for library in ("safetensors", "onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(library, reason=f"needs {library}, from the extra 'export'")
    if page.name == "memory.md":
        request.getfixturevalue("loaded_workers")
        pytest.importorskip("pyarrow", reason="needs pyarrow, the extra 'embeddings'")
    if page.name == "start.md":
        declare_torchvision_operators()
        pytest.importorskip("sentence_transformers", reason="needs the extra 'text'")
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, attempted = doctest.testfile(str(page), module_relative=False, optionflags=flags)
    assert failed == 0
    assert attempted > 0 or page.name == "index.md"
    if page.name in {"start.md", "compare.md"}:
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("page", ON_GITHUB, ids=relative_to_root)
def test_pages_on_github_have_no_roles_or_directives(page):
    text = page.read_text(encoding="utf-8")
    sphinx_only = r"\{[\w:.-]+\}`|^[`:]{3,}\{.*|^\.\. \w+::.*|^\{\.\w+\}"
    assert re.findall(sphinx_only, text, flags=re.M) == []


def prose(page):
    """Return the text of a Markdown page without code, in which # and [x](y) mean other things."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", lambda code: re.sub(r"[\[\]()#]", "", code[0]), text)


def anchors(page):
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.M)
    texts = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    slugs = [re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-") for text in texts]
    # Of equal headings, the second gets -1, the third -2.
    return {
        slug + f"-{n}" * (n > 0) for i, slug in enumerate(slugs) for n in [slugs[:i].count(slug)]
    }


@pytest.mark.parametrize("page", LINKED, ids=relative_to_root)
def test_links_lead_to_files_and_headings(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        # Generated when the site is built.
        if file.is_relative_to(DOCS / "auto_examples"):
            file = DOCS / "examples" / "GALLERY_HEADER.rst"
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_anchors_are_those_of_github(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# `EOS`, K = 10?\n## Same\n## Same\n```\n# no heading\n```\n### [A](b.md) b_c\n"
    )
    assert anchors(page) == {"eos-k--10", "same", "same-1", "a-b_c"}


def test_every_guide_page_is_in_its_index():
    index = (DOCS / "guide" / "index.md").read_text(encoding="utf-8")
    pages = {page.stem for page in (DOCS / "guide").glob("*.md")} - {"index"}
    assert all(f"]({page}.md)" in index for page in pages)


def test_contributing_names_code_that_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Extend it")[2].partition("## ")[0]
    source = "".join(path.read_text("utf-8") for path in (ROOT / "imblearn_eos").rglob("*.py"))
    names = [name for name in re.findall(r"`(\w+)`", section) if name != "dev"]
    assert [name for name in names if not re.search(rf"\b{name}\b", source)] == []
    paths = re.findall(r"`([\w.]+/[\w./]*)`", section)
    assert [path for path in paths if "NAME" not in path and not (ROOT / path).exists()] == []


def test_table_of_extras_is_complete():
    text = (DOCS / "guide" / "faq.md").read_text(encoding="utf-8")
    table = text.partition("### Which extras are there?")[2].partition("###")[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    of_developers = {"test", "dev", "benchmark", "docs"}
    extras = set(project["optional-dependencies"]) - of_developers
    assert set(re.findall(r"^\| `(\w+)`", table, flags=re.M)) == extras


def public_names(module):
    if hasattr(module, "__all__"):
        return module.__all__
    return [
        name
        for name, member in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(member) or inspect.isfunction(member))
        and member.__module__ == module.__name__
    ]


def documented_names():
    """Return the full names that the API page lists."""
    names, module = set(), ""
    for line in (DOCS / "api.rst").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
        elif found := re.match(r"(?:   |\.\. py:data:: )(\w+)$", line):
            names.add(f"{module}.{found[1]}")
    return names


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_api_page_lists_every_public_name(module):
    loaded = import_module(module)
    documented = documented_names()
    missing = [
        name
        for name in public_names(loaded)
        # A name that several modules export is documented once.
        if not any(
            f"{other}.{name}" in documented
            and getattr(import_module(other), name, None) is getattr(loaded, name)
            for other in PUBLIC_MODULES
        )
    ]
    assert missing == []


def test_api_page_lists_only_what_there_is():
    for name in documented_names():
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute), name


def test_every_public_module_is_on_the_api_page():
    package = import_module("imblearn_eos")
    entries = Path(package.__file__).parent.iterdir()
    names = {entry.stem for entry in entries if entry.suffix == ".py" or entry.is_dir()}
    # The package itself exports the names of `embedding` and `over_sampling`; `cli` is the command.
    private = {"embedding", "over_sampling", "cli"}
    public = {name for name in names if not name.startswith("_")} - private
    assert {f"imblearn_eos.{name}" for name in public} == set(PUBLIC_MODULES) - {"imblearn_eos"}
