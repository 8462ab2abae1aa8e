package dev.gpt2edge.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.ColorFilter
import android.graphics.Paint
import android.graphics.Path
import android.graphics.PixelFormat
import android.graphics.RectF
import android.graphics.drawable.Drawable
import android.view.View

/** A rounded row with a bar along its lower edge, as long as [share], 0 to 1, says, from where reading begins. */
class Bar(context: Context, private val share: Double, private val fromRight: Boolean) : Drawable() {
    private val row = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = context.getColor(R.color.surface_container) }
    private val filled = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = context.getColor(R.color.primary) }
    private val radius = context.resources.displayMetrics.density * RADIUS
    private val height = context.resources.displayMetrics.density * HEIGHT
    private val outline = Path()

    override fun draw(canvas: Canvas) {
        val all = RectF(bounds)
        outline.rewind()
        outline.addRoundRect(all, radius, radius, Path.Direction.CW)
        canvas.save()
        canvas.clipPath(outline)
        canvas.drawRect(all, row)
        val width = (all.width() * share).toFloat()
        if (fromRight) canvas.drawRect(all.right - width, all.bottom - height, all.right, all.bottom, filled)
        else canvas.drawRect(all.left, all.bottom - height, all.left + width, all.bottom, filled)
        canvas.restore()
    }

    override fun setAlpha(alpha: Int) = Unit

    override fun setColorFilter(filter: ColorFilter?) = Unit

    @Deprecated("The framework still asks") override fun getOpacity() = PixelFormat.TRANSLUCENT

    private companion object {
        const val RADIUS = 12 // dp
        const val HEIGHT = 4
    }
}

internal fun Context.readsFromRight() = resources.configuration.layoutDirection == View.LAYOUT_DIRECTION_RTL
