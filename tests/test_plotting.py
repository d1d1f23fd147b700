import logging
import re
import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
import torch
from networks import make_data, make_net
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, recall_score

from imblearn_eos import EOS, make_embedding_pipeline
from imblearn_eos.metrics import generalization_gap, generalization_gap_report
from imblearn_eos.plotting import (
    EmbeddingDisplay,
    GeneralizationGapDisplay,
    RecallDisplay,
    plot_confusion_matrices,
)

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Class 1 is the largest, class 0 the smallest.
Z, y = make_data(counts=(12, 60, 30))
Z_TEST, Y_TEST = make_data(counts=(10, 10, 10), seed=1)
BY_SIZE = [1, 2, 0]
RESAMPLED = EOS(random_state=0).fit_resample(Z, y)
Y_PRED = LogisticRegression().fit(Z, y).predict(Z_TEST)
REPORT = generalization_gap_report(Z, y, *RESAMPLED, Z_TEST, Y_TEST, y_pred=Y_PRED)
MATRICES = {"none": [[8, 2], [5, 5]], "EOS": [[6, 4], [1, 9]]}
AWKWARD = ["$a_1$ 50%", "_b $", "a name that goes on and on 1", "a name that goes on and on 2"]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def report_of(counts, classes=None):
    """Make a report of made-up gaps."""
    counts = np.asarray(counts)
    rng, n_classes = np.random.RandomState(0), len(counts)
    parts = ("all", "right", "wrong")
    return SimpleNamespace(
        classes=np.arange(n_classes) if classes is None else np.asarray(classes),
        train_counts=counts,
        before={part: rng.uniform(size=n_classes) for part in parts},
        after={part: rng.uniform(size=n_classes) for part in parts},
        label_noise={part: rng.uniform(size=n_classes) for part in parts},
        size_matched={part: rng.uniform(size=n_classes) for part in parts},
    )


def draw_all(classes, counts, axes=None):
    """Draw a display of each kind for the same classes."""
    n_classes, rng = len(classes), np.random.RandomState(0)
    axes = [None] * 4 if axes is None else axes
    recalls = {"none": rng.uniform(size=n_classes), "EOS": rng.uniform(size=n_classes)}
    matrices = {"EOS": rng.randint(1, 9, size=(n_classes, n_classes))}
    labels = np.asarray(classes)
    Z, y = make_data(counts=counts)
    return [
        GeneralizationGapDisplay(report_of(counts, classes)).plot(axes[0]),
        RecallDisplay(recalls, classes=classes, train_counts=counts).plot(axes[1]),
        plot_confusion_matrices(matrices, display_labels=labels, axes=axes[2])[0],
        EmbeddingDisplay.from_embeddings(
            Z, labels[y], EOS(random_state=0, enemy_search="nearest"), ax=axes[3]
        ),
    ]


