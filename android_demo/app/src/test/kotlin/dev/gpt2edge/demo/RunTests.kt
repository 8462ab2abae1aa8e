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
    exitProcess(if (result.wasSuccessful() && result.runCount > skipped) 0 else 1)
}
