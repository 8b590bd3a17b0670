import { beforeEach, describe, expect, it } from "vitest";
import * as Y from "yjs";
import { OutputsView } from "../src/outputs/outputs";

let outputs: Y.Array<unknown>;
let view: OutputsView;

beforeEach(() => {
  outputs = new Y.Doc().getArray("outputs");
  view = new OutputsView(new URL("http://localhost/-/frame"));
  view.show(outputs);
  document.body.replaceChildren(view.element);
});

function stream(text: string, name = "stdout"): Y.Map<unknown> {
  return new Y.Map<unknown>([["output_type", "stream"], ["name", name], ["text", new Y.Text(text)]]);
}

function display(data: Record<string, unknown>): Y.Map<unknown> {
  return new Y.Map<unknown>([["output_type", "display_data"], ["data", data], ["metadata", {}]]);
}

const texts = (): (string | null)[] => [...view.element.children].map((child) => child.textContent);

describe("OutputsView", () => {
  it("follows the document's array through insertions and deletions", () => {
    outputs.push([stream("one"), stream("two", "stderr"), display({ "text/plain": "three" })]);
    outputs.insert(1, [display({ "text/plain": "between" })]);
    outputs.delete(0, 1);
    expect(texts().map((text) => text?.replace(/^0 characters.*shown\. /u, ""))).toEqual(["between", "two", "three"]);
  });

  it("appends to a stream what is appended to its text", () => {
    outputs.push([stream("a")]);
    ((outputs.get(0) as Y.Map<unknown>).get("text") as Y.Text).insert(1, "b\n");
    expect(view.element.querySelector("pre")?.textContent).toBe("ab\n");
  });

  it("draws a text once that is inserted and grows in the same transaction", () => {
    outputs.doc?.transact(() => {
      outputs.push([stream("a")]);
      ((outputs.get(0) as Y.Map<unknown>).get("text") as Y.Text).insert(1, "b");
    });
    expect(view.element.querySelector("pre")?.textContent).toBe("ab");
  });

  it("says how much of a stream is not shown, and links to the whole only on this server", () => {
    outputs.push([stream("tail")]);
    const map = outputs.get(0) as Y.Map<unknown>;
    map.set("omitted", 12);
    map.set("whole", "/-/outputs/1");
    expect(view.element.querySelector(".output-shortened a")?.getAttribute("href")).toMatch(/\/-\/outputs\/1$/u);
    map.set("whole", "javascript:alert(1)");
    expect(view.element.querySelector(".output-shortened a")).toBeNull();
  });

  it("never puts a program's markup into the page", () => {
    outputs.push([display({ "text/html": "<b id=x>", "text/plain": "plain" }), display({ "image/svg+xml": "<svg id=x>" })]);
    outputs.push([display({ "text/markdown": "<b id=x>" }), display({ "text/plain": "<b id=x>" }), stream("<b id=x>")]);
    outputs.push([new Y.Map<unknown>([["output_type", "error"], ["ename", "<b id=x>"], ["evalue", ""], ["traceback", []]])]);
    expect(document.getElementById("x")).toBeNull();
    const frames = [...view.element.querySelectorAll("iframe")];
    expect(frames.map((frame) => frame.getAttribute("sandbox"))).toEqual(["allow-scripts", "allow-scripts"]);
  });

  it("keeps the frame of a display that is replaced", () => {
    outputs.push([stream("a"), display({ "image/svg+xml": "<svg>1" })]);
    const frame = view.element.querySelector("iframe");
    const moves = new MutationObserver(() => undefined);
    moves.observe(view.element, { childList: true, subtree: true });
    outputs.doc?.transact(() => {
      outputs.delete(1, 1);
      outputs.insert(1, [display({ "image/svg+xml": "<svg>2" })]);
    });
    expect(moves.takeRecords()).toEqual([]); // a frame that moves in the page loads again
    expect(view.element.querySelector("iframe")).toBe(frame);
    (outputs.get(1) as Y.Map<unknown>).set("data", { "image/svg+xml": "<svg>3" });
    expect(view.element.querySelectorAll("iframe")).toHaveLength(1);
    expect(view.element.querySelector("iframe")).toBe(frame);
  });

  it("follows the array that takes the place of the one before it, in the same frame", () => {
    outputs.push([display({ "image/svg+xml": "<svg>1" }), stream("old")]);
    const frame = view.element.querySelector("iframe");
    const next = new Y.Doc().getArray("outputs");
    next.push([display({ "image/svg+xml": "<svg>2" })]);
    view.show(next);
    next.push([stream("new")]);
    outputs.push([stream("to nobody")]);
    expect(view.element.querySelector("pre")?.textContent).toBe("new");
    expect(view.element.children).toHaveLength(2);
    expect(view.element.querySelector("iframe")).toBe(frame);
    view.show("no array");
    expect(texts()).toEqual([]);
  });

  it("shows images by their bytes alone", () => {
    outputs.push([display({ "image/png": "iVBO\nRw0=", "text/plain": "a plot" })]);
    const image = view.element.querySelector("img");
    expect([image?.getAttribute("src"), image?.alt]).toEqual(["data:image/png;base64,iVBORw0=", "a plot"]);
  });

  it("bounds the height that a frame asks for", () => {
    outputs.push([display({ "text/html": "x" })]);
    const frame = view.element.querySelector("iframe");
    const say = (data: unknown): void => {
      window.dispatchEvent(new MessageEvent("message", { data, source: frame?.contentWindow ?? null }));
    };
    say({ type: "height", pixels: 1e9 });
    expect(frame?.style.height).toBe("720px");
    say({ type: "height", pixels: Number.NaN });
    say("nonsense");
    expect(frame?.style.height).toBe("720px");
  });
});
