"""benchmarks/gpu_day.py: steps are run once, survive each other and a kill, and fill a page."""

import os
import re
import sys
import time
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

pytest.importorskip("matplotlib")
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import _gpu_report
import _gpu_steps
import _grid
import gpu_day
import neighbors
import resample

ROOT = Path(__file__).parent.parent
STEPS = {
    "well": gpu_day.Step(30, ["true"]),
    "fails": gpu_day.Step(30, ["false"]),
    "slow": gpu_day.Step(0.1, ["sleep", "60"]),
}


@pytest.fixture
def output(tmp_path):
    return tmp_path / "gpu_day.jsonl"


def ends_of(output):
    ends = [r for r in _grid.read_all(output, "gpu_day") if r["event"] == "ended"]
    return [(record["step"], record["code"]) for record in ends]


def test_step_that_fails_or_takes_too_long_is_tried_once_more(output):
    assert gpu_day.run(STEPS, output, 60) == ["fails", "slow"]
    first = [("well", 0), ("fails", 1), ("slow", None)]
    assert ends_of(output) == first
    assert gpu_day.run(STEPS, output, 60) == []
    assert ends_of(output) == first + first[1:]
    gpu_day.run(STEPS, output, 60)
    assert len(ends_of(output)) == 5


def test_step_that_was_killed_comes_last_and_once_more(output):
    for times in (1, 2):
        _grid.append(output, benchmark="gpu_day", step="well", event="begun")
        # Killed while it wrote its end.
        output.write_text(output.read_text() + '{"benchmark": "gpu_day", "step": "we')
        left = gpu_day.left_of(STEPS, output)
        assert left == (["fails", "slow", "well"] if times == 1 else ["fails", "slow"])


def test_end_of_the_budget_is_no_try(output, capsys):
    slow = {"slow": gpu_day.Step(0.3, ["sleep", "60"]), "long": gpu_day.Step(60, ["true"])}
    for _ in range(3):
        assert gpu_day.run(slow, output, 0.25) == ["slow", "long"]
        # It waits where too little of its share is left.
        assert "long: waits for the next call" in capsys.readouterr().out
    assert ends_of(output) == [("slow", None)] * 3


def test_processes_of_a_step_end_with_it(tmp_path):
    command = ["bash", "-c", f"sleep 60 & echo $! >{tmp_path}/pid; wait"]
    assert gpu_day.execute(command, 0.5, tmp_path / "log") is None
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        time.sleep(0.02)
        stat = Path(f"/proc/{pid}/stat")
        # An orphan may wait for whoever reaps it.
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            return
    os.kill(pid, 9)
    pytest.fail("the process of the step is alive")


def test_calls_of_a_step_are_measured_until_they_have_a_result(output, monkeypatch):
    called, broken = [], {"b"}

    def call(key):
        called.append(key)
        if key in broken:
            raise ValueError("broken")
        return {"seconds": 1}

    steps = {"head": lambda device, is_small: {key: lambda key=key: call(key) for key in "abc"}}
    monkeypatch.setattr(_gpu_steps, "STEPS", steps)
    _grid.append(output, benchmark="gpu_day", step="head", event="begun")
    _grid.append(output, benchmark="head", key="a", result={"seconds": 1})
    assert not gpu_day.run_own("head", "cpu", True, output)
    assert called == ["b", "c"]
    broken.clear()
    assert gpu_day.run_own("head", "cpu", True, output)
    assert called == ["b", "c", "b"]
    assert gpu_day.run_own("head", "cpu", True, output)
    assert len(called) == 3


def test_call_that_a_try_did_not_survive_comes_last(output, monkeypatch):
    called = []
    steps = {"head": lambda device, is_small: {k: lambda k=k: called.append(k) or {} for k in "ab"}}
    monkeypatch.setattr(_gpu_steps, "STEPS", steps)
    for _ in range(2):
        _grid.append(output, benchmark="gpu_day", step="head", event="begun")
    gpu_day.run_own("head", "cpu", True, output)
    assert called == ["b", "a"]


@pytest.fixture
def in_this_process(monkeypatch):
    """Run the steps here, where they need not import all; return the names of those that ran."""
    ran = []
    mains = {module.__file__: module.main for module in (gpu_day, neighbors, resample)}

    def execute(command, seconds, log):
        ran.append(command)
        try:
            mains[command[1]](command[2:])
        except SystemExit as error:
            return error.code
        return 0

    monkeypatch.setattr(gpu_day, "execute", execute)
    monkeypatch.setattr(_grid, "ENOUGH_SECONDS", 0)
    monkeypatch.setattr(_grid, "threadpool_limits", lambda limits: None)
    n_threads = torch.get_num_threads()
    yield ran
    torch.set_num_threads(n_threads)


