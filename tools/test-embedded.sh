#!/usr/bin/env bash
# examples/ and docs/EMBEDDED.md: the C program beside Python, the Dockerfile's linter and what it
# installs, and the runtime on two wheels in a new environment (tests/embedded).
#
#   PYTHON          a Python with gpt2-edge[dev] (default .venv/bin/python)
#   EMBEDDED_TOOLS  where tools/embedded-tools.sh puts its own (default .venv-embedded)
#
# What follows on the command line goes to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
export EMBEDDED_TOOLS=${EMBEDDED_TOOLS:-$PWD/.venv-embedded}
PYTHON=$PYTHON tools/embedded-tools.sh "$EMBEDDED_TOOLS"
OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 exec "$PYTHON" -m pytest -q tests/embedded "$@"
