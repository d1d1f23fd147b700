"""The results of the CIFAR-10 study: how they are kept, and that its pages show them."""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("matplotlib")
pytest.importorskip("tabulate")
ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _embeddings  # noqa: E402
import _heads  # noqa: E402
import _recipes  # noqa: E402
import _results  # noqa: E402
import _study  # noqa: E402
import _study_methods  # noqa: E402
import _study_plots  # noqa: E402
import _study_tables  # noqa: E402
import cifar_lt_embeddings  # noqa: E402
import cifar_lt_pages  # noqa: E402
import frozen  # noqa: E402

RUNS = sorted(folder.name for folder in _study.RUNS.iterdir())


@pytest.fixture(scope="module")
def published_embeddings():
    """Return the folder of the published embeddings, which a user need not have."""
    default = ROOT.parent / "shared" / "data" / "cifar_lt_200_epochs"
    folder = Path(os.environ.get("IMBLEARN_EOS_EMBEDDINGS", default))
    problems = cifar_lt_embeddings.check(folder)
    if problems:
        pytest.skip(
            f"needs the {len(_embeddings.read_registry())} files of benchmarks/embeddings.json in "
            f"IMBLEARN_EOS_EMBEDDINGS; {len(problems)} are missing or differ"
        )
    return folder


# How results are kept


def make_row(score=0.5, *, gap=0.1, setting=None):
    return {
        "scores": {"balanced_accuracy": score},
        "setting": setting or {},
        "is_default": True,
        "is_chosen": True,
        "recall": [score] * 2,
        "gap": {"before": [gap, gap], "after": [0.0, gap]},
    }


def make_record(method, subset, score, seed=0, recipe="CE", **more):
    return {
        "record": "method",
        "case": {"recipe": recipe, "kind": "step", "ratio": 10.0, "subset": subset, "seed": seed},
        "method": method,
        "rows": [make_row(score, **more)],
        "n_settings": 1,
    }


def test_records_are_read_as_they_were_added(tmp_path):
    records = [
        {"record": "study", "epochs": 1},
        make_record("network", 0, 0.5),
        make_record("EOS", 0, 0.5),
        make_record("EOS", 1, 0.5),
        make_record("SMOTE", 0, 0.6, gap=0.2),
        make_record("ADASYN", 0, 0.6, gap=0.1),
        {**make_record("LWS", 0, 0.5), "rows": [], "error": "ValueError: no"},
    ]
    results = _results.Results(tmp_path)
    for record in records:
        results.add(**record)
    found = _results.Results(tmp_path).records
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, records))
    files = {file.name: file.read_text().splitlines() for file in tmp_path.iterdir()}
    assert sorted(files) == [
        "CE_step_10_subset0_seed0.jsonl",
        "CE_step_10_subset1_seed0.jsonl",
        "study.jsonl",
    ]
    lines = files["CE_step_10_subset0_seed0.jsonl"]
    assert ["recipe" in line for line in lines] == [True] + [False] * 5
    assert json.loads(lines[2])["rows"][0]["recall"] == "as above"


def test_reading_results_leaves_a_line_that_is_being_written(tmp_path):
    results = _results.Results(tmp_path)
    results.add(record="study")
    results.add(**make_record("EOS", 0, 0.5))
    (file,) = tmp_path.glob("CE*")
    text = file.read_text()
    file.write_text(f'{text}{{"reco')
    assert _results.Results(tmp_path).records == results.records
    assert file.read_text().endswith('{"reco')
    # What a killed run left of a line is dropped before the next.
    results.add(**make_record("SMOTE", 0, 0.5))
    assert file.read_text().startswith(f'{text}{{"record":"method"')
    assert _results.Results(tmp_path).records == results.records


