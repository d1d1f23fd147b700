import codecs
import csv
import io
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from interrupts import InterruptedBar

from imblearn_eos import cli
from imblearn_eos.compare import _files, compare, compare_table
from imblearn_eos.datasets import load_digit_images

METHODS = ["network", "none", "logit_adjustment", "eos"]
OWN_CSV = "seed,method,accuracy\n0,my own,0.93\n"
QUICK = ["--seeds", "1", "--epochs", "1", "--samplers", "none,eos"]


@pytest.fixture(autouse=True)
def _restore_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def npz(tmp_path):
    """Give a file of three digits, 20 images each."""
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
    methods = [line.split("  ")[0] for line in lines if line.endswith("1/1")]
    assert methods == ["network, own head", "no over-sampling", "logit adjustment", "EOS"]
    assert lines[-1].startswith("EOS ")
    assert "balanced accuracy" in lines[-1]


def test_json_holds_what_repeats_the_run(npz, tmp_path, capsys):
    path = tmp_path / "results.json"
    assert run("--data", npz, "--json", path, "--imbalance-ratio", 3, "--seeds", 2) == 0
    content = json.loads(path.read_text())
    assert content["complete"]
    assert f"--data {npz}" in content["command"]
    assert content["data"]["source"] == str(npz)
    assert content["arguments"]["image_size"] is None
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
        assert list(seed["methods"]) == METHODS
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
    assert f"{summary['mean']:.4f} ± {summary['spread']:.4f}" in capsys.readouterr().out


def test_csv_has_a_line_for_each_seed_and_head(npz, tmp_path):
    path = tmp_path / "results.csv"
    assert run("--data", npz, "--csv", path, "--seeds", 2) == 0
    with open(path, encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    heads = [(line["seed"], line["method"]) for line in lines]
    assert heads == [(seed, head) for seed in "01" for head in METHODS]
    assert all(0 <= float(line["balanced_accuracy"]) <= 1 for line in lines)
    assert json.loads(lines[0]["versions"]).keys() >= {"python", "torch"}
    assert json.loads(lines[0]["data"])["sha256"]


def test_folder_of_images(tmp_path, capsys):
    folder = save_images(tmp_path / "images", {"cat": 6, "dog": 4}, size=(20, 20))
    assert run("--data", folder, "--image-size", 8) == 0
    assert "10 images of 8 x 8 pixels and 3 channels, 2 classes" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "threads"), [([], 1), (["--threads", 2], 2)])
def test_threads_are_recorded(tmp_path, arguments, threads):
    path = tmp_path / "results.json"
    assert run(*arguments, "--json", path) == 0
    assert json.loads(path.read_text())["threads"] == threads


def test_samplers_are_separated_by_commas_or_blanks(npz, capsys):
    options = cli._build_parser().parse_args(["compare", "--samplers", "none,eos", "smote"])
    assert options.samplers == [["none", "eos"], ["smote"]]
    assert run("--data", npz, "--samplers", "random", "none,random") == 0
    assert "EOS was not among the samplers." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--samplers", "smoke"], ["--samplers", "smoke", "none, random, smote, adasyn, eos"]),
        (["--samplers", ","], ["--samplers", "none, random, smote, adasyn, eos"]),
        (["--seeds", "0"], ["--seeds", "Got 0"]),
        (["--epochs", "many"], ["--epochs", "many"]),
        (["--lr", "-1"], ["--lr", "Got -1.0"]),
        (["--lr", "nan"], ["--lr", "nan"]),
        (["--test-size", "1"], ["--test-size", "Got 1.0"]),
        (["--enemy-search", "far"], ["--enemy-search", "neighborhood", "far"]),
        (["--threads", "0"], ["--threads", "Got 0"]),
        (["--device", "tpu"], ["--device", "tpu"]),
        (["--device", "cuda:99"], ["--device", "cuda:99"]),
        (["--data", "nowhere.npz"], ["--data", "nowhere.npz", "no such file"]),
        (["--image-size", "8"], ["--image-size"]),
        (["--imbalance-ratio", "1000"], ["ratio", "1000"]),
        (["--json", "a", "--csv", "./a"], ["--json", "--csv", "file of its own"]),
        (["--lr", "1e30", "--epochs", "3"], ["learning rate"]),
        (["--json", "nowhere/results.json"], ["nowhere/results.json", "No such file"]),
        (["--csv", "."], ["is not a file"]),
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
    monkeypatch.setattr(cli, "compare", lambda *args, **params: pytest.fail("worked"))
    assert "cannot be written" in error_of(capsys, "--json", "nowhere/results.json")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": np.zeros(4)}, ["y has 1 class"]),
        ({"y": ["cat", "cat", "cat", "dog"]}, ["Class dog has 1 row"]),
        (
            {"y": np.array([0, 0, 1, 1], dtype=object)},
            ["bad.npz", "numbers or strings"],
        ),
        ({"X": np.zeros((4, 4, 4))}, ["8 x 8 pixels", "(4, 1, 4, 4)"]),
        ({"X": np.full((4, 8, 8), np.inf)}, ["bad.npz", "infinity"]),
        ({"X": np.zeros((4, 16, 16, 3))}, ["channels last", "transpose(0, 3, 1, 2)"]),
        (
            {"y": [0.5, 0.25, 0.1, 0.7]},
            ["y must hold the labels", "such as 0.7", "continuous", "bin"],
        ),
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
    assert "1.png cannot be read as an image" in error_of(capsys, "--data", folder)


