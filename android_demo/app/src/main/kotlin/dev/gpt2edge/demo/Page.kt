package dev.gpt2edge.demo

import java.util.Locale

/** A part of the screen that shows its part of the state. */
interface Page {
    fun render(state: ScreenState)
}

/** As people write it; what is neither none nor all never reads as either. */
internal fun percent(share: Double): String =
    when {
        share > 0 && share < 0.001 -> "<${number(0.1, 1)} %"
        share < 1 && share > 0.999 -> ">${number(99.9, 1)} %"
        else -> "${number(100 * share, 1)} %"
    }

internal fun number(value: Double, digits: Int): String = String.format(Locale.getDefault(), "%.${digits}f", value)
