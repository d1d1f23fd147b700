"""The report, as a reader sees it: opened in headless Chromium."""

import json
import shutil
import sys
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from interrupts import InterruptedBar
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from imblearn_eos import EOS, cli
from imblearn_eos._commands import _compare
from imblearn_eos.compare import (
    METHODS,
    MethodResult,
    _pictures,
    _report,
    compare,
    compare_table,
    format_verdict,
    make_record,
    summarize,
    write_report,
)
from imblearn_eos.compare._page import describe_difference, describe_rare, gap_rows
from imblearn_eos.compare._pictures import _most_confused
from imblearn_eos.compare._registry import find_method
from imblearn_eos.compare._statistics import Difference
from imblearn_eos.compare._summary import order_methods, rare_classes, rare_scores
from imblearn_eos.compare._text import format_headline
from imblearn_eos.datasets import load_digit_images
from imblearn_eos.datasets._labeled import LabeledData

WIDTHS = [400, 1400]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
HOSTILE = ["<script>alert(1)</script>", '$x_1$ & 50% "quoted"', "ünïcödé " + "long " * 30]


def add_validation(results, best):
    """Let the validation rows choose a method."""
    for result in results:
        ran = [name for name, outcome in result.methods.items() if outcome.error is None]
        result.validation = {name: [0.8 + 0.1 * (name == best)] for name in ran}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Return the report of a short run on three digits whose classes have names of all kinds."""
    X, y = load_digit_images()
    X, y = X[y < 3], np.array(HOSTILE)[y[y < 3]]
    results = list(compare(X, y, seeds=3, epochs=3, imbalance_ratio=20, validation_folds=0))
    add_validation(results, "eos")
    results[0].warnings = ["The <b>embeddings</b> look memorized."]
    arguments = {"seeds": 3, "epochs": 3, "imbalance_ratio": 20}
    record = make_record(X, y, source="<b>digits</b>", arguments=arguments, command="repeat <me>")
    folder, data = tmp_path_factory.mktemp("images"), LabeledData("images", X, y)
    return write_report(folder, record, results, data), record, results


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return the report of a table with 100 classes and 150 features."""
    rng = np.random.RandomState(0)
    y = np.repeat(np.arange(100), np.geomspace(60, 6, 100).astype(int))
    X = rng.normal(size=(len(y), 150)) + rng.normal(size=(100, 150))[y] * 0.3
    params = {"samplers": ["random", "eos"], "validation_folds": 0}
    results = list(compare_table(X, y, seeds=3, classifier=GaussianNB(), **params))
    features = {"features": [f"<i>f{i}</i>" for i in range(150)], "left_out": {"<u>id": "text"}}
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


