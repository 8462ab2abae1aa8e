import { useEffect, useRef, useState } from "react";
import { createRoot } from "react-dom/client";
import { useGenerator } from "./use-generator.js";

const folder = new URLSearchParams(location.search).get("package") ?? "/package/";

function Writer() {
  const { generator, status: loading } = useGenerator(folder);
  const [text, setText] = useState("It was a bright morning, and");
  const [status, setStatus] = useState("");
  const stopping = useRef(null);
  useEffect(() => () => stopping.current?.abort(), []);

  async function write() {
    const control = new AbortController();
    stopping.current = control;
    setStatus("Writing…");
    try {
      const { signal } = control;
      for await (const piece of generator.stream(text, { maxNewTokens: 30 }, { signal })) {
        setText((before) => before + piece);
      }
      setStatus("Done");
    } catch (error) {
      setStatus(error.message);
    } finally {
      stopping.current = null;
    }
  }

  return (
    <>
      <textarea
        id="text"
        rows={8}
        cols={60}
        aria-label="Text"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <p>
        <button id="write" disabled={!generator || status === "Writing…"} onClick={write}>
          Write
        </button>{" "}
        <span id="status" role="status">
          {status || loading}
        </span>
      </p>
    </>
  );
}

createRoot(document.getElementById("root")).render(<Writer />);
