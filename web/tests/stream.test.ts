import { describe, expect, it } from "vitest";
import { StreamView } from "../src/outputs/stream";

/** What is seen, character by character, with its classes and colours. */
function seen(element: HTMLElement): string[] {
  const characters: string[] = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const parent = node.parentElement;
    const style = parent === null || parent.className === "block" ? "" : `${parent.className}|${parent.style.cssText}`;
    for (const character of node.textContent ?? "") characters.push(`${character}${style}`);
  }
  return characters;
}

function fresh(text: string): string[] {
  const view = new StreamView(document.createElement("pre"));
  view.splice({ at: 0, removed: 0, inserted: text });
  return seen(view.element);
}

/** A small generator of numbers, so that a failure can be repeated. Source: Numerical Recipes' LCG. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state % below;
  };
}

const PIECES = ["step 1\n", "\x1b[31m", "\x1b[0m", "\x1b[1", ";4m", "é😀", "x".repeat(700), "\x1b[38;5;200m", "\n\n", "long line ".repeat(90)];

describe("StreamView", () => {
  it("shows after any edits what the text rendered afresh shows", () => {
    for (let seed = 1; seed <= 30; seed += 1) {
      const next = numbers(seed);
      const view = new StreamView(document.createElement("pre"));
      let text = "";
      for (let step = 0; step < 40; step += 1) {
        const kind = next(4);
        const at = kind < 2 ? text.length : next(text.length + 1);
        const removed = kind === 3 ? Math.min(next(3000), text.length - at) : 0;
        const inserted = kind === 3 && next(2) === 0 ? "" : (PIECES[next(PIECES.length)] ?? "");
        view.splice({ at, removed, inserted });
        text = text.slice(0, at) + inserted + text.slice(at + removed);
      }
      expect(seen(view.element), `seed ${seed}`).toEqual(fresh(text));
    }
  });

  it("repaints what follows an edit that changes its colours, and only as far as it does", () => {
    const text = `${"line\n".repeat(2_000)}\x1b[0m${"line\n".repeat(2_000)}`;
    const view = new StreamView(document.createElement("pre"));
    view.splice({ at: 0, removed: 0, inserted: text });
    const last = view.element.lastChild;
    view.splice({ at: 10, removed: 0, inserted: "\x1b[31m" });
    expect(seen(view.element)).toEqual(fresh(`${text.slice(0, 10)}\x1b[31m${text.slice(10)}`));
    expect(view.element.lastChild).toBe(last);
  });

  it("touches nothing of what stands when text is appended", () => {
    const view = new StreamView(document.createElement("pre"));
    view.splice({ at: 0, removed: 0, inserted: "line\n".repeat(10_000) });
    const before = [...view.element.childNodes];
    view.splice({ at: 50_000, removed: 0, inserted: "more\n" });
    expect([...view.element.childNodes].slice(0, before.length)).toEqual(before);
  });

  it("keeps the blocks that stay when the beginning is cut off", () => {
    const view = new StreamView(document.createElement("pre"));
    view.splice({ at: 0, removed: 0, inserted: "line\n".repeat(10_000) });
    const last = view.element.lastChild;
    view.splice({ at: 0, removed: 25_000, inserted: "" });
    expect(view.element.lastChild).toBe(last);
    expect(view.element.textContent).toBe("line\n".repeat(5_000));
  });
});
