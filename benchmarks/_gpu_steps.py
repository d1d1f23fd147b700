"""The steps of `gpu_day.py` that no other benchmark measures.

A step is a function of the device, and of whether sizes are those of a dry run. It returns calls by
their keys, each of which measures something and returns a dict.
"""

import platform
from collections import Counter
from functools import partial
from itertools import product
from pathlib import Path
from unittest.mock import patch

import _data
import _grid
import neighbors
import numpy as np
import torch

from imblearn_eos import EOS, LinearHead, TorchNearestNeighbors

TESTS = Path(__file__).resolve().parent.parent / "tests"

# Tests with paths of their own for CUDA, the kernel's first; all others are the last step.
CUDA_TESTS = [
    "test_triton",
    "test_neighbors",
    "test_containers",
    "test_linear_head",
    "test_embedder",
    "test_embedding_pipeline",
    "test_pipeline_module",
    "test_feature_extractor",
    "test_over_sampling_input",
]
# Of the study and of pages, or on an emulated device.
NO_CUDA_TESTS = ("test_benchmark", "test_cifar", "test_dask", "test_docs", "test_emulated")

# Constants of the kernel's module, where it has them, and values to try. Its own `TUNING`, a list
# of dicts of constants, comes first.
BLOCKS = {"BLOCK_QUERIES": [32, 64, 128], "BLOCK_ROWS": [64, 128], "N_WARPS": [4, 8, 16]}
OTHERS = {"BLOCK_FEATURES": [16, 32, 64], "N_STAGES": [2, 3, 4], "PROGRAMS_EACH": [2, 4, 8]}


def machine(device, is_small):
    n = 128 if is_small else 8192

    def describe():
        found = {"python": platform.python_version(), "CUDA": torch.version.cuda}
        if device != "cpu":
            gpu = torch.cuda.get_device_properties(device)
            found |= {
                "capability": f"{gpu.major}.{gpu.minor}",
                "multiprocessors": gpu.multi_processor_count,
                "memory, GiB": round(gpu.total_memory / 2**30, 1),
                "shared memory, KiB": getattr(gpu, "shared_memory_per_block_optin", 0) // 1024,
            }
        return found

    def multiply(dtype, precision="highest"):
        left = torch.randn(n, n, device=device).to(dtype)
        torch.set_float32_matmul_precision(precision)
        return {"TFLOP/s": round(2 * n**3 / seconds_of(lambda: left @ left) / 1e12, 1)}

    def copy(of):
        target = torch.empty(n * n * 8, device=device)
        source = torch.ones_like(target, device=of)
        n_bytes = target.nbytes * (2 if of == device else 1)
        return {"GB/s": round(n_bytes / seconds_of(lambda: target.copy_(source)) / 1e9, 1)}

    return {
        "description": describe,
        "float32 product": partial(multiply, torch.float32),
        "TF32 product": partial(multiply, torch.float32, "high"),
        "bfloat16 product": partial(multiply, torch.bfloat16),
        "float64 product": partial(multiply, torch.float64),
        "copy on the device": partial(copy, device),
        "copy to the device": partial(copy, "cpu"),
    }


def seconds_of(call, repeat=3):
    """Return the least seconds of a call, or raise its error."""
    found = _grid.in_turns({"it": call}, repeat)
    if found["errors"]:
        raise RuntimeError(found["errors"]["it"])
    return found["seconds"]["it"]


class Outcomes:
    """A plugin for pytest that counts outcomes, and keeps the names of failures."""

    def __init__(self):
        self.counts, self.failures = Counter(), []

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            self._add(report)

    def pytest_collectreport(self, report):
        if report.failed:
            self._add(report)

    def _add(self, report):
        self.counts[report.outcome] += 1
        if report.failed:
            self.failures.append(report.nodeid)


def run_tests(name):
    import pytest

    outcomes = Outcomes()
    options = ["-q", "--tb=short", "-p", "no:cacheprovider"]
    pytest.main([*options, str(TESTS / f"{name}.py")], plugins=[outcomes])
    if not outcomes.counts:
        raise RuntimeError("no test ran")
    return {**outcomes.counts, "failures": outcomes.failures}


def tests(device, is_small):
    names = ["test_neighbors_settings"] if is_small else CUDA_TESTS
    return {name: partial(run_tests, name) for name in names}


