// The page: asks, and shows what comes. The model lives in worker.js, so that no step holds this up.

const [text, write, status] = ["text", "write", "status"].map((id) => document.getElementById(id));
const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });

worker.onmessage = ({ data }) => {
  if (data.piece !== undefined) text.value += data.piece;
  if (data.status !== undefined) status.textContent = data.status;
  if (data.idle !== undefined) write.disabled = !data.idle;
};
write.onclick = () => {
  write.disabled = true;
  worker.postMessage({ write: text.value });
};
const folder = new URLSearchParams(location.search).get("package") ?? "/package/";
worker.postMessage({ load: new URL(folder, location.href).href });
