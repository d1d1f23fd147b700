import base64
import codecs
import csv
import errno
import inspect
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import wraps

import numpy as np
import pandas as pd
import pytest
import torch
from imblearn.over_sampling import BorderlineSMOTE
from interrupts import InterruptedBar
from sklearn.naive_bayes import GaussianNB

from imblearn_eos import cli
from imblearn_eos._commands import _compare, _options
from imblearn_eos.compare import CLASSIFIERS, METHODS, Method, _files, compare, compare_table
from imblearn_eos.compare._registry import select_samplers
from imblearn_eos.datasets import load_digit_images
from imblearn_eos.datasets._labeled import LabeledData
from imblearn_eos.datasets._readers import READERS, Reader

COMPARED = ["network", "none", "logit_adjustment", "eos"]
QUICK = ["--seeds", "1", "--epochs", "1", "--samplers", "none,eos"]


@pytest.fixture(autouse=True)
def _restore_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def npz(tmp_path):
    """Return a file of three digits, 20 images each."""
    X, y = load_digit_images()
    rows = np.concatenate([np.flatnonzero(y == label)[:20] for label in range(3)])
    np.savez(tmp_path / "digits.npz", X=X[rows, 0], y=np.array(["zero", "one", "two"])[y[rows]])
    return tmp_path / "digits.npz"


def run(*arguments):
    return cli.main(["compare", *QUICK, *map(str, arguments)])


def error_of(capsys, *arguments):
    """Run what must fail; return its one line."""
    with pytest.raises(SystemExit) as end:
        run(*arguments)
    captured = capsys.readouterr()
    assert end.value.code == 2
    assert captured.err.startswith("imblearn-eos")
    assert captured.err.count("\n") == 1
    return captured.err


def replace_comparison(monkeypatch, function):
    kind = replace(_compare.KINDS["images"], function=wraps(compare)(function))
    monkeypatch.setitem(_compare.KINDS, "images", kind)


def save_images(folder, counts, size=(8, 8)):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image.new("RGB", size, (number, 0, 0)).save(folder / name / f"{number}.png")
    return folder


def test_digits_by_default_with_the_ratio_stated(capsys):
    assert run() == 0
    output = capsys.readouterr().out
    assert "digits of scikit-learn, 1797 images" in output
    assert "long-tailed, ratio 20" in output
    assert "125 in the largest class, 6 in the smallest" in output
    lines = output.splitlines()
    methods = {line.split("  ")[0] for line in lines if line.endswith("1/1")}
    assert methods == {"network, own head", "no over-sampling", "logit adjustment", "EOS"}
    assert re.match("Use |Do not over-sample|Nothing was learnt", lines[-1])


def test_json_holds_what_repeats_the_run(npz, tmp_path, capsys):
    path = tmp_path / "results.json"
    assert run("--data", npz, "--json", path, "--imbalance-ratio", 3, "--seeds", 2) == 0
    content = json.loads(path.read_text())
    assert content["complete"]
    assert f"--data {npz}" in content["command"]
    assert content["data"]["source"] == str(npz)
    assert content["date"] > "2026"
    assert content["arguments"]["imbalance_ratio"] == 3
    assert content["arguments"]["lr"] == 0.001
    assert len(content["data"]["sha256"]) == 64
    versions = {"python", "numpy", "scipy", "torch", "scikit-learn", "imbalanced-learn", "skorch"}
    extras = {"pillow", "pandas", "matplotlib"}
    assert versions | extras | {"imblearn-eos"} == content["versions"].keys()
    assert [seed["seed"] for seed in content["runs"]] == [0, 1]
    for seed in content["runs"]:
        assert seed["train_counts"].keys() == {"zero", "one", "two"}
        assert list(seed["methods"]) == COMPARED
        eos = seed["methods"]["eos"]
        assert eos["scores"].keys() == content["summary"]["eos"].keys()
        assert eos["recall"].keys() == {"zero", "one", "two"}
        assert len(eos["calibration"]) == 4
        assert 0 <= eos["gap"]["after"] <= eos["gap"]["before"]
        assert "details" not in eos
        assert "fitted" not in seed
    values = [seed["methods"]["eos"]["scores"]["macro_f1"] for seed in content["runs"]]
    summary = content["summary"]["eos"]["macro_f1"]
    assert summary["mean"] == pytest.approx(np.mean(values))
    assert summary["spread"] == pytest.approx(np.std(values, ddof=1))
    assert f"{100 * summary['mean']:.1f}" in capsys.readouterr().out
    assert seed["validation"].keys() == set(COMPARED)


