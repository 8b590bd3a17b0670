/** The foot of the history panel: naming a version, restoring one after a question, and what became of it. */

import { h } from "../dom";

export interface Deeds {
  /** Keeps the state that is shown under a name; what to say of it. */
  readonly name: (name: string) => Promise<string>;
  /** Restores the state that is shown; what to say of it. */
  readonly restore: () => Promise<string>;
}

const MAX_NAME_LENGTH = 200;
const QUESTION = "Everybody in this room gets the texts as they were then. What is there now is kept as a version.";

export class Footer {
  readonly element = h("footer", { class: "history-footer" });
  readonly #status = h("p", { class: "history-status", role: "status" });
  readonly #nameButton = h("button", { type: "button", class: "button" }, "Name this version…");
  readonly #restoreButton = h("button", { type: "button", class: "button primary" }, "Restore…");
  readonly #buttons = h("div", { class: "history-buttons" }, this.#nameButton, this.#restoreButton);
  readonly #deeds: Deeds;

  constructor(deeds: Deeds) {
    this.#deeds = deeds;
    this.element.append(this.#status, this.#buttons);
    this.#nameButton.onclick = () => this.#askName();
    this.#restoreButton.onclick = () => this.#askRestore();
  }

  show({ canName, canRestore }: { readonly canName: boolean; readonly canRestore: boolean }): void {
    this.#nameButton.hidden = !canName;
    this.#restoreButton.hidden = !canRestore;
    if (!canName && !canRestore && this.#isAsking) this.cancel();
    this.element.hidden = !canName && !canRestore && this.#status.textContent === "";
  }

  say(words: string, { isProblem = false } = {}): void {
    this.#status.textContent = words;
    this.#status.classList.toggle("problem", isProblem);
    this.element.hidden = false;
  }

  /** Takes back a question that is being asked; whether there was one. */
  cancel(): boolean {
    if (!this.#isAsking) return false;
    this.element.replaceChildren(this.#status, this.#buttons);
    return true;
  }

  get #isAsking(): boolean {
    return !this.element.contains(this.#buttons);
  }

  #askName(): void {
    const name = h("input", { type: "text", name: "name", maxlength: MAX_NAME_LENGTH, required: true, autocomplete: "off", placeholder: "Name of this version", "aria-label": "Name of this version" });
    this.#ask([name], "Save", () => this.#deeds.name(name.value), this.#nameButton);
    name.focus();
  }

  #askRestore(): void {
    const question = h("p", {}, h("strong", {}, "Restore this state?"), ` ${QUESTION}`);
    const yes = this.#ask([question], "Restore", () => this.#deeds.restore(), this.#restoreButton);
    yes.focus();
  }

  /** Shows a form in place of the buttons; its button that says yes. */
  #ask(content: HTMLElement[], label: string, deed: () => Promise<string>, opener: HTMLElement): HTMLElement {
    const yes = h("button", { type: "submit", class: "button primary" }, label);
    const no = h("button", { type: "button", class: "button" }, "Cancel");
    const form = h("form", { class: "history-form" }, ...content, h("div", { class: "history-buttons" }, no, yes));
    no.onclick = () => this.#leave(opener);
    form.onkeydown = (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      this.#leave(opener);
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      yes.disabled = no.disabled = true;
      void this.#do(deed, opener);
    };
    this.#status.textContent = "";
    this.element.replaceChildren(form);
    return yes;
  }

  async #do(deed: () => Promise<string>, opener: HTMLElement): Promise<void> {
    try {
      const words = await deed();
      this.#leave(opener);
      this.say(words);
    } catch (error) {
      this.#leave(opener);
      this.say(error instanceof Error ? error.message : String(error), { isProblem: true });
    }
  }

  #leave(opener: HTMLElement): void {
    if (!this.cancel()) return;
    if (opener.hidden) this.#nameButton.focus();
    else opener.focus();
  }
}
