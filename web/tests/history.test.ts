import { describe, expect, it } from "vitest";
import * as Y from "yjs";
import { Authors } from "../src/history/authors";
import type { LogRecord, Overview, Version } from "../src/history/past";
import { compare, documentOf, type Piece, runs, sectionsOf } from "../src/history/texts";
import { indexOf, type Stop, timeline, timeOf, titleOf } from "../src/history/timeline";

const version = (number: number, fields: Partial<Version> = {}): Version =>
  ({ id: `v${number}`, number, time: 100 * number, kind: "time", name: "", user: "", ...fields });
const record = (number: number, time: number, user = "ada"): LogRecord => ({ number, time, user });
const overview = (fields: Partial<Overview>): Overview =>
  ({ versions: [], records: [], names: new Map(), clients: new Map(), newest: 0, snapshot: 0, ...fields });
const ids = (stops: readonly Stop[]): string[] => stops.map(({ id }) => id);

describe("the timeline", () => {
  it("of a document without a past is the present alone", () => {
    expect(ids(timeline(overview({}), 50))).toEqual(["now"]);
  });

  it("has versions in their order, and the present after all of its own number", () => {
    const versions = [version(3), version(7, { id: "hand", name: "Draft" }), version(7)];
    expect(ids(timeline(overview({ versions, newest: 7 }), 50))).toEqual(["v3", "hand", "v7", "now"]);
  });

  it("makes one stop of what somebody wrote without a pause", () => {
    const records = [record(1, 1), record(2, 5), record(3, 40), record(4, 41, "bob"), record(5, 42), record(6, 43)];
    const stops = timeline(overview({ records, newest: 6 }), 50);
    expect(ids(stops)).toEqual(["@2", "@3", "@4", "now"]);
    expect(stops.map(({ users }) => users)).toEqual([["ada"], ["ada"], ["bob"], ["ada"]]);
  });

  it("does not cut it where the server writes, nor after a page's seed, which has no time", () => {
    const records = [record(1, 0, ""), record(2, 100, "ada"), record(3, 100, ""), record(4, 101, "ada"), record(5, 102, "bob")];
    const stops = timeline(overview({ records, newest: 9 }), 50);
    expect(ids(stops)).toEqual(["@4", "@5", "now"]);
  });

  it("ends a stop after two minutes of writing, too", () => {
    const records = Array.from({ length: 31 }, (_, index) => record(index + 1, 1 + 10 * index));
    expect(ids(timeline(overview({ records, newest: 31 }), 50))).toEqual(["@13", "@26", "now"]);
  });

  it("leaves out what lies behind a gap, unless a version or the snapshot is there", () => {
    const records = [2, 3, 6, 7, 10, 11, 13].map((number) => record(number, 100 * number));
    const stops = timeline(overview({ records, versions: [version(5)], snapshot: 9, newest: 13 }), 50);
    expect(ids(stops)).toEqual(["v5", "@6", "@7", "@10", "@11", "now"]);
  });

  it("keeps one's place when it grows", () => {
    const stops = timeline(overview({ versions: [version(3), version(7)], newest: 9 }), 50);
    expect(indexOf(stops, undefined)).toBe(2);
    expect(indexOf(stops, stops[1])).toBe(1);
    expect(indexOf(stops, { ...stops[1]!, id: "gone", number: 5 })).toBe(0);
    expect(indexOf(stops, { ...stops[1]!, id: "gone", number: 100 })).toBe(2);
  });

  it("names its stops", () => {
    const stops = timeline(overview({ versions: [version(1, { name: "Draft" }), version(2), version(3, { kind: "restore" })], newest: 4 }), 50);
    expect(stops.map(titleOf)).toEqual(["Draft", "Kept automatically", "Before a restore", "Now"]);
  });

  it("says the day where it is another one", () => {
    const noon = new Date(2026, 4, 5, 12);
    const at = (date: Date): Stop => ({ id: "", number: 0, time: date.getTime() / 1_000, kind: "now", name: "", users: [] });
    expect(timeOf(at(noon), noon)).not.toMatch(/May|5/u);
    expect(timeOf(at(new Date(2026, 4, 4, 12)), noon)).toMatch(/4/u);
    expect(timeOf(at(new Date(2025, 4, 4, 12)), noon)).toMatch(/2025/u);
  });
});

