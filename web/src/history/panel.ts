/**
 * The panel of a page's history: a slider over its stops, the page's texts as they were, who wrote them, and restoring.
 *
 * It asks `Past`, and shows; what a stop is and what is different is decided in modules that draw nothing. Who may only
 * read is offered nothing else.
 */

import { h, icon } from "../dom";
import { Lifetime } from "../signals";
import { contextOf } from "../site";
import { type Author, Authors } from "./authors";
import { Footer } from "./footer";
import { Past, type Overview } from "./past";
import { States } from "./states";
import { compare, type Piece, runs, type Section, sectionsOf } from "./texts";
import { indexOf, type Stop, timeline, timeOf, titleOf } from "./timeline";

const NARROW = "(max-width: 44rem)";
const REFRESH_MS = 2_000;

type Mode = "changes" | "authors" | "versions";
const MODES: Readonly<Record<Mode, string>> = { changes: "Changes", authors: "Authors", versions: "Versions" };

export class HistoryPanelElement extends HTMLElement {
  readonly #life = new Lifetime();
  readonly #slider = h("input", { type: "range", min: 0, step: 1, "aria-label": "Moment" });
  readonly #marks = h("div", { class: "history-marks", "aria-hidden": "true" });
  readonly #title = h("strong", {});
  readonly #when = h("span", {});
  readonly #earlier = h("button", { type: "button", class: "icon-button", "aria-label": "Earlier" }, icon("back"));
  readonly #later = h("button", { type: "button", class: "icon-button", "aria-label": "Later" }, icon("forward"));
  readonly #modes = h("fieldset", { class: "history-modes" }, h("legend", { class: "visually-hidden" }, "Show"));
  readonly #body = h("div", { class: "history-body", tabindex: 0, role: "region", "aria-label": "The page at that moment" });
  readonly #footer = new Footer({ name: (name) => this.#keep(name), restore: () => this.#restore() });
  readonly #dialog = h("dialog", { class: "history", "aria-labelledby": "history.title" });

  #overview: Overview | undefined;
  #stops: readonly Stop[] = [];
  #index = 0;
  #mode: Mode = "changes";
  #states: States | undefined;
  #refreshing: ReturnType<typeof setTimeout> | undefined;
  /** What is being drawn: an older drawing that ends later is thrown away. */
  #drawing = 0;

