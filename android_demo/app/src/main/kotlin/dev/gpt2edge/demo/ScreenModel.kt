package dev.gpt2edge.demo

import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit

/**
 * The state that is on the screen and what is going on, without Android. Methods belong to the screen's
 * thread and return at once; one worker thread loads, writes, reads, tests and imports, one after the
 * other, and another keeps what outlives the process. It outlives the screen: [screen] is whoever shows it.
 */
abstract class ScreenModel(protected val device: Device, text: String) {
    /** Gets every state from now on. */
    var screen: ((ScreenState) -> Unit)? = null
        set(value) {
            field = value
            value?.invoke(state)
        }

    var state = ScreenState(text, work = Work.LOADING)
        private set

    protected val worker: ExecutorService = Executors.newSingleThreadExecutor()
    protected val keeper: ExecutorService = Executors.newSingleThreadExecutor()
    protected var closed = false
        private set

    private var latestWork = 0
    private var stopping = Stopping()

    /** Asked to stop: what was started last. */
    protected class Stopping {
        @Volatile var asked = false
    }

    protected fun nextStopping() = Stopping().also { stopping = it }

    /** Ends the writing, suggesting or copying that is going on. */
    fun stop() {
        stopping.asked = true
    }

    fun fail(message: Message) = show(state.copy(message = message))

    /** For good: what runs is stopped, and the package's memory given back. */
    fun close() {
        if (closed) return
        screen = null
        stop()
        closed = true
        worker.execute { freeMemory() }
        worker.shutdown()
        keeper.shutdown()
    }

    /** Waits for what was running when it was closed. */
    fun awaitClosed(seconds: Long): Boolean =
        worker.awaitTermination(seconds, TimeUnit.SECONDS) && keeper.awaitTermination(seconds, TimeUnit.SECONDS)

    protected abstract fun freeMemory()

    protected fun work(kind: Work, finally: () -> Unit = {}, task: () -> Unit) {
        if (closed) return
        val number = ++latestWork
        show(state.copy(work = kind, message = null))
        worker.execute {
            val problem = attempt(task)
            onScreen {
                if (number == latestWork) show(state.copy(work = null)) // nothing else waits
                if (problem != null) fail(problem)
                finally()
            }
        }
    }

    protected fun onScreen(action: () -> Unit) = device.onScreen { if (!closed) action() }

    protected fun show(next: ScreenState) {
        state = next
        screen?.invoke(next)
        device.busy(next.work == Work.WRITING || next.work == Work.IMPORTING)
    }
}
