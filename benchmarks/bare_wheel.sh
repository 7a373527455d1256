#!/usr/bin/env bash
# Build the wheel, install it alone in an environment of its own, and judge simulated photographs by a published model, outside
# of any project: it prints the same verdicts as the project's own environment.
# Run in the project's folder: `benchmarks/bare_wheel.sh`; ten minutes and 7 GB of a temporary folder.
set -euo pipefail
bin=$(realpath "${BIN:-.venv/bin}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/project/src" "$work/elsewhere" "$work/source"
cp -r conf pyproject.toml .telemetry "$work/project"
cp -r src pyproject.toml README.md LICENSE "$work/source"  # an older build in the project would get into the wheel
"$bin/python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work" "$work/source"
(cd "$work/project" && "$bin/kedro" run --pipeline=surface_image \
    --params=raw=simulated,normals=40,test_normals=10,faulty=12,detector=padim)
mv "$work"/project/data/06_models/surface_image/model/*/model "$work/model"
mv "$work/project/data/01_raw/surface_image_simulated/surface/test" "$work/photographs"
(cd "$work/elsewhere" && "$bin/endline" inspect --run="$work/model" "$work/photographs" > "$work/own.txt")
rm -r "$work/project"

"$bin/python" -m venv "$work/bare"
env -u PYTHONPATH "$work/bare/bin/pip" install --quiet "$work"/endline-*.whl
cd "$work/elsewhere"
unset PYTHONPATH
"$work/bare/bin/endline" --help
"$work/bare/bin/endline" inspect --run="$work/model" "$work/photographs" | tee "$work/bare.txt"
diff "$work/own.txt" "$work/bare.txt"
"$work/bare/bin/endline" watch --run="$work/model" --output=verdicts.csv --once "$work/photographs" | tail -n 1
"$work/bare/bin/python" - "$work/model" "$(find "$work/photographs" -name 000.png | head -n 1)" <<'PYTHON'
import sys
from importlib.resources import files

import endline

shown = endline.Inspector.load(sys.argv[1]).explain(sys.argv[2]).exhibit()
print("explained in", len(shown.figures), "pictures;", files("endline.reporting") / "templates/report.html.jinja")
assert all((files("endline") / name).is_file() for name in ("py.typed", "simulation/robot/robot_arm.xml"))
PYTHON
du -sh "$work/bare" | cut -f 1
echo "The wheel judges alone, as the project does."
