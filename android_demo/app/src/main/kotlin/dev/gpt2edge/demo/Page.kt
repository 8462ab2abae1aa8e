package dev.gpt2edge.demo

import android.content.Context

/** A part of the screen that shows its part of the state. */
interface Page {
    fun render(state: ScreenState)
}

/** As people write it; what is neither none nor all never reads as either. */
internal fun Context.percent(share: Double): String =
    when {
        share > 0 && share < 0.001 -> "<${number(0.1, 1)} %"
        share < 1 && share > 0.999 -> ">${number(99.9, 1)} %"
        else -> "${number(100 * share, 1)} %"
    }

/** In the language that the words around it are in. */
internal fun Context.number(value: Double, digits: Int): String =
    String.format(resources.configuration.locales[0], "%.${digits}f", value)
