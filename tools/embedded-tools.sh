#!/usr/bin/env bash
# What the tests of examples/ need, in one folder: tools/embedded-tools.sh [FOLDER]
#
#   FOLDER    where it is made (default .venv-embedded); nothing is done if it is up to date
#   PYTHON    makes it (default .venv/bin/python)
#
# bin/ has a C compiler for other processors (zig) and a linter for Dockerfiles (hadolint), from PyPI
# by their hashes; include/ has ONNX Runtime's C headers, from Debian's libonnxruntime-dev.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
environment=$(realpath -m "${1:-.venv-embedded}")
header_sha256=7783e9664bdb0b1b36145b5c8587dd1bc9a399aa000edf2e3dd03003cafc6882

fail() { echo "embedded-tools: $*" >&2; exit 2; }

# shellcheck source=tools/debian-packages.sh
. tools/debian-packages.sh

mark=$(cat "$0" tools/embedded-requirements.txt tools/debian-packages.sh | sha256sum)
exec 8<"$0" # two suites of `make check` may ask for it at once
flock 8
[ "$(cat "$environment/ready" 2>/dev/null)" != "$mark" ] || exit 0
[ "$(uname -m)" = x86_64 ] || fail "its tools are pinned for x86-64, and this is $(uname -m)"
echo "setting up $environment"
"$PYTHON" -m venv --clear "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
  --require-hashes --requirement tools/embedded-requirements.txt
download_debian_packages "$environment/apt" amd64 trixie libonnxruntime-dev
unpack_debian_packages "$environment/apt/archives" 'libonnxruntime-dev_*.deb' "$environment/apt/root"
mkdir "$environment/include/onnxruntime"
cp "$environment"/apt/root/usr/include/onnxruntime/*.h "$environment/include/onnxruntime/"
rm -rf "$environment/apt"
sha256sum --check --quiet <<<"$header_sha256  $environment/include/onnxruntime/onnxruntime_c_api.h" ||
  fail "Debian's onnxruntime_c_api.h is another than the one that examples/c was written for"
echo "$mark" >"$environment/ready"
