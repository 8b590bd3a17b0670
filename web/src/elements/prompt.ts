/** The line that a program waits for: its question, a field and a button. */

import { h } from "../dom";
import type { Evaluation } from "../evaluation";
import { Refusal } from "../requests";

export class PromptView {
  readonly element = h("form", { class: "cell-prompt", hidden: true });
  readonly #label = h("span", { class: "prompt-text" });
  readonly #field = h("input", { type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
  readonly #problem = h("span", { class: "prompt-problem", role: "alert" });
  readonly #answer: (evaluation: string, text: string) => Promise<void>;
  #evaluation: string | undefined;

  constructor(answer: (evaluation: string, text: string) => Promise<void>) {
    this.#answer = answer;
    this.element.append(
      h("label", {}, this.#label, this.#field),
      h("button", { type: "submit", class: "button" }, "Send"),
      this.#problem,
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#send();
    });
  }

  /** Shows the question of `evaluation`, or nothing when it asks none. */
  show(evaluation: Evaluation | undefined): void {
    const asks = evaluation?.state === "running" && evaluation.prompt !== undefined;
    this.#evaluation = asks ? evaluation.id : undefined;
    if (this.element.hidden === !asks) return;
    this.element.hidden = !asks;
    this.#problem.textContent = "";
    this.#field.value = "";
    if (!asks) return;
    this.#label.textContent = evaluation.prompt?.trim() || "Input";
    this.#field.type = evaluation.password === true ? "password" : "text";
    // whoever is at this cell is most likely the one who is asked; others are not torn from what they do
    if (this.element.closest(".cell")?.contains(document.activeElement) === true) this.#field.focus();
  }

  async #send(): Promise<void> {
    if (this.#evaluation === undefined) return;
    const text = this.#field.value;
    this.#problem.textContent = "";
    try {
      await this.#answer(this.#evaluation, text);
      this.#field.value = "";
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#problem.textContent = error.message;
    }
  }
}
