/**
 * `<x-cell cell engine>`: shared code, the buttons that run it, what became of that, and its outputs.
 *
 * All it shows comes from the document, so a reload in the middle of an evaluation misses nothing. Until the room's
 * document is there, the page's own text of the cell stands in its place.
 */

import { acceptCompletion, autocompletion, type CompletionContext, type CompletionResult, completionStatus, startCompletion } from "@codemirror/autocomplete";
import { type Extension, Prec } from "@codemirror/state";
import { type EditorView, keymap } from "@codemirror/view";
import * as Y from "yjs";
import { sharedEditor } from "../codemirror";
import { h, icon, type IconName } from "../dom";
import { describe, type Evaluation, isActive, readEvaluation } from "../evaluation";
import { OutputsView } from "../outputs/outputs";
import { Refusal } from "../requests";
import type { Room } from "../room";
import { Lifetime } from "../signals";
import { contextOf } from "../site";
import { PromptView } from "./prompt";

const TICK_MS = 500;
const BARRED = "You can read this room, but not run code in it.";

export class CellElement extends HTMLElement {
  readonly #life = new Lifetime();

  connectedCallback(): void {
    const { room } = contextOf(this);
    let here = true;
    this.#life.add(() => (here = false));
    void room.synced.then(() => {
      if (here) this.#find(room);
    });
  }

  disconnectedCallback(): void {
    this.#life.end();
  }

  /** Mounts as soon as the document has the cell. */
  #find(room: Room): void {
    const id = this.getAttribute("cell") ?? "";
    const cells = room.document.getArray<unknown>("cells");
    const look = (): boolean => {
      const found = cells.toArray().find((cell) => cell instanceof Y.Map && cell.get("id") === id) as Y.Map<unknown> | undefined;
      if (found === undefined) return false;
      this.#mount(room, id, found);
      return true;
    };
    if (look()) return;
    let waiting = true;
    const stop = (): void => {
      if (waiting) cells.unobserve(observer);
      waiting = false;
    };
    const observer = (): void => {
      if (look()) stop();
    };
    cells.observe(observer);
    this.#life.add(stop);
  }

  #mount(room: Room, id: string, cell: Y.Map<unknown>): void {
    const view = new CellView(room, cell, {
      id,
      engine: this.getAttribute("engine") ?? "python",
      frame: new URL("frame", contextOf(this).site.own),
    });
    view.mount(this, this.#life);
  }
}

interface CellOptions {
  readonly id: string;
  readonly engine: string;
  readonly frame: URL;
}

/** One cell of the document, drawn. */
class CellView {
  readonly #room: Room;
  readonly #cell: Y.Map<unknown>;
  readonly #options: CellOptions;
  readonly #run = control("run", "Run", "Run this cell (Shift-Enter)");
  readonly #interrupt = control("stop", "Interrupt", "Interrupt what runs (Ctrl-Shift-C)");
  readonly #restart = control("restart", "Restart", "Restart the engine: its variables are forgotten");
  readonly #state = h("span", { class: "cell-state" });
  /** Tells those who do not see it what becomes of the cell, without the ticking of the clock. */
  readonly #spoken = h("span", { class: "visually-hidden", role: "status" });
  readonly #engineState = h("span", { class: "cell-engine" });
  readonly #prompt: PromptView;
  readonly #outputs: OutputsView;
  #editor: EditorView | undefined;
  /** An evaluation that was asked for and is not in the document yet. */
  #asking = false;
  #refusal: string | undefined;
  #told: string | undefined;

  constructor(room: Room, cell: Y.Map<unknown>, options: CellOptions) {
    this.#room = room;
    this.#cell = cell;
    this.#options = options;
    this.#prompt = new PromptView((evaluation, text) => room.answerInput(evaluation, text));
    this.#outputs = new OutputsView(options.frame);
    this.#outputs.show(cell.get("outputs"));
  }

  mount(parent: HTMLElement, life: Lifetime): void {
    const code = h("div", { class: "cell-code" });
    const buttons = h("div", { class: "cell-buttons" }, this.#run, this.#interrupt, this.#restart);
    const bar = h("div", { class: "cell-bar" }, buttons, this.#state, this.#spoken, this.#engineState);
    parent.replaceChildren(h("div", { class: "cell", role: "group", "aria-label": `Cell ${this.#options.id}` },
      code, bar, this.#prompt.element, this.#outputs.element));
    this.#mountEditor(code, life);
    this.#run.onclick = () => void this.#evaluate();
    this.#interrupt.onclick = () => void this.#try(this.#room.interrupt(this.#options.engine));
    this.#restart.onclick = () => void this.#try(this.#room.restart(this.#options.engine));
    this.#follow(life);
    this.#show();
  }

  #mountEditor(parent: HTMLElement, life: Lifetime): void {
    const text = this.#cell.get("source");
    if (!(text instanceof Y.Text)) return;
    this.#editor = sharedEditor({
      parent,
      text,
      room: this.#room,
      language: this.#options.engine,
      label: `Code of cell ${this.#options.id}`,
      extensions: [this.#keys(), autocompletion({
        override: [(context) => this.#complete(context)],
        activateOnTyping: false,
        icons: false,
      })],
    }, life);
  }

  #keys(): Extension {
    const run = (): boolean => {
      void this.#evaluate();
      return true;
    };
    const interrupt = (): boolean => {
      if (!this.#isBusy) return false;
      void this.#try(this.#room.interrupt(this.#options.engine));
      return true;
    };
    return Prec.highest(keymap.of([
      { key: "Shift-Enter", run },
      { key: "Mod-Enter", run },
      { key: "Ctrl-Shift-c", run: interrupt, preventDefault: true },
      { key: "Tab", run: completeByTab },
    ]));
  }

