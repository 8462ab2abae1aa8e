package dev.gpt2edge.demo

import dev.gpt2edge.Generator
import java.io.File

/** The package that is in memory, one at a time. Of the worker thread. */
class LoadedPackage(private val device: Device) {
    private var folder: File? = null
    private var generator: Generator? = null

    /** The generator of [chosen] if that is loaded. */
    fun of(chosen: InstalledPackage): Generator? = generator?.takeIf { folder == chosen.folder }

    /** The generator of [chosen]; that of another package is closed first, for its memory. */
    fun load(chosen: InstalledPackage): Generator {
        of(chosen)?.let { return it }
        unload()
        val opened = Generator.load(chosen.folder, availableMemory = device.availableMemory())
        generator = opened
        folder = chosen.folder
        return opened
    }

    fun unload() {
        generator?.close()
        generator = null
        folder = null
    }
}
