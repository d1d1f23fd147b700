"""The figures of `gpu_day.py` as a section of a page."""

import re

import _grid
import neighbors
import resample

DAY, ESTIMATE = "gpu day", "gpu estimate"
RESULTS = ["machine", "tests", "suite", "same bits", "profile", "head", "tuning", "calibration"]
FAILED = "failures"


def is_bad(result):
    """Return whether a result says that something is wrong."""
    return any(result.get(name) for name in ("error", FAILED, "rows that differ"))


def write(section, name, page):
    """Replace what stands between the marks of a name on a page."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    section = f"{start}\n\n{section}\n\n{end}"
    text, n_found = re.subn(
        f"{start}.*?{end}", lambda _: section, page.read_text(), flags=re.DOTALL
    )
    if n_found != 1:
        raise SystemExit(f"{page} has {n_found} times {start} and {end}, instead of once.")
    page.write_text(text)


def last_results(output, name):
    """Return the last result of each key of a step."""
    return {record["key"]: record["result"] for record in _grid.read_all(output, name)}


def merged(output, benchmark):
    """Return a record for each cell, of contestants that several steps have measured."""
    cells = {}
    for record in _grid.read_all(output, benchmark):
        found = cells.setdefault(tuple(record["cell"].values()), {"cell": record["cell"]})
        for name in ("seconds", "errors", "engines", "agreement"):
            found[name] = found.get(name, {}) | record.get(name, {})
    return [cells[cell] for cell in sorted(cells)]


def report(output):
    """Return the figures of a file in Markdown."""
    results = {name: last_results(output, name) for name in RESULTS}
    searches, samplers = merged(output, "neighbors"), merged(output, "resample")
    trainings = _grid.read_all(output, "training")
    parts = [
        conditions(output),
        table("Machine", results["machine"]),
        neighbor_tables(searches),
        f"**Samplers**, seconds\n\n{resample.table(samplers)}" if samplers else "",
        table("Head", results["head"]),
        training(trainings[-1]["result"]) if trainings else "",
        table("Tests", results["tests"] | results["suite"]),
        same_bits(results["same bits"]),
        profiles(results["profile"]),
        tunings(results["tuning"]),
        table("Constants of the cost model", results["calibration"]),
        failures(output, results, [*searches, *samplers]),
    ]
    return "\n\n".join(filter(None, parts))


def conditions(output):
    names = ["neighbors", "resample", "training", *RESULTS]
    records = [record for name in names for record in _grid.read_all(output, name)]
    if not records:
        raise SystemExit(f"--output: {output} has no results.")
    settings = records[-1]["settings"]
    days = sorted({record["date"] for record in records})
    days = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    versions = ", ".join(f"{name} {version}" for name, version in settings["versions"].items())
    return (
        f"{settings.get('gpu', 'Dry run on a CPU')}, {days}, {versions}. Rows and results are on"
        " the device. `bash benchmarks/gpu_day.sh` measures all of it."
    )


def table(title, results):
    """Return what was measured, a line for each key."""
    rows = [
        {"": key, "result": ", ".join(f"{k} {shown(v)}" for k, v in result.items() if k != FAILED)}
        for key, result in results.items()
    ]
    return f"**{title}**\n\n{_grid.markdown(rows)}" if rows else ""


def training(result):
    rows = [{"training": name, "": shown(value)} for name, value in result.items()]
    return _grid.markdown(rows)


def shown(value):
    return f"{value:.4g}" if isinstance(value, float) else value


def neighbor_tables(records):
    if not records:
        return ""
    least = {}
    for record in records:
        for name, share in record["agreement"].items():
            least[name] = min(share, least.get(name, 1))
    shares = ", ".join(f"{name} {share:.2%}" for name, share in least.items())
    cells, _ = neighbors.tables(records, "ours")
    return (
        f"**Search for neighbors**, seconds\n\n{cells}\n\nLeast share of right neighbors: {shares}."
    )


def same_bits(results):
    if not results:
        return ""
    differ = [key for key, result in results.items() if is_bad(result)]
    text = f"**Same bits as the CPU**: {len(results) - len(differ)} of {len(results)} hard cases"
    return f"{text}; not {'; '.join(differ)}." if differ else f"{text}."


def profiles(results):
    rows = [
        {"profile": key}
        | {name: shown(result[name]) for name in ("engines", "seconds", "TFLOP/s")}
        | {"most time, ms": ", ".join(f"`{n}` {ms:.1f}" for n, _, ms in result["most time"][:5])}
        for key, result in results.items()
        if not is_bad(result)
    ]
    return _grid.markdown(rows) if rows else ""


def tunings(results):
    """Return the fastest settings for each size, beside the present one."""
    sizes = {}
    for key, result in results.items():
        if not is_bad(result):
            setting = key.removeprefix(f"{result['rows']}, ")
            sizes.setdefault(result["rows"], []).append((result["seconds"], setting))
    rows = [
        {"tuning": size, "setting": setting, "seconds": shown(seconds)}
        for size, found in sizes.items()
        for seconds, setting in dict.fromkeys(found[:1] + sorted(found)[:3])
    ]
    return _grid.markdown(rows) if rows else ""


def failures(output, results, cells):
    """Return what went wrong: failed tests, errors, and steps that did not end well."""
    lines = [
        f"{', '.join(map(str, record['cell'].values()))}, {name}: {error}"
        for record in cells
        for name, error in record["errors"].items()
    ]
    for name, found in results.items():
        for key, result in found.items():
            lines += [f"{name}: {test}" for test in result.get(FAILED, [])]
            lines += [f"{name}, {key}: {result['error']}"] if "error" in result else []
    ended = {r["step"]: r for r in _grid.read_all(output, "gpu_day") if r["event"] == "ended"}
    for name, record in ended.items():
        if record["code"] != 0:
            how = "took too long" if record["code"] is None else f"ended with {record['code']}"
            lines.append(f"{name} {how} after {record['seconds']:.0f} s")
    return "\n".join(["**Not well**", "", *(f"- {line}" for line in lines)]) if lines else ""
