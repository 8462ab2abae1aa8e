#!/usr/bin/env bash
# Publishes the library locally, looks at what is in it, and builds and runs library/example/, a program
# of ten lines, with Maven against those coordinates alone: its text must be the Python runtime's.
#
#   PYTHON=.venv/bin/python android_demo/library/test.sh
#
# After test-core.sh, whose package it takes.
set -euo pipefail
[[ ${PYTHON:-} == */* && $PYTHON != /* ]] && PYTHON=$PWD/$PYTHON
cd "$(dirname "${BASH_SOURCE[0]}")/.."
./publish-local.sh
source tools/jvm_env.sh
source tools/python_env.sh

wrong=0
must() { # words, command...
  if "${@:2}" >/dev/null; then echo "ok    $1"; else echo "WRONG $1" && wrong=$((wrong + 1)); fi
}
maven=build/maven/dev/gpt2edge
artifact() { echo "$maven/$1/$LIBRARY_VERSION/$1-$LIBRARY_VERSION$2"; }
has() { # archive, names in it
  local names
  names=$(unzip -Z1 "$1") || return
  local name
  for name in "${@:2}"; do grep -qxF "$name" <<<"$names" || { echo "$1 has no $name" >&2; return 1; }; done
}
version() { [[ $("$PYTHON" -c 'import gpt2_edge; print(gpt2_edge.__version__)') == "$LIBRARY_VERSION" ]]; }
must "the version is that of the Python package" version
must "the jar has classes, licence, the rules for R8 and the probe" \
  has "$(artifact gpt2-edge .jar)" dev/gpt2edge/Generator.class META-INF/LICENSE \
  META-INF/proguard/gpt2-edge.pro META-INF/core.kotlin_module dev/gpt2edge/int8_probe.onnx
must "its sources" has "$(artifact gpt2-edge -sources.jar)" dev/gpt2edge/Generator.kt
must "its KDoc" has "$(artifact gpt2-edge -javadoc.jar)" index.html gpt2-edge-kdoc/dev.gpt2edge/-generator/stream.html
must "the coroutines' jar, sources and KDoc" has "$(artifact gpt2-edge-coroutines .jar)" dev/gpt2edge/coroutines/CoroutinesKt.class
must "the AAR" has "$(artifact gpt2-edge-android .aar)" AndroidManifest.xml classes.jar proguard.txt R.txt
for name in gpt2-edge gpt2-edge-coroutines gpt2-edge-android; do
  must "$name's POM has a licence and a description" grep -q -z '<description>.*<name>.*</license>' "$(artifact "$name" .pom)"
done
java8() { # the version of class files: 52 is Java 8's
  [[ $(unzip -p "$1" "$2" | od -An -j6 -N2 -tu1 | tr -d ' \n') == 052 ]]
}
must "classes are Java 8's" java8 "$(artifact gpt2-edge .jar)" dev/gpt2edge/Generator.class
twice() {
  local before after
  before=$(sha256sum <"$(artifact gpt2-edge .jar)")
  ./publish-local.sh >/dev/null
  after=$(sha256sum <"$(artifact gpt2-edge .jar)")
  [[ $before == "$after" ]]
}
[[ -z ${REPRODUCE:-} ]] || must "the same sources make the same jar" twice

# ---- A user's program. Its own cache of artifacts, so that none of an earlier run is taken.
package=$PWD/core/build/testdata/packages/int4
[[ -d $package ]] || { echo "no $package: run test-core.sh first" >&2; exit 2; }
local_repository=$TOOLS/m2-example
rm -rf "$local_repository/dev/gpt2edge" build/example
cp -r library/example build/example
echo "building library/example with Maven" >&2
_mvn -f build/example/pom.xml "-Dmaven.repo.local=$local_repository" "-Dgpt2edge.repository=file://$PWD/build/maven" \
  "-Dgpt2edge.version=$LIBRARY_VERSION" "-Dkotlin.version=$KOTLIN_VERSION" "-Donnxruntime.version=$ONNXRUNTIME_VERSION" \
  -Dkotlin.compiler.daemon=false compile
text=$(mvn --batch-mode --quiet -f build/example/pom.xml "-Dmaven.repo.local=$local_repository" \
  "-Dgpt2edge.repository=file://$PWD/build/maven" "-Dgpt2edge.version=$LIBRARY_VERSION" \
  "-Donnxruntime.version=$ONNXRUNTIME_VERSION" exec:java "-Dexec.args='$package' 'It was'" | sed 's/\x1b\[[0-9;]*m//g') # Maven's colours
expected=$(python - "$package" <<'END'
import sys
from gpt2_edge import GenerationConfig, Generator
print(Generator.load(sys.argv[1]).generate("It was", GenerationConfig(max_new_tokens=20, temperature=0)).text)
END
)
same() { [[ -n $expected && $text == "$expected" ]]; }
must "library/example writes what Python writes: $text" same
lines() { [[ $(grep -c . library/example/src/main/kotlin/Main.kt) -le 10 ]]; }
must "it has ten lines" lines

[[ $wrong == 0 ]] || { echo "$wrong of the points above are wrong" >&2; exit 1; }
