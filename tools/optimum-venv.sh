#!/usr/bin/env bash
# A Python environment with gpt2-edge[dev,optimum] and torch: tools/optimum-venv.sh [FOLDER]
#
#   FOLDER          where it is made (default .venv-optimum)
#   PYTHON          makes it where there are no Debian packages (default python3)
#
# PyPI's torch for Linux has CUDA with it: 2.7 GB to download, 4.7 GB unpacked. Debian's is built for
# the CPU, so on an x86-64 Debian torch comes from there, with the Python that it is built for and
# all their libraries, the C library too: 0.2 GB. They are unpacked in FOLDER/debian; nothing is
# installed, and this machine's Debian may be another release. The rest comes from PyPI, and
# on other systems everything.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
environment=$(realpath -m "${1:-.venv-optimum}")
# torch 2.6.0 for Python 3.13.
release=trixie

fail() { echo "optimum-venv: $*" >&2; exit 2; }
# shellcheck source=tools/debian-packages.sh
. tools/debian-packages.sh

from_debian() {
  [ "$(uname -m)" = x86_64 ] && command -v apt-get >/dev/null && [ -n "$(debian_mirror)" ]
}

write_python() { # the environment's own Python: Debian's, started by its own loader
  local debian=$environment/debian libraries python version
  libraries=$debian/usr/lib/x86_64-linux-gnu
  python=$(readlink "$debian/usr/bin/python3") # python3.13
  version=${python#python}
  mkdir -p "$environment/bin" "$environment/lib/$python/site-packages"
  # As of `python -m venv --system-site-packages`, but that bin/python cannot be a link.
  cat >"$environment/pyvenv.cfg" <<CFG
home = $debian/usr/bin
include-system-site-packages = true
version = $version
CFG
  cat >"$environment/bin/python" <<SH
#!/bin/sh
exec '$libraries/ld-linux-x86-64.so.2' --argv0 '$environment/bin/python' \\
  --library-path '$libraries:$libraries/openblas-pthread:$debian/usr/lib' \\
  '$debian/usr/bin/$python' "\$@"
SH
  chmod +x "$environment/bin/python"
  ln -s python "$environment/bin/python3"
}

set_up_from_debian() {
  local apt=$environment/apt
  mkdir -p "$apt"
  # What torch depends on for AMD's GPUs, and is not opened on a CPU.
  printf '%s\n' libamdhip64-5 libamd-comgr2 libllvm17t64 >"$apt/installed"
  download_debian_packages "$apt" amd64 $release python3-torch python3-pip-whl libopenblas0-pthread
  rm "$apt"/archives/libtorch-test_* # its own tests
  unpack_debian_packages "$apt/archives" '*.deb' "$environment/debian"
  write_python
  "$environment/bin/python" -c 'import torch' || fail "Debian's torch does not run here"
  # pip puts newer ones of Debian's packages in front of them if it need not remove anything.
  local package
  for package in "$environment"/debian/usr/lib/python3/dist-packages/*.dist-info; do
    [ -e "$package/RECORD" ] || : >"$package/RECORD"
  done
  rm -rf "$apt"
}

set_up() {
  echo "setting up $environment"
  rm -rf "$environment"
  local pip=(-m pip)
  if from_debian; then
    set_up_from_debian
    pip=("$(echo "$environment"/debian/usr/share/python-wheels/pip-*.whl)/pip")
  else
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
      fail "needs Python 3.10 or later; set PYTHON"
    "$PYTHON" -m venv "$environment"
  fi
  # Compiling all of it takes longer than compiling what is used, when it is.
  "$environment/bin/python" "${pip[@]}" install --quiet --disable-pip-version-check --no-compile \
    --editable '.[dev,optimum]' || fail "pip could not install gpt2-edge[dev,optimum]"
  "$environment/bin/python" -c 'import gpt2_edge, optimum.onnxruntime, pytest, torch' ||
    fail "what was installed in $environment does not run"
}

# Made anew where what is installed or the project's place are others; the mark comes last.
mark="$(cat "$0" tools/debian-packages.sh pyproject.toml | sha256sum) $environment"
if [ "$(cat "$environment/ready" 2>/dev/null)" != "$mark" ]; then set_up; fi
echo "$mark" >"$environment/ready" # newer than pyproject.toml: the Makefile looks at that
