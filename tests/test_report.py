"""The report, as a reader sees it: opened in headless Chromium."""

import json
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from interrupts import InterruptedBar
from sklearn.linear_model import LogisticRegression

from imblearn_eos import cli
from imblearn_eos.compare import (
    METHODS,
    _report,
    compare,
    compare_table,
    format_verdict,
    make_record,
    summarize,
    write_report,
)
from imblearn_eos.compare._registry import select_samplers
from imblearn_eos.datasets import load_digit_images
from imblearn_eos.models import SmallCNN

WIDTHS = [400, 1400]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
HOSTILE = ["<script>alert(1)</script>", '$x_1$ & 50% "quoted"', "ünïcödé " + "long " * 30]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Return the report of a short run on three digits whose classes have names of all kinds."""
    X, y = load_digit_images()
    X, y = X[y < 3], np.array(HOSTILE)[y[y < 3]]
    results = list(compare(X, y, seeds=2, epochs=2, imbalance_ratio=4))
    arguments = {"seeds": 2, "epochs": 2, "imbalance_ratio": 4}
    record = make_record(X, y, source="<b>digits</b>", arguments=arguments, command="repeat <me>")
    return write_report(tmp_path_factory.mktemp("images"), record, results), record, results


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return the report of a table with 100 classes, of which EOS knows nothing good."""
    rng = np.random.RandomState(0)
    y = np.repeat(np.arange(100), np.geomspace(60, 6, 100).astype(int))
    X = rng.normal(size=(len(y), 5)) + rng.normal(size=(100, 5))[y] * 2
    results = list(compare_table(X, y, seeds=3, samplers=["random", "eos"]))
    features = {"features": [f"<i>f{i}</i>" for i in range(5)], "left_out": {"<u>id": "text"}}
    arguments = {"seeds": 3, "classifier": "logistic"}
    record = make_record(X, y, source="numbers.csv", arguments=arguments, **features)
    return write_report(tmp_path_factory.mktemp("table"), record, results), record, results


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium, for example Debian's package chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Open a report offline; any complaint of the browser, and any request, fails the test."""
    complaints, contexts = [], []

    def open_(path, width=1400):
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: complaints.extend(_foreign(request.url, path)))
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def _foreign(url, path):
    return [] if url.startswith("data:") or url == path.as_uri() else [url]


def cells(page, table):
    """Return the visible text of a table, row by row."""
    rows = page.locator(f"#{table} tr").all()
    return [[cell.inner_text() for cell in row.locator("th, td").all()] for row in rows]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("report", ["images", "table"])
