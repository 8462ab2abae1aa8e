import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

const pages = ["vanilla", "worker", "react", "svelte"];

export default defineConfig({
  base: "./", // for any folder of a host
  plugins: [svelte()],
  worker: { format: "es" },
  build: { rollupOptions: { input: pages.map((page) => `${page}/index.html`) } },
});
