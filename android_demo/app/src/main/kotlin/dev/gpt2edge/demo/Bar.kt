package dev.gpt2edge.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.ColorFilter
import android.graphics.Paint
import android.graphics.PixelFormat
import android.graphics.RectF
import android.graphics.drawable.Drawable
import android.view.View

/** A rounded row with a bar below its words, as long as [share], 0 to 1, says, from where reading begins. */
class Bar(context: Context, private val share: Double, private val fromRight: Boolean) : Drawable() {
    private val row = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = context.getColor(R.color.surface_container) }
    private val filled = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = context.getColor(R.color.primary) }
    private val density = context.resources.displayMetrics.density

    override fun draw(canvas: Canvas) {
        val all = RectF(bounds)
        canvas.drawRoundRect(all, RADIUS * density, RADIUS * density, row)
        val start = PADDING * density // where the words begin, too
        val width = ((all.width() - 2 * start) * share).toFloat()
        val left = if (fromRight) all.right - start - width else all.left + start
        val top = all.bottom - (BELOW + HEIGHT) * density
        canvas.drawRoundRect(left, top, left + width, top + HEIGHT * density, density, density, filled)
    }

    override fun setAlpha(alpha: Int) = Unit

    override fun setColorFilter(filter: ColorFilter?) = Unit

    @Deprecated("The framework still asks") override fun getOpacity() = PixelFormat.TRANSLUCENT

    private companion object {
        // All in dp.
        const val RADIUS = 12
        const val PADDING = 16
        const val HEIGHT = 4
        const val BELOW = 4
    }
}

internal fun Context.readsFromRight() = resources.configuration.layoutDirection == View.LAYOUT_DIRECTION_RTL
