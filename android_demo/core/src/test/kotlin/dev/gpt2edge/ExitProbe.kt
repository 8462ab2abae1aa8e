package dev.gpt2edge

import java.io.File
import java.util.concurrent.CountDownLatch
import kotlin.concurrent.thread
import kotlin.system.exitProcess

/**
 * Package, "exit", "close" or "return", milliseconds: so long after threads began to write, read prompts and load,
 * the process ends, with status 7 or by main's return; with "close" a hook of its own closes the generator.
 */
fun main(arguments: Array<String>) {
    val (path, how, milliseconds) = arguments
    val folder = File(path)
    val generator = Generator.load(folder, threads = 2, verify = false)
    val begun = CountDownLatch(3)
    fun forever(work: () -> Unit) =
        thread(isDaemon = true) {
            try {
                while (true) {
                    work()
                    begun.countDown()
                }
            } catch (error: GPT2EdgeException) {
                check(error.problem == Problem.Closed) { error }
            }
        }
    forever { generator.streamIds(intArrayOf(1, 2, 3), GenerationConfig(400, ignoreEos = true)) { begun.countDown() } }
    forever { generator.logits(IntArray(300) { it }) }
    forever { Generator.load(folder, threads = 1, verify = false).close() }
    if (how == "close") Runtime.getRuntime().addShutdownHook(Thread(generator::close))
    begun.await()
    Thread.sleep(milliseconds.toLong())
    if (how != "return") exitProcess(7)
}
