/** What a program displays, in the richest form that the page can show. Rich markup goes into a sandboxed frame only. */

import { h } from "../dom";
import { coloured } from "./stream";
import { OutputFrame } from "./frame";

/** From the richest to the plainest. */
const FORMS = [
  "text/html",
  "image/svg+xml",
  "image/png",
  "image/jpeg",
  "image/gif",
  "image/webp",
  "text/markdown",
  "application/json",
  "text/latex",
  "text/plain",
] as const;

type Form = (typeof FORMS)[number];
type Bundle = Readonly<Record<string, unknown>>;

/** One display of a program; `update` changes what it shows in place. */
export class DisplayView {
  readonly element = h("div", { class: "output display" });
  readonly #frameSource: URL;
  #form: Form | undefined;
  #frame: OutputFrame | undefined;

  constructor(frameSource: URL) {
    this.#frameSource = frameSource;
  }

  update(data: Bundle, metadata: Bundle): void {
    const form = FORMS.find((candidate) => data[candidate] !== undefined);
    const same = form === this.#form;
    this.#form = form;
    if (form === "text/html" || form === "image/svg+xml") this.#showFrame(form, textOf(data[form]), same);
    else this.#replace(form === undefined ? unknownForm(data) : shown(form, data, metadata));
  }

  end(): void {
    this.#frame?.end();
  }

  #showFrame(form: Form, content: string, same: boolean): void {
    if (!same || this.#frame === undefined) {
      const frame = new OutputFrame(this.#frameSource);
      this.#replace(frame.element);
      this.#frame = frame;
    }
    this.#frame.show(form, content);
  }

  #replace(element: HTMLElement): void {
    this.#frame?.end();
    this.#frame = undefined;
    this.element.replaceChildren(element);
  }
}

function shown(form: Form, data: Bundle, metadata: Bundle): HTMLElement {
  if (form.startsWith("image/")) return picture(form, data, metadata);
  if (form === "application/json") return h("pre", { class: "output-text" }, prettyJson(data[form]));
  if (form === "text/markdown") return h("div", { class: "output-markdown" }, textOf(data[form]));
  return h("pre", { class: "output-text" }, coloured(textOf(data[form])));
}

/** An image from base64. Its plain text, which says what it is, stands in for those who cannot see it. */
function picture(form: Form, data: Bundle, metadata: Bundle): HTMLElement {
  const source = `data:${form};base64,${textOf(data[form]).replace(/\s+/gu, "")}`;
  const size = metadata[form];
  const pixels = (name: string): number | undefined => {
    const value = typeof size === "object" && size !== null ? (size as Record<string, unknown>)[name] : undefined;
    return typeof value === "number" && value > 0 ? value : undefined;
  };
  return h("img", {
    class: "output-image",
    src: source,
    alt: textOf(data["text/plain"]) || "Image made by the program",
    width: pixels("width"),
    height: pixels("height"),
  });
}

function unknownForm(data: Bundle): HTMLElement {
  const forms = Object.keys(data).join(", ") || "nothing";
  return h("p", { class: "output-unknown" }, `This output has no form that a page can show (${forms}).`);
}

/** Text as notebooks keep it: one string, or its lines. */
function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map((line) => (typeof line === "string" ? line : "")).join("");
  return value === undefined ? "" : JSON.stringify(value);
}

function prettyJson(value: unknown): string {
  return JSON.stringify(value, null, 2) ?? "";
}