def unfold(page):
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("report", ["images", "table"])
def test_nothing_sticks_out_and_every_picture_is_there(open_page, request, report, width):
    page = open_page(request.getfixturevalue(report)[0], width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    pictures = page.locator("figure img")
    assert pictures.count() == 4
    for picture in pictures.all():
        assert picture.evaluate("image => image.complete && image.naturalWidth > 300")
        assert picture.get_attribute("alt")
        assert picture.bounding_box()["height"] > 100
    # What is wider than the page scrolls inside its own box.
    for box in page.locator(".scroll:visible").all():
        assert box.bounding_box()["x"] + box.bounding_box()["width"] <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_first_screen_has_the_sentence_and_the_picture(open_page, images, width):
    path, _, results = images
    page = open_page(path, width)
    verdict = page.locator("p").first
    # A number and its unit are not parted.
    assert verdict.inner_text() == format_headline(results).replace(" %", "\N{NO-BREAK SPACE}%")
    assert verdict.inner_text().startswith("Use EOS")
    dots = page.locator(".dots").bounding_box()
    assert dots["y"] + dots["height"] < 900
    assert page.locator(".dots .name").all_inner_texts()[0] == "EOS"
    # Terminal and page say the same.
    assert format_verdict(results).startswith(" ".join(verdict.inner_text().split()))


def test_dots_stand_where_their_differences_are(open_page, images):
    path, _, results = images
    page, summary = open_page(path), summarize(results)
    zero = page.locator(".zero").first.bounding_box()["x"]
    for row in page.locator(".dots > div:not(.axis)").all():
        name = row.locator(".name").inner_text()
        method = next(key for key, entry in METHODS.items() if entry.name == name)
        dot = row.locator(".dot").bounding_box()
        middle = dot["x"] + dot["width"] / 2
        if method == "none":
            assert middle == pytest.approx(zero, abs=1)
            continue
        difference = summary[method]["balanced_accuracy"]["difference"]
        assert (middle > zero) == (difference["mean"] > 0)
        assert row.locator(".number").inner_text() == f"{100 * difference['mean']:+.1f}"
        interval = row.locator(".interval").bounding_box()
        assert interval["x"] < middle < interval["x"] + interval["width"]
        covers_zero = interval["x"] < zero < interval["x"] + interval["width"]
        assert covers_zero == (difference["low"] <= 0 <= difference["high"])


@pytest.mark.parametrize("report", ["images", "table"])
def test_headings_are_in_order(open_page, request, report):
    page = open_page(request.getfixturevalue(report)[0])
    found = page.locator("h2").all_inner_texts()
    shown = [name for name in found if name != "Examples"]
    assert shown == ["Scores", "Classes", "The model", "Details"]
    parts = ["calibration", "gap", "seconds", "run", "repeat"]
    folded = [part.get_attribute("id") for part in page.locator("main > details").all()]
    assert [name for name in folded if name not in ("suspects", "notes")] == parts
    for name in parts:
        assert page.locator(f"#{name}").get_attribute("open") is None


def test_scores_are_those_of_the_results(open_page, images):
    path, _, results = images
    header, *rows = cells(open_page(path), "scores")
    assert " ".join(header[1].split()) == "balanced accuracy, validation"
    assert [row[0] for row in rows] == [find_method(m).name for m in order_methods(results)]
    assert rows[0][0] == "EOS"
    summary = summarize(results)
    for row, method in zip(rows, order_methods(results), strict=True):
        value = summary[method]["balanced_accuracy"]
        assert row[1] == ("90.0" if method == "eos" else "80.0")
        assert row[2] == f"{100 * value['mean']:.1f}"
        difference = value["difference"]
        if difference is None:
            assert (method, row[3]) == ("none", "-")
            continue
        low, high = (f"{100 * difference[bound]:+.1f}" for bound in ("low", "high"))
        assert row[3].startswith(f"{100 * difference['mean']:+.1f}")
        assert f"{low} to {high}" in row[3]
        is_noise = difference["low"] <= 0 <= difference["high"]
        assert ("within noise" in row[3]) == is_noise
        assert ("better" in row[3]) == (not is_noise and difference["mean"] > 0)
        rare = rare_scores(results, method)
        assert row[4:6] == [f"{100 * rare.recall:.1f}", f"{100 * rare.false_alarms:.1f}"]
        assert len(row) == 7


def test_without_validation_rows_there_is_no_such_column(open_page, table):
    page = open_page(table[0])
    header, *rows = cells(page, "scores")
    assert " ".join(header[1].split()) == "balanced accuracy, test"
    assert rows[0][0] == "EOS"
    assert "EOS is the default and was not chosen" in page.locator("p").first.inner_text()


def test_lower_calibration_errors_are_better(open_page, table):
    path, _, results = table
    page = open_page(path)
    unfold(page)
    rows = cells(page, "all-calibration")
    # Test and training rows of one stratified split have the same frequencies.
    assert rows[0][-2:] == ["calibration error", "Brier score"]
    name = "brier_score_at_training_frequencies"
    none = [result.methods["none"].calibration[name] for result in results]
    for row, method in zip(rows[1:], order_methods(results), strict=True):
        values = [result.methods[method].calibration[name] for result in results]
        assert row[-1].startswith(f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
        if "better" in row[-1]:
            assert np.mean(values) < np.mean(none)
        if "worse" in row[-1]:
            assert np.mean(values) > np.mean(none)
    assert any("better" in row[-1] or "worse" in row[-1] for row in rows)


def test_all_tables_and_the_heat_map_have_one_order(open_page, images, monkeypatch):
    path, _, results = images
    page, drawn = open_page(path), []
    unfold(page)
    expected = [find_method(name).name for name in order_methods(results)]
    monkeypatch.setattr(
        _pictures.plotting, "RecallDisplay", lambda recalls, **_: drawn.extend(recalls) or Mock()
    )
    _pictures._draw_recall(results)
    assert drawn == expected
    for table in ("scores", "all-scores", "all-calibration", "seconds", "gap"):
        names = [row[0] for row in cells(page, table)[1:]]
        assert names == [name for name in expected if name in names]


def test_calibration_is_shown_at_both_frequencies_where_they_differ(open_page, images):
    page = open_page(images[0])
    unfold(page)
    header = cells(page, "all-calibration")[0]
    assert len(header) == 5
    assert "at training frequencies" in header[1]
    assert "on the test images" in header[4]


def test_all_scores_are_in_percent_with_one_decimal(open_page, images):
    path, _, results = images
    page = open_page(path)
    unfold(page)
    _, *rows = cells(page, "all-scores")
    for row, method in zip(rows, order_methods(results), strict=True):
        for cell, found in zip(row[1:], summarize(results)[method].values(), strict=True):
            assert cell.startswith(f"{100 * found['mean']:.1f} ± {100 * found['spread']:.1f}")


@pytest.mark.parametrize("report", ["images", "table"])
def test_tables_fit_into_a_window_of_a_laptop(open_page, request, report):
    page = open_page(request.getfixturevalue(report)[0], width=1100)
    unfold(page)
    for box in page.locator(".scroll").all():
        assert box.evaluate("box => box.scrollWidth <= box.clientWidth")


def test_names_of_methods_stay_in_sight_on_a_phone(open_page, images):
    page = open_page(images[0], width=400)
    box = page.locator(".scroll", has=page.locator("#scores"))
    box.evaluate("box => { box.scrollLeft = box.scrollWidth }")
    name = page.locator("#scores tbody th").first
    assert name.bounding_box()["x"] >= box.bounding_box()["x"]
    assert name.bounding_box()["width"] < 150


def test_gap_stands_beside_both_references(open_page, images):
    path, _, results = images
    page = open_page(path)
    unfold(page)
    rows = cells(page, "gap")
    names = [name for name in order_methods(results) if METHODS[name].make_sampler is not None]
    assert [row[0] for row in rows[1:]] == [METHODS[name].name for name in names]
    names = ["before", "size_matched", "after", "label_noise"]
    assert "class size alone" in rows[0][2]
    assert "wrong labels" in rows[0][4]
    for name, cell in zip(names, rows[1][1:5], strict=True):
        mean = np.mean([result.methods["eos"].gap[name] for result in results])
        assert cell == f"{mean:.4f}"


def test_names_are_shown_as_they_are(open_page, images, table):
    page = open_page(images[0])
    assert page.locator("h1").inner_text() == "Over-sampling compared on <b>digits</b>"
    unfold(page)
    assert page.locator("#repeat pre").inner_text() == "repeat <me>"
    shown = page.locator("#classes th[scope=row]").all_inner_texts()
    assert sorted(" ".join(name.split()) for name in shown) == sorted(map(str.strip, HOSTILE))
    assert page.locator(".advice").last.inner_text() == "The <b>embeddings</b> look memorized."
    page = open_page(table[0])
    unfold(page)
    text = page.locator("#run").inner_text()
    assert "<i>f0</i>, <i>f1</i>" in text
    assert "<u>id (text)" in text
    assert page.locator("script").count() == 0


def test_many_classes_and_features_are_folded_and_capped(open_page, table):
    page = open_page(table[0])
    page.locator("#run > summary").click()
    assert not page.locator("#classes table").is_visible()
    page.locator("#classes summary").click()
    assert page.locator("#classes tbody tr").count() == 100
    features = page.locator("#run > details").first
    assert features.inner_text() == "150 features used, 1 left out"
    features.locator("summary").click()
    assert "<i>f99</i> and 50 more" in features.inner_text()


@pytest.mark.parametrize(("name", "n_shown"), [("{}", 10), ("a long name of a class: {}", 6)])
def test_rarest_classes_are_named_as_far_as_they_fit(table, name, n_shown):
    results = [replace(table[2][0])]
    counts = results[0].train_counts
    results[0].train_counts = {name.format(i): n for i, n in enumerate(counts.values())}
    shown = describe_rare(results)
    assert shown.endswith(f" and {33 - n_shown} more")
    assert shown.count(",") == n_shown - 1
    assert len(shown) < 250


def test_confusions_of_many_classes_are_those_with_most_errors():
    matrix = np.full((30, 30), 1) + 100 * np.eye(30, dtype=int)
    matrix[3, 20] = matrix[20, 3] = 40
    counts = {f"c{i}": 30 - i for i in range(30)}
    merged, names = _most_confused(matrix, counts)
    assert len(names) == 16
    assert {"c3", "c20"} <= set(names)
    assert names[-1] == "15 others"
    assert names.index("c3") < names.index("c20")
    # Nothing is lost, so that the shares of a row are those of all predictions.
    assert merged.sum() == matrix.sum()
    assert merged[names.index("c3")].sum() == matrix[3].sum()
    same, names = _most_confused(matrix[:15, :15], {f"c{i}": i for i in range(15)})
    assert names == [f"c{i}" for i in range(15)][::-1]
    np.testing.assert_array_equal(same, matrix[:15, :15][::-1, ::-1])


def test_page_says_how_to_repeat_the_run(open_page, images):
    path, record, _ = images
    page = open_page(path)
    unfold(page)
    text = page.locator("#repeat").inner_text()
    for value in (record["data"]["sha256"], record["date"], record["versions"]["torch"]):
        assert value in text
    assert "imbalance_ratio=20" in text


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"validation": np.arange(0, 300, 5)}, "was also scored on the given validation part; the"),
        ({"validation_folds": 1}, "same was done with one fold of the training part held out; the"),
        ({}, "same was done with each of 5 folds of the training part held out in turn; the"),
        ({"validation_folds": 0}, "No rows were held out to choose a method."),
    ],
)
def test_page_says_how_the_method_was_chosen(params, words, tmp_path):
    X, y = make_classification(300, weights=[0.8], random_state=0)
    results = list(compare_table(X, y, seeds=1, samplers=["none"], **params))
    record = make_record(X, y, source="few", arguments={})
    text = write_report(tmp_path, record, results).read_text(encoding="utf-8")
    assert words in text
    is_inside = "chosen by validation rows inside the training part." in text
    assert is_inside == (results[0].validation != {} and "validation" not in params)