def suite(device, is_small):
    names = sorted(path.stem for path in (TESTS).glob("test_*.py"))
    names = [name for name in names if not name.startswith(NO_CUDA_TESTS)]
    names = ["test_models"] if is_small else [name for name in names if name not in CUDA_TESTS]
    return {name: partial(run_tests, name) for name in names}


def hard_data(n):
    """Return functions of a random state that draw rows which a search is likely to get wrong."""

    def outliers(r, scale):
        X = r.randn(n, 8) * scale
        X[0], X[1] = 1, -1
        return X

    return {
        "gaussian, d = 64": lambda r: r.randn(n, 64).astype("f4"),
        "gaussian, d = 1": lambda r: r.randn(n, 1),
        "gaussian, d = 17": lambda r: r.randn(n, 17),
        "gaussian, d = 100": lambda r: r.randn(n, 100),
        "gaussian, d = 768": lambda r: r.randn(n // 2, 768).astype("f4"),
        "odd number of rows": lambda r: r.randn(n - 63, 33),
        "offset 1e4, float32": lambda r: (r.randn(n, 64) + 1e4).astype("f4"),
        "offset 1e8, float64": lambda r: r.randn(n, 5) + 1e8,
        "offset 1e15, float64": lambda r: r.randn(n, 5) + 1e15,
        "ties": lambda r: r.randint(0, 3, (n, 6)).astype("f4"),
        "ties of one feature": lambda r: r.randint(0, 9, (n, 1)).astype("f8"),
        "signs": lambda r: r.choice([-1.0, 1.0], (n, 17)),
        "copies": lambda r: np.repeat(r.randn(-(-n // 7), 8), 7, 0),
        "all equal": lambda r: np.ones((n // 4, 8)),
        "tight clusters": lambda r: (
            np.repeat(r.randn(n // 200, 64), 200, 0) + 1e-4 * r.randn(n // 200 * 200, 64)
        ),
        "near in one lane": lambda r: (
            r.randn(n, 3) * np.where(np.arange(n) % 64 == 5, 1e-3, 10)[:, None]
        ),
        "constant and tiny": lambda r: np.c_[np.full(n, 1e6), r.randn(n, 2) * 1e-6],
        "outliers, rest 1e-18": lambda r: outliers(r, 1e-18),
        "outliers, rest 1e-22": lambda r: outliers(r, 1e-22),
        "float16, large": lambda r: (r.rand(n, 32) * 65_000).astype("f2"),
        "float16, denormal": lambda r: (r.rand(n, 8) * 6e-6).astype("f2"),
        "float32, large": lambda r: (r.randn(n, 8) * 1e38).clip(-3.4e38, 3.4e38).astype("f4"),
        "float32, denormal": lambda r: (r.rand(n, 8) * 1e-41).astype("f4"),
        "float64, denormal": lambda r: r.rand(n, 4) * 1e-310,
    }


def same_bits(device, is_small):
    n = 250 if is_small else 20_000

    def search(draw, k):
        X = draw(np.random.RandomState(0))
        found = [
            TorchNearestNeighbors(k, device=where).fit(X).kneighbors(X[: n // 10])
            for where in ("cpu", device)
        ]
        differ = (found[0][0] != found[1][0]) | (found[0][1] != found[1][1])
        return {"rows that differ": int(differ.any(1).sum())}

    def sample(enemy_search):
        X, y = _data.long_tailed(n, 32)
        found = [
            EOS(random_state=0, enemy_search=enemy_search, device=where).fit_resample(*rows)
            for where, rows in (
                ("cpu", (X, y)),
                (device, (X, y)),
                ("auto", (torch.from_numpy(X).to(device), torch.from_numpy(y).to(device))),
            )
        ]
        rows = [torch.as_tensor(rows).cpu().numpy() for rows, _ in found]
        differ = (rows[0] != rows[1]) | (rows[0] != rows[2])
        return {"rows that differ": int(differ.any(1).sum())}

    calls = {
        f"{name}, k = {k}": partial(search, draw, k)
        for name, draw in hard_data(n).items()
        for k in ((11,) if is_small else (1, 11, 101))
    }
    return calls | {
        f"EOS, {enemy_search}": partial(sample, enemy_search)
        for enemy_search in ("neighborhood", "nearest")
    }


def profile(device, is_small):
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record_functions

    def measure(n, d, k):
        X = torch.from_numpy(_data.clustered(n, d)).to(device)
        search = TorchNearestNeighbors(k, device=device).fit(X)
        seconds = seconds_of(search.kneighbors, 1)
        activities, field = [ProfilerActivity.CPU], "self_cpu_time_total"
        if device != "cpu":
            activities.append(ProfilerActivity.CUDA)
            field = "self_device_time_total"
        with record_functions(activities=activities) as recorded:
            search.kneighbors()
            if device != "cpu":
                torch.cuda.synchronize()
        most = sorted(recorded.key_averages(), key=lambda e: getattr(e, field), reverse=True)[:10]
        return {
            "engines": neighbors.engines_of(search),
            "seconds": seconds,
            "TFLOP/s": 2 * n**2 * d / seconds / 1e12,
            "most time": [[e.key[:80], e.count, getattr(e, field) / 1e3] for e in most],
        }

    sizes = [(200_000, 64, 11), (200_000, 64, 1001), (100_000, 512, 11)]
    return {
        f"{n:,} x {d}, k = {k}": partial(measure, n, d, k)
        for n, d, k in (sizes if not is_small else [(300, 8, 5)])
    }


def tuning_of(module):
    """Return the settings of the kernel's constants to try, the present one first."""
    blocks, others = (
        {name: values for name, values in tried.items() if hasattr(module, name)}
        for tried in (BLOCKS, OTHERS)
    )
    settings = [{}, *getattr(module, "TUNING", [])]
    settings += [dict(zip(blocks, values, strict=True)) for values in product(*blocks.values())]
    settings += [{name: value} for name, values in others.items() for value in values]
    present = {name: getattr(module, name) for setting in settings for name in setting}
    # Each once, without what is as it is at present.
    changes = [{n: v for n, v in s.items() if present[n] != v} for s in settings]
    return [setting for i, setting in enumerate(changes) if setting not in changes[:i]]


def tuning(device, is_small):
    from imblearn_eos.neighbors import _triton

    sizes = [(300, 8, 5)] if is_small else [(200_000, d, 11) for d in (64, 16, 256)]
    settings = tuning_of(_triton)

    def measure(n, d, k, setting):
        X = torch.from_numpy(_data.gaussian(n, d)).to(device)
        queries = X[: n // 4]

        def search():
            return TorchNearestNeighbors(k, device=device).fit(X).kneighbors(queries)

        expected = search()[1]
        with patch.dict(vars(_triton), setting):
            if not torch.equal(search()[1], expected):
                raise AssertionError("other neighbors")
            return {"rows": f"{n:,} x {d}, k = {k}", "seconds": seconds_of(search, 2)}

    return {
        f"{n:,} x {d}, k = {k}, {setting or 'as it is'}": partial(measure, n, d, k, setting)
        for n, d, k in sizes
        for setting in (settings[:3] if is_small else settings)
    }


def search(device, is_small):
    """Few searches with odd sizes, for a checker of memory."""

    def find(n, d, k):
        X = torch.randn(n, d, device=device)
        TorchNearestNeighbors(k, device=device).fit(X).kneighbors(X[:70])
        return {}

    sizes = [(20_001, 17, 5), (20_001, 1, 5), (20_001, 64, 101), (20_001, 64, 1001)]
    return {f"{n:,} x {d}, k = {k}": partial(find, n, d, k) for n, d, k in sizes}


def head(device, is_small):
    n = 1000 if is_small else 1_000_000

    def fit(where):
        Z, y = (torch.from_numpy(array).to(where) for array in _data.long_tailed(n))
        fitted = LinearHead(device=where)
        seconds = seconds_of(lambda: fitted.fit(Z, y), 1)
        return {"seconds": seconds, "iterations": int(fitted.n_iter_)}

    devices = dict.fromkeys((device, "cpu"))
    return {f"LinearHead, {n:,} x 64, {where}": partial(fit, where) for where in devices}


STEPS = {
    "machine": machine,
    "tests": tests,
    "same bits": same_bits,
    "profile": profile,
    "head": head,
    "tuning": tuning,
    "search": search,
    "suite": suite,
}