@pytest.mark.parametrize("run", RUNS)
def test_published_results_are_small_and_complete(run):
    assert all(file.stat().st_size < 300_000 for file in (_study.RUNS / run).iterdir())
    for record in _results.Results(_study.RUNS / run).records:
        assert "as above" not in json.dumps(record)
        for row in record.get("rows", ()):
            assert np.isclose(np.mean(row["recall"]), row["scores"]["balanced_accuracy"])
            assert {"before", "size_matched", "right", "wrong"} <= set(row["gap"])


@pytest.mark.slow
def test_published_scores_are_those_of_the_published_embeddings(published_embeddings):
    assert count_checked("200_epochs", published_embeddings) >= 3


def test_scores_are_those_of_the_embeddings_in_the_tree():
    folder = cifar_lt_pages.PAGES / "embeddings"
    runs = [run for run in RUNS if run.endswith("held_out")]
    n_checked = sum(count_checked(run, folder) for run in runs)
    assert n_checked == 3 * len(list(folder.iterdir())) > 0
    assert sum(file.stat().st_size for file in folder.iterdir()) < 10e6


def count_checked(run, folder):
    """Fit the heads of some methods again, and return how many have the scores of a run."""
    records = _results.Results(_study.RUNS / run).records
    budget = _recipes.Budget(*(records[0][name] for name in ("epochs", "batch_size", "schedule")))
    n_checked = 0
    for record in records:
        if record.get("method") not in ("network", "logit adjustment", "EOS"):
            continue
        case = _recipes.Case(**record["case"])
        try:
            file = _embeddings.find_embedded(folder, case, budget, None, 2)
        except FileNotFoundError:
            continue
        network = _heads.Network(_embeddings.read_embedded(file), seed=case.seed)
        if records[0].get("hold_out"):
            _, network = network.halves()
        method = _study_methods.METHODS[record["method"]]
        for row in filter(lambda row: row["is_default"] or row["is_chosen"], record["rows"]):
            found = _study_methods.evaluate(method.make(network, **row["setting"]), network)
            assert found["scores"] == pytest.approx(row["scores"], abs=0.002)
        n_checked += 1
    return n_checked


# What tables say


def make_column(records, recipe="CE"):
    return _study.Column(_study.Study(records, "step", 10), recipe)


def test_differences_are_paired_by_subset():
    scores = [(0.5, 0.6), (0.1, 0.3), (0.2, 0.5)]
    records = [
        make_record(method, subset, score)
        for subset, pair in enumerate(scores)
        for method, score in zip("ab", pair, strict=True)
    ]
    column = make_column(records)
    found = _study.mean_difference(list(column.differences("b, tuned", "a, tuned").values()))
    # 4.303 is the quantile of t with 2 degrees of freedom; 10 is the deviation of 10, 20, 30.
    np.testing.assert_allclose(found, (20, 4.303 * 10 / np.sqrt(3)), rtol=1e-3)
    assert _study.Column(_study.Study(records), "CE").rows == {}
    assert _study.mean_difference([1.0]) == (1.0, None)
    # Of two equal differences an interval would have no width.
    assert _study.mean_difference([1.0, 1.0]) == (1.0, None)
    assert _study.mean_difference([]) is None


def test_intervals_are_corrected_for_the_number_of_comparisons():
    _, margin = _study.mean_difference([1.0, 2.0, 3.0])
    _, corrected = _study.mean_difference([1.0, 2.0, 3.0], 14)
    assert corrected / margin == pytest.approx(3.9, abs=0.05)


def test_trainings_are_averaged_within_subsets_and_paired():
    records = [
        make_record("a", 0, 0.1, seed=0),
        make_record("a", 0, 0.3, seed=1),
        make_record("a", 1, 0.4, seed=0),
        make_record("a", 1, 0.9, seed=1),
        # Of the second subset's trainings only one has b.
        make_record("b", 0, 0.2, seed=0),
        make_record("b", 0, 0.6, seed=1),
        make_record("b", 1, 0.5, seed=0),
    ]
    column = make_column(records)
    assert column.points("a, tuned") == pytest.approx({0: 20, 1: 65})
    assert column.differences("b, tuned", "a, tuned") == pytest.approx({0: 20, 1: 10})


