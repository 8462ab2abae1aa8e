import { Generator } from "@gpt2-edge/web";

let generator;

async function answer({ load, write }) {
  if (load !== undefined) {
    generator = await Generator.load(load);
    postMessage({ status: `Ready, on ${generator.provider}` });
  } else {
    for await (const piece of generator.stream(write, { maxNewTokens: 30 })) postMessage({ piece });
    postMessage({ status: "Done" });
  }
}

onmessage = async ({ data }) => {
  try {
    await answer(data);
  } catch (error) {
    postMessage({ status: error.message });
  } finally {
    postMessage({ idle: generator !== undefined });
  }
};
