#!/usr/bin/env bash
# The package and examples/c in aarch64 under qemu-user, against the same package here (tests/arm64).
#
#   PYTHON          a Python with gpt2-edge[dev] (default .venv/bin/python)
#   ARM64_VENV      folder of the aarch64 environment, made here (default .venv-arm64)
#   ARM64_CPUS      the processors, of those below (default: all of them)
#
# Needs an x86-64 Debian with apt-get, as any user: Debian's arm64 Python and, where none that is
# installed knows the processors, qemu are downloaded and unpacked in that folder; nothing is
# installed. What follows on the command line goes to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
environment=$(realpath -m "${ARM64_VENV:-.venv-arm64}")
# Kernels are chosen by what the processor has: without int8 dot products (Raspberry Pi 4), with them
# (Raspberry Pi 5), and with 8-bit matrix products and SVE (Graviton 3). Not qemu's default one (max).
cpus="cortex-a72 cortex-a76 neoverse-v1"
export ARM64_CPUS=${ARM64_CPUS:-$cpus}

fail() { echo "test-arm64: $*" >&2; exit 2; }

[ "$(uname -m)" = x86_64 ] || fail "compares Arm with x86-64, and this is $(uname -m); on Arm itself, 'make test' is the test"
command -v "$PYTHON" >/dev/null || fail "there is no $PYTHON; run 'make test' first, or set PYTHON"
onnxruntime=$("$PYTHON" -c 'import onnxruntime; print(onnxruntime.__version__)') ||
  fail "$PYTHON has no onnxruntime; run 'make test' first, or set PYTHON"

# shellcheck source=tools/debian-packages.sh
. tools/debian-packages.sh

knows_cpus() { # whether the command $1 is a qemu that has all processors
  local known cpu
  known=$("$1" -cpu help 2>/dev/null) || true # it lists them, and exits 1
  for cpu in $cpus; do grep -qw "$cpu" <<<"$known" || return; done
}

# ONNX Runtime reads the processor from here, and crashes on the description of an x86-64.
cpuinfo() { # processor
  local features="fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid" part number
  local newer="atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"
  local newest="jscvt fcma sha3 sm3 sm4 sha512 sve asimdfhm dit uscat ilrcpc flagm svei8mm svebf16 i8mm bf16 rng"
  case $1 in
  cortex-a72) part=0xd08 ;;
  cortex-a76) part=0xd0b features="$features $newer" ;;
  neoverse-v1) part=0xd40 features="$features $newer $newest" ;;
  *) fail "nobody has described the processor $1; there are: $cpus" ;;
  esac
  for ((number = 0; number < $(nproc --all); number++)); do
    cat <<EOF
processor	: $number
Features	: $features
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x1
CPU part	: $part
CPU revision	: 1

EOF
  done
}

# Debian 13's knows processors that Debian 12's does not, and is one static file.
download_qemu() {
  download_debian_packages "$environment/apt-qemu" amd64 trixie qemu-user
  mkdir -p "$environment/host" # of all the architectures that qemu has, 350 MB, only this one
  dpkg --fsys-tarfile "$environment"/apt-qemu/archives/qemu-user_*.deb |
    tar -x -C "$environment/host" ./usr/bin/qemu-aarch64
  rm -rf "$environment/apt-qemu"
  qemu=$environment/host/usr/bin/qemu-aarch64
  knows_cpus "$qemu" || fail "neither this machine's qemu nor Debian's has the processors $cpus"
}

set_up() {
  echo "setting up $environment"
  rm -rf "$environment"
  mkdir -p "$environment/bin" "$environment/root"

  local qemu= candidate
  for candidate in qemu-aarch64 qemu-aarch64-static; do
    if [ -z "$qemu" ] && knows_cpus "$candidate"; then qemu=$(command -v "$candidate"); fi
  done
  [ -n "$qemu" ] || download_qemu
  download_debian_packages "$environment/apt" arm64 - python3 libstdc++6
  local archives=$environment/apt/archives
  unpack_debian_packages "$archives" '*_all.deb' "$environment/root"
  unpack_debian_packages "$archives" '*_arm64.deb' "$environment/root"
  rm -rf "$environment/apt"

  local python
  python=$(readlink "$environment/root/usr/bin/python3") # python3.11
  local tags=() glibc
  for glibc in 17 24 26 27 28; do tags+=(--platform "manylinux_2_${glibc}_aarch64"); done
  # The set of docs/EMBEDDED.md: without the tokenizers library.
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --target "$environment/site" --no-deps \
    "${tags[@]}" --platform manylinux2014_aarch64 --implementation cp --only-binary=:all: \
    --python-version "${python#python}" "onnxruntime==$onnxruntime" numpy ||
    fail "pip found no aarch64 wheels of onnxruntime $onnxruntime for $python"

  local cpu root entry
  for cpu in $cpus; do
    root=$environment/root-$cpu # the same files, but another /proc/cpuinfo
    mkdir -p "$root/proc"
    for entry in "$environment"/root/*; do ln -s "$entry" "$root/"; done
    cpuinfo "$cpu" >"$root/proc/cpuinfo"
    printf '#!/bin/sh\n# An aarch64 program on a %s, under qemu.\nexec "%s" -cpu %s -L "%s" "$@"\n' \
      "$cpu" "$qemu" "$cpu" "$root" >"$environment/bin/run-$cpu"
    cat >"$environment/bin/python-$cpu" <<EOF
#!/bin/sh
# aarch64 Python with the runtime's dependencies.
export PYTHONPATH='$environment/site:$PWD/runtime:$PWD/export:$PWD/cli' PYTHONNOUSERSITE=1
exec '$environment/bin/run-$cpu' '$environment/root/usr/bin/$python' "\$@"
EOF
    chmod +x "$environment/bin/run-$cpu" "$environment/bin/python-$cpu"
    "$environment/bin/python-$cpu" -c 'import numpy, onnxruntime' ||
      fail "the aarch64 Python does not run on a $cpu under $qemu"
  done
}

# Made anew where this script, the project's place or ONNX Runtime are others; the mark comes last.
mark="$(cat "$0" tools/debian-packages.sh | sha256sum) $PWD $onnxruntime"
if [ "$(cat "$environment/ready" 2>/dev/null)" != "$mark" ]; then
  set_up
  echo "$mark" >"$environment/ready"
fi

export EMBEDDED_TOOLS=${EMBEDDED_TOOLS:-$PWD/.venv-embedded}
PYTHON=$PYTHON tools/embedded-tools.sh "$EMBEDDED_TOOLS"
export ARM64_ENVIRONMENT=$environment
OPENBLAS_NUM_THREADS=1 exec "$PYTHON" -m pytest -q tests/arm64 "$@"