@pytest.mark.parametrize(("n_subsets", "expected"), [(1, "CE †"), (2, "CE †"), (3, "CE")])
def test_recipes_of_few_subsets_are_marked(n_subsets, expected):
    records = [make_record("EOS", subset, 0.5) for subset in range(n_subsets)]
    column = make_column([record | {"record": "network"} for record in records])
    assert column.title.endswith(f", {expected}")


def test_cells_of_fewer_subsets_than_their_column_are_marked():
    records = [make_record(name, i, 0.5) for name in ("network", "SMOTE") for i in range(3)]
    records = [record | {"record": "network"} for record in records] + records
    column = make_column([*records, make_record("LWS", 0, 0.7), make_record("LWS", 1, 0.7)])
    for table, full, few in (
        (_study_tables.scores, "50.0 ± 0.0", "70.0 †"),
        (_study_tables.gains, "+0.0 (+0.0 to +0.0)", "+20.0 †"),
        (_study_tables.recall_gains, "+0 / +0", "+20 / +20 †"),
    ):
        cells = {next(iter(row.values())): row[column.title] for row in table([column])}
        assert (cells["SMOTE"], cells["LWS"]) == (full, few)


def test_recipes_are_compared_on_the_subsets_that_both_have():
    records = [make_record("network", subset, 0.1 * subset) for subset in (1, 2)]
    records.append(make_record("network", 2, 0.5, recipe="ASL"))
    first, second = make_column(records), make_column(records, "ASL")
    found = second.differences("network, tuned", "network, tuned", first)
    assert found == pytest.approx({2: 30})


@pytest.mark.parametrize(
    ("run", "recipe", "method", "expected"),
    [
        ("25_epochs", "CE", "network", "+12.1 (+9.3 to +14.8)"),
        ("60_epochs", "CE", "SMOTE", "+2.6 (+1.5 to +3.6)"),
        ("200_epochs", "CE + decay", "logit adjustment", "-0.5 (-1.7 to +0.7)"),
    ],
)
def test_leads_are_those_of_the_records(run, recipe, method, expected):
    column = next(iter(_study.read_columns([run], [recipe])))
    own, other = (
        {
            record["case"]["subset"]: next(
                100 * row["scores"]["balanced_accuracy"]
                for row in record["rows"]
                if row["is_chosen"]
            )
            for record in _results.Results(_study.RUNS / run).records
            if record.get("method") == name and record["case"]["recipe"] == recipe
        }
        for name in ("EOS", method)
    )
    lead = np.mean([own[subset] - other[subset] for subset in own])
    (row,) = _study_tables.leads([column], methods=[method])
    text = row[column.title].strip("*")
    assert text == expected
    assert text.startswith(f"{lead:+.1f} ")


# What pages show


