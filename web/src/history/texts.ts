/**
 * Shared texts by who wrote them, and what is different between two states of one.
 *
 * The law: two states of a document show the same units in the same order, for a unit's client and clock fix its place.
 * So what stayed is found by identity, in one walk. Pure, but for what it reads of Yjs's items.
 */

import * as Y from "yjs";

/** Text that one client wrote in a row, from its `clock` on. Lengths are in UTF-16 units, as clocks are. */
export interface Run {
  readonly client: number;
  readonly clock: number;
  readonly text: string;
}

export interface Piece extends Run {
  readonly op: "keep" | "remove" | "add";
}

/** The visible runs of a text, in order. */
export function runs(text: Y.Text): Run[] {
  const found: Run[] = [];
  for (let item = text._start; item !== null; item = item.right) {
    if (item.deleted || !(item.content instanceof Y.ContentString)) continue;
    const { client, clock } = item.id;
    const last = found[found.length - 1];
    const run = { client, clock, text: item.content.str };
    if (last !== undefined && last.client === client && last.clock + last.text.length === clock) {
      found[found.length - 1] = { ...last, text: last.text + run.text };
    } else {
      found.push(run);
    }
  }
  return found;
}

/** How `before` became `after`. */
export function compare(before: readonly Run[], after: readonly Run[]): Piece[] {
  const [was, is] = [new Shown(before), new Shown(after)];
  const [old, fresh] = [new Cursor(before), new Cursor(after)];
  const pieces: Piece[] = [];
  while (old.run !== undefined) {
    const stays = is.stretch(old.run);
    if (!stays.shown) {
      pieces.push({ op: "remove", ...old.take(stays.length) });
      continue;
    }
    takeAdded(fresh, was, pieces);
    const here = fresh.run;
    const same = here !== undefined && here.client === old.run.client && here.clock === old.run.clock;
    const length = same ? Math.min(stays.length, here.text.length) : stays.length;
    pieces.push({ op: same ? "keep" : "remove", ...old.take(length) });
    if (same) fresh.take(length);
  }
  while (fresh.run !== undefined) pieces.push({ op: "add", ...fresh.take(fresh.run.text.length) });
  return joined(pieces);
}

/** What comes in the new state before anything of the old one. */
function takeAdded(fresh: Cursor, was: Shown, pieces: Piece[]): void {
  while (fresh.run !== undefined) {
    const known = was.stretch(fresh.run);
    if (known.shown) return;
    pieces.push({ op: "add", ...fresh.take(known.length) });
  }
}

/** The clocks that a state shows, by client. */
class Shown {
  readonly #ranges = new Map<number, [start: number, end: number][]>();

  constructor(all: readonly Run[]) {
    for (const { client, clock, text } of all) {
      const ranges = this.#ranges.get(client) ?? [];
      this.#ranges.set(client, ranges);
      ranges.push([clock, clock + text.length]);
    }
    for (const ranges of this.#ranges.values()) ranges.sort(([a], [b]) => a - b);
  }

  /** Whether the run's first unit is shown, and for how many of its units the same holds. */
  stretch({ client, clock, text }: Run): { readonly shown: boolean; readonly length: number } {
    const ranges = this.#ranges.get(client) ?? [];
    let [low, high] = [0, ranges.length]; // the first range that begins after `clock`
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((ranges[middle]?.[0] ?? 0) > clock) high = middle;
      else low = middle + 1;
    }
    const [, end] = ranges[low - 1] ?? [0, 0];
    if (clock < end) return { shown: true, length: Math.min(text.length, end - clock) };
    const next = ranges[low]?.[0] ?? Infinity;
    return { shown: false, length: Math.min(text.length, next - clock) };
  }
}

/** Goes through runs, piece by piece. */
class Cursor {
  #index = 0;
  #offset = 0;

  constructor(readonly all: readonly Run[]) {}

  get run(): Run | undefined {
    const run = this.all[this.#index];
    return run && { ...run, clock: run.clock + this.#offset, text: run.text.slice(this.#offset) };
  }

  take(length: number): Run {
    const run = this.run ?? { client: 0, clock: 0, text: "" };
    this.#offset += length;
    if (length >= run.text.length) [this.#index, this.#offset] = [this.#index + 1, 0];
    return { ...run, text: run.text.slice(0, length) };
  }
}

function joined(pieces: readonly Piece[]): Piece[] {
  const whole: Piece[] = [];
  for (const piece of pieces) {
    const last = whole[whole.length - 1];
    const follows = last !== undefined && last.op === piece.op && last.client === piece.client && last.clock + last.text.length === piece.clock;
    if (follows) whole[whole.length - 1] = { ...last, text: last.text + piece.text };
    else whole.push(piece);
  }
  return whole;
}

// --- the texts of a page ---------------------------------------------------------------------

/** A text of the page: an editor's, or a cell's source. */
export interface Section {
  readonly label: string;
  readonly isCode: boolean;
  readonly find: (document: Y.Doc) => Y.Text | undefined;
}

/** The texts that the page shows, in its order. */
export function sectionsOf(page: ParentNode): Section[] {
  return [...page.querySelectorAll("x-editor, x-cell")].map((element) => {
    const name = element.getAttribute("name") ?? "";
    const cell = element.getAttribute("cell") ?? "";
    if (element.localName === "x-cell") return { label: cell, isCode: true, find: (document) => cellSource(document, cell) };
    const language = element.getAttribute("language") ?? "plain";
    const isCode = !["plain", "markdown", ""].includes(language);
    return { label: element.getAttribute("label") ?? name, isCode, find: (document) => document.getText(name) };
  });
}

function cellSource(document: Y.Doc, id: string): Y.Text | undefined {
  for (const cell of document.getArray<unknown>("cells")) {
    if (cell instanceof Y.Map && cell.get("id") === id) {
      const source: unknown = cell.get("source");
      return source instanceof Y.Text ? source : undefined;
    }
  }
  return undefined;
}

/** A document as one update makes it. */
export function documentOf(encoding: Uint8Array): Y.Doc {
  const document = new Y.Doc();
  Y.applyUpdate(document, encoding);
  return document;
}
