// Plain Kotlin on ONNX Runtime's Java API, so the same module runs on Android and, in tests, on the
// JVM. The application brings com.microsoft.onnxruntime:onnxruntime-android, tests the JVM's jar.
import java.util.Properties
import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    kotlin("jvm") // its version is the root project's
    `maven-publish`
}

val pins = Properties().apply { file("../tools/versions.env").inputStream().use(::load) }
val onnxRuntime = "com.microsoft.onnxruntime:onnxruntime:${pins["ONNXRUNTIME_VERSION"]}"

group = "dev.gpt2edge"
version = pins.getProperty("LIBRARY_VERSION")

dependencies {
    compileOnly(onnxRuntime)
    testImplementation(onnxRuntime)
    testImplementation(
        "org.junit.platform:junit-platform-console-standalone:${pins["JUNIT_PLATFORM_VERSION"]}"
    )
}

java {
    sourceCompatibility = JavaVersion.VERSION_1_8
    targetCompatibility = JavaVersion.VERSION_1_8
    withSourcesJar()
}

// As publish-local.sh does, which also has the KDoc: ./gradlew publishToMavenLocal
publishing {
    publications {
        create<MavenPublication>("library") {
            artifactId = "gpt2-edge"
            from(components["java"])
        }
    }
}

kotlin {
    compilerOptions {
        jvmTarget.set(JvmTarget.JVM_1_8)
        // Later JDKs have methods that Android 8 lacks, such as LongBuffer.limit returning itself.
        freeCompilerArgs.add("-Xjdk-release=8")
        allWarningsAsErrors.set(true)
    }
}

tasks.processResources {
    from("../library/consumer-rules.pro") {
        into("META-INF/proguard")
        rename { "gpt2-edge.pro" }
    }
    from("../../runtime/gpt2_edge/graph/int8_probe.onnx") { into("dev/gpt2edge") }
}

// The tests compare with what Python computed: run android_demo/test-core.sh first, which writes it.
tasks.test {
    useJUnitPlatform()
    maxHeapSize = "64m"
    systemProperty("gpt2edge.testdata", layout.buildDirectory.dir("testdata").get().asFile.path)
    systemProperty("gpt2edge.repository", rootDir.parentFile.path)
}
