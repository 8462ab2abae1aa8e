#!/usr/bin/env bash
# Packages of the sample model on the providers that any machine can run (tools/providers.py).
#
#   PYTHON    a Python with gpt2-edge[export] (default .venv/bin/python)
#
# Makes .venv-openvino and .venv-webgpu. WebGPU runs on SwiftShader, the software GPU inside Debian's
# chromium package; where that is not installed and cannot be, its rows say so.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
command -v "$PYTHON" >/dev/null || {
  echo "test-providers: there is no $PYTHON; run 'make test' first, or set PYTHON" >&2
  exit 2
}

environment() { # name, wheel: a virtual environment with it and what the runtime needs
  local folder=.venv-$1
  if [ ! -e "$folder/ready" ]; then
    "$PYTHON" -m venv --clear "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$2" numpy tokenizers
    touch "$folder/ready"
  fi
}

environment openvino onnxruntime-openvino
pythons=(--python openvino=.venv-openvino/bin/python)

driver=/usr/lib/chromium/vk_swiftshader_icd.json
if ! { [ -e "$driver" ] && ldconfig -p | grep -q libvulkan.so.1; } && [ "$(id -u)" = 0 ]; then
  apt-get install --yes --quiet chromium libvulkan1 >/dev/null 2>&1 || true
fi
if [ -e "$driver" ]; then
  environment webgpu onnxruntime-webgpu==1.27.0
  pythons+=(--python webgpu=.venv-webgpu/bin/python)
  export VK_DRIVER_FILES=$driver XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
else
  echo "test-providers: no $driver (Debian's chromium): webgpu is not run" >&2
fi
exec "$PYTHON" tools/providers.py "${pythons[@]}"
