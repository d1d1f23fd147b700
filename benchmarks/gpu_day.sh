#!/usr/bin/env bash
# Measure all that needs a GPU on a machine that is there for minutes, without the internet.
#
#   bash benchmarks/gpu_day.sh wheels   where there is internet: fills .gpu_day/wheels
#   OUT=... bash benchmarks/gpu_day.sh  on the machine, with .gpu_day: again until nothing is left
#   python benchmarks/gpu_day.py --output .gpu_day/gpu_day.jsonl --write benchmarks/README.md
#
# OUT gets gpu_day.jsonl, which has all results and says what is done, and gpu_day.log. If OUT does
# not last until the next call, put this gpu_day.jsonl into .gpu_day before. Files .gpu_day/*.npz
# are real embeddings for neighbors.py. Further options are those of gpu_day.py: a dry run takes
# `--device cpu --small`, and each call takes at most `--budget 540` seconds.
set -euo pipefail
shopt -s nullglob
cd "$(dirname "$0")/.."
CARRIED=.gpu_day
: "${PYTHON:=python3}" "${PYTHON_VERSION:=3.12}" "${OUT:=$CARRIED}" "${SITE:=/tmp/gpu_day_site}"

# What is missing beside torch, Triton, scikit-learn and matplotlib: the package's own dependencies,
# a peer, and what the tests import. numba is too large to carry. `wheels faiss-gpu-cu12` adds a
# peer of 46 MiB that needs the cuBLAS of CUDA 12.
WHEELS=(imbalanced-learn sklearn-compat skorch joblib cloudpickle threadpoolctl filelock tabulate
  tqdm narwhals flashlib pytest pluggy iniconfig packaging pygments hypothesis sortedcontainers
  pandas python-dateutil six pillow)

if [[ ${1:-} == wheels ]]; then
  rm -rf "$CARRIED/wheels"
  platforms=()
  for version in _2_28 _2_27 _2_26 _2_24 _2_17 2014; do
    platforms+=(--platform "manylinux${version}_x86_64")
  done
  "$PYTHON" -m pip download --no-deps --only-binary=:all: --python-version "$PYTHON_VERSION" \
    --implementation cp "${platforms[@]}" -c constraints.txt -d "$CARRIED/wheels" \
    "${WHEELS[@]}" "${@:2}"
  du -sh "$CARRIED"
  exit
fi

# Only what the machine lacks, because its packages fit each other. The package itself is imported
# from here, and reads its version from what an installation leaves.
"$PYTHON" - "$SITE" "$CARRIED"/wheels/*.whl <<'END'
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from zipfile import ZipFile

site = Path(sys.argv[1])
for wheel in map(Path, sys.argv[2:]):
    try:
        distribution(wheel.name.partition("-")[0])
    except PackageNotFoundError:
        ZipFile(wheel).extractall(site)
        print("added", wheel.name)
project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
folder = site / "imblearn_eos-0.dist-info"
folder.mkdir(parents=True, exist_ok=True)
text = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".format_map(project)
(folder / "METADATA").write_text(text)
END
mkdir -p "$OUT"
[[ -e $OUT/gpu_day.jsonl || ! -e $CARRIED/gpu_day.jsonl ]] || cp "$CARRIED/gpu_day.jsonl" "$OUT"
export PYTHONPATH="$PWD:$SITE${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
# As `make test` sets it.
export SCIPY_ARRAY_API=1
exec "$PYTHON" benchmarks/gpu_day.py --output "$OUT/gpu_day.jsonl" \
  --data "$CARRIED"/*.npz "$@"
