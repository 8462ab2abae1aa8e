package dev.gpt2edge.demo

import android.app.Application
import android.content.Intent
import android.os.Bundle
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotSame
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf

/** What outlives rotations and the process. */
@RunWith(DemoRunner::class)
class KeepingTest {
    @Test
    fun `writing goes on through a rotation`() {
        val straight = Screen().untilReady()
        straight.settings(length = "120")
        val expected = straight.write().text

        val screen = Screen().untilReady()
        screen.type(R.id.text, "It was")
        screen.settings(length = "120")
        screen.press(R.id.write)
        screen.press(R.id.tab_settings)
        screen.until("writing") { screen.text.length > "It was".length }
        val before = screen.activity
        RuntimeEnvironment.setQualifiers("+land")
        screen.controller.configurationChange()
        assertNotSame(before, screen.activity)
        assertTrue(expected.startsWith(screen.text) && screen.text.length > "It was".length)
        screen.untilReady()
        assertEquals(expected, screen.text)
        assertEquals("120", screen.field(R.id.length).text.toString())
        assertEquals(android.view.View.VISIBLE, screen.view<android.view.View>(R.id.page_settings).visibility)
        screen.press(R.id.undo)
        assertEquals("It was", screen.text)
    }

    @Test
    fun `a state of a version without a repetition penalty is taken`() {
        val state = SavedState(3, "text", listOf("before"), Settings(length = "9"), Settings(), null)
        val encoded = state.encode().lines().filterNot { "repetitionPenalty" in it }.joinToString("\n")
        assertEquals(state, SavedState.decode(encoded))
    }

    @Test
    fun `text, settings and undo outlive the process`() {
        val first = Screen().untilReady()
        first.type(R.id.text, "The animal")
        first.settings(length = "7", seed = "3", repetitionPenalty = "1.2")
        val written = first.write().text
        first.field(R.id.text).setSelection(4)
        val second = Screen(first.die()).untilReady()
        assertEquals(written, second.text)
        assertEquals(4, second.field(R.id.text).selectionStart)
        assertEquals("7", second.field(R.id.length).text.toString())
        assertEquals("3", second.field(R.id.seed).text.toString())
        assertEquals("1.2", second.field(R.id.repetition_penalty).text.toString())
        second.press(R.id.undo)
        assertEquals("The animal", second.text)
        second.press(R.id.undo)
        assertEquals("It was", second.text)
    }

    @Test
    fun `a process that ends while it writes keeps what was written`() {
        val first = Screen().untilReady()
        first.settings(length = "480")
        first.press(R.id.write)
        first.until("writing") { first.text.length > 20 }
        val written = first.text
        val second = Screen(first.die()).untilReady()
        assertTrue(second.text, second.text.startsWith(written))
        second.press(R.id.undo)
        assertEquals("It was", second.text)
    }

    @Test
    fun `an application that was swiped away finds its text in the file`() {
        val first = Screen().untilReady()
        first.type(R.id.text, "Kept in the file ✓\n\\u00e9 = é")
        first.die()
        assertEquals("Kept in the file ✓\n\\u00e9 = é", Screen().untilReady().text)
    }

    @Test
    fun `a text too long for the instance state is in the file only`() {
        val first = Screen().untilReady()
        val long = "many words ".repeat(30_000)
        first.type(R.id.text, long)
        val state: Bundle = first.die()
        assertNull(state.getString("state"))
        assertEquals(long, Screen(state).untilReady().text)
    }

    @Test
    fun `redo and the caret outlive the process, too`() {
        val first = Screen().untilReady()
        first.type(R.id.text, "It was late")
        first.press(R.id.undo)
        first.field(R.id.text).setSelection(2)
        val second = Screen(first.die()).untilReady()
        assertEquals(2, second.field(R.id.text).selectionEnd)
        second.press(R.id.redo)
        assertEquals("It was late", second.text)
    }

    @Test
    fun `a text that is being written goes on behind other applications, and then all of it ends`() {
        val screen = Screen().untilReady()
        screen.settings(length = "900")
        screen.press(R.id.write)
        screen.until("writing") { screen.text.length > 20 }
        val model = screen.model()
        screen.controller.pause()
        val started = shadowOf(screen.activity.application as Application).nextStartedService
        assertEquals(WritingService::class.java.name, started.component!!.className)
        val service = Robolectric.buildService(WritingService::class.java, started).create().startCommand(0, 1)
        val notification = shadowOf(service.get()).lastForegroundNotification
        assertEquals("A text is being written", notification.extras.getString("android.title"))
        screen.controller.stop().destroy() // swiped away
        val left = model.state.text
        assertFalse("it holds no activity", model.screen != null)
        val deadline = System.nanoTime() + 60_000_000_000
        while (model.state.work != null && System.nanoTime() < deadline) {
            Screen.idle()
            Thread.sleep(1)
        }
        assertTrue("went on", model.state.text.length > left.length)
        assertEquals(900, model.state.statistics!!.tokens)
        assertTrue("the service ends", shadowOf(service.get()).isStoppedBySelf)
        service.destroy()
        assertTrue("and the model", model.awaitClosed(60))
        assertEquals(model.state.text, Screen().untilReady().text)
    }

    @Test
    fun `Stop in the notification stops the text`() {
        val screen = Screen().untilReady()
        screen.settings(length = "480")
        screen.press(R.id.write)
        screen.until("writing") { screen.text.length > 20 }
        screen.controller.pause()
        val started = shadowOf(screen.activity.application as Application).nextStartedService
        val stop = Intent(started).setAction("dev.gpt2edge.demo.STOP")
        Robolectric.buildService(WritingService::class.java, stop).create().startCommand(0, 1)
        screen.untilReady()
        assertEquals("Stopped.", screen.message)
    }

    @Test
    fun `a process that ends in an orderly way waits for what computes`() {
        val first = Screen().untilReady()
        first.settings(length = "480")
        first.press(R.id.write)
        first.until("writing") { first.text.length > 20 }
        val left = first.model()
        first.controller.pause().stop().destroy() // its model still waits for the step that it computes
        val second = Screen()
        val model = second.model()
        (second.activity.application as DemoApplication).onTerminate()
        assertTrue(left.awaitClosed(0) && model.awaitClosed(0))
    }

    @Test
    fun `what waits behind a model that is closed is never begun`() {
        val screen = Screen().untilReady()
        val begun = CountDownLatch(1)
        val goOn = CountDownLatch(1)
        val model = screen.model()
        model.import {
            begun.countDown()
            goOn.await()
            error("stopped")
        }
        val second = CountDownLatch(1)
        model.import {
            second.countDown()
            error("begun")
        }
        assertTrue(begun.await(60, TimeUnit.SECONDS))
        model.close()
        goOn.countDown()
        assertTrue(model.awaitClosed(60))
        assertEquals(1, second.count)
    }

    @Test
    fun `leaving what does nothing ends the model and its threads`() {
        val screen = Screen().untilReady()
        val model = screen.model()
        screen.controller.pause().stop().destroy()
        assertTrue("the worker ends", model.awaitClosed(60))
        assertNull((screen.activity.application as DemoApplication).current())
    }
}
