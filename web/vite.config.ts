/** Builds the bundle that the server serves below `/-/static/`. The two names that pages state are fixed; the rest are hashed. */

import { defineConfig } from "vitest/config";

const SOURCES = decodeURIComponent(new URL("src/", import.meta.url).pathname);

/** Which file a module goes into: what every page needs is `room`, the heavy things are alone. */
function chunkOf(id: string): string | undefined {
  const dependency = /node_modules\/((?:@[^/]+\/)?[^/]+)/u.exec(id)?.[1];
  if (dependency === undefined) return id.startsWith(SOURCES) && isHeavy(id) ? undefined : "room";
  if (dependency.startsWith("@xterm/")) return "xterm";
  if (["yjs", "lib0", "y-protocols"].includes(dependency)) return "yjs";
  const language = /^@(?:codemirror\/lang-|lezer\/)(?!common$|highlight$|lr$)(.+)/u.exec(dependency)?.[1];
  if (language !== undefined) return `language-${language}`;
  return dependency === "@lezer/lr" ? "language" : "codemirror";
}

/** Our own modules that only editors, cells, terminals or the history need, and the entries, which have fixed names. */
function isHeavy(id: string): boolean {
  const own = id.slice(SOURCES.length);
  return /^(?:engineroom|admin\/|codemirror|languages|ansi|evaluation|outputs\/|history\/|elements\/(?:editor|cell|prompt|terminal))/u.test(own);
}

export default defineConfig({
  base: "./", // chunks are found beside the module that asks for them, wherever the site is mounted
  publicDir: false,
  build: {
    outDir: "../src/engineroom/server/static/bundle",
    emptyOutDir: true,
    target: "es2022",
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rollupOptions: {
      input: { engineroom: "src/engineroom.ts", admin: "src/admin/admin.ts" },
      output: {
        entryFileNames: "[name].js",
        manualChunks: chunkOf,
        chunkFileNames: "[name]-[hash].js",
        assetFileNames: (asset) =>
          asset.names.some((name) => name.endsWith(".css")) ? "engineroom.css" : "[name]-[hash][extname]",
      },
    },
  },
  test: { environment: "jsdom", include: ["tests/**/*.test.ts"] },
});
