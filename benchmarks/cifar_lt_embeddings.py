"""Check a folder of published embeddings, or list a folder's files as published.

    python benchmarks/cifar_lt_embeddings.py DIR

compares the files in the folder with ``embeddings.json``, and prints the command that makes each
missing one. With ``--register``, all files of the folder are added to the list.
"""

import argparse
import sys
from pathlib import Path

from _embeddings import describe_file, hash_of, read_registry, write_registry


def check(folder):
    """Return a line for each published file that is missing in a folder, or differs there."""
    problems = []
    for entry in read_registry():
        file = folder / entry["name"]
        if not file.exists():
            problems.append(f"missing: {entry['name']}\n  {entry['command']}")
        elif hash_of(file) != entry["sha256"]:
            problems.append(f"another file than the published one: {entry['name']}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--register", action="store_true", help="list the folder's files")
    options = parser.parse_args()
    if options.register:
        entries = {entry["name"]: entry for entry in read_registry()}
        entries |= {file.name: describe_file(file) for file in options.folder.glob("*.npz")}
        write_registry(entries.values())
    problems = check(options.folder)
    print("\n".join(problems) or f"All {len(read_registry())} files are as published.")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
