package dev.gpt2edge

import java.math.BigInteger

/*
 * The types and ranges that settings have, for callers' values and for those in JSON. A true is no
 * number there, 5.0 no whole number and "5" neither, as in Python.
 */

/** Values of one kind. [parse]: what a value of JSON means, or null where it is none or not [allowed]. */
internal class Kind<T : Any>(
    val expected: String,
    val allowed: (T) -> Boolean,
    val parse: (Any) -> T?,
)

internal object Kinds {
    val truth = Kind<Boolean>("true or false", { true }, { it as? Boolean })

    val anyWhole = Kind<Long>("a whole number", { true }, { it as? Long })

    val share = real("a number from 0 to 1") { it >= 0 && it <= 1 }

    val overflow = Kind<String>("'stop' or 'slide'", ::isOverflow) { value -> (value as? String)?.takeIf(::isOverflow) }

    val texts =
        Kind<List<String>>("a list of strings, none of them empty", { all -> all.none { it.isEmpty() } }) { value ->
            val all = if (value is String) listOf(value) else value as? List<*>
            all?.mapOrNull { item -> (item as? String)?.takeIf { it.isNotEmpty() } }
        }

    val ids = Kind<List<Int>>("a list of token ids", ::areIds, ::ids)

    val words =
        Kind<List<List<Int>>>("a list of lists of token ids", { it.all(::isWord) }) { value ->
            (value as? List<*>)?.mapOrNull(::word)
        }

    val sequenceBias =
        Kind<Map<List<Int>, Float>>(
            "a bias (not infinity) for each list of token ids",
            { biases -> biases.keys.all(::isWord) && biases.values.all(::isBias) },
            { value -> biases(value, ::ids) },
        )

    val logitBias =
        Kind<Map<Int, Float>>(
            "a bias (not infinity) for each token id",
            { biases -> biases.keys.all { it >= 0 } && biases.values.all(::isBias) },
            { value -> biases(value) { key -> ids(key)?.singleOrNull() } },
        )

    /** Whole numbers from [least] on; more than an Int holds are as many as any text has. */
    fun whole(least: Int, expected: String) =
        Kind<Int>(expected, { it >= least }, { value -> wholeNumber(value)?.takeIf { it >= least } })

    /** Finite numbers that are [fine]. */
    fun real(expected: String, fine: (Double) -> Boolean): Kind<Float> {
        fun allowed(number: Double) = Math.abs(number) < Double.POSITIVE_INFINITY && fine(number)
        return Kind(expected, { allowed(it.toDouble()) }) { value ->
            (value as? Number)?.toDouble()?.takeIf(::allowed)?.nearestFloat()
        }
    }

    private fun isOverflow(value: String) = value == "stop" || value == "slide"

    private fun isBias(value: Float) = value < Float.POSITIVE_INFINITY // and no NaN

    private fun areIds(ids: List<Int>) = ids.all { it >= 0 }

    private fun isWord(ids: List<Int>) = ids.isNotEmpty() && areIds(ids)

    private fun wholeNumber(value: Any?): Int? =
        when (value) {
            is Long -> value.coerceIn(Int.MIN_VALUE.toLong(), Int.MAX_VALUE.toLong()).toInt()
            is BigInteger -> if (value.signum() < 0) Int.MIN_VALUE else Int.MAX_VALUE
            else -> null
        }

    private fun id(value: Any?): Int? = wholeNumber(value)?.takeIf { it >= 0 }

    /** Token ids, a lone one too. */
    private fun ids(value: Any?): List<Int>? =
        if (value is List<*>) value.mapOrNull(::id) else id(value)?.let { listOf(it) }

    /** Token ids in a list that is not empty. */
    private fun word(value: Any?): List<Int>? = if (value is List<*>) ids(value)?.takeIf { it.isNotEmpty() } else null

    /** Biases in an object, whose keys are token ids, or in a list of pairs. */
    private fun <K : Any> biases(value: Any, key: (Any?) -> K?): Map<K, Float>? {
        val pairs =
            when (value) {
                is Map<*, *> -> value.entries.map { (name, bias) -> listOf(idIn(name as String), bias) }
                is List<*> -> value
                else -> return null
            }
        val found = LinkedHashMap<K, Float>()
        for (pair in pairs) {
            if (pair !is List<*> || pair.size != 2 || (pair[0] as? List<*>)?.isEmpty() == true) return null
            val bias = (pair[1] as? Number)?.toDouble()?.takeIf { it < Double.POSITIVE_INFINITY } ?: return null
            found[key(pair[0]) ?: return null] = bias.nearestFloat()
        }
        return found
    }

    private fun idIn(name: String): Long? = if (name.all { it in '0'..'9' }) name.toLongOrNull() else null

    private fun <T : Any> List<*>.mapOrNull(transform: (Any?) -> T?): List<T>? = map { transform(it) ?: return null }

    /** The nearest Float that is not 0 or infinite unless this number is. */
    private fun Double.nearestFloat(): Float {
        val near = toFloat()
        return when {
            near == 0f && this != 0.0 -> if (this < 0) -Float.MIN_VALUE else Float.MIN_VALUE
            near.isInfinite() && !isInfinite() -> if (this < 0) -Float.MAX_VALUE else Float.MAX_VALUE
            else -> near
        }
    }
}
