package dev.gpt2edge

/**
 * What a graph may be made of, whoever wrote it: nodes of ONNX and ONNX Runtime in one list. No GPT-2
 * needs more, and what else there is may run for ever. spec/graphs.json has the rule for all runtimes.
 */
internal object GraphRules {
    val domains = setOf("", "ai.onnx", "com.microsoft")

    /** Operators that run a graph within them, by loops, branches or searches. */
    val withGraphs =
        setOf(
            "BeamSearch",
            "GreedySearch",
            "If",
            "Loop",
            "Sampling",
            "Scan",
            "SequenceMap",
            "WhisperBeamSearch",
        )

    /** An operator that makes a provider read files of its own. */
    const val COMPILED = "EPContext"

    /** UnreadableException for a node that no graph of a GPT-2 has; [holdsGraph]: one of its attributes does. */
    fun checkNode(operator: String, domain: String, holdsGraph: Boolean) {
        if (holdsGraph || operator in withGraphs)
            throw UnreadableException("it has a node ${shown(operator)}, which runs a graph within the graph")
        if (operator == COMPILED) throw UnreadableException("it has a node $COMPILED, compiled for one device")
        if (domain !in domains)
            throw UnreadableException(
                "it has a node ${shown(operator)} of ${shown(domain)}, operators of another library"
            )
    }
}
