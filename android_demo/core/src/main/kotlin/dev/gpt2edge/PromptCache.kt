package dev.gpt2edge

/**
 * The keys and values of one text, kept between calls: of a prompt only what is new is read. Made by
 * Generator.newCache, for generations and next tokens of that generator, which run one after another:
 * a second use meanwhile is a GenerationException. Holds memory outside the heap until it is closed.
 */
class PromptCache internal constructor(private val session: Session) : AutoCloseable {
    private var sequence: TokenSequence? = null
    private var asked: IntArray? = null // the prompt of the last logitsAfter, and what it gave
    private var answer: FloatArray? = null
    private var busy = false
    private var closed = false

    /** The tokens that it holds: those of the last prompt and of the text behind it but for the last one. */
    val ids: IntArray
        get() = using { sequence?.ids() ?: IntArray(0) }

    /** Forgets all tokens from number [length] on. */
    fun trim(length: Int): Unit = using {
        val there = sequence?.length ?: 0
        if (length !in 0..there) {
            throw GenerationException(
                "length is $length; it must be from 0 to the $there tokens that the cache holds",
                Problem.OutOfRange("length", "$length"),
            )
        }
        sequence?.trim(length)
    }

    /** Frees its memory, once a text that is being written is at its end. */
    override fun close() {
        synchronized(this) {
            closed = true
            if (!busy) forget()
        }
    }

    /** Gives [work] its sequence, which is nobody else's meanwhile. */
    internal fun <T> use(user: Session, work: (TokenSequence) -> T): T {
        if (user !== session) {
            throw GenerationException("the cache is of another package; make one with newCache()", Problem.OtherCache)
        }
        return using {
            val lent =
                sequence
                    ?: session.start(session.modelPackage.manifest.architecture.contextLength).also { sequence = it }
            try {
                work(lent)
            } catch (error: Throwable) { // what a run that failed left in it is not known
                forget()
                throw error
            }
        }
    }

    /**
     * Logits after [prompt], of which only what is new is read: a lone new token is a step, as where a
     * text is written, and nothing is computed for the prompt of the call before.
     */
    internal fun logitsAfter(user: Session, prompt: IntArray): FloatArray =
        use(user) { sequence ->
            val known = answer
            if (known != null && prompt.contentEquals(asked)) return@use known
            val stays = minOf(commonPrefix(sequence.ids(), prompt), prompt.size - 1)
            sequence.trim(stays)
            val left = prompt.copyOfRange(stays, prompt.size)
            if (left.size == 1) sequence.feed(left[0]) else sequence.prefill(left)
            asked = prompt.copyOf()
            sequence.logits.copyOf().also { answer = it }
        }

    private fun <T> using(work: () -> T): T {
        synchronized(this) {
            if (closed) throw GenerationException("the cache was closed; make a new one", Problem.OtherCache)
            if (busy) {
                throw GenerationException("the cache is in use; wait for that call, or make another", Problem.CacheInUse)
            }
            busy = true
        }
        try {
            return work()
        } finally {
            synchronized(this) {
                busy = false
                if (closed) forget()
            }
        }
    }

    private fun forget() {
        sequence?.close()
        sequence = null
        asked = null
        answer = null
    }
}
