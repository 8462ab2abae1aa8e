package dev.gpt2edge.demo

/**
 * The text and what it was before each step: writing, taking an option, or typing. Letters typed in
 * a row are one step.
 */
class TextHistory(text: String = "", earlier: List<String> = emptyList()) {
    var text = text
        private set

    private val steps = ArrayDeque(earlier)
    private var typing = false

    val canUndo: Boolean
        get() = steps.isNotEmpty()

    /** Oldest first. */
    val earlier: List<String>
        get() = steps.toList()

    /** The text was edited by hand. */
    fun type(edited: String) {
        if (edited == text) return
        if (!typing) push()
        typing = true
        text = edited
    }

    /** Opens a step that [extend] then fills. */
    fun begin() {
        push()
        typing = false
    }

    fun extend(piece: String) {
        text += piece
    }

    /** Closes a step; one that changed nothing is forgotten. */
    fun end() {
        if (steps.lastOrNull() == text) steps.removeLast()
    }

    /** Back to what was before the last step; nothing where there is none. */
    fun undo() {
        text = steps.removeLastOrNull() ?: return
        typing = false
    }

    private fun push() {
        steps.addLast(text)
        if (steps.size > STEPS) steps.removeFirst()
    }

    private companion object {
        const val STEPS = 50
    }
}
