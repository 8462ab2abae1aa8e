#!/usr/bin/env bash
# Puts the library into a Maven repository in build/maven: jars with sources and KDoc, POMs, the AAR.
#
#   android_demo/publish-local.sh
#
# What it makes, of the version in tools/versions.env:
#   dev.gpt2edge:gpt2-edge              package to text, plain Kotlin
#   dev.gpt2edge:gpt2-edge-coroutines   the same calls with suspend and Flow
#   dev.gpt2edge:gpt2-edge-android      an AAR: both of ONNX Runtime for Android and the rules for R8
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source tools/jvm_env.sh
source tools/build_core.sh
source tools/pom.sh
_require_command zip zip
_require_command unzip unzip

repository=$PWD/build/maven
work=$PWD/build/library
mkdir -p "$work" # outlives this run: its lock
exec 8>"$work/lock"
flock 8
rm -rf "$repository" "$work"/*/
mkdir -p "$repository" "$work/jars"
build_coroutines

deploy() { # artifact, packaging, file, further arguments of deploy-file
  _mvn "org.apache.maven.plugins:maven-deploy-plugin:$MAVEN_DEPLOY_PLUGIN_VERSION:deploy-file" \
    -DrepositoryId=local "-Durl=file://$repository" "-DpomFile=$work/jars/$1.pom" "-Dpackaging=$2" "-Dfile=$3" "${@:4}"
}

# The same bytes of the same classes: no times, files in order.
jar_of() { # jar, folder
  (cd "$2" && find . -type f | LC_ALL=C sort | TZ=UTC zip -q -X -D -@ "$1")
}
stage() { # new folder, folders whose contents go there
  mkdir -p "$1"
  local from
  for from in "${@:2}"; do cp -r "$from/." "$1/"; done
  mkdir -p "$1/META-INF"
  cp ../LICENSE "$1/META-INF/"
  find "$1" -exec touch -h -d 2020-01-01T00:00:00Z {} +
}

kdoc() { # new folder, folder of sources, coordinates of what they use
  local folder=$work/kdoc-$(basename "$1")
  mkdir -p "$folder"
  # The library itself is not in a repository that Maven would keep a copy of.
  pom gpt2-edge-kdoc jar "$LIBRARY_DESCRIPTION" "${@:3}" | sed -e '$d' -e \
    "/<artifactId>gpt2-edge</{n;s,\$,<scope>system</scope><systemPath>$work/jars/gpt2-edge.jar</systemPath>,}" \
    >"$folder/pom.xml"
  cat >>"$folder/pom.xml" <<END
  <build>
    <sourceDirectory>$2</sourceDirectory>
    <plugins>
      <plugin>
        <groupId>org.jetbrains.dokka</groupId>
        <artifactId>dokka-maven-plugin</artifactId>
        <version>$DOKKA_VERSION</version>
        <configuration>
          <outputDir>$1</outputDir>
          <noStdlibLink>true</noStdlibLink>
          <noJdkLink>true</noJdkLink>
          <skipEmptyPackages>true</skipEmptyPackages>
        </configuration>
      </plugin>
    </plugins>
  </build>
</project>
END
  _mvn -f "$folder/pom.xml" "org.jetbrains.dokka:dokka-maven-plugin:$DOKKA_VERSION:dokka"
}

publish_jar() { # artifact, folder of classes..., --, folder of sources, --, description, dependencies...
  local artifact=$1 classes=() sources
  shift
  while [[ $1 != -- ]]; do classes+=("$1") && shift; done
  sources=$2
  shift 2
  pom "$artifact" jar "$@" >"$work/jars/$artifact.pom"
  stage "$work/$artifact" "${classes[@]}"
  if [[ $artifact == gpt2-edge ]]; then
    mkdir -p "$work/$artifact/META-INF/proguard"
    cp library/consumer-rules.pro "$work/$artifact/META-INF/proguard/gpt2-edge.pro"
    touch -d 2020-01-01T00:00:00Z "$work/$artifact/META-INF/proguard/gpt2-edge.pro"
  fi
  stage "$work/$artifact-sources" "$sources"
  echo "writing the KDoc of $artifact" >&2
  kdoc "$work/$artifact-kdoc" "$sources" "${@:2}"
  jar_of "$work/jars/$artifact.jar" "$work/$artifact"
  jar_of "$work/jars/$artifact-sources.jar" "$work/$artifact-sources"
  jar_of "$work/jars/$artifact-javadoc.jar" "$work/$artifact-kdoc"
  deploy "$artifact" jar "$work/jars/$artifact.jar" \
    "-Dsources=$work/jars/$artifact-sources.jar" "-Djavadoc=$work/jars/$artifact-javadoc.jar"
}

LIBRARY_DESCRIPTION="A package that gpt2-edge export wrote, to text: GPT-2 on a device, by ONNX Runtime"
kotlin=org.jetbrains.kotlin:kotlin-stdlib:$KOTLIN_VERSION
library=$LIBRARY_GROUP:gpt2-edge:$LIBRARY_VERSION
# Which ONNX Runtime is the application's choice: for the JVM, for its GPUs, for Android.
publish_jar gpt2-edge "$CORE/build/classes/main" "$CORE/build/resources/main" -- "$CORE/src/main/kotlin" \
  "$LIBRARY_DESCRIPTION" "$kotlin" "com.microsoft.onnxruntime:onnxruntime:$ONNXRUNTIME_VERSION:optional"
publish_jar gpt2-edge-coroutines "$COROUTINES_CLASSES" -- "$ANDROID_DEMO/coroutines/src/main/kotlin" \
  "gpt2-edge for coroutines: suspend and Flow" "$library" "$kotlin" \
  "org.jetbrains.kotlinx:kotlinx-coroutines-core:$COROUTINES_VERSION" \
  "com.microsoft.onnxruntime:onnxruntime:$ONNXRUNTIME_VERSION:optional"

# The AAR has no classes of its own: the jar's would be there twice beside gpt2-edge-coroutines.
mkdir -p "$work/aar" "$work/empty/META-INF"
cp library/AndroidManifest.xml "$work/aar/"
cp library/consumer-rules.pro "$work/aar/proguard.txt"
cp ../LICENSE "$work/empty/META-INF/"
: >"$work/aar/R.txt"
jar_of "$work/aar/classes.jar" "$work/empty"
jar_of "$work/jars/gpt2-edge-android.aar" "$work/aar"
pom gpt2-edge-android aar "gpt2-edge with ONNX Runtime for Android" "$library" \
  "com.microsoft.onnxruntime:onnxruntime-android:$ONNXRUNTIME_VERSION:aar" >"$work/jars/gpt2-edge-android.pom"
deploy gpt2-edge-android aar "$work/jars/gpt2-edge-android.aar"

find "$repository" -name "*-$LIBRARY_VERSION*" \( -name '*.jar' -o -name '*.aar' -o -name '*.pom' \) -printf '%s\t%P\n' | sort -k2
