# Source this after jvm_env.sh: Python with the project and with the ONNX Runtime that the JVM has,
# because other versions round otherwise and then write other texts.
#   PYTHON         of the environment, or the repository's .venv, or python3
#   python ARGS... runs it
# Only onnxruntime's wheel is fetched, beside the environment, which stays as it is.

_repository=$(cd "$ANDROID_DEMO/.." && pwd)
if [[ -z ${PYTHON:-} ]]; then
  PYTHON=python3
  [[ -x $_repository/.venv/bin/python ]] && PYTHON=$_repository/.venv/bin/python
elif [[ $PYTHON == */* && $PYTHON != /* && -x ${OLDPWD:-}/$PYTHON ]]; then
  # Meant from where the script was started, which has changed into android_demo since.
  PYTHON=$OLDPWD/$PYTHON
fi
_onnxruntime_folder=

python() { PYTHONPATH=$_onnxruntime_folder${PYTHONPATH:+:$PYTHONPATH} "$PYTHON" "$@"; }

_set_up_python() {
  if ! "$PYTHON" -c 'import gpt2_edge, gpt2_edge_cli.verbs.export' 2>/dev/null; then
    echo "$PYTHON has no gpt2-edge with its export: make .venv/ready, or set PYTHON" >&2
    return 2
  fi
  local version
  version=$("$PYTHON" -c 'import onnxruntime; print(onnxruntime.__version__)') || return
  [[ $version == "$ONNXRUNTIME_VERSION" ]] && return
  # Wheels are built for one Python: the folder is named by it.
  _onnxruntime_folder=$TOOLS/onnxruntime-$ONNXRUNTIME_VERSION-$(
    "$PYTHON" -c 'import sys; print(sys.implementation.cache_tag)'
  )
  (
    exec 9>"$TOOLS/lock"
    flock 9
    [[ -f $_onnxruntime_folder/.complete ]] && exit
    echo "fetching onnxruntime $ONNXRUNTIME_VERSION for $PYTHON, which has $version" >&2
    rm -rf "$_onnxruntime_folder"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps \
      --target "$_onnxruntime_folder" "onnxruntime==$ONNXRUNTIME_VERSION" || exit
    touch "$_onnxruntime_folder/.complete"
  )
}
_set_up_python
