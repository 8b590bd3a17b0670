/** `<x-editor name language label>`: a shared text of the document, with everyone's cursors. */

import { sharedEditor } from "../codemirror";
import { h } from "../dom";
import { Lifetime } from "../signals";
import { contextOf } from "../site";

export class EditorElement extends HTMLElement {
  readonly #life = new Lifetime();

  connectedCallback(): void {
    const { room } = contextOf(this);
    const frame = h("div", { class: "editor loading" });
    this.replaceChildren(frame);
    let here = true;
    this.#life.add(() => (here = false));
    void room.synced.then(() => {
      if (here) this.#mount(frame);
    });
  }

  disconnectedCallback(): void {
    this.#life.end();
  }

  #mount(parent: HTMLElement): void {
    const { room } = contextOf(this);
    const name = this.getAttribute("name") ?? "";
    const text = room.document.getText(name);
    const label = this.getAttribute("label") ?? name;
    parent.classList.remove("loading");
    const language = this.getAttribute("language") ?? "plain";
    const placeholders = { writer: "Write something…", reader: "Nothing is written here yet." };
    sharedEditor({ parent, text, room, language, label, placeholders }, this.#life);
  }
}