  #follow(life: Lifetime): void {
    const changed = (): void => this.#show();
    const cell = this.#cell;
    // the outputs hear their own changes; the text is the editor's
    const observer = (events: Y.YEvent<Y.AbstractType<unknown>>[]): void => {
      this.#outputs.show(cell.get("outputs"));
      if (events.some((event) => event.target === cell || event.path[0] === "metadata")) changed();
    };
    cell.observeDeep(observer);
    life.add(() => cell.unobserveDeep(observer));
    life.add(() => this.#outputs.end());
    life.add(this.#room.changed.listen(changed));
    life.add(this.#room.enginesChanged.listen(changed));
    life.every(TICK_MS, () => {
      if (this.#evaluation?.state === "running") this.#describe();
    });
  }

  get #evaluation(): Evaluation | undefined {
    const metadata = this.#cell.get("metadata");
    return readEvaluation(metadata instanceof Y.Map ? metadata.get("evaluation") : undefined);
  }

  get #isBusy(): boolean {
    return isActive(this.#evaluation);
  }

  /** The room has said that this visitor may not run anything. */
  get #isBarred(): boolean {
    return this.#room.isJoined && !this.#room.may("run");
  }

  async #evaluate(): Promise<void> {
    if (!this.#room.may("run") || this.#asking || this.#isBusy) return;
    this.#asking = true;
    this.#refusal = undefined;
    this.#show();
    const source = this.#cell.get("source");
    await this.#try(this.#room.evaluate(this.#options.id, source instanceof Y.Text ? source.toString() : ""));
    this.#asking = false;
    this.#show();
  }

  /** Waits for `request`; a refusal is shown in the cell. */
  async #try(request: Promise<void>): Promise<void> {
    try {
      await request;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#refusal = error.message;
      this.#show();
    }
  }

  async #complete(context: CompletionContext): Promise<CompletionResult | null> {
    const { state, pos } = context;
    if (!context.explicit && context.matchBefore(/[\w.]/u) === null) return null;
    const found = await this.#room.complete(this.#options.id, state.doc.toString(), pos);
    if (found === undefined || context.aborted || found.matches.length === 0) return null;
    return { from: found.start, to: found.end, options: found.matches.map((label) => ({ label })), validFor: /^\w*$/u };
  }

  #show(): void {
    const may = this.#room.may("run");
    const evaluation = this.#evaluation;
    const busy = this.#isBusy;
    const connected = this.#room.connection.state.kind === "open";
    const why = this.#isBarred ? BARRED : undefined;
    permit(this.#run, may && !busy && !this.#asking, why);
    permit(this.#interrupt, may && connected && busy, why);
    permit(this.#restart, may && connected, why);
    this.#prompt.show(may ? evaluation : undefined);
    if (!busy && !this.#asking) this.#outputs.settle();
    this.#editor?.dom.classList.toggle("running", busy);
    this.#showEngine();
    this.#describe();
    this.#announce(evaluation);
  }

  #showEngine(): void {
    const { state, reason } = this.#room.engine(this.#options.engine);
    this.#engineState.dataset["state"] = state;
    this.#engineState.textContent = this.#options.engine;
    const words = { absent: "not started yet", starting: "starting", idle: "idle", busy: "busy", restarting: "restarting", dead: "ended" };
    this.#engineState.title = `The engine is ${words[state] ?? state}${reason === "" ? "" : `: ${reason}`}.`;
  }

  #describe(): void {
    const evaluation = this.#evaluation;
    const connected = this.#room.connection.state.kind === "open";
    const unasked = this.#isBarred ? BARRED : "";
    let text = evaluation === undefined ? unasked : describe(evaluation, Date.now() / 1000);
    let state: string = evaluation?.state ?? "none";
    if (this.#asking && !this.#isBusy) [text, state] = [connected ? "Asking…" : "Will run when the connection is back", "queued"];
    if (this.#refusal !== undefined && !this.#isBusy) [text, state] = [`Not run: ${this.#refusal}`, "failed"];
    if (this.#state.textContent !== text) this.#state.textContent = text;
    this.#state.dataset["state"] = state;
  }

  #announce(evaluation: Evaluation | undefined): void {
    const { id = "", state = "", prompt } = evaluation ?? {};
    const news = `${id} ${state} ${prompt === undefined ? "" : "asks"}`;
    const isFirst = this.#told === undefined;
    if (this.#told === news) return;
    this.#told = news;
    if (isFirst || evaluation === undefined) return; // what was there already is no news
    const { started: _started, ...timeless } = evaluation;
    this.#spoken.textContent = `Cell ${this.#options.id}: ${describe(timeless, 0)}`;
  }
}

/** Tab completes behind a word or a dot, takes what is offered, and else indents. */
function completeByTab(view: EditorView): boolean {
  if (completionStatus(view.state) === "active") return acceptCompletion(view);
  const { main } = view.state.selection;
  const before = view.state.sliceDoc(Math.max(0, main.head - 1), main.head);
  return main.empty && /[\w.]/u.test(before) && startCompletion(view);
}

function control(name: IconName, label: string, title: string): HTMLButtonElement {
  const text = name === "restart" ? undefined : h("span", {}, label);
  const button = h("button", { type: "button", class: `button cell-${name}`, "aria-label": label, title }, icon(name), text);
  button.dataset["title"] = title;
  return button;
}

function permit(button: HTMLButtonElement, may: boolean, why: string | undefined): void {
  button.disabled = !may;
  button.title = why ?? button.dataset["title"] ?? "";
}
