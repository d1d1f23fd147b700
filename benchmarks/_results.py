"""The results of a study, in a folder of text files to which records are added as they come.

``study.jsonl`` has a record for each time that the study was run. A file for each recipe and subset
begins with a record of what it is, and has one for each network and method. There, "as above" is
a list of the last row that spelled it out.
"""

import json
from pathlib import Path

from _recipes import Case

STUDY = "study.jsonl"
# Lists that many rows of a file share, in the row and in its "gap".
AS_ABOVE = "as above"


class Results:
    """Records in a folder, a line of JSON each.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self._spelled = {}
        self.records = []
        # In the order in which cases were begun, apart from the records of runs.
        for file in sorted(self.folder.glob("*.jsonl"), key=lambda f: (f.name != STUDY, f.name)):
            self.records += self._read(file)

    def _read(self, file):
        # A line without an end is being written, or the run was killed while it wrote it.
        lines = [line for line in file.read_text().splitlines(keepends=True) if line[-1] == "\n"]
        records = [json.loads(line) for line in lines]
        if file.name == STUDY or not records:
            return records
        case = records[0]["case"]
        spelled = self._spelled.setdefault(file.name, {})
        return [
            {"record": record["record"], "case": case} | _spell_out(record, spelled)
            for record in records[1:]
        ]

    def add(self, **record):
        """Write a record at once."""
        self.records.append(record)
        case = record.get("case")
        file = self.folder / (f"{Case(**case).name}.jsonl" if case else STUDY)
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = []
        if case and not _repair(file):
            lines.append({"record": "case", "case": case})
        if case:
            record = {name: value for name, value in record.items() if name != "case"}
            record = _shorten(record, self._spelled.setdefault(file.name, {}))
        # Without a buffer this is one write, which another process's cannot come between.
        text = "".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in [*lines, record])
        with open(file, "ab", buffering=0) as stream:
            stream.write(text.encode())

    def has(self, **wanted):
        """Return whether there is a record with these values, and no error."""
        return any(
            wanted.items() <= record.items() for record in self.records if "error" not in record
        )


def _repair(file):
    """Drop what a killed run left of a line, and return the size of the file."""
    if not file.exists():
        return 0
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with open(file, "r+b") as stream:
            stream.truncate(whole)
    return whole


def _shorten(record, spelled):
    """Write "as above" in place of lists of a method's rows that were spelled out last."""

    def shorten(name, value):
        if not isinstance(value, list):
            return value
        if spelled.get(name) == value:
            return AS_ABOVE
        spelled[name] = value
        return value

    return _map_rows(record, shorten)


def _spell_out(record, spelled):
    """Undo `_shorten`."""

    def spell_out(name, value):
        if value == AS_ABOVE:
            return spelled[name]
        if isinstance(value, list):
            spelled[name] = value
        return value

    return _map_rows(record, spell_out)


def _map_rows(record, change):
    if "rows" not in record:
        return record
    rows = []
    for row in record["rows"]:
        changed = {name: change(name, value) for name, value in row.items()}
        changed["gap"] = {name: change(f"gap {name}", v) for name, v in row["gap"].items()}
        rows.append(changed)
    return record | {"rows": rows}
