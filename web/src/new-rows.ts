/**
 * A graph that gives back only the keys and values of new tokens. On the processor every output is
 * copied: this way a step copies its own rows and nothing else. GroupQueryAttention also takes a past
 * that has room for more, and reads of it what the mask counts; standard operators need exactly the
 * past.
 */

import { cacheNames } from "./cache.js";
import { changed, GRAPH, graphsOf, nameOfValue, rewritten, VALUE } from "./graph-edit.js";
import { DATA_TYPE, rawData, writeNode, writeTensor } from "./graph-write.js";
import type { Manifest } from "./manifest.js";
import { bytesOf, fieldOf, fieldsOf, text } from "./protobuf.js";
import { shown, UnreadableError } from "./untrusted.js";

const SUFFIX = ".new";
const TOKENS_AXIS = 2; // of [batch, heads, tokens, head_size]

/** `manifest` of a graph whose present is that of the new tokens. */
export function namingNewRows(manifest: Manifest): Manifest {
  const { names } = manifest.graph;
  const present = {
    presentKey: names.presentKey + SUFFIX,
    presentValue: names.presentValue + SUFFIX,
  };
  return { ...manifest, graph: { ...manifest.graph, names: { ...names, ...present } } };
}

/** `content`, whose outputs of keys and values are those of the tokens of the step. */
export function withNewRows(content: Uint8Array, manifest: Manifest): Uint8Array<ArrayBuffer> {
  const { inputIds, attentionMask } = manifest.graph.names;
  const inputs = graphsOf(content)
    .flatMap((graph) => [...fieldsOf(graph)])
    .filter(([number]) => number === GRAPH.input)
    .map(([, value]) => nameOfValue(bytesOf(value)));
  for (const name of [inputIds, attentionMask]) {
    if (!inputs.includes(name)) throw missing("input", name);
  }
  const presents = new Set(cacheNames(manifest).map(({ present }) => present));
  const left = new Set(presents);
  const axis = new Uint8Array(BigInt64Array.of(BigInt(TOKENS_AXIS)).buffer);
  const [tokens, total, begin, axes] = ["tokens", "total", "begin", "axis"].map(
    (name) => `gpt2_edge.new_rows.${name}`,
  ) as [string, string, string, string];
  const second = { start: 1, end: 2 };
  const nodes = [
    writeNode("Shape", [inputIds], tokens, second),
    writeNode("Shape", [attentionMask], total, second),
    writeNode("Sub", [total, tokens], begin),
    ...[...presents].map((name) => writeNode("Slice", [name, begin, total, axes], name + SUFFIX)),
  ];
  const added = [
    ...fieldOf(GRAPH.initializer, writeTensor(axes, DATA_TYPE.int64, [1], rawData(axis))),
    ...nodes.flatMap((node) => fieldOf(GRAPH.node, node)),
  ];
  const graph = changed(
    content,
    (number, value) => {
      if (number !== GRAPH.output) return undefined;
      const name = nameOfValue(value);
      if (name === undefined || !left.delete(name)) return undefined;
      const renamed = rewritten(value, (field) =>
        field === VALUE.name ? fieldOf(VALUE.name, [text(name + SUFFIX)]) : undefined,
      );
      return fieldOf(GRAPH.output, renamed);
    },
    added,
  );
  for (const name of left) throw missing("output", name);
  return graph;
}

function missing(kind: string, name: string): UnreadableError {
  return new UnreadableError(`it has no ${kind} ${shown(name)}, which the manifest names`);
}
