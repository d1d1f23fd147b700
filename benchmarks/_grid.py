"""What the speed benchmarks share: cells of a grid, each measured once, and what is shown of them.

A record is a line of JSON. It has the ``benchmark`` that wrote it, because several can share a
file; the ``cell`` that was measured, a dict; the ``settings`` of the run; the least ``seconds`` of
each contestant, and the ``errors`` of those that failed; and the ``date``.
"""

import json
import math
import os
import platform
import time
from contextlib import suppress
from datetime import date
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from threadpoolctl import threadpool_limits
from tqdm import tqdm

# A cell is measured again until it has taken so many seconds, or so often.
ENOUGH_SECONDS, MOST_TURNS = 2, 20
# Some searches take a share of the device's free memory, which does not count what torch keeps.
MOST_BYTES_KEPT = 2**33


def versions(*packages):
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def load_compiled_loops():
    """Load numba's loops, where it is installed; searches do so themselves after a second."""
    with suppress(ImportError):
        import_module("imblearn_eos.neighbors._kernels")


def settings(threads, contestants, device="cpu"):
    """Return what a cell's seconds depend on, apart from the cell."""
    machine = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        machine = next((x.split(": ")[1] for x in lines if x.startswith("model name")), machine)
    packages = ["imblearn-eos", "imbalanced-learn", "scikit-learn", "torch", "numba"]
    if is_cuda := torch.device(device).type == "cuda":
        packages += ["triton", "flashlib", "faiss-gpu-cu12"]
    else:
        packages += ["faiss-cpu"]
    return {
        "threads": threads,
        "device": device,
        "machine": f"{machine}, {os.cpu_count()} cores",
        **({"gpu": torch.cuda.get_device_name(device)} if is_cuda else {}),
        "versions": versions(*packages),
        "contestants": list(contestants),
    }


def append(path, **record):
    """Write a record at once, with the date, and return it."""
    record["date"] = date.today().isoformat()
    with path.open("a") as file:
        # A run that was stopped may have left a part of a line before this one.
        file.write(f"\n{json.dumps(record)}\n")
    return record


def read_all(path, benchmark):
    """Return the records of a benchmark, in the order in which they were written."""
    records = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with suppress(json.JSONDecodeError):
            records.append(json.loads(line))
    return [record for record in records if record.get("benchmark") == benchmark]


def read(path, benchmark):
    """Return the last record of each cell, in the order of cells."""
    return last_of_each(read_all(path, benchmark))


def last_of_each(records):
    found = {tuple(record["cell"].values()): record for record in records}
    return [found[cell] for cell in sorted(found)]


def within_budget(cells, budget):
    """Return the cells within the budget, the quickest first, and tell how many are not."""
    wanted = [cell for cell in cells if work(cell) <= budget]
    if n_left := len(cells) - len(wanted):
        print(f"{n_left} of {len(cells)} cells left out: more than {budget:g} products.")
    return sorted(wanted, key=work)


def fill(benchmark, cells, measure, settings, path):
    """Measure the cells that are not in the file; return the last record of each cell."""
    records = read(path, benchmark) if path else []
    done = [record["cell"] for record in records if record["settings"] == settings]
    for cell in tqdm([cell for cell in cells if cell not in done], unit="cell"):
        record = {"cell": cell, "settings": settings, **measure(**cell)}
        records.append(append(path, benchmark=benchmark, **record) if path else record)
    return last_of_each(records)


def work(cell):
    """Return the products that comparing all rows with each other takes."""
    return cell["rows"] ** 2 * cell["features"]


def in_turns(calls, repeat, check=None):
    """Measure calls in turns, each ``repeat`` times at least.

    The first turn is not timed: it loads and compiles what exactly these calls need. ``check`` gets
    what each returned in it.

    Parameters
    ----------
    calls : dict of {str: callable}
    repeat : int
    check : callable, default=None
        Takes the name and the result of a call, and raises if the result is wrong.

    Returns
    -------
    dict
        The least ``seconds`` of each call, and the ``errors`` of those that failed.
    """
    seconds, errors = {name: [] for name in calls}, {}
    for turn in range(1 + max(repeat, MOST_TURNS)):
        if turn > repeat and sum(map(sum, seconds.values())) > ENOUGH_SECONDS:
            break
        for name, call in calls.items():
            if name in errors:
                continue
            try:
                _finish()
                start = time.perf_counter()
                found = call()
                _finish()
                taken = time.perf_counter() - start
                if turn:
                    seconds[name].append(taken)
                elif check:
                    check(name, found)
            except Exception as error:
                errors[name] = repr(error)[:500]
            # Its memory is free for the next call.
            found = None
    least = {name: min(values) for name, values in seconds.items() if name not in errors}
    return {"seconds": least, "errors": errors}


