#!/usr/bin/env bash
# Our packages in the ecosystem's loaders, and optimum's in ours (tests/ecosystem).
#
#   PYTHON          makes the environments (default python3)
#   OPTIMUM_VENV    with gpt2-edge[dev,optimum], the one of 'make test-optimum' (default .venv-optimum)
#   GENAI_VENV      with onnxruntime-genai and nothing of ours (default .venv-genai)
#
# Where npm is, transformers.js is installed, too (tests/ecosystem/in_node, 0.5 GB on disk).
# Environments are made where they are missing, 0.4 GB of downloads where torch comes from Debian
# (tools/optimum-venv.sh). What follows on the command line goes to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
optimum=${OPTIMUM_VENV:-.venv-optimum}
genai=${GENAI_VENV:-.venv-genai}
genai_version=0.18.0

fail() { echo "test-ecosystem: $*" >&2; exit 2; }

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  fail "needs Python 3.10 or later; set PYTHON"

PYTHON=$PYTHON tools/optimum-venv.sh "$optimum"

# The same ONNX Runtime in both, so that the same kernels are compared.
onnxruntime=$("$optimum/bin/python" -c 'import onnxruntime; print(onnxruntime.__version__)')
wanted="onnxruntime-genai==$genai_version onnxruntime==$onnxruntime"
if [ "$(cat "$genai/ready" 2>/dev/null)" != "$wanted" ]; then
  echo "setting up $(realpath -s "$genai")"
  "$PYTHON" -m venv --clear "$genai"
  # shellcheck disable=SC2086  # two requirements
  "$genai/bin/python" -m pip install --quiet --disable-pip-version-check $wanted ||
    fail "pip could not install $wanted"
  echo "$wanted" >"$genai/ready"
fi

# onnxruntime-node would download libraries for CUDA.
if command -v npm >/dev/null && cd tests/ecosystem/in_node; then
  if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
    ONNXRUNTIME_NODE_INSTALL=skip npm ci --no-audit --no-fund --loglevel=error ||
      fail "npm could not install transformers.js"
  fi
  cd ../../..
fi

GENAI_PYTHON=$(realpath -s "$genai")/bin/python
# One thread: torch's wait for each other by spinning, which on a busy machine takes minutes.
export GENAI_PYTHON HF_HUB_OFFLINE=1 OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
exec "$optimum/bin/python" -m pytest -q tests/ecosystem "$@"
