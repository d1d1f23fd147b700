"""Measure all that needs a GPU, in steps, on a machine that is there for minutes at a time.

    python benchmarks/gpu_day.py --output gpu_day.jsonl --budget 540

runs the steps that the file does not know to be done, as long as the budget lasts; call it again
until nothing is left. Each result is a line of the file as soon as it is there. A step that fails,
or takes longer than its share, leaves the others alone and is tried once more in the end.

    python benchmarks/gpu_day.py --output gpu_day.jsonl --write benchmarks/README.md

writes the figures into the page, and ``--estimate`` what is expected of an H200. ``gpu_day.sh``
sets a bare machine up and calls this.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import _gpu_report
import _gpu_steps
import _grid
import neighbors
import torch

HERE = Path(__file__).resolve().parent
MOST_TRIES = 2
# A step starts only if this part of its share is left.
LEAST_SHARE = 0.5


class Step(NamedTuple):
    """A command, and the seconds that it may take."""

    seconds: int
    command: list


def make_steps(output, device="cuda", is_small=False, data=()):
    """Return the steps by their names, in order: what decides most comes first.

    Parameters
    ----------
    output : Path
        The file that all of them add to.
    device : str
    is_small : bool
        With the sizes of a dry run.
    data : list of Path
        Real embeddings for :mod:`neighbors`.
    """
    shared = ["--device", device, "--output", str(output)]

    def own(name):
        small = ["--small"] if is_small else []
        return [sys.executable, __file__, "--step", name, *shared, *small]

    def script(name, *arguments):
        return [sys.executable, str(HERE / name), *shared, *map(str, arguments)]

    def search(rows, features, k, peers, *arguments):
        if is_small:
            rows, features, k = [n // 1000 for n in rows], features[:2], [min(n, 20) for n in k]
        sizes = ["--rows", *rows, "--features", *features, "--k", *k]
        return script("neighbors.py", *sizes, "--peers", *peers, *arguments)

    def sample(rows, *samplers):
        sizes = ["--grid", "--rows", rows // 500 if is_small else rows, "--features", 64]
        sizes += ["--budget", "inf", "--repeat", 1, "--samplers", *samplers]
        return script("resample.py", *sizes)

    is_cuda = device != "cpu"
    # Whose kernels may take long to compile, or fail, has steps of its own.
    peers = [name for name in neighbors.make_peers(device) if not name.startswith("ours")]
    in_torch = [name for name in peers if name.startswith("torch")]
    others = [name for name in peers if name not in in_torch]
    dimensions = [8, 16, 128, 256, 512, 1024]
    large = partial(search, [1_000_000], [64], [1001])
    on_device = ["EOS", "EOS, K = 1000", "EOS nearest", "ADASYN, our neighbors"]
    n_images = ["--images", 40, "--epochs", 1] if is_small else ["--images", 5000, "--epochs", 2]
    steps = {
        "machine": Step(60, own("machine")),
        "tests": Step(240, own("tests")),
        "same bits": Step(120, own("same bits")),
        "100,000 rows": Step(80, search([100_000], [64], [11, 1001], ["ours", *in_torch])),
        "1,000,000 rows": Step(150, search([1_000_000], [64], [11], ["ours", *in_torch])),
        "peers": Step(150, search([100_000, 1_000_000], [64], [11], others)),
        "profile": Step(60, own("profile")),
        "EOS": Step(60, sample(1_000_000, "EOS")),
        "EOS, K = 1000": Step(100, sample(1_000_000, "EOS, K = 1000")),
        "k = 1001": Step(100, large(["ours"], "--synthetic", "clustered")),
        "k = 1001, torch": Step(100, large(in_torch, "--synthetic", "clustered")),
        "head": Step(80, own("head")),
        "features": Step(150, search([100_000], dimensions, [11], ["ours", *in_torch])),
        "peers, features": Step(120, search([100_000], dimensions, [11], others)),
        "calibration": Step(60, own("calibration")),
        "tuning": Step(240, own("tuning")),
        "training": Step(100, script("training.py", *n_images, "--repeat", 1 if is_small else 2)),
        "samplers": Step(60, sample(100_000, *on_device)),
    }
    if not others:
        steps = {name: step for name, step in steps.items() if not name.startswith("peers")}
    if data:
        on_data = ["--synthetic", "--data", *data]
        real = search([50_000], [], [11, 1001], ["ours", *in_torch], *on_data)
        steps["real embeddings"] = Step(60, real)
    if is_cuda and (sanitizer := shutil.which("compute-sanitizer")):
        command = [sanitizer, "--tool", "memcheck", "--error-exitcode", "9", *own("search")]
        steps["sanitizer"] = Step(100, command)
    return steps | {"suite": Step(400, own("suite"))}


def left_of(steps, output):
    """Return the names of the steps to run: those that were not tried before the others."""
    records = _grid.read_all(output, "gpu_day")
    tries = Counter(record["step"] for record in records if record["event"] == "begun")
    # The end of the budget is no fault of a step.
    tries.subtract(Counter(record["step"] for record in records if record.get("is_cut")))
    done = {record["step"] for record in records if record.get("code") == 0}
    left = [name for name in steps if name not in done and tries[name] < MOST_TRIES]
    return sorted(left, key=tries.__getitem__)


def run(steps, output, budget):
    """Run what is left while the budget lasts; return the names of what is left then."""
    end = time.monotonic() + budget
    for name in left_of(steps, output):
        seconds, command = steps[name]
        n_left = end - time.monotonic()
        if n_left < LEAST_SHARE * seconds:
            print(f"{name}: waits for the next call, {n_left:.0f} s are left", flush=True)
            continue
        _grid.append(output, benchmark="gpu_day", step=name, event="begun")
        start = time.monotonic()
        code = execute(command, min(seconds, n_left), output.with_suffix(".log"))
        result = {"code": code, "seconds": round(time.monotonic() - start, 1)}
        if code is None and n_left < seconds:
            result["is_cut"] = True
        _grid.append(output, benchmark="gpu_day", step=name, event="ended", **result)
        print(f"{name}: {result}", flush=True)
    left = left_of(steps, output)
    print(f"{len(left)} steps are left: {', '.join(left)}" if left else "Nothing is left.")
    return left


def execute(command, seconds, log):
    """Return the exit code of a command, or None if it took longer and was ended."""
    with log.open("a") as file:
        print(f"\n== {' '.join(command[1:])}", file=file, flush=True)
        # Its own processes end with it.
        process = subprocess.Popen(command, stdout=file, stderr=file, process_group=0)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run_own(name, device, is_small, output):
    """Measure what the file does not have, and return whether all went well."""
    calls = _gpu_steps.STEPS[name](device, is_small)
    found = _gpu_report.last_results(output, name)
    left = [key for key in calls if "error" in found.get(key, {"error": None})]
    begun = [r for r in _grid.read_all(output, "gpu_day") if r["event"] == "begun"]
    if sum(record["step"] == name for record in begun) > 1:
        # The call that the last try did not survive comes last.
        left.reverse()
    settings = _grid.settings(torch.get_num_threads(), [], device)
    for key in left:
        try:
            result = calls[key]()
        except Exception as error:
            result = {"error": repr(error)[:500]}
        _grid.append(output, benchmark=name, key=key, settings=settings, result=result)
        print(key, result, flush=True)
    found = _gpu_report.last_results(output, name)
    return not any(map(_gpu_report.is_bad, found.values()))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    text = "JSON lines, to which results are added; a log is beside it"
    parser.add_argument("--output", type=Path, default=Path("gpu_day.jsonl"), help=text)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes of a dry run")
    parser.add_argument("--budget", type=float, default=540, help="seconds that this call may take")
    parser.add_argument("--only", nargs="+", help="these steps")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="as neighbors.py takes it")
    parser.add_argument("--step", choices=_gpu_steps.STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help="the page to write the figures into; no run")
    text = "the page to write an estimate for an H200 into, from the compiled kernel; no run"
    parser.add_argument("--estimate", type=Path, help=text)
    options = parser.parse_args(arguments)
    if options.write:
        _gpu_report.write(_gpu_report.report(options.output), _gpu_report.DAY, options.write)
        return
    if options.estimate:
        import _gpu_estimate

        _gpu_report.write(_gpu_estimate.report(), _gpu_report.ESTIMATE, options.estimate)
        return
    if options.step:
        if not run_own(options.step, options.device, options.small, options.output):
            sys.exit(1)
        return
    # Where this process is ended, so is the step.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    steps = make_steps(options.output.resolve(), options.device, options.small, options.data)
    if unknown := set(options.only or []) - set(steps):
        parser.error(f"--only: no such steps {unknown}; there are {list(steps)}")
    run({name: steps[name] for name in options.only or steps}, options.output, options.budget)


if __name__ == "__main__":
    main()
