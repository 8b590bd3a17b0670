import { describe, expect, it } from "vitest";
import { describe as inWords, readEvaluation } from "../src/evaluation";
import { content, duration, size, ticking } from "../src/format";
import { cleanState, initials, person } from "../src/presence";

describe("format", () => {
  it.each([[0.004, "0.01 s"], [0.123, "0.12 s"], [12.34, "12.3 s"], [59.97, "1 min 00 s"], [125, "2 min 05 s"], [7_500, "2 h 05 min"]])(
    "says %d seconds as %s", (seconds, words) => expect(duration(seconds)).toBe(words));
  it.each([[-3, "0 s"], [4.9, "4 s"], [61, "1 min 01 s"]])("ticks %d as %s", (seconds, words) => expect(ticking(seconds)).toBe(words));
  it.each([[1, "1 byte"], [812, "812 bytes"], [12_345, "12 kB"], [3_400_000, "3.4 MB"]])("says %d bytes as %s", (bytes, words) =>
    expect(size(bytes)).toBe(words));
  it("shows any value as one line", () => {
    expect([undefined, null, "text", 0.1 + 0.2, true, [1, { a: 2 }], new Uint8Array(12_000)].map(content)).toEqual([
      "–", "–", "text", "0.3", "true", '[1,{"a":2}]', "12 kB",
    ]);
  });
});

describe("an evaluation in words", () => {
  const say = (fields: object): string => {
    const evaluation = readEvaluation({ id: "e", by: "Quiet Otter", ...fields });
    return evaluation === undefined ? "" : inWords(evaluation, 1_000);
  };
  it.each([
    [{ state: "queued" }, "Queued · Quiet Otter"],
    [{ state: "running", started: 988 }, "Running for 12 s · Quiet Otter"],
    [{ state: "running", started: 2_000 }, "Running for 0 s · Quiet Otter"],
    [{ state: "running", prompt: "Name?" }, "Waiting for input · Quiet Otter"],
    [{ state: "done", seconds: 0.12 }, "Done in 0.12 s · Quiet Otter"],
    [{ state: "failed", seconds: 1, reason: "ZeroDivisionError" }, "Failed after 1.0 s: ZeroDivisionError · Quiet Otter"],
    [{ state: "interrupted", seconds: 2 }, "Interrupted after 2.0 s · Quiet Otter"],
    [{ state: "lost", by: "" }, "Lost: the engine ended before this did"],
    [{ state: "dancing" }, ""],
  ])("%o is: %s", (fields, words) => expect(say(fields)).toBe(words));
});

describe("presence", () => {
  it("is rebuilt from checked parts", () => {
    const cursor = { anchor: { tname: "notes", item: { client: 1, clock: 2 }, type: null, evil: 1 }, head: { tname: "notes" } };
    const state = { user: { name: ` ${"x".repeat(90)} `, color: "red;background:url(//evil)", extra: 1 }, cursor, more: 1 };
    expect(cleanState(state)).toEqual({
      user: { name: "x".repeat(40), color: "#6b7280", colorLight: "#6b728033" },
      cursor: {
        anchor: { type: null, tname: "notes", item: { client: 1, clock: 2 }, assoc: 0 },
        head: { type: null, tname: "notes", item: null, assoc: 0 },
      },
    });
  });

  it.each([5, "text", null, []])("of the shape %o is none", (state) => expect(cleanState(state)).toBeNull());
  it("drops a cursor that says nothing", () => expect(cleanState({ cursor: { anchor: 5, head: {} } })).toEqual({}));
  it.each([["Quiet Otter", "QO"], ["ada", "A"], ["Jean Paul Sartre", "JS"], ["😀 x", "😀X"]])("shortens %s to %s", (name, letters) =>
    expect(initials(name)).toBe(letters));
  it("has a name even when none was given", () => expect(person("  ", "#000000").name).toBe("Visitor"));
});
