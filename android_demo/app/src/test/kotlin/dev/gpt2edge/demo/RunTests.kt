package dev.gpt2edge.demo

import kotlin.system.exitProcess
import org.junit.runner.Description
import org.junit.runner.JUnitCore
import org.junit.runner.notification.Failure
import org.junit.runner.notification.RunListener

/** Runs the test classes that are named, prints failures as they come and a summary at the end. */
fun main(names: Array<String>) {
    val core = JUnitCore()
    var skipped = 0
    core.addListener(
        object : RunListener() {
            override fun testStarted(description: Description) {
                if (System.getenv("VERBOSE") != null) println(description.displayName)
            }

            override fun testFailure(failure: Failure) = println("FAILED ${failure.testHeader}\n${failure.trace}")

            override fun testAssumptionFailure(failure: Failure) {
                skipped++
                println("skipped ${failure.testHeader}: ${failure.message}")
            }
        }
    )
    val result = core.run(*names.map { Class.forName("dev.gpt2edge.demo.$it") }.toTypedArray())
    println("${result.runCount - result.failureCount - skipped} passed, ${result.failureCount} failed, $skipped skipped")
    val ended = modelsEnded()
    exitProcess(if (result.wasSuccessful() && result.runCount > skipped && ended) 0 else 1)
}

/**
 * Whether no model computes any more; says which thread does. The application of each test was ended with it.
 * A thread that is within ONNX Runtime while its library is unloaded would end this process with a SIGSEGV.
 */
private fun modelsEnded(): Boolean {
    val left = Thread.getAllStackTraces().filterKeys { it.isAlive && it.name in listOf(ScreenModel.WORKER, ScreenModel.KEEPER) }
    for ((thread, stack) in left) println("FAILED after all tests '${thread.name}' still runs:\n${stack.joinToString("\n")}")
    return left.isEmpty()
}