  connectedCallback(): void {
    const close = h("button", { type: "button", class: "icon-button", "aria-label": "Close" }, icon("close"));
    this.#modes.append(...Object.entries(MODES).map(([mode, label]) => this.#choice(mode as Mode, label)));
    this.#dialog.replaceChildren(
      h("header", { class: "history-header" }, h("h2", { id: "history.title" }, "History"), close),
      h("div", { class: "history-time" },
        h("div", { class: "history-stop" }, this.#earlier, h("p", { "aria-live": "polite" }, this.#title, this.#when), this.#later),
        h("div", { class: "history-slider" }, this.#slider, this.#marks)),
      this.#modes,
      this.#body,
      this.#footer.element,
    );
    this.replaceChildren(this.#dialog);
    close.onclick = () => this.close();
    this.#earlier.onclick = () => this.#go(this.#index - 1);
    this.#later.onclick = () => this.#go(this.#index + 1);
    this.#slider.oninput = () => this.#go(Number(this.#slider.value));
    this.#dialog.onclose = () => this.#closed();
    this.#dialog.onkeydown = (event) => {
      if (event.key !== "Escape" || event.target !== event.currentTarget && this.#footer.cancel()) return;
      event.preventDefault();
      this.close();
    };
  }

  disconnectedCallback(): void {
    this.#closed();
  }

  get isOpen(): boolean {
    return this.#dialog.open;
  }

  /** Opens beside the page, or over it where there is no room for both. */
  open(): void {
    if (this.isOpen) return;
    const { room, site } = contextOf(this);
    this.#states = new States(new Past(site.own, site.address), room.document);
    if (matchMedia(NARROW).matches) this.#dialog.showModal();
    else this.#dialog.show();
    document.body.classList.add("history-open");
    const edited = (): void => this.#refreshSoon();
    room.document.on("update", edited);
    this.#life.add(() => room.document.off("update", edited));
    this.#life.add(room.changed.listen(() => this.#showFooter()));
    this.#slider.focus();
    void this.#refresh();
  }

  close(): void {
    this.#dialog.close();
  }

  #closed(): void {
    this.#life.end();
    clearTimeout(this.#refreshing);
    this.#refreshing = undefined;
    this.#overview = undefined;
    this.#stops = [];
    this.#states = undefined;
    this.#footer.cancel();
    document.body.classList.remove("history-open");
    this.dispatchEvent(new Event("close"));
  }

  #choice(mode: Mode, label: string): HTMLElement {
    const input = h("input", { type: "radio", name: "history.mode", value: mode });
    input.checked = mode === this.#mode;
    input.onchange = () => {
      this.#mode = mode;
      void this.#draw();
    };
    return h("label", {}, input, h("span", {}, label));
  }

  // --- what there is ---------------------------------------------------------------------------

  #refreshSoon(): void {
    this.#refreshing ??= setTimeout(() => {
      this.#refreshing = undefined;
      void this.#refresh();
    }, REFRESH_MS);
  }

  async #refresh(): Promise<void> {
    const states = this.#states;
    if (states === undefined) return;
    try {
      const overview = await states.past.overview();
      if (this.#states !== states) return; // closed meanwhile
      const before = this.#stops[this.#index];
      this.#overview = overview;
      this.#stops = timeline(overview, Date.now() / 1_000);
      this.#slider.max = String(this.#stops.length - 1);
      this.#marks.replaceChildren(...this.#stops.map((stop, index) => this.#mark(stop, index)).filter((mark) => mark !== undefined));
      this.#go(indexOf(this.#stops, before), { keepScroll: true });
    } catch (error) {
      this.#footer.say(messageOf(error), { isProblem: true });
    }
  }

  /** A mark below the slider for what somebody has named. */
  #mark(stop: Stop, index: number): HTMLElement | undefined {
    if (stop.name === "") return undefined;
    const mark = h("span", { class: "history-mark", title: stop.name });
    mark.style.setProperty("--at", String(index / Math.max(1, this.#stops.length - 1)));
    return mark;
  }

  // --- the stop --------------------------------------------------------------------------------

  #go(index: number, { keepScroll = false } = {}): void {
    this.#index = Math.max(0, Math.min(index, this.#stops.length - 1));
    const stop = this.#stops[this.#index];
    if (stop === undefined) return;
    const people = this.#people(stop);
    const words = stop.kind === "now" ? people : [timeOf(stop, new Date()), people].filter((part) => part !== "").join(" · ");
    this.#title.textContent = titleOf(stop);
    this.#when.textContent = words;
    this.#slider.value = String(this.#index);
    this.#slider.style.setProperty("--filled", `${(100 * this.#index) / Math.max(1, this.#stops.length - 1)}%`);
    this.#slider.setAttribute("aria-valuetext", `${titleOf(stop)}, ${words}`);
    this.#earlier.disabled = this.#index === 0;
    this.#later.disabled = this.#index === this.#stops.length - 1;
    this.#showFooter();
    void this.#draw({ keepScroll });
  }

  #people({ users }: Stop): string {
    const authors = this.#authors();
    return users.filter((user) => user !== "").map((user) => authors?.author(user).name ?? user).join(", ");
  }

  #authors(): Authors | undefined {
    return this.#overview && new Authors(this.#overview, contextOf(this).room.awareness.getStates());
  }

  #showFooter(): void {
    const { room } = contextOf(this);
    const stop = this.#stops[this.#index];
    const isNow = stop?.kind === "now";
    // The present without any history has nothing to be kept.
    this.#footer.show({ canName: room.may("write") && stop !== undefined && stop.number > 0, canRestore: room.may("write") && stop !== undefined && !isNow });
  }

  // --- drawing ---------------------------------------------------------------------------------

  async #draw({ keepScroll = false } = {}): Promise<void> {
    const drawing = ++this.#drawing;
    const stop = this.#stops[this.#index];
    const [states, authors] = [this.#states, this.#authors()];
    if (stop === undefined || states === undefined || authors === undefined) return;
    this.#body.classList.add("loading");
    try {
      const content = this.#mode === "versions" ? this.#list(authors) : await this.#texts(stop, states, authors);
      if (drawing !== this.#drawing) return;
      this.#body.replaceChildren(...content);
      if (!keepScroll && this.#mode === "changes") this.#body.querySelector("ins, del")?.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (drawing === this.#drawing) this.#body.replaceChildren(h("p", { class: "problem" }, messageOf(error)));
    } finally {
      if (drawing === this.#drawing) this.#body.classList.remove("loading");
    }
  }

  async #texts(stop: Stop, states: States, authors: Authors): Promise<HTMLElement[]> {
    const earlier = this.#stops[this.#index - 1];
    const isCompared = this.#mode === "changes";
    const [then, before] = await Promise.all([states.at(stop), isCompared && earlier !== undefined ? states.at(earlier) : undefined]);
    const texts = sectionsOf(document).map((section) => {
      const [text, old] = [section.find(then), before && section.find(before)];
      const now = text === undefined ? [] : runs(text);
      const was = old === undefined ? [] : runs(old);
      const pieces = isCompared ? compare(was, now) : now.map((run): Piece => ({ op: "keep", ...run }));
      return { section, pieces };
    });
    const shown = texts.map(({ section, pieces }) => textView(section, pieces, authors, this.#mode));
    if (!isCompared) return [legend(texts.flatMap(({ pieces }) => pieces), authors), ...shown];
    const isSame = texts.every(({ pieces }) => pieces.every(({ op }) => op === "keep"));
    const note = earlier === undefined ? "This is the oldest state that is kept." : isSame ? "The texts of this page did not change here." : undefined;
    return note === undefined ? shown : [h("p", { class: "history-note" }, note), ...shown];
  }

  #list(authors: Authors): HTMLElement[] {
    const versions = this.#stops.map((stop, index) => ({ stop, index })).filter(({ stop }) => stop.kind !== "changes");
    const rows = versions.reverse().map(({ stop, index }) => {
      const people = stop.users.filter((user) => user !== "").map((user) => authors.author(user).name).join(", ");
      const time = stop.kind === "now" ? "" : timeOf(stop, new Date());
      const words = [time, people].filter((part) => part !== "").join(" · ");
      const button = h("button", { type: "button", class: "history-version", "aria-current": index === this.#index ? "true" : undefined },
        h("strong", {}, titleOf(stop)), h("span", {}, words));
      button.onclick = () => this.#choose(index);
      return h("li", {}, button);
    });
    return [h("ul", { class: "history-versions" }, ...rows)];
  }

  #choose(index: number): void {
    const changes = this.#modes.querySelector<HTMLInputElement>('[value="changes"]');
    if (changes !== null) changes.checked = true;
    this.#mode = "changes";
    this.#go(index);
    this.#slider.focus();
  }

  // --- changing --------------------------------------------------------------------------------

  async #keep(name: string): Promise<string> {
    const [states, stop] = [this.#states, this.#stops[this.#index]];
    if (states === undefined || stop === undefined) return "";
    if (stop.kind === "now") await states.past.keep(name);
    else if (stop.kind === "changes") await states.past.keep(name, stop.number);
    else await states.past.rename(stop.id, name);
    await this.#refresh();
    return `Kept as “${name}”.`;
  }

  async #restore(): Promise<string> {
    const [states, stop] = [this.#states, this.#stops[this.#index]];
    if (states === undefined || stop === undefined) return "";
    const changed = await states.past.restore(stop.id);
    this.#index = this.#stops.length - 1;
    await this.#refresh();
    return changed ? "Restored. What was there before is kept in the list of versions." : "Nothing was different.";
  }
}

function textView({ label, isCode }: Section, pieces: readonly Piece[], authors: Authors, mode: Mode): HTMLElement {
  const parts = pieces.map((piece) => pieceView(piece, authors, mode));
  const isEmpty = parts.length === 0;
  const text = h("div", { class: isCode ? "history-text code" : "history-text" }, ...(isEmpty ? [h("span", { class: "history-empty" }, "Empty")] : parts));
  return h("section", {}, h("h3", {}, label), text);
}

function pieceView({ op, client, clock, text }: Piece, authors: Authors, mode: Mode): HTMLElement | string {
  if (mode === "changes" && op === "keep") return text;
  const author = authors.of(client, clock);
  const verb = op === "add" ? "Added" : "Written";
  const element = h(op === "remove" ? "del" : op === "add" ? "ins" : "span", { class: "history-piece", title: `${verb} by ${author.name}` }, text);
  element.style.setProperty("--person", author.color);
  return element;
}

/** Whose colours there are, and how much of the texts is theirs. */
function legend(pieces: readonly Piece[], authors: Authors): HTMLElement {
  const shares = new Map<string, { readonly author: Author; length: number }>();
  for (const { client, clock, text } of pieces) {
    const author = authors.of(client, clock);
    const share = shares.get(author.key) ?? { author, length: 0 };
    shares.set(author.key, share);
    share.length += text.length;
  }
  const all = [...shares.values()].sort((a, b) => b.length - a.length);
  const total = all.reduce((sum, { length }) => sum + length, 0);
  const rows = all.map(({ author, length }) => {
    const row = h("li", {}, h("span", { class: "history-author" }, author.name), h("span", {}, `${Math.round((100 * length) / total)} %`));
    row.style.setProperty("--person", author.color);
    return row;
  });
  return h("ul", { class: "history-legend", "aria-label": "Authors" }, ...rows);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