def test_nothing_sticks_out_and_every_picture_is_there(open_page, request, report, width):
    page = open_page(request.getfixturevalue(report)[0], width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    pictures = page.locator("img")
    assert pictures.count() == 4
    for picture in pictures.all():
        assert picture.evaluate("image => image.complete && image.naturalWidth > 300")
        assert picture.get_attribute("alt")
        assert picture.bounding_box()["height"] > 100
    # What is wider than the page scrolls inside its own box.
    for box in page.locator(".scroll:visible").all():
        assert box.bounding_box()["x"] + box.bounding_box()["width"] <= width


@pytest.mark.parametrize(
    ("report", "headings"),
    [
        ("images", ["What was run", "Scores", "Classes", "Calibration", "Generalization gap"]),
        ("table", ["What was run", "Scores", "Classes", "Calibration", "Generalization gap"]),
    ],
)
def test_headings_are_in_order(open_page, request, report, headings):
    page = open_page(request.getfixturevalue(report)[0])
    found = page.locator("h2").all_inner_texts()
    assert found == [*headings, "Seconds", "How to repeat it"]


def test_first_paragraph_says_whether_eos_lost(open_page, images, table):
    for path, _, results in (images, table):
        first = open_page(path).locator("p").first
        assert first.inner_text() == format_verdict(results)
    assert "EOS scored below" in first.inner_text()


def test_scores_are_those_of_the_results(open_page, images):
    path, _, results = images
    rows = cells(open_page(path), "scores")
    assert rows[0] == ["method", "balanced accuracy", "macro g mean", "macro f1", "seeds"]
    assert [row[0] for row in rows[1:]] == [method.name for method in METHODS.values()]
    for row, metrics in zip(rows[1:], summarize(results).values(), strict=True):
        for cell, value in zip(row[1:4], metrics.values(), strict=True):
            assert cell.startswith(f"{value['mean']:.4f} ± {value['spread']:.4f}")
            difference = value["difference"]
            if difference is None:
                assert row[0] == "no over-sampling"
                continue
            assert f"{difference['mean']:+.4f}" in cell
            assert f"{difference['low']:+.4f} to {difference['high']:+.4f}" in cell
            is_noise = difference["low"] <= 0 <= difference["high"]
            assert ("within noise" in cell) == is_noise
            assert ("better" in cell) == (not is_noise and difference["mean"] > 0)
        assert row[4] == "2 of 2"


def test_lower_calibration_errors_are_better(open_page, table):
    path, _, results = table
    rows = cells(open_page(path), "calibration")
    # Test and training rows of one stratified split have the same frequencies.
    assert rows[0] == ["method", "calibration error", "Brier score"]
    name = "brier_score_at_training_frequencies"
    for row, method in zip(rows[1:], results[0].methods, strict=True):
        values = [result.methods[method].calibration[name] for result in results]
        assert row[2].startswith(f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}")
        none = [result.methods["none"].calibration[name] for result in results]
        if "better" in row[2]:
            assert np.mean(values) < np.mean(none)
        if "worse" in row[2]:
            assert np.mean(values) > np.mean(none)
    assert any("better" in row[2] or "worse" in row[2] for row in rows)


def test_calibration_is_shown_at_both_frequencies_where_they_differ(open_page, images):
    rows = cells(open_page(images[0]), "calibration")
    assert len(rows[0]) == 5
    assert "at training frequencies" in rows[0][1]
    assert "on the test rows" in rows[0][4]


def test_gap_stands_beside_both_references(open_page, images):
    path, _, results = images
    rows = cells(open_page(path), "gap")
    assert [row[0] for row in rows[1:]] == [METHODS[name].name for name in select_samplers()]
    names = ["before", "size_matched", "after", "label_noise"]
    assert "class size alone" in rows[0][2]
    assert "wrong labels" in rows[0][4]
    for name, cell in zip(names, rows[-1][1:5], strict=True):
        mean = np.mean([result.methods["eos"].gap[name] for result in results])
        assert cell == f"{mean:.4f}"


def test_names_are_shown_as_they_are(open_page, images, table):
    page = open_page(images[0])
    assert page.locator("h1").inner_text() == "Over-sampling compared on <b>digits</b>"
    assert page.locator("pre").first.inner_text() == "repeat <me>"
    shown = page.locator("details th[scope=row]").all_inner_texts()
    assert sorted(" ".join(name.split()) for name in shown) == sorted(map(str.strip, HOSTILE))
    page = open_page(table[0])
    text = page.locator("dl").first.inner_text()
    assert "<i>f0</i>, <i>f1</i>" in text
    assert "<u>id (text)" in text
    assert page.locator("script").count() == 0


def test_many_classes_are_folded(open_page, table):
    page = open_page(table[0])
    assert not page.locator("details table").is_visible()
    page.locator("summary").click()
    assert page.locator("details table").is_visible()
    assert page.locator("details tbody tr").count() == 100


def test_page_says_how_to_repeat_the_run(open_page, images):
    path, record, _ = images
    text = open_page(path).locator("body").inner_text()
    for value in (record["data"]["sha256"], record["date"], record["versions"]["torch"]):
        assert value in text
    assert "imbalance_ratio=4" in text


def test_results_and_network_lie_beside_the_page(open_page, images):
    path, _, results = images
    page = open_page(path)
    links = [link.get_attribute("href") for link in page.locator("a").all()]
    assert links == ["results.json", "network.pt"]
    assert all((path.parent / link).exists() for link in links)
    content = json.loads((path.parent / "results.json").read_text())
    assert content["summary"] == summarize(results)


def test_the_code_on_the_page_loads_the_network(images, monkeypatch):
    """What it returns is what the refitted head of the first seed returns."""
    path, _, results = images
    code = re.findall(r"<pre>(import torch.*?)</pre>", path.read_text(), flags=re.DOTALL)[0]
    monkeypatch.chdir(path.parent)
    names = {}
    exec(code.replace("&#34;", '"'), names)
    assert isinstance(names["network"], SmallCNN)
    assert names["classes"] == sorted(HOSTILE)
    fitted, X = results[0].fitted, load_digit_images()[0][:50]
    proba = names["network"](torch.from_numpy(X)).softmax(dim=1).detach()
    expected = fitted.heads["eos"].predict_proba(fitted.embedder.transform(X))
    np.testing.assert_allclose(proba, expected, atol=1e-5)


def test_network_of_an_earlier_report_does_not_stay(table, tmp_path):
    _, record, results = table
    write_report(tmp_path, record, results)
    (tmp_path / "network.pt").touch()
    write_report(tmp_path, record, results)
    assert not (tmp_path / "network.pt").exists()


def test_an_earlier_page_does_not_stand_beside_new_results(table, tmp_path, monkeypatch):
    _, record, results = table
    page = write_report(tmp_path, record, results)

    def fail(*args):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(_report, "_render", fail)
        with pytest.raises(OSError, match="disk"):
            write_report(tmp_path, record, results)
    # What took long is kept.
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]
    assert write_report(tmp_path, record, results) == page
    assert page.exists()


