# Source this after jvm_env.sh: what turns classes into an application, without an Android SDK. From
# Debian aapt2 and apksigner, from Maven the framework's jars and D8. Defines
#   ANDROID_OLDEST_JAR     the framework of the oldest Android that the application runs on
#   ANDROID_RESOURCES_JAR  a recent framework, whose resources aapt2 links against
#   d8 ARGS...             runs the dexer
# and what android_versions.env has.

# shellcheck source=android_versions.env
source "$ANDROID_DEMO/tools/android_versions.env"

d8() { java -Xmx1g -cp "$_r8_jar" com.android.tools.r8.D8 "$@"; }

_set_up_android() {
  local command
  for command in aapt2:aapt apksigner:apksigner zip:zip unzip:unzip \
    readelf:binutils javac:default-jdk-headless keytool:default-jdk-headless; do
    _require_command "${command%%:*}" "${command##*:}" || return
  done
  local framework=org.robolectric:android-all folder=$TOOLS/android
  fetch_file "$folder" "$framework:$ANDROID_OLDEST:jar" || return
  fetch_file "$folder" "$framework-instrumented:$ANDROID_LATEST-$ROBOLECTRIC_PATCH:jar" || return
  fetch_file "$folder" "com.android.tools:r8:$R8_VERSION:jar" || return
  ANDROID_OLDEST_JAR=$folder/android-all-$ANDROID_OLDEST.jar
  ANDROID_RESOURCES_JAR=$folder/android-all-instrumented-$ANDROID_LATEST-$ROBOLECTRIC_PATCH.jar
  _r8_jar=$folder/r8-$R8_VERSION.jar
}
_set_up_android
