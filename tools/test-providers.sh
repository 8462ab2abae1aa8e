#!/usr/bin/env bash
# Execution providers that any machine can run: their tests, and the tables of docs/PROVIDERS.md.
#
#   tools/test-providers.sh             all of it
#   tools/test-providers.sh openvino    the tests on OpenVINO alone; cuda: those on an NVIDIA GPU
#
#   PYTHON    a Python with gpt2-edge[export] (default .venv/bin/python)
#
# Makes .venv-openvino, .venv-webgpu and, where nvidia-smi finds a GPU, .venv-cuda. WebGPU runs on SwiftShader, the software GPU inside Debian's
# chromium package; where that is not installed and cannot be, its rows and tests say so.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
command -v "$PYTHON" >/dev/null || {
  echo "test-providers: there is no $PYTHON; run 'make test' first, or set PYTHON" >&2
  exit 2
}

run_tests() { # name
  echo "test-providers: tests on $1" >&2
  PYTHONPATH=$PWD/runtime:$PWD/export:$PWD/cli OPENBLAS_NUM_THREADS=1 \
    timeout 900 ".venv-$1/bin/python" -m pytest -q "tests/providers/test_$1.py"
}

environment() { # name, wheel: a virtual environment with it and what exporting and testing need
  local folder=.venv-$1
  if [ ! -e "$folder/ready" ]; then
    echo "test-providers: setting up $folder" >&2
    "$PYTHON" -m venv --clear "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
      "$2" numpy tokenizers onnx safetensors ml_dtypes tqdm pytest
    touch "$folder/ready"
  fi
}

install_software_gpu() {
  local apt=(apt-get --quiet --yes --option DPkg::Lock::Timeout=300)
  echo "test-providers: installing chromium and libvulkan1" >&2
  # Lists may be missing or old: update only where they do not do.
  "${apt[@]}" --no-install-recommends install chromium libvulkan1 >/dev/null 2>&1 ||
    { "${apt[@]}" update >/dev/null 2>&1 &&
      "${apt[@]}" --no-install-recommends install chromium libvulkan1 >/dev/null; } ||
    true
}

case ${1:-} in
  '' | openvino) ;;
  cuda)
    environment cuda 'onnxruntime-gpu[cuda,cudnn]'
    run_tests cuda
    exit ;;
  *) echo "test-providers: alone there are only openvino and cuda, not $1" >&2; exit 2 ;;
esac
environment openvino onnxruntime-openvino
[ $# = 0 ] || { run_tests openvino; exit; }
providers=(openvino)

driver=/usr/lib/chromium/vk_swiftshader_icd.json
has_software_gpu() { [ -e "$driver" ] && ldconfig -p | grep libvulkan.so.1 >/dev/null; }
if ! has_software_gpu && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  install_software_gpu
fi
if has_software_gpu; then
  environment webgpu onnxruntime-webgpu==1.27.0
  providers+=(webgpu)
  export VK_DRIVER_FILES=$driver XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
else
  echo "test-providers: no $driver or no libvulkan.so.1 (Debian's chromium and libvulkan1):" \
    "webgpu is not run" >&2
fi

if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
  environment cuda 'onnxruntime-gpu[cuda,cudnn]'
  providers+=(cuda)
fi

export PYTHONPATH=$PWD/runtime:$PWD/export:$PWD/cli OPENBLAS_NUM_THREADS=1
failed=0
pythons=()
for provider in "${providers[@]}"; do
  pythons+=(--python "$provider=.venv-$provider/bin/python")
  run_tests "$provider" || failed=1
done
"$PYTHON" tools/providers.py "${pythons[@]}" || failed=1
echo
for provider in cpu "${providers[@]}"; do
  [ "$provider" = openvino ] && continue # its tensors lie on the host
  python=.venv-$provider/bin/python
  [ "$provider" = cpu ] && python=$PYTHON
  "$python" tools/measure_topk.py "$provider" || failed=1
done
exit "$failed"
