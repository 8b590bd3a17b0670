/** `<x-history>`: the button that opens the page's history; the panel is a module of its own, loaded when it is wanted. */

import type { HistoryPanelElement } from "../history/panel";
import { h, icon } from "../dom";

const PANEL = "x-history-panel";

export class HistoryElement extends HTMLElement {
  readonly #button = h("button", { class: "button", type: "button", "aria-expanded": "false" }, icon("history"), h("span", {}, "History"));
  #panel: HistoryPanelElement | undefined;

  connectedCallback(): void {
    this.replaceChildren(this.#button);
    this.#button.onclick = () => void this.#toggle();
  }

  async #toggle(): Promise<void> {
    const panel = (this.#panel ??= await this.#load());
    if (panel.isOpen) return panel.close();
    panel.open();
    this.#button.setAttribute("aria-expanded", "true");
  }

  async #load(): Promise<HistoryPanelElement> {
    const { HistoryPanelElement } = await import("../history/panel");
    if (customElements.get(PANEL) === undefined) customElements.define(PANEL, HistoryPanelElement);
    const panel = this.#panel ?? new HistoryPanelElement();
    if (!panel.isConnected) document.body.append(panel);
    panel.addEventListener("close", () => {
      this.#button.setAttribute("aria-expanded", "false");
      this.#button.focus();
    });
    return panel;
  }
}
