#!/usr/bin/env bash
# Builds a signed debug APK from the sources that Gradle builds, without Gradle or an Android SDK.
#
#   PYTHON=.venv/bin/python android_demo/build.sh
#
# PYTHON needs the project installed with its export, for the bundled package. Everything else is
# fetched into .tools/. The results are build/gpt2-edge-demo.apk, for all ABIs, one for each, and
# build/mapping.txt, which has the names back that R8 took; nothing is done if they are up to date.
#
# ONNXRUNTIME_AAR=FILE   an onnxruntime-android AAR to take instead of the one that is fetched
set -euo pipefail
[[ ${PYTHON:-} == */* && $PYTHON != /* ]] && PYTHON=$PWD/$PYTHON
[[ ${ONNXRUNTIME_AAR:-/} != /* ]] && ONNXRUNTIME_AAR=$PWD/$ONNXRUNTIME_AAR
cd "$(dirname "${BASH_SOURCE[0]}")"
started=$SECONDS
if [[ $# != 0 ]]; then
  sed -n '2,/^set/s/^# \{0,1\}//p' build.sh | sed '$d' >&2
  exit 2
fi
source tools/jvm_env.sh
source tools/android_env.sh
source tools/python_env.sh
onnxruntime_android

abis=(arm64-v8a x86_64)
main=app/src/main
probe=../runtime/gpt2_edge/graph/int8_probe.onnx
build=$ANDROID_DEMO/build
work=$build/work
apk=$build/gpt2-edge-demo.apk
mkdir -p "$build"
exec 8>"$build/lock"
flock 8
hashes_of() { find "$@" -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum | sha256sum; }

# ---- The bundled package, exported anew when the sample or what exports it has changed
sample=$build/assets/packages/sample-int4
sample_hashes=$(hashes_of ../models/sample ../export ../runtime build.sh)
if [[ ! -f $build/assets.complete || $(<"$build/assets.complete") != "$sample_hashes" ]]; then
  echo "exporting models/sample to int4" >&2
  rm -rf "$build/assets" "$build/assets.complete"
  mkdir -p "$(dirname "$sample")"
  # Its quality, for the page of packages, on the beginning of the exporter's text: all of that takes longer
  # than the rest of the export.
  head -n 140 ../export/gpt2_edge_export/texts/report.txt >"$build/report-part.txt"
  python -m gpt2_edge export ../models/sample -o "$sample" --recipe int4 --report-text "$build/report-part.txt" >&2
  echo "$sample_hashes" >"$build/assets.complete"
fi

wanted=$(hashes_of "$build/assets" "$main" app/rules.pro core/src/main \
  library/consumer-rules.pro build.sh tools "$probe" "$ONNXRUNTIME_AAR")
if [[ -f $apk && -f $build/apk.complete && $(<"$build/apk.complete") == "$wanted" ]]; then
  echo "$apk is up to date"
  exit
fi
rm -rf "$work" "$build/apk.complete"
mkdir -p "$work"/{classes,apk/lib}

# ---- ONNX Runtime for Android
unzip -q -o "$ONNXRUNTIME_AAR" classes.jar 'jni/*' -d "$work/aar"
for abi in "${abis[@]}"; do
  mkdir "$work/apk/lib/$abi"
  for library in libonnxruntime.so libonnxruntime4j_jni.so; do
    cp "$work/aar/jni/$abi/$library" "$work/apk/lib/$abi/" || {
      echo "$ONNXRUNTIME_AAR has no jni/$abi/$library; is it onnxruntime-android's?" >&2
      exit 2
    }
  done
done
onnxruntime_classes=$work/aar/classes.jar
rules=(app/rules.pro library/consumer-rules.pro)
if unzip -q -o "$ONNXRUNTIME_AAR" proguard.txt -d "$work/aar" 2>/dev/null; then rules+=("$work/aar/proguard.txt"); fi

# ---- Resources. What Gradle adds to the manifest and takes out of it by itself is done here.
sed -e '/tools:node="remove"/d' \
  -e "s/<manifest /<manifest package=\"$APPLICATION_ID\" /" \
  -e 's/<application$/<application android:extractNativeLibs="false"/' \
  "$main/AndroidManifest.xml" >"$work/AndroidManifest.xml"
# Debian's aapt2 does not know a service's <property> yet, hence --warn-manifest-validation.
# aapt2 warns of parts of the framework's jar that are newer than itself or compressed.
quietly() { "$@" 2> >(grep -v -e 'Unknown chunk type' -e 'resources.arsc in APK' -e 'unexpected element <property>' >&2); }
aapt2 compile --dir "$main/res" -o "$work/resources.zip"
quietly aapt2 link -o "$work/resources.apk" -I "$ANDROID_LATEST_JAR" \
  --manifest "$work/AndroidManifest.xml" --java "$work/gen" --proguard "$work/components.pro" -A "$build/assets" -0 onnx \
  --min-sdk-version "$MIN_SDK" --target-sdk-version "$TARGET_SDK" \
  --version-code "$VERSION_CODE" --version-name "$VERSION_NAME" --debug-mode --warn-manifest-validation \
  "$work/resources.zip"

# ---- Code, against the oldest framework and Java 8: nothing that Android 8 lacks compiles.
class_path=$work/classes:$KOTLIN_STDLIB:$onnxruntime_classes:$ANDROID_OLDEST_JAR
javac --release 8 -nowarn -Xlint:-options -d "$work/classes" $(find "$work/gen" -name '*.java')
echo "compiling core and app" >&2
kotlinc -jvm-target 1.8 -Xjdk-release=8 -Werror -module-name app -cp "$class_path" -d "$work/classes" \
  core/src/main/kotlin "$main/kotlin"
(cd "$work/classes" && zip -q -r -X "$work/app.jar" . -i '*.class')
java_home=$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")") # java.lang for R8
code=("$work/app.jar" "$KOTLIN_STDLIB" "$onnxruntime_classes")
echo "shrinking and dexing" >&2
r8 --release --min-api "$MIN_SDK" --lib "$java_home" --lib "$ANDROID_OLDEST_JAR" --no-data-resources \
  $(printf -- '--pg-conf %s ' "$work/components.pro" "${rules[@]}") \
  --pg-map-output "$work/mapping.txt" --output "$work/dex.zip" "${code[@]}"
[[ $(unzip -Z1 "$work/dex.zip") == classes.dex ]] || { echo "more than one DEX file" >&2; exit 1; }
unzip -q "$work/dex.zip" -d "$work/apk"
mv "$work/mapping.txt" "$build/"
classes=$(for jar in "${code[@]}"; do unzip -Z1 "$jar"; done | grep -c '\.class$')
echo "$(dexdump "$work/apk/classes.dex" | grep -c 'Class descriptor') of $classes classes are left," \
  "$(stat -c %s "$work/apk/classes.dex") bytes of code"

# ---- The APK. What the core reads through its class loader lies in the APK's root.
mkdir -p "$work/apk/dev/gpt2edge"
cp "$probe" "$work/apk/dev/gpt2edge/"
key=$TOOLS/debug.keystore
[[ -f $key ]] || keytool -genkeypair -keystore "$key" -storepass android -keypass android \
  -alias androiddebugkey -dname "CN=Android Debug,O=Android,C=US" -keyalg RSA -keysize 2048 \
  -validity 10950 2>/dev/null
pack() { # APK, ABIs that are left out
  local packed=$work/packed abi
  rm -rf "$packed"
  cp -r "$work/apk" "$packed"
  for abi in "${@:2}"; do rm -r "$packed/lib/$abi"; done
  "$PYTHON" tools/apk_zip.py pack "$work/unsigned.apk" "$work/resources.apk" "$packed"
  # v2 and v3 cover the file as it is; v1, for Android before 7, would rewrite it.
  apksigner sign --ks "$key" --ks-pass pass:android --key-pass pass:android \
    --v1-signing-enabled false --v2-signing-enabled true --min-sdk-version "$MIN_SDK" \
    --out "$work/signed.apk" "$work/unsigned.apk"
  mv "$work/signed.apk" "$1"
  echo "$1 ($(stat -c %s "$1") bytes)"
}
for abi in "${abis[@]}"; do
  mapfile -t others < <(printf '%s\n' "${abis[@]}" | grep -vx "$abi")
  pack "$build/gpt2-edge-demo-$abi.apk" "${others[@]}"
done
pack "$apk"
rm -rf "$work/packed"
echo "$wanted" >"$build/apk.complete"
echo "built in $((SECONDS - started)) s"