def test_class_of_one_image_is_named(tmp_path, capsys):
    folder = save_images(tmp_path / "images", {"cat": 3, "dog": 1})
    assert "Class dog has 1 row" in error_of(capsys, "--data", folder)


def test_interrupt_keeps_the_finished_seeds(npz, tmp_path, capsys, monkeypatch):
    bar = InterruptedBar(after=3)
    monkeypatch.setattr(cli, "tqdm", lambda **params: bar)
    path = tmp_path / "results.json"
    assert run("--data", npz, "--json", path, "--seeds", 3, "--epochs", 2) == 130
    captured = capsys.readouterr()
    assert "Interrupted: 1 of 3 seeds finished." in captured.err
    assert "network, own head" in captured.out
    content = json.loads(path.read_text())
    assert not content["complete"]
    assert [seed["seed"] for seed in content["runs"]] == [0]


@pytest.mark.parametrize("error", [ValueError, MemoryError, RuntimeError])
def test_an_error_keeps_the_finished_seeds(error, npz, tmp_path, capsys, monkeypatch):
    def fail_later(*args, **params):
        yield next(compare(*args, **params))
        raise error("out of memory")

    monkeypatch.setattr(cli, "compare", fail_later)
    path = tmp_path / "results.json"
    # What may be our own mistake keeps its traceback.
    with pytest.raises(error if error is RuntimeError else SystemExit):
        run("--data", npz, "--json", path, "--seeds", 3)
    captured = capsys.readouterr()
    assert "Stopped by an error: 1 of 3 seeds finished." in captured.err
    if error is not RuntimeError:
        assert captured.err.splitlines()[-1] == "imblearn-eos: error: out of memory"
    assert "network, own head" in captured.out
    assert not json.loads(path.read_text())["complete"]


def test_results_that_cannot_be_written_are_printed_and_the_others_written(
    npz, tmp_path, capsys, monkeypatch
):
    def fail(*args):
        raise ValueError("the disk is full")

    monkeypatch.setattr(cli, "write_json", fail)
    with pytest.raises(SystemExit):
        run(
            *("--data", npz, "--seeds", 2, "--json", tmp_path / "results.json"),
            *("--csv", tmp_path / "results.csv", "--report", tmp_path / "report"),
        )
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1] == "imblearn-eos: error: the disk is full"
    assert captured.err.count("the disk is full. All is written again after the last seed.") == 2
    assert "Stopped by an error" not in captured.err, "all seeds have finished"
    assert "network, own head" in captured.out
    assert captured.out.splitlines()[-2:] == [
        f"Written: {tmp_path / 'results.csv'}",
        f"Report: {tmp_path / 'report' / 'report.html'}",
    ]
    assert len({line["seed"] for line in csv.DictReader((tmp_path / "results.csv").open())}) == 2
    assert (tmp_path / "report" / "network.pt").exists()


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_each_error_of_writing_is_told(is_interrupted, npz, tmp_path, capsys, monkeypatch):
    def fail_in_csv(*args):
        raise OSError("no csv")

    def fail_in_report(*args):
        if is_interrupted:
            signal.raise_signal(signal.SIGINT)
        raise ValueError("no report")

    monkeypatch.setattr(cli, "write_csv", fail_in_csv)
    monkeypatch.setattr(cli, "write_report", fail_in_report)
    arguments = "--data", npz, "--csv", tmp_path / "results.csv", "--report", tmp_path / "report"
    if is_interrupted:
        assert run(*arguments) == 130
    else:
        with pytest.raises(SystemExit):
            run(*arguments)
    error = capsys.readouterr().err
    assert "\nValueError: no report\n" in error
    told = "\nOSError: no csv\n" if is_interrupted else "\nimblearn-eos: error: no csv\n"
    assert told in error


