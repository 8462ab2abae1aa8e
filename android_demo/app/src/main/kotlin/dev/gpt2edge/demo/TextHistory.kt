package dev.gpt2edge.demo

/**
 * The text with its caret, and what it was before each step: writing, taking a word, or typing. Letters
 * typed in a row are one step. What was undone can be done again until the text changes otherwise.
 */
class TextHistory(text: String = "", caret: Int = text.length, earlier: List<String> = emptyList(), later: List<String> = emptyList()) {
    var text = text
        private set

    /** Where new text goes. */
    var caret = caret.coerceIn(0, text.length)
        private set

    private val before = ArrayDeque(earlier)
    private val after = ArrayDeque(later) // the next one last
    private var typing = false

    val canUndo: Boolean
        get() = before.isNotEmpty()

    val canRedo: Boolean
        get() = after.isNotEmpty()

    /** Oldest first. */
    val earlier: List<String>
        get() = before.toList()

    /** The one that redo brings back is the last. */
    val later: List<String>
        get() = after.toList()

    /** The text was edited by hand, or the caret was moved. */
    fun type(edited: String, place: Int = edited.length) {
        if (edited != text) {
            if (!typing) push()
            typing = true
            text = edited
            after.clear()
        }
        moveTo(place)
    }

    fun moveTo(place: Int) {
        if (place != caret) caret = place.coerceIn(0, text.length)
    }

    /** Opens a step that [extend] then fills. */
    fun begin() {
        push()
        typing = false
    }

    /** Puts [piece] in at the caret, which moves behind it. */
    fun extend(piece: String) {
        text = text.substring(0, caret) + piece + text.substring(caret)
        caret += piece.length
        after.clear()
    }

    /** Closes a step; one that changed nothing is forgotten. */
    fun end() {
        if (before.lastOrNull() == text) before.removeLast()
    }

    /** Back to what was before the last step; nothing where there is none. */
    fun undo() = go(before, after)

    /** Forward to what was undone last. */
    fun redo() = go(after, before)

    private fun go(from: ArrayDeque<String>, to: ArrayDeque<String>) {
        val next = from.removeLastOrNull() ?: return
        to.addLast(text)
        // The caret goes to where the change ends: in front of what stood behind it, if that is there still.
        val behind = text.substring(caret)
        val same = text.commonPrefixWith(next).length
        val left = if (next.endsWith(behind)) behind else text.substring(same).commonSuffixWith(next.substring(same))
        caret = next.length - left.length
        text = next
        typing = false
    }

    private fun push() {
        before.addLast(text)
        if (before.size > STEPS) before.removeFirst()
    }

    private companion object {
        const val STEPS = 50
    }
}
