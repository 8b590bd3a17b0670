/**
 * HTML and SVG of a program, in a sandboxed frame.
 *
 * The law: any member may have written this into the document, so it never touches the page: an opaque origin, scripts
 * without cookies, storage or access, and its own Content-Security-Policy (the server's, for `/-/frame`). It comes in as
 * one message and goes out as one number, the height, which is bounded. Content that changes keeps its frame.
 */

import { h } from "../dom";
import { isRecord } from "../records";

const LOWEST_PIXELS = 16;
const HIGHEST_PIXELS = 720;

export class OutputFrame {
  readonly element: HTMLIFrameElement;
  readonly #listener: (event: MessageEvent<unknown>) => void;
  #content: { readonly mime: string; readonly content: string } | undefined;
  #ready = false;

  constructor(source: URL) {
    this.element = h("iframe", {
      class: "output-frame",
      src: source.href,
      sandbox: "allow-scripts",
      title: "Output",
      referrerpolicy: "no-referrer",
    });
    this.#listener = (event) => {
      if (event.source === this.element.contentWindow && event.source !== null) this.#heard(event.data);
    };
    window.addEventListener("message", this.#listener);
  }

  show(mime: string, content: string): void {
    if (this.#content?.mime === mime && this.#content.content === content) return;
    this.#content = { mime, content };
    if (this.#ready) this.#post();
  }

  end(): void {
    window.removeEventListener("message", this.#listener);
  }

  #heard(message: unknown): void {
    if (!isRecord(message)) return;
    if (message["type"] === "ready") {
      this.#ready = true;
      this.#post();
    }
    if (message["type"] === "height" && typeof message["pixels"] === "number") this.#fit(message["pixels"]);
  }

  #post(): void {
    // an opaque origin has no name to address; the content is as public as the room
    if (this.#content !== undefined) this.element.contentWindow?.postMessage({ type: "show", ...this.#content }, "*");
  }

  #fit(pixels: number): void {
    const height = Math.min(HIGHEST_PIXELS, Math.max(LOWEST_PIXELS, Math.ceil(pixels)));
    if (Number.isFinite(height)) this.element.style.height = `${height}px`;
  }
}
