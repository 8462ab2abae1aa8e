#!/usr/bin/env bash
# Everything of the browser runtime: set-up, formatting, types, build, tests in Node and Chromium.
#   PYTHON=.venv/bin/python web/test.sh
# PYTHON (default python3) is one with gpt2-edge[export,server]: it makes the packages that are
# compared, and serves one to the playground.
set -euo pipefail

PYTHON=${PYTHON:-python3}
# A path is meant from where the script was called; a bare name is looked up.
case $PYTHON in */*) PYTHON=$(cd "$(dirname "$PYTHON")" && pwd)/$(basename "$PYTHON") ;; esac
cd "$(dirname "$0")"

fail() {
  echo "web/test.sh: $*" >&2
  exit 2
}

command -v npm >/dev/null || fail "npm is missing; install Node.js 20 or later"
node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' ||
  fail "Node.js $(node --version) is too old; 20 or later is needed"
"$PYTHON" -c 'import gpt2_edge, gpt2_edge_export, gpt2_edge_server, onnx, starlette, uvicorn' ||
  fail "$PYTHON has no gpt2-edge[export,server]; set PYTHON to one that has"

if [ ! -x "${CHROMIUM:=/usr/bin/chromium}" ]; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
    fail "$CHROMIUM is missing; install Chromium, or set CHROMIUM to where it is"
  apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >/dev/null; }
  apt update
  apt install -y --no-install-recommends chromium fonts-dejavu-core
fi
export CHROMIUM PYTHON

# npm ci takes everything away first; it is needed only when the lock file is newer. onnxruntime-node
# would download libraries for CUDA.
for folder in . examples; do
  if [ ! "$folder/node_modules/.package-lock.json" -nt "$folder/package-lock.json" ]; then
    ONNXRUNTIME_NODE_INSTALL=skip npm --prefix "$folder" ci --no-audit --no-fund --loglevel=error
  fi
done

npm run --silent lint
rm -rf build/src build/local build/scripts build/tests build/playground
npm run --silent build
OPENBLAS_NUM_THREADS=1 "$PYTHON" tests/make_packages.py build/packages
npm run --silent test
echo "web/test.sh: passed"
