package dev.gpt2edge.demo

import dev.gpt2edge.GenerationConfig
import dev.gpt2edge.GenerationResult
import dev.gpt2edge.Generator
import dev.gpt2edge.PromptCache
import java.io.File

/** The package that is in memory, one at a time, and the cache of the text. Of the worker thread. */
class LoadedPackage(private val device: Device) {
    private var folder: File? = null
    private var generator: Generator? = null
    private var cache: PromptCache? = null

    /** Whether [chosen] is what is loaded. */
    fun has(chosen: InstalledPackage): Boolean = generator != null && folder == chosen.folder

    /** The generator of [chosen]; that of another package is closed first, for its memory. */
    fun load(chosen: InstalledPackage): Generator {
        if (has(chosen)) return checkNotNull(generator)
        unload()
        val opened = Generator.load(chosen.folder, availableMemory = device.availableMemory())
        generator = opened
        folder = chosen.folder
        cache = opened.newCache()
        return opened
    }

    fun unload() {
        cache?.close()
        generator?.close()
        cache = null
        generator = null
        folder = null
    }

    /** Goes on behind [prompt]; what the cache holds of it is not read again. */
    fun write(
        chosen: InstalledPackage,
        prompt: String,
        config: GenerationConfig,
        cancelled: () -> Boolean,
        add: (String) -> Unit,
    ): GenerationResult = load(chosen).stream(prompt, config, cancelled, cache, add)

    /** The likeliest words behind [prompt], of which the last tokens count that fit the context. */
    fun next(chosen: InstalledPackage, prompt: String, count: Int): List<Option> {
        val loaded = load(chosen)
        val ids = loaded.encode(prompt)
        val fits = ids.takeLast(loaded.modelPackage.manifest.architecture.contextLength).toIntArray()
        return loaded.nextTokens(fits, count, cache = cache).map { Option(it) }
    }

    /** [count] different ways to go on, each a few words; [add] gets each as it is there. */
    fun suggest(
        chosen: InstalledPackage,
        prompt: String,
        config: GenerationConfig,
        count: Int,
        cancelled: () -> Boolean,
        add: (String) -> Unit,
    ) {
        val found = LinkedHashSet<String>()
        var seed = config.seed ?: System.nanoTime()
        // A sharp model gives the same more than once: a few more are tried.
        repeat(2 * count) {
            if (found.size == count || cancelled()) return
            val wanted =
                config.copy(
                    maxNewTokens = SUGGESTED,
                    doSample = true,
                    temperature = config.temperature?.takeIf { it > 0 } ?: 1f,
                    seed = seed++,
                )
            val text = load(chosen).generate(prompt, wanted, cancelled, cache).text.trimEnd()
            if (text.isNotBlank() && !cancelled() && found.add(text)) add(text)
        }
    }

    /** [text] word by word. */
    fun read(chosen: InstalledPackage, text: String): Reading {
        val loaded = load(chosen)
        val ids = loaded.encode(text)
        val fits = ids.takeLast(loaded.modelPackage.manifest.architecture.contextLength).toIntArray()
        val manifest = loaded.modelPackage.manifest
        val bos = fits.size == ids.size && (manifest.bosTokenId != null || manifest.eosTokenIds.isNotEmpty())
        val scored = loaded.scoreTokens(fits, bos = bos)
        return Reading(text, scored.takeLast(fits.size).map { ReadWord(it) }, ids.size - fits.size)
    }

    private companion object {
        const val SUGGESTED = 12 // tokens
    }
}
