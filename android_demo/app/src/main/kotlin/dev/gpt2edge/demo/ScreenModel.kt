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

    protected val worker: ExecutorService = Executors.newSingleThreadExecutor { Thread(it, WORKER) }
    protected val keeper: ExecutorService = Executors.newSingleThreadExecutor { Thread(it, KEEPER) }
    @Volatile
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

    /**
     * For good: what runs is stopped, what waits is never begun, and the package's memory is given back. What
     * was to be kept is kept.
     */
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
        compute {
            val problem = attempt(task)
            onScreen {
                if (number == latestWork) show(state.copy(work = null)) // nothing else waits
                if (problem != null) fail(problem)
                finally()
            }
        }
    }

    /** Runs [task] on the worker thread, unless the model is closed before its turn. */
    protected fun compute(task: () -> Unit) {
        if (!closed) worker.execute { if (!closed) task() }
    }

    protected fun onScreen(action: () -> Unit) = device.onScreen { if (!closed) action() }

    protected fun show(next: ScreenState) {
        state = next
        screen?.invoke(next)
        device.busy(next.work == Work.WRITING || next.work == Work.IMPORTING)
    }

    companion object {
        /** Names of the threads, by which one that has not ended is found. */
        const val WORKER = "gpt2-edge worker"
        const val KEEPER = "gpt2-edge keeper"
    }
}
