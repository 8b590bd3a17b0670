/** Prints the size of every file of the built bundle, raw and gzipped, as a Markdown table. */

import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const folder = new URL("../src/engineroom/server/static/bundle/", import.meta.url);
const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
const files = readdirSync(folder).map((name) => {
  const content = readFileSync(new URL(name, folder));
  return { name, raw: content.length, gzip: gzipSync(content, { level: 9 }).length };
});

console.log("| file | raw | gzip |\n|---|---:|---:|");
for (const { name, raw, gzip } of files.sort((one, other) => other.raw - one.raw)) {
  console.log(`| ${name} | ${kilobytes(raw)} | ${kilobytes(gzip)} |`);
}