def test_csv_has_a_line_for_each_seed_and_head(npz, tmp_path):
    path = tmp_path / "results.csv"
    assert run("--data", npz, "--csv", path, "--seeds", 2) == 0
    with open(path, encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    heads = [(line["seed"], line["method"]) for line in lines]
    assert heads == [(seed, head) for seed in "01" for head in COMPARED]
    assert all(0 <= float(line["balanced_accuracy"]) <= 1 for line in lines)
    assert json.loads(lines[0]["versions"]).keys() >= {"python", "torch"}
    assert json.loads(lines[0]["data"])["sha256"]


def test_folder_of_images(tmp_path, capsys):
    folder = save_images(tmp_path / "images", {"cat": 6, "dog": 4}, size=(20, 20))
    assert run("--data", folder, "--train", "--image-size", 8) == 0
    assert "10 images of 8 x 8 pixels and 3 channels, 2 classes" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "threads"), [([], 1), (["--n-jobs", 2], 2)])
def test_threads_are_recorded(tmp_path, arguments, threads):
    path = tmp_path / "results.json"
    assert run(*arguments, "--json", path) == 0
    assert json.loads(path.read_text())["threads"] == threads


def test_samplers_are_separated_by_commas_or_blanks(npz, tmp_path, capsys):
    path = tmp_path / "results.json"
    assert run("--data", npz, "--json", path, "--samplers", "random", "none,random,smote") == 0
    assert "EOS" not in capsys.readouterr().out
    arguments = json.loads(path.read_text())["arguments"]
    assert arguments["samplers"] == ["none", "random", "smote"]


def test_defaults_are_those_of_the_functions(npz, tmp_path):
    path = tmp_path / "results.json"
    assert cli.main(["compare", "--data", str(npz), "--epochs", "1", "--json", str(path)]) == 0
    arguments = json.loads(path.read_text())["arguments"]
    defaults = {name: p.default for name, p in inspect.signature(compare).parameters.items()}
    changed = {"epochs": 1, "samplers": select_samplers()}
    assert arguments == {name: defaults[name] for name in arguments} | changed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--samplers", "smoke"], ["'samplers'", "smoke", "none, class_weight, threshold, random"]),
        (["--samplers", ","], ["'samplers'", "none, class_weight, threshold, random"]),
        (["--seeds", "0"], ["'seeds'", "Got 0"]),
        (["--epochs", "many"], ["--epochs", "many"]),
        (["--lr", "-1"], ["'lr'", "Got -1.0"]),
        (["--test-size", "1"], ["'test_size'", "Got 1.0"]),
        (["--enemy-search", "far"], ["'enemy_search'", "neighborhood", "far"]),
        (["--device", "tpu"], ["'device'", "tpu"]),
        (["--data", "nowhere.npz"], ["nowhere.npz does not exist."]),
        (["--image-size", "8"], ["--image-size does not apply to the digits"]),
        (["--imbalance-ratio", "1000"], ["ratio", "1000"]),
        (["--json", "a", "--csv", "./a"], ["--json", "--csv", "different files"]),
        (["--lr", "1e30", "--epochs", "3"], ["learning rate"]),
        (["--json", "nowhere/results.json"], ["nowhere of --json does not exist"]),
    ],
)
def test_bad_argument_is_one_line_that_names_it(capsys, arguments, words):
    if arguments[0] != "--lr" or arguments[1] != "1e30":
        error = error_of(capsys, *arguments)
    else:
        with pytest.raises(SystemExit):
            run(*arguments)
        error = capsys.readouterr().err.splitlines()[-1]
    for word in words:
        assert word in error


def test_unwritable_output_is_found_before_the_work(capsys, monkeypatch):
    replace_comparison(monkeypatch, lambda *args, **params: pytest.fail("worked"))
    assert "does not exist" in error_of(capsys, "--json", "nowhere/results.json")


@pytest.mark.parametrize("option", ["--report", "--memory"])
def test_file_where_a_folder_is_to_be_is_named_before_the_work(
    option, npz, tmp_path, capsys, monkeypatch
):
    replace_comparison(monkeypatch, lambda *args, **params: pytest.fail("worked"))
    (tmp_path / "own.csv").write_text("my own")
    for path in (tmp_path / "own.csv", tmp_path / "own.csv" / "new"):
        message = error_of(capsys, "--data", npz, option, path)
        assert f"{option} {path} cannot be written ({path}: Not a directory). Name" in message
    assert (tmp_path / "own.csv").read_text() == "my own"


