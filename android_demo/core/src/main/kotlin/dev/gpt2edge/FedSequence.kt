package dev.gpt2edge

/** What the decode loop needs of a model: one sequence, fed token by token. */
internal interface FedSequence {
    /** Tokens that there is room for. */
    val capacity: Int

    /** Tokens that are held. */
    val length: Int

    /** The logits after the last token fed; overwritten by the next step. */
    val logits: FloatArray

    /** The tokens that are held. */
    fun ids(): IntArray

    /** Feeds [tokens] in parts; false if [interrupted], asked before each part, said so before their end. */
    fun prefill(tokens: IntArray, interrupted: () -> Boolean): Boolean

    /** Feeds one token. */
    fun feed(id: Int)

    /** Forgets all tokens from number [length] on. */
    fun trim(length: Int)

    /** What to throw for logits of which no token can be chosen. */
    fun notNumbers(): GenerationException
}