def test_options_of_eos_are_told(table, tmp_path):
    _, record, results = table
    for arguments, words in (
        ({}, "with their defaults. Logit"),
        ({"n_neighbors": 77}, "but EOS with\nn_neighbors=77 and enemy_search=neighborhood."),
    ):
        path = write_report(tmp_path, {**record, "arguments": arguments}, results)
        assert words in path.read_text(encoding="utf-8")


def test_arguments_may_be_anything(table, tmp_path):
    _, record, results = table
    arguments = {"seeds": np.int64(3), "classifier": LogisticRegression()}
    write_report(tmp_path, {**record, "arguments": arguments}, results)
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["arguments"] == {"seeds": 3, "classifier": "LogisticRegression()"}


def test_only_the_name_of_a_file_is_shown(table, tmp_path):
    _, record, results = table
    record = {**record, "data": {**record["data"], "source": "/home/someone/rows.csv"}}
    text = write_report(tmp_path, record, results).read_text(encoding="utf-8")
    assert "<h1>Over-sampling compared on rows.csv</h1>" in text
    assert "someone" not in text


def test_table_has_no_network(table):
    assert sorted(file.name for file in table[0].parent.iterdir()) == [
        "report.html",
        "results.json",
    ]
    assert "network.pt" not in table[0].read_text(encoding="utf-8")


def test_same_results_give_the_same_page(images, tmp_path):
    path, record, results = images
    again = write_report(tmp_path, record, results)
    assert again.read_bytes() == path.read_bytes()


def test_failed_sampler_is_told(tmp_path, open_page):
    X, y = load_digit_images()
    kept = np.r_[np.flatnonzero(y < 2), np.flatnonzero(y == 2)[:4]]
    X, y = X[kept], y[kept]
    results = list(compare(X, y, seeds=1, epochs=1, samplers=["smote", "random"]))
    record = make_record(X, y, source="few", arguments={})
    page = open_page(write_report(tmp_path, record, results))
    rows = {row[0]: row for row in cells(page, "scores")}
    assert rows["SMOTE"][1:] == ["failed", "failed", "failed", "0 of 1"]
    assert "SMOTE failed on 1 of 1 seeds: ValueError: Expected n_neighbors" in page.inner_text("ul")
    assert "noise unknown" in rows["random"][1]
    assert page.locator("p").first.inner_text() == "EOS was not among the samplers."
    assert torch.load(tmp_path / "network.pt", weights_only=True)["sampler"] == "random"
    assert "with the head refitted for random:" in page.inner_text("main")


@pytest.mark.parametrize("n_features", [1, 2])
@pytest.mark.parametrize("counts", [(2, 2), (30, 6)])
def test_small_or_balanced_data_have_a_report_too(tmp_path, open_page, n_features, counts):
    y = np.repeat(["a", "b"], counts)
    X = np.random.RandomState(0).normal(size=(len(y), n_features))
    results = list(compare_table(X, y, seeds=2, samplers=["eos"], n_neighbors=3))
    page = open_page(write_report(tmp_path, make_record(X, y, source="few", arguments={}), results))
    has_plane = n_features > 1 and counts[0] > counts[1]
    assert page.locator("img").count() == 3 + has_plane


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_report_needs_an_extra_and_says_so_before_the_work(package, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.pyplot", None)
    with pytest.raises(SystemExit):
        cli.main(["compare", "--report", str(tmp_path / "report")])
    captured = capsys.readouterr()
    assert "imblearn-eos[report]" in captured.err
    assert captured.out == ""


def test_folder_that_cannot_be_made_is_named_before_the_work(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        cli.main(["compare", "--report", str(tmp_path / "file" / "report")])
    captured = capsys.readouterr()
    assert "Not a directory" in captured.err
    assert captured.out == ""


def test_command_ends_with_the_path_of_the_report(tmp_path, capsys):
    folder = tmp_path / "new" / "report"
    arguments = ["--seeds", "1", "--epochs", "1", "--samplers", "eos", "--report", str(folder)]
    assert cli.main(["compare", *arguments]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"Report: {folder / 'report.html'}"
    assert json.loads((folder / "results.json").read_text())["complete"]


def test_interrupted_run_leaves_a_report_of_the_finished_seeds(
    tmp_path, capsys, monkeypatch, open_page
):
    monkeypatch.setattr(cli, "tqdm", lambda **params: InterruptedBar(after=2))
    arguments = ["--seeds", "3", "--epochs", "1", "--samplers", "eos", "--report", str(tmp_path)]
    assert cli.main(["compare", *arguments]) == cli.INTERRUPTED
    assert "Finished 1 of 3 seeds." in capsys.readouterr().err
    text = open_page(tmp_path / "report.html").locator("main").inner_text()
    assert "This run was interrupted: it shows 1 of 3 seeds." in text