def test_pages_and_figures_show_the_results(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cifar_lt_pages.py", "--check"])
    with pytest.raises(SystemExit) as end:
        cifar_lt_pages.main()
    assert end.value.code == 0, f"run python benchmarks/cifar_lt_pages.py: {capsys.readouterr()}"


def test_a_stale_page_is_named_and_filled(monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    block = '<!-- table: scores runs="60_epochs" methods="network;EOS" -->'
    figure = '<!-- figure: methods file=a.png alt="A" runs=60_epochs -->'
    value = '<!-- value: range of="EOS, tuned" minus="network, tuned" runs=60_epochs -->'
    page.write_text(
        f"# Page\n\n{block}\nold\n<!-- end -->\n{figure}<!-- end -->\n{value}<!-- end -->"
    )
    monkeypatch.setattr(cifar_lt_pages, "PAGES", tmp_path)
    for arguments, code in ((["--check"], 1), ([], 0), (["--check"], 0)):
        before = page.read_text()
        monkeypatch.setattr(sys, "argv", ["cifar_lt_pages.py", *arguments])
        with pytest.raises(SystemExit) as end:
            cifar_lt_pages.main()
        assert end.value.code == code
        assert (str(page) in capsys.readouterr().out) == (page.read_text() != before or code == 1)
    text = page.read_text()
    assert "old" not in text
    assert re.search(r"^\| EOS \| 72\.1 ± 0\.5 \(70\.0\) \|$", text, re.MULTILINE)
    assert "-->9<!-- end -->" in text
    assert "![A](a.png)" in text
    # A figure of other data is stale.
    data = _study_plots.methods_data(_study.read_columns(["60_epochs"]))
    assert _study_plots.is_current(tmp_path / "a.png", data)
    data["EOS"]["60 epochs, CE"][0] += 0.1
    assert not _study_plots.is_current(tmp_path / "a.png", data)


@pytest.fixture
def frozen_results(tmp_path, monkeypatch):
    """Write results of three subsets on frozen features, of random scores; return the scores."""
    monkeypatch.setattr(cifar_lt_pages, "FROZEN", tmp_path)
    random_state, found = np.random.RandomState(0), {}
    for subset in range(3):
        for part in frozen.PARTS:
            scores = random_state.uniform(60, 80, size=(len(frozen.CANDIDATES), 5)).round(3)
            found[subset, part] = dict(zip(frozen.CANDIDATES, scores.tolist(), strict=True))
            with (tmp_path / f"step_100_{subset}.jsonl").open("a") as file:
                record = {"part": part, "scores": found[subset, part]}
                file.write(f"{json.dumps(record)}\n")
    return found


def describe(differences):
    """Describe a mean of three differences with its interval, independently."""
    margin = stats.t.ppf(0.975, 2) * np.std(differences, ddof=1) / np.sqrt(3)
    mean = np.mean(differences)
    return f"{mean:+.1f} ({mean - margin:+.1f} to {mean + margin:+.1f})"


def test_untuned_methods_on_frozen_features_are_compared_by_subset(frozen_results):
    table = cifar_lt_pages.fill_table(
        "frozen", {"rows": "both: average; EOS: EOS 10, 1", "minus": "the first: average"}
    )
    default = frozen.ALPHAS.index(frozen.DEFAULT_ALPHA)
    both, eos = (
        np.array([frozen_results[subset, "test"][name][default] for subset in range(3)])
        for name in ("average", "EOS 10, 1")
    )
    assert table.splitlines() == [
        "| without tuning, 3 subsets | balanced accuracy | minus the first |",
        "|---|---|---|",
        f"| both | {both.mean():.1f} | |",
        f"| EOS | {eos.mean():.1f} | {describe(eos - both)} |",
    ]


def test_a_penalty_on_frozen_features_is_chosen_by_the_folds(frozen_results):
    found = cifar_lt_pages.fill_value(
        "frozen", {"of": "average", "minus": "SMOTE", "penalty": "chosen"}
    )
    chosen = {
        name: np.array(
            [
                frozen_results[subset, "test"][name][
                    np.argmax(np.sum([frozen_results[subset, fold][name] for fold in range(3)], 0))
                ]
                for subset in range(3)
            ]
        )
        for name in ("average", "SMOTE")
    }
    assert found == describe(chosen["average"] - chosen["SMOTE"])


def test_without_a_choice_no_folds_are_needed(frozen_results, tmp_path):
    file = tmp_path / "step_100_0.jsonl"
    file.write_text(file.read_text().splitlines(keepends=True)[-1])
    assert len(frozen.read_scores(tmp_path, "SMOTE")) == 3
    assert list(frozen.read_scores(tmp_path, "SMOTE", frozen.ALPHAS)) == [
        "step_100_1",
        "step_100_2",
    ]
    assert len(frozen.read_scores(tmp_path, "EOS, tuned")) == 2
    assert frozen.read_scores(tmp_path, "SMOTE")["step_100_0"] == pytest.approx(
        frozen_results[0, "test"]["SMOTE"][frozen.ALPHAS.index(frozen.DEFAULT_ALPHA)]
    )


def test_every_figure_in_the_tree_is_on_a_page():
    for file in (BENCHMARKS / "cifar_lt").rglob("*.png"):
        pages = [page.read_text() for page in file.parent.glob("*.md")]
        assert any(f"]({file.name})" in text for text in pages), file


def test_the_answer_fits_on_a_page_that_links_to_all_others():
    text = (BENCHMARKS / "cifar_lt" / "README.md").read_text()
    assert len(text.splitlines()) <= 100
    for page in (BENCHMARKS / "cifar_lt").rglob("*.md"):
        name = page.relative_to(BENCHMARKS / "cifar_lt").as_posix()
        assert name == "README.md" or f"]({name})" in text, name


def test_the_site_has_every_page():
    text = (ROOT / "docs" / "cifar.md").read_text()
    for page in (BENCHMARKS / "cifar_lt").rglob("*.md"):
        assert page.relative_to(BENCHMARKS).as_posix() in text, page


# ----- Values and costs of the pages -----


def columns_of(recipe):
    (column,) = _study.read_columns(["200_epochs"], [recipe])
    return column


def test_effects_of_claims_are_those_of_the_records():
    column = columns_of("CE + mixup + decay")
    effects = {
        "lead": [],
        "narrowing": [],
        "rare gap over large": [],
        "rare gap over reference": [],
    }
    for record in column.methods["EOS"].values():
        row = next(row for row in record["rows"] if row["is_chosen"])
        gap = {name: np.array(row["gap"][name]) for name in ("before", "after", "size_matched")}
        effects["narrowing"].append(gap["after"].mean() - gap["before"].mean())
        effects["rare gap over large"].append(gap["before"][8:].mean() - gap["before"][:4].mean())
        excess = (gap["before"] - gap["size_matched"])[8:].mean()
        effects["rare gap over reference"].append(excess)
        case = record["case"]["subset"], record["case"]["seed"]
        other = next(r for r in column.methods["SMOTE"][case]["rows"] if r["is_chosen"])
        scores = [100 * part["scores"]["balanced_accuracy"] for part in (row, other)]
        effects["lead"].append(scores[0] - scores[1])
    options = {
        "lead": 'of="EOS, tuned" minus="SMOTE, tuned"',
        "narrowing": 'of="EOS, tuned"',
    }
    for name, values in effects.items():
        text = (
            f'<!-- value: "{name}" {options.get(name, "")} digits=2 runs=200_epochs '
            'recipes="CE + mixup + decay" --><!-- end -->'
        )
        filled, _ = cifar_lt_pages.fill(text, Path())
        mean, margin = np.mean(values), stats.t.ppf(0.975, 2) * stats.sem(values)
        assert f">{mean:+.2f} ({mean - margin:+.2f} to {mean + margin:+.2f})<" in filled


def test_costs_count_embeddings_only_for_methods_that_need_them():
    column = columns_of("CE + mixup + decay")
    rows = {row["method"]: row for row in _study_tables.costs([column])}
    assert rows["logit adjustment"]["% of phase 1"] == "0.00"
    seconds = [record["seconds"] for record in column.networks if record["fold"] is None]
    embedding, training = (np.mean([s[key] for s in seconds]) for key in ("embedding", "training"))
    eos = [
        sum(next(row for row in record["rows"] if row["is_chosen"])["seconds"].values())
        for record in column.methods["EOS"].values()
    ]
    share = 100 * (embedding + np.mean(eos)) / training
    assert rows["EOS"]["% of phase 1"] == f"{share:.2f}"
    assert rows["EOS"]["fitted parameters"] == "650"
