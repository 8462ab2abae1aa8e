package dev.gpt2edge.demo

import org.junit.runners.model.FrameworkMethod
import org.robolectric.RobolectricTestRunner
import org.robolectric.internal.bytecode.InstrumentationConfiguration

/** Robolectric with one ONNX Runtime for all its frameworks: a process loads a native library once. */
class DemoRunner(tests: Class<*>) : RobolectricTestRunner(tests) {
    override fun createClassLoaderConfig(method: FrameworkMethod): InstrumentationConfiguration =
        InstrumentationConfiguration.Builder(super.createClassLoaderConfig(method))
            .doNotAcquirePackage("ai.onnxruntime.")
            .build()
}
