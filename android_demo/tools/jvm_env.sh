# Source this in bash: fetches the Kotlin compiler and the JVM libraries once, through Maven with the
# machine's own settings, into android_demo/.tools/ (not in git), and then defines
#   ANDROID_DEMO, TOOLS   android_demo/ and android_demo/.tools/
#   KOTLINC               array: the compiler's command line; kotlinc ARGS... runs it
#   KOTLIN_STDLIB         kotlin-stdlib.jar
#   COROUTINES_JAR        kotlinx.coroutines, which only coroutines/ needs
#   ORT_JAR               ONNX Runtime's Java API with natives for this machine
#   JUNIT_JAR             JUnit 5's console runner, one jar
#   CORE_CP               class path to compile android_demo/core against
#   fetch_jars FOLDER group:artifact:version...   downloads more jars, dependencies included
#   fetch_file FOLDER group:artifact:version:type downloads one file (an aar, say)
#   shown_if_it_fails LOG PATTERN COMMAND...      runs a command whose output is worth reading only then
# Safe to repeat and to run twice at once. Needs Java 17 or later and Maven; installs them on a
# Debian where it is root.

ANDROID_DEMO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOOLS=$ANDROID_DEMO/.tools
# shellcheck source=versions.env
source "$ANDROID_DEMO/tools/versions.env"

_require_command() { # command, Debian package
  command -v "$1" >/dev/null && return
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "installing $2" >&2
    local log
    log=$(mktemp)
    # Another installation may be under way.
    { apt-get update -qq && apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "$2"; } >"$log" 2>&1 || {
      cat "$log" >&2
      rm -f "$log"
      return 2
    }
    rm -f "$log"
  else
    echo "android_demo needs $1: install it (Debian: apt-get install $2)" >&2
    return 2
  fi
}

# Everything goes into the file LOG. Of a success only the lines that match PATTERN are shown.
shown_if_it_fails() {
  local log=$1 pattern=$2 status=0
  "${@:3}" >"$log" 2>&1 || status=$?
  if [[ $status == 0 ]]; then
    grep -E -e "$pattern" "$log" || true
  else
    cat "$log"
    echo "this is all of $log" >&2
  fi
  return "$status"
}

_mvn() {
  local log
  log=$(mktemp)
  if ! mvn --batch-mode --quiet "$@" >"$log" 2>&1; then
    grep -m 3 ERROR "$log" >&2 || cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

_dependency_plugin=org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_PLUGIN_VERSION

# The folder is complete once its mark names what was asked for.
fetch_jars() {
  local folder=$1 wanted="${*:2}"
  (
    mkdir -p "$TOOLS"
    exec 9>"$TOOLS/lock"
    flock 9
    [[ -f $folder/.complete && $(<"$folder/.complete") == "$wanted" ]] && exit
    echo "fetching $wanted" >&2
    rm -rf "$folder"
    mkdir -p "$folder"
    {
      echo '<project><modelVersion>4.0.0</modelVersion><groupId>dev.gpt2edge</groupId>'
      echo '<artifactId>tools</artifactId><version>1</version><dependencies>'
      local coordinate group artifact version
      for coordinate in $wanted; do
        IFS=: read -r group artifact version <<<"$coordinate"
        echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId>"
        echo "<version>$version</version></dependency>"
      done
      echo '</dependencies></project>'
    } >"$folder/pom.xml"
    _mvn -f "$folder/pom.xml" "$_dependency_plugin:copy-dependencies" \
      "-DoutputDirectory=$folder" -DincludeScope=runtime || exit
    echo "$wanted" >"$folder/.complete"
  )
}

fetch_file() {
  local folder=$1 coordinate=$2 group artifact version type
  IFS=: read -r group artifact version type <<<"$coordinate"
  (
    mkdir -p "$folder"
    exec 9>"$TOOLS/lock"
    flock 9
    [[ -f $folder/$artifact-$version.$type ]] && exit
    echo "fetching $coordinate" >&2
    _mvn "$_dependency_plugin:copy" "-Dartifact=$coordinate" "-DoutputDirectory=$folder"
  )
}

kotlinc() { "${KOTLINC[@]}" "$@"; }

_set_up_jvm() {
  _require_command java default-jdk-headless || return
  _require_command mvn maven || return
  fetch_jars "$TOOLS/kotlinc" \
    "org.jetbrains.kotlin:kotlin-compiler-embeddable:$KOTLIN_VERSION" || return
  fetch_jars "$TOOLS/kotlin" "org.jetbrains.kotlin:kotlin-stdlib:$KOTLIN_VERSION" || return
  fetch_jars "$TOOLS/onnxruntime" \
    "com.microsoft.onnxruntime:onnxruntime:$ONNXRUNTIME_VERSION" || return
  fetch_jars "$TOOLS/coroutines" \
    "org.jetbrains.kotlinx:kotlinx-coroutines-core-jvm:$COROUTINES_VERSION" || return
  fetch_jars "$TOOLS/junit" \
    "org.junit.platform:junit-platform-console-standalone:$JUNIT_PLATFORM_VERSION" || return
  KOTLIN_STDLIB=$TOOLS/kotlin/kotlin-stdlib-$KOTLIN_VERSION.jar
  ORT_JAR=$TOOLS/onnxruntime/onnxruntime-$ONNXRUNTIME_VERSION.jar
  JUNIT_JAR=$TOOLS/junit/junit-platform-console-standalone-$JUNIT_PLATFORM_VERSION.jar
  COROUTINES_JAR=$TOOLS/coroutines/kotlinx-coroutines-core-jvm-$COROUTINES_VERSION.jar
  CORE_CP=$KOTLIN_STDLIB:$ORT_JAR
  KOTLINC=(java -Xmx1g -cp "$TOOLS/kotlinc/*" org.jetbrains.kotlin.cli.jvm.K2JVMCompiler
    -no-stdlib -no-reflect)
}
_set_up_jvm
