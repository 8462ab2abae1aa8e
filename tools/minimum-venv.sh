#!/usr/bin/env bash
# A Python environment with gpt2-edge[dev] in which every dependency that pyproject.toml names is at
# its lower bound: tools/minimum-venv.sh [FOLDER]
#
#   FOLDER          where it is made (default .venv-minimum)
#   MINIMUM_PYTHON  makes it (default: Python 3.10, the oldest that is supported, from PATH or pyenv)
#
# uv resolves the versions ("lowest-direct": what our dependencies need in turn is as new as can be),
# pip installs them.
set -euo pipefail
cd "$(dirname "$0")/.."
environment=${1:-.venv-minimum}

fail() { echo "minimum-venv: $*" >&2; exit 2; }

oldest() { # the first Python 3.10 that runs (pyenv's shim of another version does not)
  local candidate
  for candidate in python3.10 "$(pyenv root 2>/dev/null || true)"/versions/3.10.*/bin/python; do
    if "$candidate" -c '' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
}

python=${MINIMUM_PYTHON:-$(oldest)}
[ -n "$python" ] || fail "there is no Python 3.10 here; set MINIMUM_PYTHON to one"
if [ "$environment/ready" -nt pyproject.toml ]; then
  exit
fi
echo "setting up $environment: $("$python" --version), every dependency at its lower bound"
"$python" -m venv --clear "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check uv
"$environment/bin/python" -m uv pip compile --quiet --native-tls --resolution lowest-direct \
  --extra dev --python "$environment/bin/python" pyproject.toml \
  --output-file "$environment/minimum.txt" || fail "uv found no versions that go together"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
  --requirement "$environment/minimum.txt"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
  --no-deps --editable .
touch "$environment/ready"
