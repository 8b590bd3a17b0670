import * as decoding from "lib0/decoding";
import * as encoding from "lib0/encoding";
import { describe, expect, it } from "vitest";
import { contentOf, decode, encode, type FromMember, jsonValue, ProtocolError } from "../src/protocol";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** Writes a frame as the room does: a number is a varUint, text a varString, bytes a buf. */
function frame(...parts: (number | string | Uint8Array)[]): Uint8Array {
  return encoding.encode((out) => {
    for (const part of parts) {
      if (typeof part === "number") encoding.writeVarUint(out, part);
      else if (typeof part === "string") encoding.writeVarString(out, part);
      else encoding.writeVarUint8Array(out, part);
    }
  });
}

describe("encode", () => {
  const value = jsonValue(3);
  const cases: [FromMember, Uint8Array][] = [
    [{ type: "step1", stateVector: bytes(0) }, frame(0, 0, bytes(0))],
    [{ type: "step2", update: bytes(0, 0) }, frame(0, 1, bytes(0, 0))],
    [{ type: "update", update: bytes(1) }, frame(0, 2, bytes(1))],
    [{ type: "awareness", states: bytes(0) }, frame(1, bytes(0))],
    [{ type: "queryAwareness" }, frame(3)],
    [{ type: "setValue", request: 300, address: "/speed", value }, frame(101, 300, "/speed", 0, bytes(0x33))],
    [{ type: "evaluate", request: 1, evaluation: "e", cell: "c", code: "é" }, frame(110, 1, "e", "c", "é")],
    [{ type: "interrupt", request: 2, engine: "python" }, frame(111, 2, "python")],
    [{ type: "restart", request: 2, engine: "python" }, frame(112, 2, "python")],
    [{ type: "complete", request: 3, cell: "c", code: "ma", cursor: 2 }, frame(113, 3, "c", "ma", 2)],
    [{ type: "answerInput", request: 4, evaluation: "e", text: "yes" }, frame(115, 4, "e", "yes")],
    [{ type: "terminalInput", terminal: "shell", data: bytes(3) }, frame(120, "shell", bytes(3))],
    [{ type: "terminalResize", terminal: "shell", columns: 80, rows: 24 }, frame(121, "shell", 80, 24)],
  ];
  it.each(cases)("writes $type as the table says", (message, expected) => {
    expect(encode(message)).toEqual(expected);
  });
});

describe("decode", () => {
  it("reads every message that the room sends", () => {
    expect(decode(frame(0, 1, bytes(7)))).toEqual({ type: "step2", update: bytes(7) });
    expect(decode(frame(1, bytes(0)))).toEqual({ type: "awareness", states: bytes(0) });
    expect(decode(frame(102, "/a", 9, 1, bytes(1, 2)))).toEqual({
      type: "valueChanged", address: "/a", revision: 9, value: { kind: 1, data: bytes(1, 2) },
    });
    expect(decode(frame(103, 5))).toEqual({ type: "done", request: 5 });
    expect(decode(frame(104, 0, "code", "why"))).toEqual({ type: "refused", request: 0, code: "code", reason: "why" });
    expect(decode(frame(114, 1, 0, 2, 2, "map", "max"))).toEqual({
      type: "completions", request: 1, start: 0, end: 2, matches: ["map", "max"],
    });
    expect(decode(frame(116, "python", "dead", "killed"))).toEqual({
      type: "engineState", engine: "python", state: "dead", reason: "killed",
    });
    expect(decode(frame(122, "t", bytes(65)))).toEqual({ type: "terminalOutput", terminal: "t", data: bytes(65) });
    expect(decode(frame(123, "t", 80, 24, bytes(65)))).toEqual({
      type: "terminalScreen", terminal: "t", columns: 80, rows: 24, data: bytes(65),
    });
    expect(decode(frame(124, "t", "exit code 0"))).toEqual({ type: "terminalEnded", terminal: "t", reason: "exit code 0" });
    expect(decode(frame(125, "t", 70, 20))).toEqual({ type: "terminalSize", terminal: "t", columns: 70, rows: 20 });
    expect(decode(frame(130, "v2"))).toEqual({ type: "pageChanged", version: "v2" });
    expect(decode(frame(131, "not_saved", "disk full"))).toEqual({ type: "trouble", code: "not_saved", text: "disk full" });
    expect(decode(frame(132, 2, "read", "write"))).toEqual({ type: "rightsChanged", rights: ["read", "write"] });
  });

  it("reads the welcome, and refuses one without rights", () => {
    const welcome = { rights: ["read"], lineage: "L" };
    expect(decode(frame(100, JSON.stringify(welcome)))).toEqual({ type: "welcome", welcome });
    expect(() => decode(frame(100, "{}"))).toThrow(ProtocolError);
  });

  it("ignores a type that it does not know", () => {
    expect(decode(frame(250, "later"))).toBeUndefined();
  });

  it("refuses every frame that is cut short, and one that goes on", () => {
    const whole = frame(123, "shell", 80, 24, bytes(1, 2, 3));
    for (let length = 0; length < whole.length; length += 1) {
      expect(() => decode(whole.slice(0, length)), `${length} bytes`).toThrow(ProtocolError);
      expect(() => decode(whole.subarray(0, length)), `${length} bytes of more`).toThrow(ProtocolError);
    }
    expect(() => decode(Uint8Array.from([...whole, 0]))).toThrow(ProtocolError);
  });

  it("refuses text that is not UTF-8", () => {
    expect(() => decode(frame(130, bytes(0xff)))).toThrow(ProtocolError);
  });
});

describe("values", () => {
  it("hold JSON or bytes", () => {
    expect(contentOf(jsonValue({ a: [1, null] }))).toEqual({ a: [1, null] });
    expect(contentOf({ kind: 1, data: bytes(1) })).toEqual(bytes(1));
  });

  it("count bytes, not characters, in the length of text", () => {
    const from = decoding.createDecoder(encode({ type: "interrupt", request: 0, engine: "é" }));
    expect([decoding.readVarUint(from), decoding.readVarUint(from), decoding.readVarUint(from)]).toEqual([111, 0, 2]);
  });
});
