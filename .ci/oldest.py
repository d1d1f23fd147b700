"""Print constraints for the oldest versions that pyproject.toml allows.

    python .ci/oldest.py [EXTRA ...] [--torch VERSION]

prints ``name==version`` for each lower bound of the dependencies and of the named extras.
``--torch`` takes another torch.
"""

import argparse
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def requirements(project, extras):
    """Return the requirements of a project and of some extras, extras of extras included."""
    found = list(project["dependencies"])
    for extra in extras:
        for requirement in project["optional-dependencies"][extra]:
            own = re.fullmatch(rf"{project['name']}\[([\w,-]+)\]", requirement)
            found += requirements(project, own[1].split(",")) if own else [requirement]
    return list(dict.fromkeys(found))


def lower_bound(requirement):
    """Return the name and the lowest version that a requirement allows."""
    match = re.match(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)", requirement)
    if match is None:
        raise SystemExit(f"{requirement!r} in pyproject.toml has no lower bound. Add one with >=.")
    return match.groups()


def main():
    """Print the constraints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extras", nargs="*", metavar="EXTRA")
    parser.add_argument("--torch", default="", metavar="VERSION")
    arguments = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = dict(map(lower_bound, requirements(project, arguments.extras)))
    if arguments.torch:
        versions["torch"] = arguments.torch
    for name, version in versions.items():
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
