"""The steps of `gpu_day.py` that no other benchmark measures.

A step is a function of the device, and of whether sizes are those of a dry run. It returns calls by
their keys, each of which measures something and returns a dict.
"""

import os
import platform
from collections import Counter
from functools import cache, partial
from itertools import product
from pathlib import Path
from unittest.mock import patch

import _data
import _grid
import neighbors
import numpy as np
import torch

from imblearn_eos import EOS, LinearHead, TorchNearestNeighbors
from imblearn_eos.neighbors._base import CoarseRows
from imblearn_eos.neighbors._exact import Rows
from imblearn_eos.neighbors._topk import TopkTiles

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

# What to try in the kernel, where a thread keeps so many numbers in each of three places.
BLOCKS = {"block_queries": [64, 128, 256], "block_rows": [32, 64, 128], "n_warps": [4, 8, 16]}
LEAST_EACH, MOST_EACH = 8, 32
OTHERS = {"n_stages": [2, 3, 4], "PROGRAMS_EACH": [2, 4, 8, 16]}
BLOCK_FEATURES = [16, 32, 64]


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


def load_kernel(device):
    """Import the kernel, which is interpreted on a CPU."""
    if device == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    from imblearn_eos.neighbors import _triton

    return _triton


def make_coarse(n, d, device):
    """Return rows as engines take them, on the device."""
    rows = Rows(torch.from_numpy(_data.gaussian(n, d)), torch.device(device))
    return CoarseRows(rows, torch.float32, 2.0**34)


def settings_of(present):
    """Return changes of the kernel's variant, and of programs, to try; first none."""
    settings = [{}]
    for values in product(*BLOCKS.values()):
        changed = dict(zip(BLOCKS, values, strict=True))
        each = changed["block_queries"] * changed["block_rows"] // changed["n_warps"] // 32
        if LEAST_EACH <= each <= MOST_EACH:
            settings.append(changed)
    others = OTHERS if present.is_whole else OTHERS | {"block_features": BLOCK_FEATURES}
    settings += [{name: value} for name, values in others.items() for value in values]
    # Each once, without what is as it is at present.
    present = present._asdict()
    changes = [{n: v for n, v in s.items() if present.get(n) != v} for s in settings]
    return [setting for i, setting in enumerate(changes) if setting not in changes[:i]]


def tuning(device, is_small):
    kernel = load_kernel(device)
    sizes = [(100, 8), (100, 200)] if is_small else [(200_000, d) for d in (64, 16, 256, 768)]
    n_queries, n_kept = 2**15, kernel.n_candidates(20)

    def measure(n, d, setting):
        setting = {"PROGRAMS_EACH": kernel.PROGRAMS_EACH, **setting}
        n_programs = setting.pop("PROGRAMS_EACH")
        variant = kernel.variant_for(d)._replace(**setting)
        with (
            patch.object(kernel, "variant_for", lambda n_features: variant),
            patch.object(kernel, "PROGRAMS_EACH", n_programs),
        ):
            kernel.check(torch.device(device), variant)
            engine = kernel.Fused(make_coarse(n, d, device))
            queries = engine.coarse.centred(engine.coarse.rows[:n_queries])
            seconds = seconds_of(lambda: engine.candidates(None, queries, n_kept, None))
        return {"rows": f"{n:,} x {d}", "seconds": seconds}

    return {
        f"{n:,} x {d}, {setting or 'as it is'}": partial(measure, n, d, setting)
        for n, d in sizes
        for setting in settings_of(kernel.variant_for(d))[: 1 if is_small else None]
    }


def calibration(device, is_small):
    """Measure what the constants of the cost model stand for, each in a case that it decides."""
    kernel = load_kernel(device)
    n_queries, n_rows = (128, 128) if is_small else (8192, 200_000)
    narrow, usual, whole, wide = (8, 16, 32, 160) if is_small else (16, 64, 128, 1024)
    n_kept = kernel.n_candidates(20)

    @cache
    def prepare(d):
        engine = kernel.Fused(make_coarse(n_rows, d, device))
        queries = engine.coarse.centred(engine.coarse.rows[:n_queries])
        rows = engine.rows
        return engine, queries, (*rows.factors(queries), rows.values, rows.norms)

    @cache
    def launch(d):
        """Return the seconds of the kernel for a score, and what it keeps."""
        variant = kernel.variant_for(d)
        n_chunks = kernel.chunks(n_kept, n_rows, variant.block_rows)
        arguments = *prepare(d)[-1], n_chunks, variant
        seconds = seconds_of(lambda: kernel._launch(*arguments))
        return seconds / n_queries / n_rows, kernel._launch(*arguments)

    def per_byte():
        # What a product reads from the cache: a query for all rows of a block, and the reverse.
        variant = kernel.variant_for(wide)
        return launch(wide)[0] / wide / 4 / (1 / variant.block_queries + 1 / variant.block_rows)

    @cache
    def per_kept():
        kept = launch(usual)[1]
        with patch.object(kernel, "_launch", lambda *_: kept):
            seconds = seconds_of(lambda: kernel.find_smallest(*prepare(usual)[-1], n_kept, 0))
        return seconds / kept.numel()

    @cache
    def per_product():
        engine, queries, _ = prepare(wide)
        rows, queries = engine.coarse.kept.values, queries.float()
        scores = torch.empty(n_queries, n_rows, device=device)
        seconds = seconds_of(lambda: torch.mm(queries, rows.T, out=scores))
        return seconds / n_queries / n_rows / wide

    @cache
    def per_score():
        engine, queries, _ = prepare(narrow)
        plain = TopkTiles(engine.coarse)
        seconds = seconds_of(lambda: plain.candidates(None, queries, 20, None))
        return seconds / n_queries / n_rows - narrow * per_product()

    def lanes_per_loss():
        plain = 10**6 * (64 * per_product() + per_score())
        return plain / kernel.DEPTH / per_kept()

    calls = {
        "SECONDS_SELECTED": lambda: launch(narrow)[0],
        "SECONDS_TF32": lambda: launch(whole)[0] / whole,
        "SECONDS_BYTE": per_byte,
        "SECONDS_KEPT": per_kept,
        "SECONDS_FLOAT32": per_product,
        "SECONDS_SCORE": per_score,
        "LANES_PER_LOSS": lanes_per_loss,
    }

    def compare(name):
        return {"now": float(getattr(kernel, name)), "measured": calls[name]()}

    return {name: partial(compare, name) for name in calls}


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
    "calibration": calibration,
    "search": search,
    "suite": suite,
}