@pytest.mark.parametrize(
    ("taus", "words"),
    [
        ([1.0, 1.0], "by the class frequencies"),
        ([1.5, 0.5], "by the class frequencies to the power of 0.5 or 1.5 (tau)"),
        ([None, None], "by the class frequencies"),
    ],
)
def test_page_says_what_logit_adjustment_divides_by(taus, words, tmp_path):
    X, y = make_classification(300, weights=[0.8], random_state=0)
    results = list(compare_table(X, y, seeds=2, samplers=["none"], validation_folds=0))
    for result, tau in zip(results, taus, strict=True):
        result.methods["logit_adjustment"].settings = {} if tau is None else {"tau": tau}
    record = make_record(X, y, source="few", arguments={})
    text = write_report(tmp_path, record, results).read_text(encoding="utf-8")
    assert f"it divides the probabilities {words}." in text


def test_options_in_remedies_are_code_that_no_line_parts(images, tmp_path, open_page):
    _, record, results = images
    results = [replace(result) for result in results]
    results[0].warnings = ["Train <b>longer</b> (--epochs), pass --trained-on-rows; not a--b."]
    page = open_page(write_report(tmp_path, record, results))
    advice = page.locator(".advice").last
    assert advice.inner_text() == results[0].warnings[0]
    options = advice.locator("code")
    assert options.all_inner_texts() == ["--epochs", "--trained-on-rows"]
    assert options.first.evaluate("code => getComputedStyle(code).whiteSpace") == "nowrap"