def test_results_that_cannot_be_printed_are_written(npz, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("broken pipe")

    monkeypatch.setattr(cli, "format_table", fail)
    with pytest.raises(SystemExit):
        run("--data", npz, "--report", tmp_path / "report")
    assert (tmp_path / "report" / "report.html").exists()


def test_an_error_without_a_text_is_told_by_its_kind(npz, capsys, monkeypatch):
    def fail(*args, **params):
        raise MemoryError

    monkeypatch.setattr(cli, "compare", fail)
    assert error_of(capsys, "--data", npz) == "imblearn-eos: error: MemoryError\n"


@pytest.mark.parametrize("name", ["report.html", "results.json", "network.pt"])
def test_results_may_not_be_files_of_the_report(name, npz, tmp_path, capsys):
    path = tmp_path / "report" / name
    # What is there matters not.
    for text in (None, "my own"):
        if text:
            path.parent.mkdir()
            path.write_text(text)
        message = error_of(capsys, "--data", npz, "--csv", path, "--report", path.parent)
        assert f"{path} is a file or folder of the --report" in message


@pytest.mark.parametrize("folder", ["report", "report/inner"])
def test_results_may_not_be_a_folder_of_the_report(folder, npz, tmp_path, capsys):
    path = tmp_path / "report"
    message = error_of(capsys, "--data", npz, "--json", path, "--report", tmp_path / folder)
    assert f"{path} is a file or folder of the --report" in message
    assert not path.exists()


@pytest.mark.parametrize("option", ["--json", "--csv"])
@pytest.mark.parametrize("text", [OWN_CSV, '["summary", "runs"]', "[" * 10**5])
def test_files_without_results_are_not_replaced(text, option, tmp_path, capsys):
    path = tmp_path / "precious.csv"
    path.write_text(text)
    for data in ([], ["--data", path, "--target", "seed"]):
        message = error_of(capsys, option, path, *data)
        assert "precious.csv is there already and holds no results" in message
    assert path.read_text() == text


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_files_of_earlier_results_are_replaced(option, npz, tmp_path):
    path = tmp_path / "results"
    path.touch()
    texts = []
    for alpha in (0.1, 0.2):
        assert run("--data", npz, option, path, "--alpha", alpha) == 0
        texts.append(path.read_text())
        # As spreadsheets save it.
        path.write_text(texts[-1], encoding="utf-8-sig")
    assert "0.1" in texts[0]
    assert texts[0] != texts[1]


def test_interrupt_before_the_first_seed(npz, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli, "tqdm", lambda **params: InterruptedBar(after=1))
    assert run("--data", npz, "--json", tmp_path / "results.json") == 130
    assert "0 of 1 seeds" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["digits.npz"]


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    path.write_text("old")

    def fail(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "replace", fail)
    results = list(compare_table(np.arange(40.0)[:, None], np.arange(40) % 2, seeds=1))
    with pytest.raises(OSError, match=r"results\.json cannot be written: No space left"):
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
    assert "The classes are balanced already: EOS added no rows" in done.stdout
    assert "1/1" in done.stderr, "progress goes to stderr"


@pytest.mark.parametrize(
    "encoding",
    ["ascii:strict", "cp1252:strict", "utf-8:strict", "ascii:surrogateescape", "ascii:replace"],
)
def test_what_the_terminal_cannot_show_ends_no_run(encoding, tmp_path):
    # Columns of text are named as what is left out.
    labels = ["\u732b"] * 50 + ["\u72ac"] * 10
    table = pd.DataFrame({"x": range(60), "\u5927": ["a", "b"] * 30, "class": labels})
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


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("imblearn-eos 0.")
