/**
 * A stream's text on the page: coloured, and changed in place where the text changes.
 *
 * The law: what it shows equals its text rendered afresh, whatever the order of edits; the work for an edit is the size
 * of the edit, not of the text. It keeps the text in blocks of about 2 kB, each with the colours it begins with; an
 * edit renders its own blocks anew, and those after it only as far as the colours differ.
 */

import { type AnsiState, equalStyles, parseAnsi, type Span, START, type Style } from "../ansi";
import { h } from "../dom";

const BLOCK_UNITS = 2_048;

/** A change at `at` (UTF-16 units): so many units removed, then text inserted. */
export interface Splice {
  readonly at: number;
  readonly removed: number;
  readonly inserted: string;
}

interface Block {
  text: string;
  readonly before: AnsiState;
  after: AnsiState;
  readonly element: HTMLElement;
}

export class StreamView {
  readonly element: HTMLElement;
  #blocks: Block[] = [];
  #length = 0;

  constructor(element: HTMLElement) {
    this.element = element;
  }

  /** Applies one change to the text. */
  splice({ at, removed, inserted }: Splice): void {
    if (at === this.#length && removed === 0) this.#append(inserted);
    else this.#replace(at, removed, inserted);
    this.#length += inserted.length - removed;
  }

  #append(text: string): void {
    const last = this.#blocks.at(-1);
    const room = last === undefined ? 0 : BLOCK_UNITS - last.text.length;
    const fits = room > 0 ? text.slice(0, wholeCharacters(text, room)) : "";
    if (last !== undefined && fits !== "") {
      const { spans, state } = parseAnsi(fits, last.after);
      last.text += fits;
      last.after = state;
      last.element.append(...spans.map(nodeOf));
    }
    for (const block of blocksOf(text.slice(fits.length), last?.after ?? START)) {
      this.#blocks.push(block);
      this.element.append(block.element);
    }
  }

  #replace(at: number, removed: number, inserted: string): void {
    const { first, offset } = this.#blockAt(at);
    let last = first;
    let covered = (this.#blocks[first]?.text.length ?? 0) - offset;
    while (covered < removed && last + 1 < this.#blocks.length) {
      last += 1;
      covered += this.#blocks[last]?.text.length ?? 0;
    }
    const head = this.#blocks[first]?.text.slice(0, offset) ?? "";
    const lastText = this.#blocks[last]?.text ?? "";
    const tail = lastText.slice(lastText.length - (covered - removed));
    const start = this.#blocks[first]?.before ?? START;
    this.#put(first, last, blocksOf(head + inserted + (covered > removed ? tail : ""), start));
  }

  /** Puts `made` in the place of the blocks from `first` to `last`, and repaints what follows while colours differ. */
  #put(first: number, last: number, made: Block[]): void {
    const old = this.#blocks.splice(first, last - first + 1, ...made);
    const next = old.at(-1)?.element.nextSibling ?? null;
    for (const block of made) this.element.insertBefore(block.element, next);
    for (const block of old) block.element.remove();
    let state = made.at(-1)?.after ?? this.#blocks[first - 1]?.after ?? START;
    for (let index = first + made.length; index < this.#blocks.length; index += 1) {
      const block = this.#blocks[index];
      if (block === undefined || equalStates(block.before, state)) return;
      const painted = paint(block.text, state);
      block.element.replaceWith(painted.element);
      this.#blocks[index] = painted;
      state = painted.after;
    }
  }

  #blockAt(at: number): { first: number; offset: number } {
    let offset = at;
    for (let index = 0; index < this.#blocks.length; index += 1) {
      const length = this.#blocks[index]?.text.length ?? 0;
      if (offset < length || index === this.#blocks.length - 1) return { first: index, offset };
      offset -= length;
    }
    return { first: 0, offset: 0 };
  }
}

function blocksOf(text: string, before: AnsiState): Block[] {
  const blocks: Block[] = [];
  let state = before;
  for (let rest = text; rest !== ""; ) {
    const end = wholeCharacters(rest, BLOCK_UNITS);
    const block = paint(rest.slice(0, end), state);
    rest = rest.slice(end);
    state = block.after;
    blocks.push(block);
  }
  return blocks;
}

/** At most `units`, one less where that would cut a surrogate pair in two. */
function wholeCharacters(text: string, units: number): number {
  const code = text.charCodeAt(units - 1);
  return units < text.length && units > 1 && code >= 0xd800 && code < 0xdc00 ? units - 1 : units;
}

function paint(text: string, before: AnsiState): Block {
  const { spans, state } = parseAnsi(text, before);
  return { text, before, after: state, element: h("span", { class: "block" }, ...spans.map(nodeOf)) };
}

function equalStates(one: AnsiState, other: AnsiState): boolean {
  return one.pending === other.pending && equalStyles(one.style, other.style);
}

/** One span as a node: text alone where it has no style. */
function nodeOf({ text, style }: Span): Node {
  const classes = classesOf(style);
  const colors = colorsOf(style);
  if (classes.length === 0 && colors.length === 0) return document.createTextNode(text);
  const element = h("span", classes.length > 0 ? { class: classes.join(" ") } : {}, text);
  for (const [property, color] of colors) element.style.setProperty(property, color);
  return element;
}

function classesOf(style: Style): string[] {
  const classes = (["bold", "dim", "italic", "underline", "inverse", "strike"] as const)
    .filter((name) => style[name] === true)
    .map((name) => `ansi-${name}`);
  const { foreground, background } = style;
  if (foreground !== undefined && !foreground.startsWith("#")) classes.push(`ansi-fg-${foreground}`);
  if (background !== undefined && !background.startsWith("#")) classes.push(`ansi-bg-${background}`);
  return classes;
}

function colorsOf({ foreground, background }: Style): [string, string][] {
  const colors: [string, string][] = [];
  if (foreground?.startsWith("#")) colors.push(["color", foreground]);
  if (background?.startsWith("#")) colors.push(["background-color", background]);
  return colors;
}

/** `text` with its colours, once and for all. */
export function coloured(text: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  fragment.append(...parseAnsi(text, START).spans.map(nodeOf));
  return fragment;
}