def test_dry_run_fills_a_page(output, in_this_process, tmp_path):
    steps = gpu_day.make_steps(output, "cpu", is_small=True)
    # These run pytest or train a network.
    left_out = {"tests", "suite", "training"}
    left_out |= set() if find_spec("triton") else {"tuning", "calibration"}
    steps = {name: step for name, step in steps.items() if name not in left_out}
    assert gpu_day.run(steps, output, 1e6) == []
    assert len(in_this_process) == len(steps) > 10
    assert {code for _, code in ends_of(output)} == {0}
    _grid.append(output, benchmark="tests", key="test_a", result={"passed": 3, "failures": ["b"]})
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- gpu day -->\nold\n<!-- end of gpu day -->\nbelow\n")
    gpu_day.main(["--output", str(output), "--write", str(page)])
    text = page.read_text()
    assert text.startswith("above\n<!-- gpu day -->\n\nDry run on a CPU, 20")
    assert text.endswith("<!-- end of gpu day -->\nbelow\n")
    assert "old" not in text
    for line in (
        r"\| float64 product +\| TFLOP/s ",
        r"\| clustered +\| 1000 +\| 64 +\| 20 +\| [\d.]+ ",
        r"\| clustered +\| 2000 +\| 64 +\| [\d.]+ +\|.* [\d.]+ ",
        r"\| LinearHead, 1,000 x 64, cpu +\| seconds ",
        r"\| test_a +\| passed 3 ",
        r"Same bits as the CPU\*\*: (\d+) of \1 hard cases",
        r"\| 300 x 8, k = 5 +\| (DoubleDirect|FewRows) +\| ",
        r"\| 100 x 200 +\| as it is +\| ",
        r"\| SECONDS_KEPT +\| now 1.2e-11, measured ",
        r"- tests: b\n",
    ):
        assert re.search(line, text), line
    # The page is as long as before where it is written again.
    gpu_day.main(["--output", str(output), "--write", str(page)])
    assert page.read_text() == text


def test_page_without_marks_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(SystemExit, match="0 times"):
        _gpu_report.write("figures", _gpu_report.DAY, page)
    assert page.read_text() == "nothing"


def test_page_of_benchmarks_has_a_place_for_the_figures():
    text = (ROOT / "benchmarks" / "README.md").read_text()
    for name in (_gpu_report.DAY, _gpu_report.ESTIMATE):
        assert text.count(f"<!-- {name} -->") == text.count(f"<!-- end of {name} -->") == 1


@pytest.mark.skipif(
    not find_spec("triton"), reason="needs Triton, which CUDA builds of torch bring"
)
def test_estimate_follows_the_counts_of_the_compiled_kernel(monkeypatch):
    import _gpu_estimate

    found = {"REG": 98, "STACK": 0, "LOCAL": 0}
    found |= {"loop": {"VIMNMX": 80, "LOP3": 20, "": 7, "FADD": 300}, "wavefronts": {"loads": 50}}
    units = _gpu_estimate.seconds_of_kernel(32 * 16, 64, found)
    # A tile of 128 queries has 8 warps.
    per_query = 16 * 8 / 128 / _gpu_estimate.CYCLES
    assert units["instructions"] == pytest.approx(400 / 4 * per_query)
    assert units["minima and logic"] == pytest.approx(100 / 2 * per_query)
    assert units["shared memory"] == pytest.approx(50 * per_query)
    monkeypatch.setattr(_gpu_estimate, "compiled", lambda n_features: found)
    text = _gpu_estimate.report()
    assert "Estimated, not measured" in text
    assert "98 registers" in text
    for name in ("all neighbors, k = 11", "EOS, K = 1000"):
        assert re.search(rf"\| {name} +\| [\d,]+ +\|", text)


@pytest.mark.skipif(
    not find_spec("triton"), reason="needs Triton, which CUDA builds of torch bring"
)
@pytest.mark.parametrize("n_features", [16, 64, 256])
def test_settings_to_try_are_other_variants_of_the_kernel(n_features):
    from imblearn_eos.neighbors import _triton

    present = _triton.variant_for(n_features)
    settings = _gpu_steps.settings_of(present)
    assert settings[0] == {}
    assert {"PROGRAMS_EACH": 16} in settings
    assert ({"block_features": 64} in settings) == (not present.is_whole)
    variants = [present._replace(**s) for s in settings if "PROGRAMS_EACH" not in s]
    assert len(set(variants)) == len(variants)
    assert {variant.block_rows for variant in variants} == {32, 64, 128}


def test_outcomes_of_tests_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(_gpu_steps, "TESTS", tmp_path)
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_well(): pass\n"
        "def test_wrong(): assert False\n"
        "def test_not(): pytest.skip('to be counted')\n"
        "def test_broken(missing): pass\n"
    )
    found = _gpu_steps.run_tests("test_some")
    names = [name.rpartition("::")[2] for name in found.pop("failures")]
    assert names == ["test_wrong", "test_broken"]
    assert found == {"passed": 1, "failed": 2, "skipped": 1}
    (tmp_path / "test_unreadable.py").write_text("import missing")
    assert _gpu_steps.run_tests("test_unreadable")["failed"] == 1


def test_wheels_have_what_the_package_needs():
    text = (ROOT / "benchmarks" / "gpu_day.sh").read_text()
    wheels = set(re.search(r"WHEELS=\((.*?)\)", text, flags=re.DOTALL)[1].split())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split("[>=]", line)[0] for line in project["dependencies"]}
    assert needed - wheels == {"torch", "numpy", "scipy", "scikit-learn"}