@pytest.mark.parametrize(("mean", "word"), [(0.0, ""), (0.01, "noise unknown")])
def test_noise_of_equal_methods_is_not_called_unknown(mean, word):
    assert describe_difference(Difference(mean, None, None, 3)).word == word


def test_pictures_say_what_a_row_is(images, monkeypatch):
    _, _, results = images
    results = [replace(result, unit="photos") for result in results]
    plt, figures = pytest.importorskip("matplotlib.pyplot"), []
    monkeypatch.setattr(_pictures, "_picture", figures.append)
    _pictures.draw(results, gap_rows(results), "eos")
    labels = [ax.get_xlabel() for figure in figures for ax in figure.axes]
    assert len([label for label in labels if "training photos" in label]) == 2
    assert not any("training rows" in label for label in labels)
    for figure in figures:
        plt.close(figure)


def test_changed_images_are_shown_with_what_they_were_taken_for(open_page, images):
    path, _, results = images
    fitted, page = results[0].fitted, open_page(path)
    is_rare = fitted.y_test == rare_classes(results)[0]
    right = {name: fitted.predictions[name] == fitted.y_test for name in ("none", "eos")}
    better = np.flatnonzero(is_rare & right["eos"] & ~right["none"])
    assert len(better) > 0
    shown = page.locator("#better li")
    assert shown.count() == min(len(better), 12)
    assert f"Corrected: {len(better)} test images" in page.inner_text("main")
    for picture in page.locator(".thumbs img").all():
        assert picture.get_attribute("src").startswith("data:image/jpeg;base64,")
        assert picture.evaluate("image => image.complete && image.naturalWidth > 40")


