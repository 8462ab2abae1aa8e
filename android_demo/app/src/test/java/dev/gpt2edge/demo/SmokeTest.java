package dev.gpt2edge.demo;

import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.app.ActivityManager;
import android.app.Application;
import android.content.Context;
import android.os.Looper;
import android.view.View;
import android.widget.EditText;
import android.widget.TextView;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.junit.runners.model.FrameworkMethod;
import org.junit.runners.model.InitializationError;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.internal.bytecode.InstrumentationConfiguration;

/** The APK's own DEX, of which R8 left only what it found used: it starts, loads, writes and scores. */
@RunWith(SmokeTest.Runner.class)
public class SmokeTest {
    private static final long HANGS = 120_000_000_000L; // ns

    private Activity activity;

    public static class Runner extends RobolectricTestRunner {
        public Runner(Class<?> tests) throws InitializationError {
            super(tests);
        }

        @Override
        protected InstrumentationConfiguration createClassLoaderConfig(FrameworkMethod method) {
            return new InstrumentationConfiguration.Builder(super.createClassLoaderConfig(method))
                    .doNotAcquirePackage("ai.onnxruntime.")
                    .build();
        }
    }

    @Test
    public void startsWritesAndReads() throws Exception {
        ActivityManager.MemoryInfo free = new ActivityManager.MemoryInfo();
        free.availMem = 4_000_000_000L; // Robolectric's device has none at first
        Application application = RuntimeEnvironment.getApplication();
        Shadows.shadowOf((ActivityManager) application.getSystemService(Context.ACTIVITY_SERVICE)).setMemoryInfo(free);
        Class<?> main = Class.forName("dev.gpt2edge.demo.MainActivity");
        activity = (Activity) Robolectric.buildActivity(main.asSubclass(Activity.class)).setup().get();
        EditText text = (EditText) view("text");
        until(() -> view("write").isEnabled());
        ((EditText) view("length")).setText("20");
        ((EditText) view("temperature")).setText("0");
        view("write").performClick();
        until(() -> text.length() > "It was".length() && view("write").isEnabled());
        view("tab_read").performClick();
        until(() -> ((TextView) view("reading_summary")).length() > 0);
        view("self_test").performClick();
        String passed = activity.getString(id("string", "self_test_passed")).substring(0, 9);
        until(() -> ((TextView) view("message")).getText().toString().startsWith(passed));
    }

    private int id(String kind, String name) {
        return activity.getResources().getIdentifier(name, kind, "dev.gpt2edge.demo");
    }

    private View view(String name) {
        return activity.findViewById(id("id", name));
    }

    private interface Condition {
        boolean holds();
    }

    private void until(Condition condition) throws InterruptedException {
        long deadline = System.nanoTime() + HANGS;
        while (!condition.holds()) {
            Shadows.shadowOf(Looper.getMainLooper()).idle();
            assertTrue("in time", System.nanoTime() < deadline);
            Thread.sleep(1);
        }
    }
}
