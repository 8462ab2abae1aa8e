import java.util.Properties
import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

val pins = Properties().apply { file("../tools/android_versions.env").inputStream().use(::load) }

android {
    namespace = "dev.gpt2edge.demo"
    compileSdk = pins.getProperty("TARGET_SDK").toInt()

    defaultConfig {
        applicationId = pins.getProperty("APPLICATION_ID")
        minSdk = pins.getProperty("MIN_SDK").toInt()
        targetSdk = pins.getProperty("TARGET_SDK").toInt()
        versionCode = pins.getProperty("VERSION_CODE").toInt()
        versionName = pins.getProperty("VERSION_NAME")
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
    }

    // As build.sh shrinks its APK: with these rules and those that core and ONNX Runtime's AAR bring.
    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles("rules.pro")
        }
    }

    // The bundled package, as build.sh exports it. Without it the application starts and asks for one.
    sourceSets["main"].assets.srcDir("../build/assets")
    androidResources { noCompress += "onnx" }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }

    testOptions {
        unitTests.isIncludeAndroidResources = true
        unitTests.all { it.jvmArgs("--add-opens=java.base/java.io=ALL-UNNAMED") } // for Robolectric
    }
}

kotlin { compilerOptions { jvmTarget.set(JvmTarget.JVM_1_8) } }

dependencies {
    implementation(project(":core"))
    implementation(libs.onnxruntime.android)
    testImplementation(libs.junit4)
    testImplementation(libs.robolectric)
    testRuntimeOnly(libs.onnxruntime.jvm) // the natives of the machine that runs the tests
}
