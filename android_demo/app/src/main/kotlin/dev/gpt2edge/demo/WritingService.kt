package dev.gpt2edge.demo

import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.PendingIntent
import android.app.Service
import android.content.Context
import android.content.Intent
import android.os.IBinder

/** Says by a notification that a text is being written or a package copied, so that Android lets it go on. */
class WritingService : Service() {
    override fun onBind(intent: Intent?): IBinder? = null

    override fun onStartCommand(intent: Intent?, flags: Int, startId: Int): Int {
        running = this
        val model = (application as DemoApplication).current()
        // Of the type that the manifest gives it.
        startForeground(NOTIFICATION, notification(isImport = model?.state?.work == Work.IMPORTING))
        if (intent?.action == STOP) model?.stop()
        // It may have ended between the request to start this and now.
        if (model == null || !isBusy(model.state)) stopSelf()
        return START_NOT_STICKY
    }

    override fun onDestroy() {
        super.onDestroy()
        if (running === this) running = null
        val application = application as DemoApplication
        if (application.current()?.screen == null) application.forgetModel() // nobody looks any more
    }

    private fun notification(isImport: Boolean): Notification {
        val manager = getSystemService(Context.NOTIFICATION_SERVICE) as NotificationManager
        manager.createNotificationChannel(
            NotificationChannel(CHANNEL, getString(R.string.channel), NotificationManager.IMPORTANCE_LOW)
        )
        val open = PendingIntent.getActivity(this, 0, Intent(this, MainActivity::class.java), PendingIntent.FLAG_IMMUTABLE)
        val stop =
            PendingIntent.getService(this, 1, Intent(this, javaClass).setAction(STOP), PendingIntent.FLAG_IMMUTABLE)
        return Notification.Builder(this, CHANNEL)
            .setSmallIcon(R.drawable.icon_monochrome)
            .setContentTitle(getString(if (isImport) R.string.import_going_on else R.string.going_on))
            .setContentIntent(open)
            .setOngoing(true)
            .addAction(Notification.Action.Builder(null, getString(R.string.stop), stop).build())
            .build()
    }

    companion object {
        private const val NOTIFICATION = 1
        private const val CHANNEL = "work"
        private const val STOP = "dev.gpt2edge.demo.STOP"

        /** The one that is running. */
        var running: WritingService? = null
            private set

        fun isBusy(state: ScreenState) = state.work == Work.WRITING || state.work == Work.IMPORTING

        /** From an activity that is still in front: behind another Android may allow no start, and this is false. */
        fun start(context: Context): Boolean =
            try {
                context.startForegroundService(Intent(context, WritingService::class.java)) != null
            } catch (error: IllegalStateException) {
                false
            }
    }
}
