/**
 * A cell's outputs on the page, kept equal to the document's array of them.
 *
 * It hears what changed and changes that alone: text grows by its new part, a display that is replaced by another
 * keeps its place and its frame.
 */

import * as Y from "yjs";
import { h } from "../dom";
import { isRecord } from "../records";
import { DisplayView } from "./display";
import { coloured, StreamView } from "./stream";

/** One output: an element, and what to do when its map in the document changes. */
interface OutputView {
  readonly element: HTMLElement;
  readonly kind: string;
  /** Draws `output` anew, as far as its own map goes. */
  refresh(output: Y.Map<unknown>): void;
  /** Takes a change of its text. */
  edited?(event: Y.YTextEvent): void;
  end(): void;
}

export class OutputsView {
  readonly element = h("div", { class: "outputs" });
  #outputs: Y.Array<unknown> | undefined;
  readonly #frameSource: URL;
  #views: OutputView[] = [];
  readonly #observer = (events: Y.YEvent<Y.AbstractType<unknown>>[]): void => this.#changed(events);

  constructor(frameSource: URL) {
    this.#frameSource = frameSource;
  }

  /** Shows `outputs`, and what becomes of them, from now on. A cell that runs again has a new Array of them. */
  show(outputs: unknown): void {
    const next = outputs instanceof Y.Array ? (outputs as Y.Array<unknown>) : undefined;
    if (next === this.#outputs) return;
    this.#outputs?.unobserveDeep(this.#observer);
    this.#outputs = next;
    next?.observeDeep(this.#observer);
    const height = this.element.offsetHeight;
    this.#insert(0, next?.toArray() ?? [], this.#views.splice(0));
    this.#holdHeight(height);
  }

  /** Lets go of the height that was held since the outputs were cleared. */
  settle(): void {
    this.element.style.minHeight = "";
  }

  end(): void {
    this.#outputs?.unobserveDeep(this.#observer);
    this.#outputs = undefined;
    for (const view of this.#views) view.end();
    this.#views = [];
    this.element.replaceChildren();
  }

  #changed(events: Y.YEvent<Y.AbstractType<unknown>>[]): void {
    // the array first, so that views and entries correspond; what it inserted is drawn from its newest state
    const fresh = new Set<OutputView>();
    for (const event of events) {
      if (event.target === this.#outputs) this.#rearranged(event.delta, fresh);
    }
    for (const event of events) {
      const index = event.path[0];
      const view = typeof index === "number" ? this.#views[index] : undefined;
      if (view === undefined || fresh.has(view)) continue;
      if (event instanceof Y.YTextEvent) view.edited?.(event);
      else if (event.target instanceof Y.Map) view.refresh(event.target);
    }
  }

  #rearranged(delta: Y.YEvent<Y.AbstractType<unknown>>["delta"], fresh: Set<OutputView>): void {
    const height = this.element.offsetHeight;
    let index = 0;
    let removed = 0;
    let inserted: unknown[] = [];
    const replace = (): void => {
      const gone = this.#views.splice(index, removed);
      for (const view of this.#insert(index, inserted, gone)) fresh.add(view);
      index += inserted.length;
      removed = 0;
      inserted = [];
    };
    // Yjs tells a replacement as an insertion before what is deleted, so both are taken together
    for (const step of delta) {
      if (step.delete !== undefined) removed += step.delete;
      else if (Array.isArray(step.insert)) inserted.push(...(step.insert as unknown[]));
      else if (step.retain !== undefined) {
        replace();
        index += step.retain;
      }
    }
    replace();
    this.#holdHeight(height);
  }

  /** A cell that runs again has no outputs at first: the page below must not jump up and down. */
  #holdHeight(height: number): void {
    this.element.style.minHeight = this.#views.length === 0 && height > 0 ? `${height}px` : "";
  }

  /** Draws `outputs` from `index` on, over those of `gone` that are of the same kind; the rest of `gone` goes. */
  #insert(index: number, outputs: readonly unknown[], gone: OutputView[] = []): OutputView[] {
    const reused = new Set<OutputView>();
    const made = outputs.map((output) => {
      const map = output instanceof Y.Map ? (output as Y.Map<unknown>) : new Y.Map<unknown>();
      const old = gone[0]?.kind === "display" && isDisplay(map) ? gone.shift() : undefined;
      if (old !== undefined) reused.add(old);
      const view = old ?? makeView(map, this.#frameSource);
      view.refresh(map);
      return view;
    });
    discard(gone);
    let next = this.#views[index]?.element ?? null;
    for (const view of [...made].reverse()) {
      // what is reused stays where it is: a frame that moves in the page loads again
      if (!reused.has(view)) this.element.insertBefore(view.element, next);
      next = view.element;
    }
    this.#views.splice(index, 0, ...made);
    return made;
  }
}

function discard(views: readonly OutputView[]): void {
  for (const view of views) {
    view.end();
    view.element.remove();
  }
}

function isDisplay(output: Y.Map<unknown>): boolean {
  const type = output.get("output_type");
  return type === "display_data" || type === "execute_result";
}

function makeView(output: Y.Map<unknown>, frameSource: URL): OutputView {
  if (isDisplay(output)) return new DisplayOutput(frameSource);
  return output.get("output_type") === "stream" ? new StreamOutput(output) : new ErrorOutput();
}

class DisplayOutput implements OutputView {
  readonly kind = "display";
  readonly element: HTMLElement;
  readonly #view: DisplayView;

  constructor(frameSource: URL) {
    this.#view = new DisplayView(frameSource);
    this.element = this.#view.element;
  }

  refresh(output: Y.Map<unknown>): void {
    this.#view.update(plainRecord(output.get("data")), plainRecord(output.get("metadata")));
  }

  end(): void {
    this.#view.end();
  }
}

/** A stream: its text in a box that scrolls, and follows the end while the reader is there. */
class StreamOutput implements OutputView {
  readonly kind = "stream";
  readonly element: HTMLElement;
  readonly #box = h("pre", { class: "output-text", tabindex: "0" });
  readonly #note = h("p", { class: "output-shortened", hidden: true });
  readonly #view = new StreamView(this.#box);
  #follows = true;
  #frame: number | undefined;

  constructor(output: Y.Map<unknown>) {
    const name = output.get("name") === "stderr" ? "stderr" : "stdout";
    this.element = h("div", { class: `output stream ${name}` }, this.#note, this.#box);
    this.#box.setAttribute("aria-label", name === "stderr" ? "Error output" : "Output");
    this.#box.addEventListener("scroll", () => {
      this.#follows = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight < 24;
    });
    const text = output.get("text");
    this.#view.splice({ at: 0, removed: 0, inserted: text instanceof Y.Text ? text.toString() : String(text ?? "") });
    this.#follow();
  }

  refresh(output: Y.Map<unknown>): void {
    const whole = output.get("whole");
    const omitted = output.get("omitted");
    this.#note.hidden = typeof omitted !== "number" || omitted === 0;
    this.#note.replaceChildren(`${Number(omitted ?? 0).toLocaleString()} characters before this are not shown. `);
    const url = typeof whole === "string" ? sameOrigin(whole) : undefined;
    if (url !== undefined) this.#note.append(h("a", { href: url, target: "_blank", rel: "noopener" }, "See the whole output"));
  }

  edited(event: Y.YTextEvent): void {
    let at = 0;
    for (const step of event.delta) {
      if (step.retain !== undefined) at += step.retain;
      else if (step.delete !== undefined) this.#view.splice({ at, removed: step.delete, inserted: "" });
      else if (typeof step.insert === "string") {
        this.#view.splice({ at, removed: 0, inserted: step.insert });
        at += step.insert.length;
      }
    }
    this.#follow();
  }

  end(): void {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
  }

  /** Scrolls to the end, once a frame however much has come. */
  #follow(): void {
    if (!this.#follows || this.#frame !== undefined) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = undefined;
      this.#box.scrollTop = this.#box.scrollHeight;
    });
  }
}

