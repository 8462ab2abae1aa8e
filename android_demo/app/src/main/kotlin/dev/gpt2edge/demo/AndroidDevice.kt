package dev.gpt2edge.demo

import android.app.ActivityManager
import android.content.Context
import android.os.Handler
import android.os.Looper

/** The device under Android. It keeps no activity, so it may outlive one. */
class AndroidDevice(context: Context) : Device {
    private val activities =
        context.applicationContext.getSystemService(Context.ACTIVITY_SERVICE) as ActivityManager
    private val handler = Handler(Looper.getMainLooper())

    override fun availableMemory(): Long =
        ActivityManager.MemoryInfo().also { activities.getMemoryInfo(it) }.availMem

    override fun onScreen(action: () -> Unit) {
        handler.post(action)
    }

    override fun onScreenLater(milliseconds: Long, action: () -> Unit) {
        handler.postDelayed(action, milliseconds)
    }

    override fun busy(isBusy: Boolean) {
        if (!isBusy) WritingService.running?.stopSelf()
    }
}
