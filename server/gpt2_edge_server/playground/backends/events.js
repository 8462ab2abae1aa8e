/** Server-sent events, read from a response as they come. */

/** A line longer than this is no event of ours, in code units. */
const LONGEST = 1_000_000;

/**
 * The data of each event, until "[DONE]" or the end.
 * @param {Response} response
 */
export async function* eventData(response) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (pending + value).split(/\r?\n/);
      pending = lines.pop() ?? "";
      if (pending.length > LONGEST) throw new Error("The server's answer makes no sense.");
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.slice("data:".length).trim();
        if (data === "[DONE]") return;
        yield data;
      }
    }
  } catch (error) {
    if (error instanceof TypeError) throw new Error("The connection to the server broke.");
    throw error;
  } finally {
    await reader.cancel().catch(() => {});
  }
}
