#!/usr/bin/env bash
# Makes benchmarks/peers/.venv: the libraries that endline is compared with, in an environment of their own, from which
# nothing enters the project's. Needs Python 3.11, 7 GB of disk and about ten minutes. All of them compute on the CPU.
set -euo pipefail
cd "$(dirname "$0")"
python3 -m venv .venv
.venv/bin/pip install --quiet --upgrade "pip<26.2"
.venv/bin/pip install --quiet -r requirements.txt
.venv/bin/pip check  # before endline is seen: what it requires is not wanted here
# The code of endline's backbone is read where it lies, so that all see the same network; endline is not installed.
(cd ../../src && pwd) > "$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/endline.pth"
