/**
 * What the page asks of a model, whoever runs it: a server (backends/server.js) or the browser
 * itself (backends/local.js). Both export `createBackend(): Backend`.
 *
 * Offsets and `droppedChars` are in UTF-16 code units, as strings of JavaScript count. A text that is
 * longer than the model's context is cut at its beginning: `droppedChars` says how much was not used.
 * Errors are Error objects whose message is a sentence for people; an aborted call rejects with a
 * DOMException named AbortError. Calls may overlap; a backend with one model lets them wait.
 *
 * @typedef {object} Backend
 * @property {() => Promise<Info>} info  Rejects where the model cannot be reached or is not loaded.
 * @property {(text: string) => Promise<{count: number, droppedChars: number}>} tokenize
 * @property {(text: string, options: NextOptions) => Promise<Next>} next
 * @property {(text: string, options: WriteOptions) => Promise<Written[]>} write
 *   Continues `text` n times, in one batch; their seeds are Python's of `seed`. Slides past a full
 *   context.
 * @property {(text: string, options: {alternatives: number, signal?: AbortSignal}) => Promise<Score>} score
 * @property {(text: string, options: {signal?: AbortSignal}) => Promise<Attention>} attention
 * @property {(options: {signal?: AbortSignal}) => Promise<{passed: boolean, problems: string[]}>} selfTest
 * @property {((options: LoadOptions) => Promise<void>)=} load
 *   Absent: the model is there. Else it is called before anything else, and resolves when the model
 *   is ready. After a rejection, or choosePackage, it may be called again.
 * @property {((source: PackageSource) => void)=} choosePackage
 *   What the next `load` loads; the model there is until then stays. Absent: there is no choice.
 * @property {string=} packageAddress  The address that `load` begins with, "" where none is known.
 * @property {((key: string) => void)=} setKey
 *   For calls that were rejected with an error named KeyError: the server asks for a key. Throws
 *   such an error for what cannot be a key.
 */
/**
 * @typedef {{url: string} | {files: File[]}} PackageSource
 *   The address of a package's folder, or its files from disk (a folder picked by
 *   `<input type=file webkitdirectory>`, or the files themselves).
 * @typedef {{onProgress(progress: Progress): void, signal?: AbortSignal}} LoadOptions
 * @typedef {object} Progress
 * @property {number} loaded  Bytes so far, of everything: weights, tokenizer, runtime.
 * @property {number} total   Bytes in all; 0 where it is not known yet.
 * @property {string} label   What is being done, in words: "Loading the model".
 */
/**
 * @typedef {object} Info
 * @property {string} name
 * @property {string} recipe         Such as "int4".
 * @property {number} contextLength  Tokens.
 * @property {number} vocabSize
 * @property {number} layers
 * @property {number} heads
 * @property {number=} width
 * @property {number=} parameters
 * @property {string=} version       Of gpt2-edge.
 * @property {string} provider       What computes, such as "cpu" or "wasm".
 * @property {boolean} attention     Whether `attention` can answer.
 * @property {number} totalBytes
 * @property {{name: string, bytes: number, sha256: string}[]} files
 * @property {Group[]} groups
 * @property {Quality | null} quality  What quantization cost; null where nothing was measured.
 */
/**
 * @typedef {{name: string, parameters: number, bytes: number, bits: number | null}} Group
 *   `bits`: the mean number of bits per weight, scales included; null where it has no weights.
 * @typedef {object} Quality  As manifest.json states it (docs/PACKAGE.md).
 * @property {string} text
 * @property {number} tokens
 * @property {number} perplexity
 * @property {number=} reference_perplexity
 * @property {number=} mean_kl  Nats per token, from the fp32 graph.
 * @property {number=} p99_kl
 * @property {number=} top1     Share of tokens whose most likely successor is the same.
 */
/**
 * How a word is drawn.
 * @typedef {object} Drawing
 * @property {number} temperature
 * @property {number} topK  0: all.
 * @property {number} topP
 * @property {number} minP
 * @property {number} seed  0 to 2^32 - 1.
 */
/**
 * @typedef {Drawing & {k: number, signal?: AbortSignal}} NextOptions
 * @typedef {object} NextToken
 * @property {number} id
 * @property {string} text         What is appended when it is taken.
 * @property {number} probability  The model's own.
 * @property {number} drawn        Under the settings; 0 for what they cut.
 * @typedef {{options: NextToken[], draw: {id: number, text: string} | null, droppedChars: number}} Next
 *   Sorted by the model's probability; `draw` is what the seed draws.
 */
/**
 * @typedef {Drawing & {n: number, maxTokens: number, signal?: AbortSignal,
 *   onText?(index: number, piece: string): void}} WriteOptions
 * @typedef {{text: string, finishReason: string}} Written
 */
/**
 * @typedef {object} Token
 * @property {number} id
 * @property {string} text   For people to read: what cannot be printed is escaped.
 * @property {number} start  The range of the text that it stands for. Tokens inside one character
 * @property {number} end    share its range.
 * @typedef {{id: number, text: string, logprob: number}} Alternative
 * @typedef {Token & {logprob: number | null, rank: number | null, alternatives: Alternative[]}} ScoredToken
 *   `rank` 1: the most likely one. Null for the first token, which nothing comes before.
 * @typedef {{tokens: ScoredToken[], perplexity: number | null, droppedChars: number}} Score
 */
/**
 * @typedef {object} Attention
 * @property {Token[]} tokens
 * @property {number} layers
 * @property {number} heads
 * @property {Float32Array} weights  [layers, heads, query, key], row-major; 0 for later keys.
 * @property {number} droppedChars
 */

/** The backends there are, as index.html's `<meta name="gpt2-edge-backend">` names them. */
const BACKENDS = ["server", "local"];

/**
 * The backend that the page names.
 * @returns {Promise<Backend>}
 */
export async function chooseBackend() {
  const meta = document.querySelector('meta[name="gpt2-edge-backend"]');
  const name = meta?.getAttribute("content") ?? "server";
  if (!BACKENDS.includes(name)) throw new Error(`There is no backend called "${name}".`);
  const module = await import(`./backends/${name}.js`);
  return module.createBackend();
}

/**
 * Whether `error` says that a call was aborted, as was asked.
 * @param {unknown} error
 */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}
