#!/usr/bin/env bash
# Tests android_demo/core and coroutines on the JVM, against ONNX Runtime's own jar and the Python runtime.
#
#   PYTHON=.venv/bin/python android_demo/test-core.sh [options of JUnit's console runner]
#   ... android_demo/test-core.sh --include-classname '.*TokenizerTest'
#
# PYTHON needs the project installed with its export. Everything else is fetched into .tools/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source tools/jvm_env.sh
source tools/python_env.sh
source tools/build_core.sh

build_core_tests
shared=()
[[ -d ../../shared/data/tokenizer ]] && shared=(--shared ../../shared)
python core/src/test/python/make_vectors.py core/build/testdata "${shared[@]}"
packages=core/build/testdata/packages
python reduced/operators.py --check reduced/required_operators.config ../runtime/gpt2_edge/graph/int8_probe.onnx \
  "$packages"/{int4,int8,int8-row,int4-float16-cache,int4-int8-cache,mixed,large,large-int4}

# 64 MB: what the tests show is that neither model nor cache is on the Java heap. ONNX Runtime itself
# writes to stderr what is wrong with the damaged graphs that the tests make: of no interest if they pass.
shown_if_it_fails core/build/tests.log 'tests (found|skipped|successful|failed)' \
  java -Xmx64m \
  "-Dgpt2edge.testdata=$PWD/core/build/testdata" "-Dgpt2edge.repository=$(cd .. && pwd)" \
  -jar "$JUNIT_JAR" execute -cp "$COROUTINES_TEST_CP" \
  --scan-classpath "$CORE_TEST_CLASSES:$COROUTINES_TEST_CLASSES" \
  --disable-banner --details summary --fail-if-no-tests "$@"
