# Source this after jvm_env.sh: what turns classes into an application, without an Android SDK. From
# Debian aapt2 and apksigner, from Maven the framework's jars and R8. Defines
#   ANDROID_OLDEST_JAR     the framework of the oldest Android that the application runs on
#   ANDROID_LATEST_JAR     a recent framework, whose resources aapt2 links against
#   r8 ARGS...             shrinks class files into DEX
#   onnxruntime_android    fetches ONNX Runtime's Android library, sets ONNXRUNTIME_AAR
# and what android_versions.env has.

# shellcheck source=android_versions.env
source "$ANDROID_DEMO/tools/android_versions.env"

r8() { java -Xmx1g -cp "$_r8_jar" com.android.tools.r8.R8 "$@"; }

# From Maven Central or, where that has it not, out of an npm package with a copy. The archive of the
# latter has 150 MB; only the AAR is kept.
onnxruntime_android() {
  local folder=$TOOLS/android name=onnxruntime-android-$ONNXRUNTIME_VERSION.aar
  if [[ -z ${ONNXRUNTIME_AAR:-} ]]; then
    ONNXRUNTIME_AAR=$folder/$name
    # What Maven says of it is an error only if npm has it not either.
    local log=$TOOLS/onnxruntime-android.log
    fetch_file "$folder" "com.microsoft.onnxruntime:onnxruntime-android:$ONNXRUNTIME_VERSION:aar" 2>"$log" ||
      _onnxruntime_from_npm || {
      cat "$log" >&2
      echo "onnxruntime-android $ONNXRUNTIME_VERSION cannot be fetched: set ONNXRUNTIME_AAR to the file" >&2
      return 2
    }
  fi
  [[ -f $ONNXRUNTIME_AAR ]] || { echo "ONNXRUNTIME_AAR: there is no file $ONNXRUNTIME_AAR" >&2; return 2; }
}

_onnxruntime_from_npm() {
  _require_command npm npm || return
  echo "Maven has no onnxruntime-android $ONNXRUNTIME_VERSION: fetching $ONNXRUNTIME_NPM (README.md)" >&2
  (
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cd "$work" || exit
    npm pack --silent "$ONNXRUNTIME_NPM" >/dev/null || exit
    tar -xzf ./*.tgz "package/$ONNXRUNTIME_NPM_AAR" || exit
    sha256sum --check --quiet <<<"$ONNXRUNTIME_NPM_SHA256  package/$ONNXRUNTIME_NPM_AAR" >&2 || exit
    mv "package/$ONNXRUNTIME_NPM_AAR" "$ONNXRUNTIME_AAR"
  )
}

_set_up_android() {
  local command
  for command in aapt2:aapt apksigner:apksigner zip:zip unzip:unzip \
    readelf:binutils dexdump:dexdump javac:default-jdk-headless keytool:default-jdk-headless; do
    _require_command "${command%%:*}" "${command##*:}" || return
  done
  local framework=org.robolectric:android-all folder=$TOOLS/android
  fetch_file "$folder" "$framework:$ANDROID_OLDEST:jar" || return
  fetch_file "$folder" "$framework-instrumented:$ANDROID_LATEST-$ROBOLECTRIC_PATCH:jar" || return
  fetch_file "$folder" "com.android.tools:r8:$R8_VERSION:jar" || return
  ANDROID_OLDEST_JAR=$folder/android-all-$ANDROID_OLDEST.jar
  ANDROID_LATEST_JAR=$folder/android-all-instrumented-$ANDROID_LATEST-$ROBOLECTRIC_PATCH.jar
  _r8_jar=$folder/r8-$R8_VERSION.jar
}
_set_up_android
