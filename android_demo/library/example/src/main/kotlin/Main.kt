import dev.gpt2edge.GenerationConfig
import dev.gpt2edge.Generator
import java.io.File

fun main(arguments: Array<String>) {
    Generator.load(File(arguments[0])).use { generator ->
        val config = GenerationConfig(maxNewTokens = 20, temperature = 0f)
        generator.stream(arguments[1], config) { print(it) }
    }
}
