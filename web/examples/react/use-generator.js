import { useEffect, useState } from "react";
import { Generator } from "@gpt2-edge/web";

/** The package at `url`: loaded once, freed with the component; `status` is for people. */
export function useGenerator(url) {
  const [generator, setGenerator] = useState(null);
  const [status, setStatus] = useState("Loading…");
  useEffect(() => {
    const control = new AbortController();
    const { signal } = control;
    let loaded = null;
    Generator.load(url, { signal }).then(
      (found) => {
        if (signal.aborted) return found.dispose();
        loaded = found;
        setGenerator(found);
        setStatus(`Ready, on ${found.provider}`);
      },
      (error) => signal.aborted || setStatus(error.message),
    );
    return () => {
      control.abort();
      loaded?.dispose();
      setGenerator(null);
    };
  }, [url]);
  return { generator, status };
}