@pytest.mark.parametrize("option", ["--json", "--csv", "--report", "--memory"])
def test_read_only_output_is_named_before_the_work(option, npz, tmp_path, capsys, monkeypatch):
    replace_comparison(monkeypatch, lambda *args, **params: pytest.fail("worked"))

    def fail(dir):
        assert dir == tmp_path
        raise OSError(errno.EROFS, "Read-only file system", f"{dir}/random name")

    monkeypatch.setattr(_options, "TemporaryFile", fail)
    message = error_of(capsys, "--data", npz, option, tmp_path / "new")
    assert f"{option} {tmp_path / 'new'} cannot be written (" in message
    assert ": Read-only file system). Name a path where you may write files." in message
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": np.zeros(4)}, ["y has 1 class"]),
        ({"y": ["cat", "cat", "cat", "dog"]}, ["Class dog has 1 row"]),
        (
            {"y": np.array([0, 0, 1, 1], dtype=object)},
            ["bad.npz", "array 'y'", "Python objects", "strings or numbers"],
        ),
        ({"X": np.zeros((4, 4, 4))}, ["8 x 8 pixels", "(4, 1, 4, 4)"]),
        ({"X": np.full((4, 8, 8), np.inf)}, ["bad.npz", "infinity"]),
        ({"X": np.zeros((4, 16, 16, 3))}, ["channels that are last", "transpose(0, 3, 1, 2)"]),
        ({"y": [0.5, 0.25, 0.1, 0.7]}, ["target='y'", "4 distinct numbers", "not all whole"]),
    ],
)
def test_unusable_npz_is_named(tmp_path, capsys, arrays, words):
    path = tmp_path / "bad.npz"
    np.savez(path, **{"X": np.zeros((4, 8, 8)), "y": [0, 0, 1, 1], **arrays})
    error = error_of(capsys, "--data", path)
    for word in words:
        assert word in error


def test_broken_files_are_named(tmp_path, capsys):
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and nothing more")
    assert "broken.npz cannot be read" in error_of(capsys, "--data", tmp_path / "broken.npz")
    folder = save_images(tmp_path / "images", {"cat": 2, "dog": 2})
    (folder / "dog" / "1.png").write_bytes(b"not a picture")
    assert "cannot be read as images" in error_of(capsys, "--data", folder, "--train")


def test_class_of_one_image_is_named(tmp_path, capsys):
    folder = save_images(tmp_path / "images", {"cat": 3, "dog": 1})
    assert "Class dog has 1 row" in error_of(capsys, "--data", folder, "--train")


def test_interrupt_keeps_the_finished_seeds(npz, tmp_path, capsys, monkeypatch):
    bar = InterruptedBar(after=5)
    monkeypatch.setattr(_compare, "tqdm", lambda **params: bar)
    path = tmp_path / "results.json"
    assert run("--data", npz, "--json", path, "--seeds", 3, "--epochs", 2) == 130
    captured = capsys.readouterr()
    assert captured.err == "Finished 1 of 3 seeds.\nInterrupted.\n"
    assert "network, own head" in captured.out
    content = json.loads(path.read_text())
    assert not content["complete"]
    assert [seed["seed"] for seed in content["runs"]] == [0]


@pytest.mark.parametrize("error", [ValueError, MemoryError, RuntimeError])
def test_an_error_keeps_the_finished_seeds(error, npz, tmp_path, capsys, monkeypatch):
    def fail_later(*args, **params):
        yield next(compare(*args, **params))
        raise error("out of memory")

    replace_comparison(monkeypatch, fail_later)
    path = tmp_path / "results.json"
    # What may be our own mistake keeps its traceback.
    with pytest.raises(error if error is RuntimeError else SystemExit):
        run("--data", npz, "--json", path, "--seeds", 3)
    captured = capsys.readouterr()
    assert "Finished 1 of 3 seeds." in captured.err
    if error is not RuntimeError:
        assert captured.err.splitlines()[-1] == "imblearn-eos: error: out of memory"
    assert "network, own head" in captured.out
    assert not json.loads(path.read_text())["complete"]


