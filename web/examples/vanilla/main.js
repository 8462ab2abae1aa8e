import { Generator, keptFiles } from "@gpt2-edge/web";

const [text, write, status] = ["text", "write", "status"].map((id) => document.getElementById(id));
const folder = new URLSearchParams(location.search).get("package") ?? "/package/";

try {
  const generator = await Generator.load(folder, {
    keep: keptFiles(), // the second visit needs no network
    onProgress: ({ loaded, total }) => {
      status.textContent = `Loading: ${Math.round((100 * loaded) / total)}%`;
    },
  });
  status.textContent = `Ready, on ${generator.provider}`;
  write.disabled = false;
  write.onclick = async () => {
    write.disabled = true;
    try {
      const stream = generator.stream(text.value, { maxNewTokens: 30 });
      for await (const piece of stream) text.value += piece;
      status.textContent = `${stream.result.decodeTokensPerSecond.toFixed(0)} tokens a second`;
    } catch (error) {
      status.textContent = error.message; // one line: what, where, what to do
    } finally {
      write.disabled = false;
    }
  };
} catch (error) {
  status.textContent = error.message;
}
