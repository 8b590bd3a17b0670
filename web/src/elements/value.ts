/** `<x-value value label>`: a value of the room, as text that changes with it. */

import { h } from "../dom";
import { content } from "../format";
import { Lifetime } from "../signals";
import { contextOf } from "../site";

export class ValueElement extends HTMLElement {
  readonly #life = new Lifetime();
  // a program may change it ten times a second: it is read when asked for, not called out
  readonly #output = h("output", { class: "value-content", "aria-live": "off" });

  connectedCallback(): void {
    const { values } = contextOf(this).room;
    const label = this.getAttribute("label");
    this.replaceChildren(...(label === null ? [] : [h("span", { class: "value-label" }, label)]), this.#output);
    const address = this.getAttribute("value") ?? "";
    const show = (): void => {
      this.#output.textContent = content(values.get(address));
    };
    this.#life.add(values.changed.listen((changed) => {
      if (changed === address) show();
    }));
    show();
  }

  disconnectedCallback(): void {
    this.#life.end();
  }
}