def _finish():
    """Wait for the CUDA device, if one is in use, and free what torch keeps of its memory."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
        if torch.cuda.memory_reserved() - torch.cuda.memory_allocated() > MOST_BYTES_KEPT:
            torch.cuda.empty_cache()


def exit_if_failed(records, contestant):
    """Exit with the errors of this package, which fail a run; those of its peers do not."""
    failed = [
        f"{record['cell']}, {name}: {error}"
        for record in records
        for name, error in record["errors"].items()
        if name.startswith(contestant)
    ]
    if failed:
        raise SystemExit("\n".join(failed))


def markdown(rows):
    return tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)


def heat_maps(panels, title):
    """Draw ratios by rows and features; those below 1 are red.

    Parameters
    ----------
    panels : dict of {(str, str): dict of {(int, int): float}}
        By the titles of the panel's line and column, the ratios by rows and features.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    lines, columns = (list(dict.fromkeys(titles)) for titles in zip(*panels, strict=True))
    rows = sorted({rows for ratios in panels.values() for rows, _ in ratios})
    features = {column: set() for column in columns}
    for (_, column), ratios in panels.items():
        features[column] |= {n_features for _, n_features in ratios}
    widths = [max(2, len(features[column])) for column in columns]
    size = 1.5 + 0.6 * sum(widths), 0.8 + (0.4 + 0.3 * len(rows)) * len(lines)
    figure = Figure(size, dpi=100, layout="constrained")
    shape = {"nrows": len(lines), "ncols": len(columns), "width_ratios": widths}
    axes = figure.subplots(**shape, squeeze=False, sharex="col", sharey=True)
    for (line, column), ratios in panels.items():
        axis, across = axes[lines.index(line), columns.index(column)], sorted(features[column])
        values = np.array([[ratios.get((n, d), math.nan) for d in across] for n in rows])
        axis.imshow(np.log2(values), cmap="RdBu", vmin=-3, vmax=3, aspect="auto")
        for (i, j), ratio in np.ndenumerate(values):
            if not math.isnan(ratio):
                color = "white" if abs(math.log2(ratio)) > 2 else "black"
                text = f"{ratio:.{2 if ratio < 10 else 0}f}"
                axis.text(j, i, text, ha="center", va="center", fontsize=8, color=color)
        axis.set_xticks(range(len(across)), across)
        axis.set_yticks(range(len(rows)), [f"{n:,}" for n in rows])
        axis.label_outer()
        if line == lines[0]:
            axis.set_title(column, fontsize=9)
        if column == columns[0]:
            axis.set_ylabel(f"{line}\nrows", fontsize=9)
    figure.suptitle(title, fontsize=10)
    figure.supxlabel("features", fontsize=9)
    return figure


def parse(parser, arguments, **grid):
    """Add the arguments of a grid, whose defaults are ``grid`` with ``--grid``, and parse all."""
    parser.add_argument("--grid", action="store_true", help="all sizes within the budget")
    text = "leave out what takes more products: rows * rows * features"
    parser.add_argument("--budget", type=float, default=math.inf, help=text)
    parser.add_argument("--output", type=Path, help="JSON lines, to which new cells are added")
    parser.add_argument("--report", action="store_true", help="show the cells of --output only")
    parser.add_argument("--plot", help="write heat maps of ratios")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    if parser.parse_known_args(arguments)[0].grid:
        parser.set_defaults(**grid)
    options = parser.parse_args(arguments)
    if options.report and not options.output:
        parser.error("--report shows the cells of a file: name it with --output.")
    torch.set_num_threads(options.threads)
    # Those of scikit-learn and numpy.
    threadpool_limits(options.threads)
    return options