def test_results_that_cannot_be_written_are_printed(npz, tmp_path, capsys, monkeypatch):
    def fail(*args):
        raise OSError("the disk is full")

    monkeypatch.setitem(_compare.WRITERS, "json", fail)
    with pytest.raises(SystemExit):
        run("--data", npz, "--seeds", 2, "--json", tmp_path / "results.json")
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1] == "imblearn-eos: error: the disk is full"
    assert "network, own head" in captured.out
    assert "Written" not in captured.out


def test_an_error_without_a_text_is_told_by_its_kind(npz, capsys, monkeypatch):
    def fail(*args, **params):
        raise MemoryError

    replace_comparison(monkeypatch, fail)
    assert error_of(capsys, "--data", npz) == "imblearn-eos: error: MemoryError\n"


def test_results_may_not_be_files_of_the_report(npz, tmp_path, capsys):
    path = tmp_path / "report" / "results.json"
    message = error_of(capsys, "--data", npz, "--json", path, "--report", path.parent)
    assert "--json, --csv and --report must name different files" in message
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("option", "name", "named"),
    [
        ("--json", "results", "results"),
        ("--csv", "results", "results"),
        ("--report", "report/report.html", "report"),
        ("--report", "report/network.pt", "report"),
    ],
)
def test_existing_results_are_replaced_only_with_overwrite(
    option, name, named, npz, tmp_path, capsys
):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("my own")
    arguments = "--data", npz, option, tmp_path / named
    message = error_of(capsys, *arguments)
    assert f"{file} exists. Pass --overwrite to replace it, or name another." in message
    assert file.read_text() == "my own"
    assert run(*arguments, "--overwrite") == 0
    assert b"my own" not in file.read_bytes()


def test_a_report_may_be_written_beside_other_files(npz, tmp_path):
    assert run("--data", npz, "--report", tmp_path) == 0
    assert npz.exists()


def test_interrupt_before_the_first_seed(npz, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_compare, "tqdm", lambda **params: InterruptedBar(after=1))
    assert run("--data", npz, "--json", tmp_path / "results.json") == 130
    assert capsys.readouterr().err == "Finished 0 of 1 seeds.\nInterrupted.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["digits.npz"]


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    path.write_text("old")

    def fail(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "replace", fail)
    results = list(compare_table(np.arange(40.0)[:, None], np.arange(40) % 2, seeds=1))
    with pytest.raises(OSError, match="No space left"):
        _files.write_json(path, {}, results)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize("write", [_files.write_json, _files.write_csv])
def test_results_that_were_read_up_leave_the_file_as_it_is(write, tmp_path):
    path = tmp_path / "results"
    path.write_text("old")
    with pytest.raises(ValueError, match="results is empty"):
        write(path, {}, iter([]))
    assert path.read_text() == "old"


def test_names_that_utf_8_cannot_hold_are_written_in_ascii(tmp_path):
    results = list(compare_table(np.arange(40.0)[:, None], np.arange(40) % 2, seeds=1))
    _files.write_json(tmp_path / "results.json", {"command": "--data caf\udce9"}, results)
    assert json.loads((tmp_path / "results.json").read_text())["command"] == "--data caf\udce9"


def test_hash_depends_on_content_shape_and_labels():
    X, y = np.zeros((2, 1, 8, 8), dtype=np.float32), np.array(["a", "b"])
    hashes = {
        _files.hash_data(X, y),
        _files.hash_data(X + 1, y),
        _files.hash_data(X.reshape(2, 1, 4, 16), y),
        _files.hash_data(X, y[::-1]),
    }
    assert len(hashes) == 4
    assert _files.hash_data(X.copy(), y.copy()) in hashes


