#!/usr/bin/env bash
# The package in aarch64 Python under qemu-user, against the same package here (tests/arm64).
#
#   PYTHON          a Python with gpt2-edge[dev] (default .venv/bin/python)
#   ARM64_VENV      folder of the aarch64 environment, made here (default .venv-arm64)
#
# Needs an x86-64 Debian with apt-get, as any user: Debian's arm64 Python and, where it is not
# installed, qemu are downloaded and unpacked in that folder; nothing is installed. What follows
# on the command line goes to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
environment=$(realpath -m "${ARM64_VENV:-.venv-arm64}")
# A plain core with int8 dot products. In qemu's default one (max) ONNX Runtime takes kernels for
# newer extensions, which qemu 7.2 was seen to compute wrongly. /proc/cpuinfo below is this core's.
cpu=cortex-a76

fail() { echo "test-arm64: $*" >&2; exit 2; }

[ "$(uname -m)" = x86_64 ] || fail "compares Arm with x86-64, and this is $(uname -m); on Arm itself, 'make test' is the test"
command -v "$PYTHON" >/dev/null || fail "there is no $PYTHON; run 'make test' first, or set PYTHON"
onnxruntime=$("$PYTHON" -c 'import onnxruntime; print(onnxruntime.__version__)') ||
  fail "$PYTHON has no onnxruntime; run 'make test' first, or set PYTHON"

# shellcheck source=tools/debian-packages.sh
. tools/debian-packages.sh

knows_cpu() { # whether the command $1 is a qemu that has the processor
  local known
  known=$("$1" -cpu help 2>/dev/null) || true # it lists them, and exits 1
  grep -qw "$cpu" <<<"$known"
}

set_up() {
  echo "setting up $environment"
  rm -rf "$environment"
  mkdir -p "$environment/bin" "$environment/root/proc"

  local packages=(python3 libstdc++6) qemu= candidate
  for candidate in qemu-aarch64 qemu-aarch64-static; do
    if [ -z "$qemu" ] && knows_cpu "$candidate"; then qemu=$(command -v "$candidate"); fi
  done
  [ -n "$qemu" ] || packages+=(qemu-user-static:amd64)
  download_debian_packages "$environment/apt" arm64 - "${packages[@]}"
  local archives=$environment/apt/archives package
  unpack_debian_packages "$archives" '*_all.deb' "$environment/root"
  unpack_debian_packages "$archives" '*_arm64.deb' "$environment/root"
  for package in "$archives"/*_amd64.deb; do
    [ -e "$package" ] || continue
    mkdir -p "$environment/host" # of all the architectures that qemu has, 350 MB, only this one
    dpkg --fsys-tarfile "$package" |
      tar -x -C "$environment/host" --wildcards './usr/bin/qemu-aarch64*' 2>/dev/null || true
  done
  for candidate in "$environment"/host/usr/bin/qemu-aarch64{-static,}; do
    if [ -z "$qemu" ] && knows_cpu "$candidate"; then qemu=$candidate; fi
  done
  [ -n "$qemu" ] || fail "neither this machine's qemu nor Debian's has the processor $cpu"
  # ONNX Runtime reads the processor from here, and crashes on the description of an x86-64.
  local number
  for ((number = 0; number < $(nproc --all); number++)); do
    cat <<EOF
processor	: $number
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x4
CPU part	: 0xd0b
CPU revision	: 1

EOF
  done >"$environment/root/proc/cpuinfo"

  local python
  python=$(readlink "$environment/root/usr/bin/python3") # python3.11
  local tags=() glibc
  for glibc in 17 24 26 27 28; do tags+=(--platform "manylinux_2_${glibc}_aarch64"); done
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --target "$environment/site" \
    "${tags[@]}" --platform manylinux2014_aarch64 --implementation cp --only-binary=:all: \
    --python-version "${python#python}" "onnxruntime==$onnxruntime" numpy tokenizers ||
    fail "pip found no aarch64 wheels of onnxruntime $onnxruntime for $python"

  cat >"$environment/bin/python" <<EOF
#!/bin/sh
# aarch64 Python with the runtime's dependencies, under qemu.
export PYTHONPATH='$environment/site:$PWD/runtime:$PWD/export:$PWD/cli' PYTHONNOUSERSITE=1
exec '$qemu' -cpu $cpu -L '$environment/root' '$environment/root/usr/bin/$python' "\$@"
EOF
  chmod +x "$environment/bin/python"
  "$environment/bin/python" -c 'import numpy, onnxruntime, tokenizers' ||
    fail "the aarch64 Python does not run under $qemu"
  rm -rf "$environment/apt"
}

# Made anew where this script, the project's place or ONNX Runtime are others; the mark comes last.
mark="$(cat "$0" tools/debian-packages.sh | sha256sum) $PWD $onnxruntime"
if [ "$(cat "$environment/ready" 2>/dev/null)" != "$mark" ]; then
  set_up
  echo "$mark" >"$environment/ready"
fi

export ARM64_PYTHON=$environment/bin/python
OPENBLAS_NUM_THREADS=1 exec "$PYTHON" -m pytest -q tests/arm64 "$@"
