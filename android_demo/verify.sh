#!/usr/bin/env bash
# Says what is in an APK and checks that Android will install and run it as meant.
#
#   android_demo/verify.sh [APK]       build/gpt2-edge-demo.apk by default
#
# An APK whose name ends in an ABI has libraries for that one alone. Fails, naming each point, where one is not as it must be.
set -euo pipefail
[[ ${1:-/} != /* ]] && set -- "$PWD/$1"
[[ ${PYTHON:-} == */* && $PYTHON != /* ]] && PYTHON=$PWD/$PYTHON
cd "$(dirname "${BASH_SOURCE[0]}")"
apk=${1:-$PWD/build/gpt2-edge-demo.apk}
[[ -f $apk ]] || { echo "there is no file $apk: run android_demo/build.sh" >&2; exit 2; }
source tools/jvm_env.sh
source tools/android_env.sh
onnxruntime_android

PYTHON=${PYTHON:-python3}
wrong=0
check() { # what it is, whether it is so
  if "${@:2}"; then
    echo "  ok     $1"
  else
    echo "  WRONG  $1"
    wrong=$((wrong + 1))
  fi
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "$apk: $(stat -c %s "$apk") bytes"
unzip -lv "$apk" >"$work/contents"
awk 'NR > 3 && NF == 8 { printf "  %10d %-7s %s\n", $1, $2 == "Stored" ? "stored" : "deflated", $8 }' \
  "$work/contents"

echo "what it says it is"
aapt2 dump badging "$apk" >"$work/badging" 2>/dev/null
grep -E '^(package|sdkVersion|targetSdkVersion|application-label:|application-debuggable|launchable|native-code)' \
  "$work/badging" | sed 's/^/  /'
badging() { grep -q -- "$1" "$work/badging"; }
permissions() { sed -n "s/^uses-permission: name='android.permission.\([^']*\)'.*/\1/p" "$work/badging" | sort | paste -sd' '; }
only_the_service() { [[ $(permissions) == "FOREGROUND_SERVICE FOREGROUND_SERVICE_SPECIAL_USE" ]]; }
check "application $APPLICATION_ID $VERSION_NAME" \
  badging "^package: name='$APPLICATION_ID' versionCode='$VERSION_CODE' versionName='$VERSION_NAME'"
check "from SDK $MIN_SDK" badging "^sdkVersion:'$MIN_SDK'"
check "for SDK $TARGET_SDK" badging "^targetSdkVersion:'$TARGET_SDK'"
check "starts dev.gpt2edge.demo.MainActivity" \
  badging "^launchable-activity: name='dev.gpt2edge.demo.MainActivity'"
check "asks for no permission but to go on writing behind other applications (has: $(permissions))" only_the_service
check "speaks German, too" badging "^application-label-de:"

echo "signature"
signed() { apksigner verify --verbose --min-sdk-version "$MIN_SDK" "$apk" >"$work/signature" 2>&1; }
check "holds from SDK $MIN_SDK on" signed
grep -E '^Verified using v[0-9]|^ERROR|^WARNING|DOES NOT' "$work/signature" | sed 's/^/  /' || true
check "signature scheme v2" grep -q 'v2 scheme.*: true' "$work/signature"

echo "contents"
unzip -Z1 "$apk" >"$work/entries"
has() { grep -qxF -- "$1" "$work/entries"; }
stored() { awk -v name="$1" '$8 == name && $2 == "Stored" { found = 1 } END { exit !found }' "$work/contents"; }
runnable_dex() { [[ $(unzip -p "$apk" classes.dex | head -c 7 | tr -d '\n') =~ ^dex03[5-8]$ ]]; }
whole() { unzip -tqq "$apk" >"$work/zip" 2>&1; }
check "every entry's checksum" whole
check "code that Android 8 reads (DEX 035 to 038)" runnable_dex
check "resources.arsc uncompressed, as Android 11 asks" stored resources.arsc
sample=assets/packages/sample-int4
for file in manifest.json model.onnx tokenizer.json; do check "$sample/$file" has "$sample/$file"; done
hashes() { # the bundled package is what its manifest says
  unzip -q "$apk" "$sample/*" -d "$work" && "$PYTHON" - "$work/$sample" <<'END'
import hashlib, json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
files = json.loads((folder / "manifest.json").read_text())["files"]
sys.exit(any(hashlib.sha256((folder / n).read_bytes()).hexdigest() != r["sha256"] for n, r in files.items()))
END
}
check "the bundled package's hashes" hashes
quality() { # what quantizing cost, which the page of packages shows
  "$PYTHON" - "$work/$sample/manifest.json" <<'END'
import json, pathlib, sys
quality = json.loads(pathlib.Path(sys.argv[1]).read_text())["quality"] or {}
sys.exit(not 1 < quality.get("reference_perplexity", 0) < 2 * quality.get("perplexity", 0) < 1000)
END
}
check "the bundled package's quality" quality
check "the core's probe for 8-bit overflow" has dev/gpt2edge/int8_probe.onnx

echo "code, as R8 left it"
unzip -q "$apk" 'classes*.dex' -d "$work"
for dex in "$work"/classes*.dex; do dexdump "$dex"; done >"$work/code" 2>/dev/null
classes_of() { sed -n "s/^  Class descriptor  : 'L\(.*\);'$/\1/p" "$1"; }
classes_of "$work/code" | sort >"$work/classes"
aapt2 dump xmltree --file AndroidManifest.xml "$apk" >"$work/manifest" 2>/dev/null
# Elements of the manifest that name a class of the APK.
awk -F'"' '/E: / { component = /E: (application|activity|service|receiver|provider) / }
  component && /android:name\(/ { gsub(/\./, "/", $2); print $2 }' "$work/manifest" | sort >"$work/components"
components() {
  comm -23 "$work/components" "$work/classes" | sed 's/^/         lacks /'
  [[ -s $work/components && -z $(comm -23 "$work/components" "$work/classes") ]]
}
check "the $(wc -l <"$work/components") classes that the manifest names" components
looked_up() { # what the jar has and the native library knows by name
  unzip -q -o "$ONNXRUNTIME_AAR" classes.jar -d "$work"
  javap -s -p -cp "$work/classes.jar" $(unzip -Z1 "$work/classes.jar" | sed -n 's/\.class$//p' | tr / .) >"$work/members"
  unzip -q -o "$apk" 'lib/*/libonnxruntime4j_jni.so' -d "$work"
  "$PYTHON" tools/native_names.py "$work/members" "$work/code" "$work"/lib/*/libonnxruntime4j_jni.so
}
check "what ONNX Runtime's native code looks up by name" looked_up
shrunk() { [[ $(wc -l <"$work/classes") -lt $(unzip -Z1 "$KOTLIN_STDLIB" | grep -c '\.class$') ]]; }
check "no library code that is not used ($(wc -l <"$work/classes") classes)" shrunk
map_id() { LC_ALL=C grep -a -o '"pg-map-id":"[0-9a-f]*"' "$work/classes.dex" | cut -d'"' -f4; }
mapped_back() { [[ -n $(map_id) ]] && grep -q "^# pg_map_id: $(map_id)" "$(dirname "$apk")/mapping.txt"; }
check "mapping.txt beside it is that of its code" mapped_back
lines() { grep -q '^ *0x[0-9a-f]* line=' "$work/code"; }
check "line numbers for stack traces" lines

echo "native libraries"
abis() { sed -n 's,^lib/\([^/]*\)/.*,\1,p' "$work/entries" | sort -u | paste -sd' '; }
libraries() { grep '^lib/.*\.so$' "$work/entries" || true; }
case $apk in
  *-arm64-v8a.apk) expected=(arm64-v8a) ;;
  *-x86_64.apk) expected=(x86_64) ;;
  *) expected=(arm64-v8a x86_64) ;;
esac
check "for ${expected[*]}, no others (has: $(abis))" [ "$(abis)" = "${expected[*]}" ]
for abi in "${expected[@]}"; do
  for library in libonnxruntime.so libonnxruntime4j_jni.so; do
    check "lib/$abi/$library" has "lib/$abi/$library"
  done
done
# Android 15 may use pages of 16 KB: segments, and the file within the APK, must start on one.
large_pages() {
  local alignments alignment
  alignments=$(readelf -lW "$1" | awk '$1 == "LOAD" { print $NF }')
  [[ -n $alignments ]] || return 1
  for alignment in $alignments; do ((alignment >= 16384)) || return 1; done
}
machine() { [[ $(readelf -h "$1") =~ Machine:[^$'\n']*$2 ]]; }
# The native methods that ONNX Runtime's Java classes in this APK declare, as JNI names them.
awk -F"'" '
  /Class descriptor/ { type = $2; gsub(/^L|;$/, "", type) }
  /^ *name *:/ { method = $2 }
  /^ *access .*NATIVE/ { name = type "/" method; gsub(/_/, "_1", name); gsub(/\$/, "_00024", name); gsub(/\//, "_", name)
    print "Java_" name }' "$work/code" | { grep '^Java_ai_onnxruntime_' || true; } | sort -u >"$work/native_methods"
implemented() { # ABI; overloaded methods have their signature behind __, symbols a version behind @@
  [[ -s $work/native_methods ]] || return 1
  cat "$work/lib/$1"/*.symbols | sed 's/@@.*//; s/__.*//' | sort -u | comm -23 "$work/native_methods" - >"$work/lacking"
  sed 's/^/         lacks /' "$work/lacking"
  [[ ! -s $work/lacking ]]
}
for library in $(libraries); do
  unzip -q -o "$apk" "$library" -d "$work"
  case $library in */arm64-v8a/*) cpu=AArch64 ;; *) cpu=X86-64 ;; esac
  check "$library is for $cpu" machine "$work/$library" "$cpu"
  check "$library has segments for 16 KB pages" large_pages "$work/$library"
  readelf --dyn-syms -W "$work/$library" | awk '$7 != "UND" { print $8 }' >"$work/$library.symbols"
  check "$library is stored uncompressed" stored "$library"
done
for abi in "${expected[@]}"; do
  check "lib/$abi has all $(wc -l <"$work/native_methods") native methods of ONNX Runtime's classes" implemented "$abi"
done
mapped() { grep -q 'extractNativeLibs.*=false' "$work/manifest"; }
check "libraries are mapped out of the APK (extractNativeLibs=false)" mapped
aligned() { "$PYTHON" tools/apk_zip.py check "$apk"; }
check "libraries start at a multiple of 16,384 bytes, what else is stored at one of 4" aligned

[[ $wrong == 0 ]] || { echo "$wrong of the points above are wrong" >&2; exit 1; }
echo "all as it must be"