class ErrorOutput implements OutputView {
  readonly kind = "error";
  readonly element = h("div", { class: "output error", role: "group", "aria-label": "Error" });

  refresh(output: Y.Map<unknown>): void {
    const lines = plainList(output.get("traceback")).map(String);
    const summary = [output.get("ename"), output.get("evalue")].filter((part) => part !== undefined && part !== "");
    const text = lines.length > 0 ? lines.join("\n") : summary.map(String).join(": ");
    this.element.replaceChildren(h("pre", { class: "output-text" }, coloured(text.replace(/\n+$/u, ""))));
  }

  end(): void {
    this.element.replaceChildren();
  }
}

function plainRecord(value: unknown): Record<string, unknown> {
  const plain: unknown = value instanceof Y.Map ? value.toJSON() : value;
  return isRecord(plain) ? plain : {};
}

function plainList(value: unknown): unknown[] {
  const plain: unknown = value instanceof Y.Array ? value.toJSON() : value;
  return Array.isArray(plain) ? plain : [];
}

/** `address` when it leads to this very server: a member could have written any other. */
function sameOrigin(address: string): string | undefined {
  try {
    const url = new URL(address, document.baseURI);
    return url.origin === location.origin ? url.href : undefined;
  } catch {
    return undefined;
  }
}
