package dev.gpt2edge.demo

/** Pieces of text on their way to the screen's thread: in their order, several at once if it is slow. */
class Pieces(private val onScreen: (() -> Unit) -> Unit, private val show: (String) -> Unit) {
    private val pending = StringBuilder()

    fun add(piece: String) {
        val first = synchronized(pending) { pending.isEmpty().also { pending.append(piece) } }
        if (first) onScreen { show(synchronized(pending) { pending.toString().also { pending.setLength(0) } }) }
    }
}
