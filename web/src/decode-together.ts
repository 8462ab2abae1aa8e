/** Several texts of one prompt: it is read once, and each step takes a token of all of them. */

import { decode, type Begin, type Rows, type Sequence } from "./decode.js";
import { nextTask } from "./next-task.js";
import type { TextRequest } from "./request.js";
import type { TextEvent } from "./result.js";

/** What a text adds, and which one it is. */
export interface NumberedEvent {
  readonly index: number;
  readonly event: TextEvent;
}

/**
 * Write the texts of `requests`, all of one prompt. They step together where the graph takes several
 * rows and all of the texts fit the context; else they come one after another.
 */
export async function* decodeTogether(
  requests: readonly TextRequest[],
  begin: Begin,
): AsyncGenerator<NumberedEvent, void, undefined> {
  const [first] = requests;
  if (!first) return;
  const { prompt, settings } = first;
  const wanted = prompt.length + settings.maxNewTokens - 1;
  const { sequence, logits } = await begin(prompt, wanted);
  if (requests.length === 1 || !sequence.fork || sequence.capacity < wanted) {
    sequence.dispose();
    for (const [index, request] of requests.entries()) {
      for await (const event of decode(request, begin)) yield { index, event };
    }
    return;
  }
  try {
    yield* together(requests, sequence, logits);
  } finally {
    sequence.dispose();
  }
}

async function* together(
  requests: readonly TextRequest[],
  sequence: Sequence,
  known: Float32Array | null,
): AsyncGenerator<NumberedEvent, void, undefined> {
  const told = requests.map(() => 0);
  const news = function* (): Generator<NumberedEvent> {
    for (const [index, { events }] of requests.entries()) {
      for (; told[index]! < events.length; told[index]!++) {
        yield { index, event: events[told[index]!]! };
      }
    }
  };
  /** Whether all have ended; the rest of a text that was interrupted is told. */
  const over = async (): Promise<boolean> => {
    await nextTask();
    for (const request of requests) {
      const reason = request.over ? null : request.interruption();
      if (reason !== null) request.end(reason);
    }
    return requests.every((request) => request.over);
  };
  const timed = async <T>(kind: "promptSeconds" | "decodeSeconds", work: () => Promise<T>) => {
    const began = performance.now();
    const result = await work();
    for (const request of requests) request[kind] += (performance.now() - began) / 1000;
    return result;
  };
  let logits = known;
  let pending = requests[0]!.prompt.slice(sequence.ids.length);
  while (!logits) {
    if (await over()) return yield* news();
    const step = await timed("promptSeconds", () => sequence.read(pending));
    pending = pending.slice(step.count);
    logits = step.logits;
  }
  let rows: Rows | null = null;
  let tokens = requests.map((request) => request.accept(logits!, false));
  yield* news();
  try {
    while (!(await over())) {
      const found: Float32Array[] = await timed("decodeSeconds", async () => {
        rows ??= await sequence.fork!(requests.length);
        return rows.step(tokens);
      });
      // A text that has ended goes on with its last token, for nobody.
      tokens = requests.map((request, row) =>
        request.over ? tokens[row]! : request.accept(found[row]!, false),
      );
      yield* news();
    }
    yield* news();
  } finally {
    (rows as Rows | null)?.dispose();
  }
}
