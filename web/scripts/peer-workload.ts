/** What bench-peers measures of a library, in Node and in a browser alike. */

export interface Workload {
  readonly prompt: string;
  readonly tokens: number;
  /** Texts behind the first, which is counted apart: compilers and caches are cold in it. */
  readonly later: number;
}

export const WORKLOAD: Workload = { prompt: "It was a bright morning, and", tokens: 150, later: 3 };

/** Writes a text of the workload. */
export type Write = (workload: Workload) => Promise<void>;

/** Seconds of loading, and tokens a second, the prompt's reading included. */
export interface Taken {
  readonly load: number;
  readonly first: number;
  readonly later: number;
}

export async function timed(load: () => Promise<Write>, workload: Workload): Promise<Taken> {
  const seconds = async (work: () => Promise<unknown>): Promise<number> => {
    const begin = performance.now();
    await work();
    return (performance.now() - begin) / 1000;
  };
  let write: Write;
  const loading = await seconds(async () => (write = await load()));
  const speeds: number[] = [];
  for (let text = 0; text <= workload.later; text++) {
    speeds.push(workload.tokens / (await seconds(() => write(workload))));
  }
  const [first = 0, ...later] = speeds;
  return { load: loading, first, later: median(later) };
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}