def test_bases_and_enemies_of_new_rows_are_shown(open_page, images):
    path, _, results = images
    sampler, page = results[0].fitted.samplers["eos"], open_page(path)
    pairs = page.locator("#synthetic li")
    assert 1 <= pairs.count() <= 6
    assert page.locator("#synthetic img").count() == 2 * pairs.count()
    steps = {f"{100 * step:.0f} % of the way to" for step in sampler.steps_}
    for pair in pairs.all():
        assert pair.locator(".soft").inner_text().replace("\n", " ") in steps


def test_results_and_model_lie_beside_the_page(open_page, images):
    path, _, results = images
    page = open_page(path)
    links = [link.get_attribute("href") for link in page.locator("a").all()]
    files = ["network.pt", "load.py", "README.md", "results.json"]
    assert [link for link in links if not link.startswith("#")] == files
    assert all((path.parent / link).exists() for link in files)
    content = json.loads((path.parent / "results.json").read_text())
    assert content["summary"] == summarize(results)
    assert content["recommendation"]["method"] == "eos"


def test_card_says_what_was_chosen_by_and_what_probabilities_mean(images, tmp_path):
    _, record, results = images
    settings = [settings for settings, _ in results[0].setting_scores["logit_adjustment"]]
    scores = {"logit_adjustment": [(s, [float(s["tau"] == 0.5)]) for s in settings]}
    results = [replace(result, setting_scores=scores) for result in results]
    add_validation(results, "logit_adjustment")
    results[0].scoring = "f1_macro"
    write_report(tmp_path, record, results)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "same source. It was chosen by macro F1." in card
    assert "matter equally" not in card
    assert "(logit adjustment with tau=0.5)" in card


def test_saved_model_is_the_recommended_one(images, tmp_path):
    """Not EOS, where validation rows chose another method."""
    _, record, results = images
    results = [replace(result) for result in results]
    add_validation(results, "smote")
    write_report(tmp_path, record, results)
    assert torch.load(tmp_path / "network.pt", weights_only=True)["method"] == "smote"
    assert " with SMOTE\n" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_model_of_an_earlier_report_does_not_stay(table, tmp_path):
    _, record, results = table
    write_report(tmp_path, record, results)
    (tmp_path / "network.pt").touch()
    write_report(tmp_path, record, results)
    assert not (tmp_path / "network.pt").exists()


def test_an_earlier_page_does_not_stand_beside_new_results(table, tmp_path, monkeypatch):
    _, record, results = table
    page = write_report(tmp_path, record, results)

    def fail(*args, **params):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(_report, "_render", fail)
        with pytest.raises(OSError, match="disk"):
            write_report(tmp_path, record, results)
    # What took long is kept.
    files = {"results.json", "pipeline.skops", "load.py", "README.md"}
    assert {file.name for file in tmp_path.iterdir()} == files
    assert write_report(tmp_path, record, results) == page
    assert page.exists()


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


def test_table_has_a_pipeline(table):
    assert sorted(file.name for file in table[0].parent.iterdir()) == [
        "README.md",
        "load.py",
        "pipeline.skops",
        "report.html",
        "results.json",
    ]


def test_same_results_give_the_same_page(images, tmp_path):
    path, record, results = images
    X, y = load_digit_images()
    data = LabeledData("images", X[y < 3], np.array(HOSTILE)[y[y < 3]])
    again = write_report(tmp_path, record, results, data)
    assert again.read_bytes() == path.read_bytes()


