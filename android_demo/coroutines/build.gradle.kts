// The core's calls for coroutines, apart from it because not every application has kotlinx.coroutines.
import java.util.Properties
import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    kotlin("jvm")
    `maven-publish`
}

val pins = Properties().apply { file("../tools/versions.env").inputStream().use(::load) }

group = "dev.gpt2edge"
version = pins.getProperty("LIBRARY_VERSION")

dependencies {
    api(project(":core"))
    api("org.jetbrains.kotlinx:kotlinx-coroutines-core:${pins["COROUTINES_VERSION"]}")
    testImplementation("com.microsoft.onnxruntime:onnxruntime:${pins["ONNXRUNTIME_VERSION"]}")
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
            artifactId = "gpt2-edge-coroutines"
            from(components["java"])
        }
    }
}

kotlin {
    compilerOptions {
        jvmTarget.set(JvmTarget.JVM_1_8)
        freeCompilerArgs.add("-Xjdk-release=8")
        allWarningsAsErrors.set(true)
    }
}

tasks.test {
    useJUnitPlatform()
    systemProperty("gpt2edge.testdata", rootDir.resolve("core/build/testdata").path)
}
