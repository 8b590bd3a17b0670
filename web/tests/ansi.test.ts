import { describe, expect, it } from "vitest";
import { parseAnsi, PLAIN, START } from "../src/ansi";

const parse = (text: string) => parseAnsi(text, START).spans;

describe("parseAnsi", () => {
  it("leaves plain text alone", () => {
    expect(parse("a\nb")).toEqual([{ text: "a\nb", style: PLAIN }]);
  });

  it("reads colours of 16, 256 and 24 bits", () => {
    expect(parse("\x1b[31ma\x1b[94;42mb\x1b[38;5;196mc\x1b[48;2;1;2;3md\x1b[38;5;250me")).toEqual([
      { text: "a", style: { foreground: "1" } },
      { text: "b", style: { foreground: "12", background: "2" } },
      { text: "c", style: { foreground: "#ff0000", background: "2" } },
      { text: "d", style: { foreground: "#ff0000", background: "#010203" } },
      { text: "e", style: { foreground: "#bcbcbc", background: "#010203" } },
    ]);
  });

  it("sets and resets attributes", () => {
    expect(parse("\x1b[1;3;4;7;9ma\x1b[22;23;24;27;29mb\x1b[1m\x1b[mc")).toEqual([
      { text: "a", style: { bold: true, italic: true, underline: true, inverse: true, strike: true } },
      { text: "b", style: {} },
      { text: "c", style: {} },
    ]);
  });

  it("drops escapes that are not colours, titles and links among them", () => {
    expect(parse("\x1b[2K\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b\x1b(B\x1b=c\x07").map(({ text }) => text).join("")).toBe("abc");
  });

  it("gives the same whatever the cut", () => {
    const text = "x\x1b[1;31mred\x1b[0m \x1b]0;t\x07y\x1b[38;2;9;8;7mz\x1b[0m\n";
    const whole = parse(text).map(({ text: part, style }) => [part, style]);
    for (let cut = 0; cut <= text.length; cut += 1) {
      const first = parseAnsi(text.slice(0, cut), START);
      const second = parseAnsi(text.slice(cut), first.state);
      expect(merged([...first.spans, ...second.spans])).toEqual(merged(whole.map(([part, style]) => ({ text: part, style }) as never)));
    }
  });
});

function merged(spans: readonly { text: string; style: object }[]): [string, string][] {
  const result: [string, string][] = [];
  for (const { text, style } of spans) {
    const last = result.at(-1);
    const key = JSON.stringify(style);
    if (last?.[1] === key) last[0] += text;
    else result.push([text, key]);
  }
  return result;
}
