package dev.gpt2edge.demo

import java.io.File
import java.io.IOException

/** What the model of the screen asks of the device. */
interface Device {
    /** Free memory in bytes, null where the device does not tell. */
    fun availableMemory(): Long?

    /** Runs [action] on the screen's thread, after those that were handed over before. */
    fun onScreen(action: () -> Unit)

    /** Like [onScreen], after [milliseconds]. */
    fun onScreenLater(milliseconds: Long, action: () -> Unit)

    /** Told with every state whether something goes on that should end even if the screen is left. */
    fun busy(isBusy: Boolean)
}

/**
 * Memory of this process that is in use, in bytes: the weights that it has mapped and touched, the
 * cache, the heap (VmRSS of proc(5)). 0 where it cannot be read.
 */
fun residentMemory(status: File = File("/proc/self/status")): Long =
    try {
        val line = status.readLines().firstOrNull { it.startsWith("VmRSS:") }
        1024 * (line?.filter { it.isDigit() }?.toLongOrNull() ?: 0)
    } catch (error: IOException) {
        0
    }