def test_command_runs_as_a_program(npz, tmp_path):
    command = [
        sys.executable,
        "-c",
        "import sys; from imblearn_eos.cli import main; sys.exit(main())",
    ]
    done = subprocess.run(
        [*command, "compare", *QUICK, "--data", str(npz)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no over-sampling" in done.stdout
    assert "2/2" in done.stderr, "progress goes to stderr"


@pytest.mark.parametrize(
    "encoding",
    ["ascii:strict", pytest.param("ascii:surrogateescape", marks=pytest.mark.slow)],
)
def test_what_the_terminal_cannot_show_ends_no_run(encoding, tmp_path):
    # Columns of text are named as what is left out.
    labels = ["\u732b"] * 50 + ["\u72ac"] * 10
    table = pd.DataFrame(
        {"x": range(0, 120, 2), "\u5927": list(map(hex, range(60))), "class": labels}
    )
    table.to_csv(tmp_path / "caf\udce9.csv", index=False)
    code = "import sys; from imblearn_eos.cli import main; sys.exit(main(sys.argv[1:]))"
    options = ["--data", "caf\udce9.csv", "--target", "class", "--seeds", "1", "--json", "out.json"]
    done = subprocess.run(
        [sys.executable, "-c", code, "compare", *options],
        capture_output=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"out.json" in done.stdout
    assert len(json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["runs"])


def test_a_stream_that_cannot_be_configured_is_written_to(monkeypatch):
    stream = codecs.getwriter("utf-8")(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert stream.getvalue().startswith(b"imblearn-eos 0.")


@pytest.mark.parametrize("command", [["imblearn_eos.cli", "--help"], ["imblearn_eos.cli"]])
def test_module_runs_and_prints_the_help_without_a_command(command):
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: imblearn-eos")
    assert "compare samplers on your data" in done.stdout


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("imblearn-eos 0.")


# --- registries -----------------------------------------------------------------------------------


def test_a_sampler_of_the_registry_is_compared_and_shown_everywhere(
    npz, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("jinja2", reason="needs jinja2, of the extra 'report'")
    monkeypatch.setitem(METHODS, "borderline", Method("Borderline-SMOTE", BorderlineSMOTE))
    report = tmp_path / "report"
    arguments = "--data", str(npz), "--imbalance-ratio", "2", "--seeds", "1", "--epochs", "1"
    assert cli.main(["compare", *arguments, "--report", str(report)]) == 0
    assert "Borderline-SMOTE" in capsys.readouterr().out
    page = (report / "report.html").read_text(encoding="utf-8")
    assert page.count("Borderline-SMOTE</th>") == 5, "scores, calibration twice, gap, seconds"
    pictures = [base64.b64decode(code) for code in re.findall(r"svg\+xml;base64,([^\"]+)", page)]
    assert any(b"Borderline-SMOTE" in picture for picture in pictures)
    content = json.loads((report / "results.json").read_text())
    assert content["runs"][0]["methods"]["borderline"]["error"] is None
    assert "borderline" in content["arguments"]["samplers"]
    with pytest.raises(SystemExit):
        cli.main(["compare", "--help"])
    assert "borderline" in capsys.readouterr().out


def test_a_classifier_of_the_registry_is_an_option(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(CLASSIFIERS, "bayes", GaussianNB())
    path = tmp_path / "rows.csv"
    pd.DataFrame({"x": np.arange(40) / 2, "y": np.arange(40) % 2}).to_csv(path, index=False)
    assert run_table("--data", path, "--target", "y", "--classifier", "bayes") == 0


def test_a_reader_of_the_registry_reads_a_format(tmp_path, monkeypatch, capsys):
    def load(path, target):
        frame = pd.read_json(path)
        facts = {"features": ["x"], "left_out": {}}
        return LabeledData("table", frame[["x"]].to_numpy(), frame[target].to_numpy(), facts=facts)

    reader = Reader(
        "a .json file",
        lambda path: path.suffix == ".json",
        load,
        options=("target",),
    )
    monkeypatch.setitem(READERS, "json", reader)
    path = tmp_path / "rows.json"
    pd.DataFrame({"x": np.arange(40.0), "y": np.arange(40) % 2}).to_json(path)
    assert run_table("--data", path, "--target", "y") == 0
    assert "rows.json, 40 rows of 1 features, 2 classes" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run_table("--data", path, "--no-header")
    assert "--no-header does not apply to" in capsys.readouterr().err


def run_table(*arguments):
    return cli.main(["compare", "--seeds", "1", "--samplers", "random", *map(str, arguments)])


def test_overwrite_spares_the_data_and_what_is_not_a_file(capsys, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,kind\n" + "1,x\n2,y\n" * 20)
    before = table.read_bytes()
    for path in (table, tmp_path):
        arguments = ["compare", "--data", table, "--target", "kind", "--json", path, "--overwrite"]
        with pytest.raises(SystemExit, match="2"):
            cli.main(list(map(str, arguments)))
        assert "is the --data, or not a file" in capsys.readouterr().err
    assert table.read_bytes() == before


@pytest.mark.parametrize("n_jobs", ["0", "-2"])
def test_impossible_cores_are_refused(n_jobs, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["compare", "--n-jobs", n_jobs])
    assert "--n-jobs: must be at least 1" in capsys.readouterr().err
