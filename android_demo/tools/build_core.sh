# Source this after jvm_env.sh: compiles android_demo/core and coroutines, as their build.gradle.kts say.
#   build_core        main classes and resources; sets CORE_CLASSES, a class path without libraries
#   build_coroutines  what coroutines/ adds; sets COROUTINES_CLASSES
#   build_core_tests  tests of both and the benchmark too; sets CORE_TEST_CLASSES and CORE_TEST_CP
# What is up to date is not compiled again. Safe to run twice at once.

CORE=$ANDROID_DEMO/core
CORE_CLASSES=$CORE/build/classes/main:$CORE/build/resources/main
CORE_TEST_CLASSES=$CORE/build/classes/test
COROUTINES_CLASSES=$ANDROID_DEMO/coroutines/build/classes/main
COROUTINES_TEST_CLASSES=$ANDROID_DEMO/coroutines/build/classes/test
CORE_TEST_CP=$CORE_TEST_CLASSES:$CORE_CLASSES:$CORE_CP:$JUNIT_JAR
COROUTINES_TEST_CP=$COROUTINES_TEST_CLASSES:$COROUTINES_CLASSES:$COROUTINES_JAR:$CORE_TEST_CP

# Android 8 has Java 8's classes; later JDKs' have methods that it lacks.
_core_options=(-jvm-target 1.8 -Xjdk-release=8 -Werror)

_compile() { # folder of sources, folder of classes, kotlinc's further arguments
  local sources=$1 classes=$2 wanted
  wanted=$(printf '%s\n' "$KOTLIN_VERSION" "$ONNXRUNTIME_VERSION" "${_core_options[*]}" "${@:3}" \
    | cat - <(find "$sources" "$CORE/src/main/kotlin" -name '*.kt' -print0 | sort -zu | xargs -0 sha256sum) \
    | sha256sum)
  [[ -f $classes.complete && $(<"$classes.complete") == "$wanted" ]] && return
  echo "compiling ${sources#"$ANDROID_DEMO/"}" >&2
  rm -rf "$classes" "$classes.complete"
  kotlinc "${_core_options[@]}" "${@:3}" -d "$classes" "$sources" || return
  echo "$wanted" >"$classes.complete"
}

build_core() {
  local resources=$CORE/build/resources/main/dev/gpt2edge
  mkdir -p "$CORE/build/classes" "$resources"
  (
    exec 9>"$CORE/build/lock"
    flock 9
    cp "$ANDROID_DEMO/../runtime/gpt2_edge/graph/int8_probe.onnx" "$resources/" || exit
    _compile "$CORE/src/main/kotlin" "$CORE/build/classes/main" -module-name core -cp "$CORE_CP"
  )
}

build_coroutines() {
  build_core || return
  mkdir -p "$ANDROID_DEMO/coroutines/build/classes"
  (
    exec 9>"$CORE/build/lock"
    flock 9
    _compile "$ANDROID_DEMO/coroutines/src/main/kotlin" "$COROUTINES_CLASSES" -module-name coroutines \
      -cp "$CORE/build/classes/main:$COROUTINES_JAR:$CORE_CP"
  )
}

build_core_tests() {
  build_coroutines || return
  (
    exec 9>"$CORE/build/lock"
    flock 9
    _compile "$CORE/src/test/kotlin" "$CORE_TEST_CLASSES" -module-name core_test \
      "-Xfriend-paths=$CORE/build/classes/main" -cp "$CORE/build/classes/main:$CORE_CP:$JUNIT_JAR" || exit
    _compile "$ANDROID_DEMO/coroutines/src/test/kotlin" "$COROUTINES_TEST_CLASSES" -module-name coroutines_test \
      -cp "$COROUTINES_CLASSES:$COROUTINES_JAR:$CORE/build/classes/main:$CORE_CP:$JUNIT_JAR"
  )
}
