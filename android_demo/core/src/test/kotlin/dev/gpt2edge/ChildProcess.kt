package dev.gpt2edge

import ai.onnxruntime.OrtEnvironment
import java.io.File

/** Another JVM with this one's library, tests and ONNX Runtime; what it prints to stderr is seen here. */
internal fun javaProcess(main: String, options: List<String>, vararg arguments: String): ProcessBuilder {
    val classes = listOf(TestData::class.java, Generator::class.java, OrtEnvironment::class.java, Unit::class.java)
    val classPath = classes.joinToString(File.pathSeparator) { File(it.protectionDomain.codeSource.location.toURI()).path }
    val java = File(System.getProperty("java.home"), "bin/java").path
    return ProcessBuilder(listOf(java) + options + listOf("-cp", classPath, "dev.gpt2edge.$main") + arguments)
        .redirectError(ProcessBuilder.Redirect.INHERIT)
}