def test_failed_sampler_is_told(tmp_path, open_page):
    X, y = load_digit_images()
    kept = np.r_[np.flatnonzero(y < 2), np.flatnonzero(y == 2)[:4]]
    X, y = X[kept], y[kept]
    params = {"samplers": ["smote", "random"], "validation_folds": 0}
    results = list(compare(X, y, seeds=1, epochs=1, **params))
    record = make_record(X, y, source="few", arguments={})
    page = open_page(write_report(tmp_path, record, results))
    rows = {row[0]: row for row in cells(page, "scores")}
    assert rows["SMOTE\n0 of 1 seeds"][1:] == ["failed", "-", "-", "-", "-"]
    words = "SMOTE failed on 1 of 1 seed: class 2 has fewer than the 6 training rows"
    assert words in page.locator("#notes").inner_text()
    assert page.locator("a[href='#notes']").inner_text() == "1 warning"
    assert "too few runs" in rows["random"][2]
    assert torch.load(tmp_path / "network.pt", weights_only=True)["method"] == "random"


@pytest.mark.parametrize("n_features", [1, 2])
@pytest.mark.parametrize("counts", [(2, 2), (30, 6)])
def test_small_or_balanced_data_have_a_report_too(tmp_path, open_page, n_features, counts):
    y = np.repeat(["a", "b"], counts)
    X = np.random.RandomState(0).normal(size=(len(y), n_features))
    results = list(compare_table(X, y, seeds=2, samplers=["eos"], eos=EOS(n_neighbors=3)))
    page = open_page(write_report(tmp_path, make_record(X, y, source="few", arguments={}), results))
    has_plane = n_features > 1 and counts[0] > counts[1]
    assert page.locator("figure img").count() == 3 + has_plane


def test_without_test_rows_there_is_a_page_too(tmp_path, open_page):
    X, y = make_classification(200, weights=[0.8], random_state=0)
    [result] = compare_table(X, y, seeds=1, samplers=["eos"], validation_folds=0)
    for name, outcome in result.methods.items():
        result.methods[name] = MethodResult(rows_added=outcome.rows_added)
    result.test_counts = {"0": 0, "1": 0}
    record = make_record(X, y, source="few", arguments={})
    page = open_page(write_report(tmp_path, record, [result]))
    assert "there are no validation rows." in page.locator("p").first.inner_text()
    assert page.locator("figure").count() == 0
    assert "There were no test rows" in (tmp_path / "README.md").read_text(encoding="utf-8")


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


@pytest.mark.parametrize("reason", ["unknown sampler", "Ctrl-C before the first seed"])
def test_no_folder_is_left_where_nothing_was_written(tmp_path, capsys, monkeypatch, reason):
    monkeypatch.setattr(_compare, "tqdm", lambda **params: InterruptedBar(after=1))
    sampler = "eos" if "Ctrl-C" in reason else "unknown"
    folder = tmp_path / "new" / "report"
    arguments = ["--samplers", sampler, "--epochs", "1", "--report", str(folder)]
    try:
        assert cli.main(["compare", *arguments]) == cli.INTERRUPTED
    except SystemExit:
        assert "'samplers'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_command_ends_with_the_path_of_the_report(tmp_path, capsys):
    folder = tmp_path / "new" / "report"
    arguments = ["--seeds", "1", "--epochs", "1", "--samplers", "eos", "--report", str(folder)]
    assert cli.main(["compare", *arguments]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"Report: {folder / 'report.html'}"
    assert json.loads((folder / "results.json").read_text())["complete"]


def test_interrupted_run_leaves_a_report_of_the_finished_seeds(
    tmp_path, capsys, monkeypatch, open_page
):
    # Each seed trains one network for its scores and one to choose a method.
    monkeypatch.setattr(_compare, "tqdm", lambda **params: InterruptedBar(after=3))
    arguments = ["--seeds", "3", "--epochs", "1", "--samplers", "eos", "--report", str(tmp_path)]
    assert cli.main(["compare", *arguments]) == cli.INTERRUPTED
    assert "Finished 1 of 3 seeds." in capsys.readouterr().err
    text = open_page(tmp_path / "report.html").locator("main").inner_text()
    assert "This run was interrupted: it shows 1 of 3 seeds." in text
