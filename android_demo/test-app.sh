#!/usr/bin/env bash
# Tests the application on Android's own framework: its DEX, manifest, resources and assets are read
# back out of the APK, the DEX is translated to class files, and Robolectric runs them on Android 8 and
# 14 with ONNX Runtime's jar for this machine.
#
#   PYTHON=.venv/bin/python android_demo/test-app.sh [classes of app/src/test, as ImportTest]
#
# Builds the APK first, unless it is up to date. Everything else is fetched into .tools/.
set -euo pipefail
[[ ${PYTHON:-} == */* && $PYTHON != /* ]] && PYTHON=$PWD/$PYTHON
cd "$(dirname "${BASH_SOURCE[0]}")"
PYTHON=${PYTHON:-} ./build.sh
source tools/jvm_env.sh
source tools/android_env.sh
source tools/python_env.sh
_require_command enjarify enjarify

fetch_jars "$TOOLS/robolectric" "org.robolectric:robolectric:$ROBOLECTRIC_VERSION" "junit:junit:$JUNIT4_VERSION"
for version in "$ANDROID_OLDEST" "$ANDROID_LATEST"; do
  fetch_file "$TOOLS/android" "org.robolectric:android-all-instrumented:$version-$ROBOLECTRIC_PATCH:jar"
done
for aar in "$TOOLS"/robolectric/*.aar; do
  [[ -f $aar.jar ]] || unzip -p "$aar" classes.jar >"$aar.jar"
done

# Gradle's versions are a second list: it must say the same.
for pin in kotlin:KOTLIN_VERSION onnxruntime:ONNXRUNTIME_VERSION robolectric:ROBOLECTRIC_VERSION junit4:JUNIT4_VERSION; do
  name=${pin#*:}
  grep -qx "${pin%%:*} = \"${!name}\"" gradle/libs.versions.toml || {
    echo "gradle/libs.versions.toml: ${pin%%:*} is not ${!name}, which tools/ has as $name" >&2
    exit 1
  }
done

robolectric=$(printf '%s:' "$TOOLS"/robolectric/*.jar)

apk=$PWD/build/gpt2-edge-demo.apk
sources=app/src/test
test=$PWD/build/test
mkdir -p "$test"
exec 8>"$test/lock"
flock 8
wanted=$(sha256sum "$apk" tools/dex_to_jar.py tools/*versions.env test-app.sh | sha256sum)
if [[ ! -f $test/app.complete || $(<"$test/app.complete") != "$wanted" ]]; then
  rm -rf "$test"/{app,resources,app.complete}
  unzip -q "$apk" 'assets/*' 'dev/*' -d "$test/app"
  /usr/bin/python3 tools/dex_to_jar.py "$apk" "$test/app.jar"
  mkdir -p "$test/resources/com/android/tools"
  cat >"$test/resources/com/android/tools/test_config.properties" <<END
android_resource_apk=$apk
android_merged_manifest=$PWD/build/work/AndroidManifest.xml
android_merged_assets=$test/app/assets
android_custom_package=$APPLICATION_ID
END
  python - "$test/app/assets/packages/sample-int4" >"$test/expected.txt" <<'END'
import sys
from gpt2_edge import GenerationConfig, Generator
result = Generator.load(sys.argv[1]).generate("It was", GenerationConfig(max_new_tokens=60))
sys.stdout.write("It was" + result.text)
END
  echo "$wanted" >"$test/app.complete"
fi
wanted=$(cat "$test/app.complete" <(find "$sources" -name '*.kt' -print0 | sort -z | xargs -0 sha256sum) | sha256sum)
if [[ ! -f $test/classes.complete || $(<"$test/classes.complete") != "$wanted" ]]; then
  echo "compiling $sources" >&2
  rm -rf "$test"/{classes,classes.complete}
  # Against what kotlinc made: the translated classes lack Kotlin's metadata.
  kotlinc -jvm-target 11 -module-name app_test -Xfriend-paths="$PWD/build/work/classes" \
    -cp "$PWD/build/work/classes:$KOTLIN_STDLIB:$ANDROID_OLDEST_JAR:$robolectric" -d "$test/classes" "$sources"
  echo "$wanted" >"$test/classes.complete"
fi

tests=("$@")
[[ $# != 0 ]] || mapfile -t tests < <(grep -l '@Test' -r "$sources" | sed 's,.*/,,; s,\.kt$,,' | sort)
# The APK's code comes first; behind it all of Kotlin's library, for the tests: R8 left in the APK what the
# application uses, under other names. Where a constructor does nothing R8 calls its superclass's in its place, which
# Android's verifier takes and Java's does not: hence without the latter.
#
# Robolectric reads the descriptor in a FileDescriptor. It also prints a warning with a stack trace for
# every Surface that the framework's garbage collector finds open (StrictMode's CloseGuard; Robolectric
# has no window manager to release them), and that it has SDK 36 for a later Java only: hundreds of
# lines that look like failures and are none.
shown_if_it_fails "$test/tests.log" '^skipped |passed, ' \
  java -Xmx1g -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote \
  --add-opens java.base/java.io=ALL-UNNAMED -Djava.security.manager=allow -Drobolectric.offline=true "-Drobolectric.dependency.dir=$TOOLS/android" \
  "-Dgpt2edge.expectedText=$test/expected.txt" "-Dgpt2edge.pictures=$PWD/build/pictures" \
  -cp "$test/classes:$sources/resources:$test/resources:$test/app.jar:$test/app:$KOTLIN_STDLIB:$ORT_JAR:$robolectric$ANDROID_LATEST_JAR" \
  dev.gpt2edge.demo.RunTestsKt "${tests[@]}"