def tick_texts(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def assert_apart(labels, renderer):
    boxes = [label.get_window_extent(renderer) for label in labels if label.get_text()]
    assert len(boxes) > 1
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


def legend_texts(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


# --- what all have in common ----------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 10, 30, 100])
@pytest.mark.parametrize("name", ["{}", "a class with a long name, {}"])
def test_tick_labels_do_not_overlap_and_lie_in_the_figure(n_classes, name):
    classes = [name.format(i) for i in range(n_classes)]
    counts = np.maximum(3, 900 * 0.95 ** np.arange(n_classes)).astype(int)
    for display in draw_all(classes, counts):
        display.figure_.canvas.draw()
        renderer, page = display.figure_.canvas.get_renderer(), display.figure_.bbox
        for axis in (display.ax_.xaxis, display.ax_.yaxis):
            assert_apart(axis.get_ticklabels(), renderer)
            box = axis.get_tightbbox(renderer)
            assert page.x0 <= box.x0 < box.x1 <= page.x1
            assert page.y0 <= box.y0 < box.y1 <= page.y1


def test_tick_labels_do_not_overlap_in_small_axes():
    counts = np.arange(100, 0, -1) + 10
    figure, axes = plt.subplots(1, 3, figsize=(10, 4), layout="constrained")
    GeneralizationGapDisplay(report_of(counts)).plot(axes[0])
    RecallDisplay({"EOS": np.ones(100)}, classes=range(100), train_counts=counts).plot(axes[1])
    plot_confusion_matrices({"EOS": np.eye(100)}, display_labels=range(100), axes=axes[2])
    figure.canvas.draw()
    for ax in axes:
        assert_apart(ax.get_xticklabels(), figure.canvas.get_renderer())


def test_many_classes_are_labelled_by_rank_and_size():
    counts = np.arange(500, 400, -1)
    ax = GeneralizationGapDisplay(report_of(counts)).plot().ax_
    assert tick_texts(ax.xaxis)[0] == "1\n500"
    for position, text in zip(ax.get_xticks(), tick_texts(ax.xaxis), strict=True):
        assert text == f"{position + 1}\n{counts[position]}"
    assert "Rank" in ax.get_xlabel()


def test_axes_do_not_shrink_for_upright_names():
    heights = []
    for name in ("{}", "a class with a long name, {}"):
        classes = [name.format(i) for i in range(20)]
        recalls = {"EOS": np.ones(20), "SMOTE": np.ones(20)}
        display = RecallDisplay(recalls, classes=classes, train_counts=range(20)).plot()
        display.figure_.canvas.draw()
        heights.append(display.ax_.get_window_extent().height)
    assert heights[1] > 0.8 * heights[0]


def test_names_are_never_formulas_and_long_ones_are_shortened():
    displays = draw_all(AWKWARD, [40, 30, 20, 10])
    for display in displays:
        display.figure_.canvas.draw()
    gap, recall, confusion, embedding = displays
    for axis in (gap.ax_.xaxis, recall.ax_.xaxis, confusion.ax_.xaxis, confusion.ax_.yaxis):
        for label, name in zip(axis.get_ticklabels(), AWKWARD, strict=True):
            text, is_formula = label._preprocess_math(label.get_text())
            assert not is_formula
            shown = re.sub(r" \(\d+\)$|\n\d+$", "", text)  # Without the number of training rows.
            assert shown == name or ("…" in shown and len(shown) <= 22)
    assert len(set(tick_texts(gap.ax_.xaxis))) == 4
    assert embedding.ax_.get_legend().get_title().get_text().startswith("Class a name")


def test_names_of_samplers_are_never_formulas():
    display = RecallDisplay({"$x$": [1.0, 1.0], "_y": [0.0, 0.0]}, classes=[0, 1]).plot()
    texts = [label._preprocess_math(label.get_text()) for label in display.ax_.get_yticklabels()]
    assert texts == [("$x$", False), ("_y", False)]
    [confusion] = plot_confusion_matrices({"$x$": np.eye(2)}, display_labels=[0, 1])
    title = confusion.ax_.title
    assert title._preprocess_math(title.get_text()) == ("$x$", False)


def test_given_axes_are_used():
    figure, axes = plt.subplots(2, 2)
    axes = list(axes.flat)
    for display, ax in zip(draw_all([0, 1], [30, 9], axes), axes, strict=True):
        assert display.ax_ is ax
        assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]


def test_plot_returns_self_and_draws_anew_each_time():
    displays = draw_all([0, 1], [30, 9])
    for display in [d for d in displays if not hasattr(d, "confusion_matrix")]:
        first = display.ax_
        assert display.plot() is display
        assert display.ax_ is not first


def test_settings_and_log_stay_clean(caplog):
    before, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
    with caplog.at_level(logging.WARNING):
        for display in draw_all([0, 1, 2], [50, 30, 9]):
            display.figure_.canvas.draw()
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.get_backend() == backend
    assert not caplog.records


@pytest.mark.parametrize(
    "draw",
    [
        lambda: GeneralizationGapDisplay(REPORT).plot(),
        lambda: GeneralizationGapDisplay.from_estimator(None, Z, y),
        lambda: RecallDisplay.from_predictions(Y_TEST, {"none": Y_PRED}),
        lambda: RecallDisplay.from_estimator(None, Z, y),
        lambda: EmbeddingDisplay.from_embeddings(Z, y, None),
        lambda: EmbeddingDisplay.from_estimator(None, Z, y),
        lambda: plot_confusion_matrices(MATRICES, display_labels=[0, 1]),
    ],
)
def test_missing_matplotlib_is_said_before_anything_else(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'imblearn-eos\[report\]'"):
        draw()


def test_import_does_not_import_matplotlib():
    code = "import sys, imblearn_eos.plotting; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- generalization gap ---------------------------------------------------------------------------


@pytest.mark.parametrize("test_rows", ["all", "right", "wrong"])
def test_gap_shows_each_class_by_size(test_rows):
    report = generalization_gap_report(Z, y, *RESAMPLED, Z_TEST, Y_TEST, y_pred=Y_PRED)
    display = GeneralizationGapDisplay(report).plot(test_rows=test_rows)
    rows = {"all": Y_TEST == Y_TEST, "right": Y_TEST == Y_PRED, "wrong": Y_TEST != Y_PRED}
    rows = rows[test_rows]
    assert rows.any()
    for line, train in ((display.before_, (Z, y)), (display.after_, RESAMPLED)):
        expected = generalization_gap(*train, Z_TEST[rows], Y_TEST[rows], average=None)
        assert_array_equal(line.get_xdata(), [0, 1, 2])
        assert_allclose(line.get_ydata(), expected[BY_SIZE])
    assert tick_texts(display.ax_.xaxis) == ["1\n60", "2\n30", "0\n12"]


@pytest.mark.parametrize("test_rows", ["all", "right", "wrong"])
def test_gap_always_shows_its_references(test_rows):
    display = GeneralizationGapDisplay(REPORT).plot(test_rows=test_rows)
    noise = display.label_noise_.get_data()
    assert_array_equal(noise.values, REPORT.label_noise[test_rows][BY_SIZE])
    assert_array_equal(noise.edges, [-0.5, 0.5, 1.5, 2.5])
    texts = legend_texts(display)
    assert any("label noise" in text for text in texts)
    values = display.size_matched_.get_data().values
    assert_array_equal(values, REPORT.size_matched[test_rows][BY_SIZE])
    assert any("size alone" in text for text in texts)


def test_gap_draws_what_is_told_apart_without_color():
    display = GeneralizationGapDisplay(REPORT).plot()
    assert display.before_.get_marker() != display.after_.get_marker()
    assert display.before_.get_markerfacecolor() != "none"
    assert display.after_.get_markerfacecolor() == "none"
    dashes = {str(s.get_linestyle()) for s in (display.size_matched_, display.label_noise_)}
    assert len(dashes) == 2
    assert not dashes & {"-", "solid"}


def test_gap_legend_lies_outside_the_axes():
    display = GeneralizationGapDisplay(REPORT).plot()
    display.figure_.canvas.draw()
    legend = display.ax_.get_legend().get_window_extent()
    assert legend.y0 >= display.ax_.get_window_extent().y1
    assert display.figure_.bbox.x0 <= legend.x0 < legend.x1 <= display.figure_.bbox.x1


def test_gap_marks_classes_without_such_test_rows():
    report = report_of([50, 30, 9])
    for gaps in (report.before, report.after, report.label_noise):
        gaps["wrong"][1] = np.nan
    display = GeneralizationGapDisplay(report).plot(test_rows="wrong")
    [absent] = [line for line in display.ax_.lines if line.get_label().startswith("no ")]
    assert_array_equal(absent.get_xdata(), [1])
    assert "no wrongly classified test rows" in legend_texts(display)
    display.plot(test_rows="right")
    assert not any(text.startswith("no ") for text in legend_texts(display))


def test_gap_of_a_pipeline_is_what_it_reports():
    pipeline = make_embedding_pipeline(make_net(), EOS(), random_state=0).fit(Z, y)
    display = GeneralizationGapDisplay.from_estimator(pipeline, Z_TEST, Y_TEST, test_rows="right")
    report = pipeline.generalization_gap(Z_TEST, Y_TEST)
    assert_allclose(display.before_.get_ydata(), report.before.right[BY_SIZE])
    assert_allclose(display.after_.get_ydata(), report.after.right[BY_SIZE])


@pytest.mark.parametrize("test_rows", ["wrong", "some"])
def test_gap_without_such_test_rows_says_what_to_do(test_rows):
    report = generalization_gap_report(Z, y, *RESAMPLED, Z_TEST, Y_TEST)
    with pytest.raises(ValueError, match=rf"\['all'\], got '{test_rows}'.*pass y_pred"):
        GeneralizationGapDisplay(report).plot(test_rows=test_rows)


# --- recall ---------------------------------------------------------------------------------------


def test_recall_has_a_row_for_each_sampler_and_a_column_for_each_class_by_size():
    estimators = {
        "none": LogisticRegression().fit(Z, y),
        "EOS": LogisticRegression().fit(*RESAMPLED),
    }
    display = RecallDisplay.from_estimator(estimators, Z_TEST, Y_TEST, y_train=torch.as_tensor(y))
    expected = [
        recall_score(Y_TEST, e.predict(Z_TEST), average=None)[BY_SIZE] for e in estimators.values()
    ]
    assert not np.allclose(expected[0], expected[1])
    assert_allclose(display.im_.get_array(), expected)
    assert tick_texts(display.ax_.yaxis) == ["none", "EOS"]
    assert tick_texts(display.ax_.xaxis) == ["1\n60", "2\n30", "0\n12"]
    for text, value in zip(display.text_.flat, np.ravel(expected), strict=True):
        assert text.get_text() == f"{value:.2f}"


def test_recall_takes_a_single_estimator():
    display = RecallDisplay.from_estimator(LogisticRegression().fit(Z, y), Z_TEST, Y_TEST)
    assert list(display.recalls) == ["LogisticRegression"]


def test_recall_without_training_labels_keeps_the_order_of_classes():
    display = RecallDisplay.from_predictions(Y_TEST, {"none": Y_PRED})
    assert_allclose(display.im_.get_array(), [recall_score(Y_TEST, Y_PRED, average=None)])
    assert tick_texts(display.ax_.xaxis) == ["0", "1", "2"]


def test_recall_of_classes_without_test_rows_is_hatched():
    rows = Y_TEST != 2
    display = RecallDisplay.from_predictions(Y_TEST[rows], {"none": Y_PRED[rows]}, y_train=y)
    assert_array_equal(np.ma.getmaskarray(display.im_.get_array()), [[False, True, False]])
    assert display.ax_.patch.get_hatch()
    # The hatching of the axes shows through masked cells.
    assert display.im_.get_cmap().get_bad()[3] == 0
    assert "hatched" in display.ax_.get_xlabel()
    assert display.text_[0, 1].get_text() == ""
    assert "hatched" not in RecallDisplay({"a": [1.0]}, classes=[0]).plot().ax_.get_xlabel()


@pytest.mark.parametrize(("n_classes", "has_values"), [(12, True), (13, False)])
def test_recall_writes_values_while_they_fit(n_classes, has_values):
    display = RecallDisplay({"EOS": np.ones(n_classes)}, classes=range(n_classes)).plot()
    assert (display.text_ is not None) == has_values
    assert len(display.ax_.texts) == (n_classes if has_values else 0)


def luminance(rgba):
    linear = np.where(
        np.asarray(rgba[:3]) <= 0.04045,
        np.asarray(rgba[:3]) / 12.92,
        ((np.asarray(rgba[:3]) + 0.055) / 1.055) ** 2.4,
    )
    return linear @ [0.2126, 0.7152, 0.0722]


def assert_legible(text, background):
    light = sorted([luminance(matplotlib.colors.to_rgb(text.get_color())), luminance(background)])
    assert (light[1] + 0.05) / (light[0] + 0.05) > 3


def test_colors_grow_lighter_or_darker_with_the_value_and_text_stands_out():
    values = np.linspace(0, 1, 11)
    recall = RecallDisplay({str(v): [v, v] for v in values}, classes=[0, 1]).plot()
    matrices = {str(v): [[100 * v, 100 - 100 * v], [0, 5]] for v in values}
    confusions = plot_confusion_matrices(matrices, display_labels=[0, 1])
    for im in (recall.im_, confusions[0].im_):
        steps = np.diff([luminance(im.cmap(im.norm(v))) for v in values])
        assert (steps > 0).all() or (steps < 0).all()
        assert (im.norm.vmin, im.norm.vmax) == (0, 1)
    for v, text in zip(values, recall.text_[:, 0], strict=True):
        assert_legible(text, recall.im_.cmap(v))
    for v, confusion in zip(values, confusions, strict=True):
        assert_legible(confusion.text_[0, 0], confusion.im_.cmap(v))


def test_recall_errors_say_what_to_do():
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[30, 29\]"):
        RecallDisplay.from_predictions(Y_TEST, {"none": Y_PRED, "SMOTE": Y_PRED[:-1]})
    with pytest.raises(ValueError, match=r"y_train lacks the classes \[2\] of y_true. Pass"):
        RecallDisplay.from_predictions(Y_TEST, {"none": Y_PRED}, y_train=y[y != 2])
    # scikit-learn's message differs between versions.
    with pytest.raises((TypeError, ValueError), match=r"(?i)\blabels?\b"):
        RecallDisplay.from_predictions(Y_TEST, {"none": np.full(30, "a")})
    with pytest.raises(ValueError, match="'EOS' has 2 values, but there are 3 classes"):
        RecallDisplay({"EOS": [0.5, 0.5]}, classes=[0, 1, 2]).plot()
    with pytest.raises(ValueError, match="'train_counts' has 1 values, but there are 2 classes"):
        RecallDisplay({"EOS": [0.5, 0.5]}, classes=[0, 1], train_counts=[1]).plot()


# --- confusion matrices ---------------------------------------------------------------------------


def test_confusion_matrices_are_shares_of_the_true_class():
    matrices = {"none": confusion_matrix(Y_TEST, Y_PRED), "EOS": np.diag([3, 4, 0])}
    displays = plot_confusion_matrices(matrices, display_labels=["a", "b", "c"])
    expected = confusion_matrix(Y_TEST, Y_PRED, normalize="true")
    assert_allclose(displays[0].confusion_matrix, expected)
    assert_allclose(displays[0].im_.get_array(), expected)
    assert [display.ax_.get_title() for display in displays] == ["none", "EOS"]
    assert tick_texts(displays[0].ax_.yaxis) == tick_texts(displays[1].ax_.xaxis) == list("abc")
    for text, share in zip(displays[0].text_.flat, expected.flat, strict=True):
        assert text.get_text() == (f"{share:.2f}" if share else "0")


def test_confusion_matrices_hatch_classes_without_test_rows():
    full, empty = plot_confusion_matrices(
        {"full": np.eye(3), "empty": np.diag([3, 4, 0])}, display_labels=[0, 1, 2]
    )
    assert not full.ax_.patches
    [patch] = empty.ax_.patches
    assert patch.get_hatch()
    box = patch.get_window_extent().transformed(empty.ax_.transData.inverted())
    assert_allclose(sorted([box.y0, box.y1]), [1.5, 2.5])
    assert patch.get_zorder() > empty.text_[2, 0].get_zorder()


@pytest.mark.parametrize(("n_matrices", "shape"), [(1, (1, 1)), (3, (1, 3)), (4, (2, 3))])
def test_confusion_matrices_wrap_into_rows_of_three(n_matrices, shape):
    matrices = {str(i): np.eye(2) for i in range(n_matrices)}
    displays = plot_confusion_matrices(matrices, display_labels=[0, 1])
    figure = displays[0].figure_
    assert len(displays) == n_matrices
    assert len(figure.axes) == n_matrices + 1  # The color bar, and no empty axes.
    places = [d.ax_.get_subplotspec() for d in displays]
    assert {p.get_gridspec().get_geometry() for p in places} == {shape}
    assert [(p.rowspan.start, p.colspan.start) for p in places] == [
        divmod(i, 3) for i in range(n_matrices)
    ]


@pytest.mark.parametrize(("n_classes", "has_values"), [(10, True), (11, False)])
def test_confusion_matrices_have_numbers_while_they_fit(n_classes, has_values):
    [display] = plot_confusion_matrices({"a": np.eye(n_classes)}, display_labels=range(n_classes))
    assert len(display.ax_.texts) == (n_classes**2 if has_values else 0)


def test_confusion_matrices_use_given_axes():
    figure, axes = plt.subplots(1, 3)
    displays = plot_confusion_matrices(MATRICES, display_labels=[0, 1], axes=axes)
    assert [display.ax_ for display in displays] == list(axes[:2])
    assert all(display.figure_ is figure for display in displays)


def test_confusion_matrices_errors_say_what_to_do():
    for matrix in (np.eye(2), -np.eye(3), np.full((3, 3), np.nan)):
        with pytest.raises(ValueError, match=r"matrices\['EOS'\] must hold 3 x 3 numbers of rows"):
            plot_confusion_matrices({"EOS": matrix}, display_labels=[0, 1, 2])
    with pytest.raises(ValueError, match=r"axes must .* each of the 2 matrices, got 1\."):
        plot_confusion_matrices(MATRICES, display_labels=[0, 1], axes=plt.subplots()[1])