describe("texts", () => {
  const writer = (client: number, ...others: Y.Doc[]): Y.Doc => {
    const doc = new Y.Doc();
    doc.clientID = client;
    for (const other of others) Y.applyUpdate(doc, Y.encodeStateAsUpdate(other));
    return doc;
  };
  const side = (pieces: readonly Piece[], without: string): string =>
    pieces.filter(({ op }) => op !== without).map(({ text }) => text).join("");

  it("are runs of their writers, in order", () => {
    const [one, two] = [writer(1), writer(2)];
    one.getText("t").insert(0, "Hello world");
    Y.applyUpdate(two, Y.encodeStateAsUpdate(one));
    two.getText("t").insert(5, " 😀");
    two.getText("t").delete(0, 1);
    expect(runs(two.getText("t")).map(({ client, text }) => [client, text])).toEqual([[1, "ello"], [2, " 😀"], [1, " world"]]);
  });

  it("read from an encoding are the same", () => {
    const one = writer(1);
    one.getText("t").insert(0, "abc");
    one.getText("t").insert(1, "x");
    expect(runs(documentOf(Y.encodeStateAsUpdate(one)).getText("t"))).toEqual(runs(one.getText("t")));
  });

  it("compare by identity: what stayed is kept, although it would look the same elsewhere", () => {
    const doc = writer(1);
    const text = doc.getText("t");
    text.insert(0, "aXa");
    const before = runs(text);
    text.delete(0, 2);
    text.insert(1, "b");
    expect(compare(before, runs(text))).toEqual([
      { op: "remove", client: 1, clock: 0, text: "aX" },
      { op: "keep", client: 1, clock: 2, text: "a" },
      { op: "add", client: 1, clock: 3, text: "b" },
    ]);
  });

  it("compare both ways, whoever wrote at the same time", () => {
    let seed = 7;
    const random = (below: number): number => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
    for (let round = 0; round < 30; round++) {
      const docs = [writer(70), writer(3), writer(9)];
      let before: ReturnType<typeof runs> = [];
      let was = "";
      for (let step = 0; step < 40; step++) {
        const doc = docs[random(3)]!;
        const text = doc.getText("t");
        const at = random(text.length + 1);
        if (random(3) > 0) text.insert(at, "abcd".slice(0, 1 + random(4)));
        else text.delete(at, Math.min(random(4), text.length - at));
        if (random(3) === 0) Y.applyUpdate(docs[random(3)]!, Y.encodeStateAsUpdate(doc));
        if (step === 20) [before, was] = [runs(docs[0]!.getText("t")), docs[0]!.getText("t").toString()];
      }
      const now = docs[0]!.getText("t");
      const pieces = compare(before, runs(now));
      expect(side(pieces, "add")).toBe(was);
      expect(side(pieces, "remove")).toBe(now.toString());
    }
  });

  it("of two documents that have nothing in common are replaced", () => {
    const pieces = compare([{ client: 1, clock: 0, text: "ab" }], [{ client: 2, clock: 0, text: "ab" }]);
    expect(pieces.map(({ op }) => op)).toEqual(["remove", "add"]);
  });

  it("that were torn out of their order still come to both", () => {
    const one = [{ client: 1, clock: 0, text: "a" }, { client: 2, clock: 0, text: "b" }];
    const pieces = compare(one, [...one].reverse());
    expect([side(pieces, "add"), side(pieces, "remove")]).toEqual(["ab", "ba"]);
  });

  it("of a page are its editors and cells, in its order", () => {
    document.body.innerHTML =
      '<x-cell cell="plot"></x-cell><x-editor name="notes" language="markdown" label="Notes"></x-editor><x-editor name="code" language="python"></x-editor>';
    const doc = writer(1);
    doc.getText("notes").insert(0, "n");
    const cell = new Y.Map();
    doc.getArray("cells").push([1, "x", cell]);
    cell.set("id", "plot");
    cell.set("source", new Y.Text("1 + 1"));
    const sections = sectionsOf(document);
    expect(sections.map(({ label, isCode }) => [label, isCode])).toEqual([["plot", true], ["Notes", false], ["code", true]]);
    expect(sections.map(({ find }) => find(doc)?.toString())).toEqual(["1 + 1", "n", ""]);
    expect(sections[0]?.find(writer(2))).toBeUndefined();
  });
});

describe("authors", () => {
  const known = overview({
    names: new Map([["ada", "Ada"], ["bob", ""], ["", ""]]),
    clients: new Map([[1, [{ start: 0, end: 5, user: "ada" }, { start: 5, end: 9, user: "bob" }]], [2, [{ start: 0, end: 3, user: "" }]]]),
  });

  it("are found by client and clock", () => {
    const authors = new Authors(known, new Map());
    expect([authors.userOf(1, 4), authors.userOf(1, 5), authors.userOf(1, 9), authors.userOf(7, 0)]).toEqual(["ada", "bob", undefined, undefined]);
  });

  it("have names: their own, their id, or what the server is called", () => {
    const authors = new Authors(known, new Map());
    expect(["ada", "bob", ""].map((user) => authors.author(user).name)).toEqual(["Ada", "bob", "The server"]);
    expect(authors.author("ada").color).toBe(new Authors(known, new Map()).author("ada").color);
  });

  it("who are here have the colour of their cursor, also before the server has told who they are", () => {
    const states = new Map([[1, { user: { name: "Ada L.", color: "#123456" } }], [9, { user: { name: "New", color: "#654321" } }]]);
    const authors = new Authors(known, states);
    expect(authors.author("ada")).toEqual({ key: "ada", name: "Ada L.", color: "#123456" });
    expect(authors.of(1, 0)).toEqual(authors.author("ada"));
    expect(authors.of(9, 0)).toEqual({ key: "client 9", name: "New", color: "#654321" });
    expect(authors.of(7, 0).name).toBe("Unknown");
  });
});
