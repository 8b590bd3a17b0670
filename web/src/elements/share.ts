/** `<x-share>`: a link to this room alone, with the rights that one chooses. */

import { h, icon } from "../dom";
import { isRecord } from "../records";
import type { Right } from "../protocol";
import { contextOf } from "../site";

const CHOICES: readonly { readonly label: string; readonly hint: string; readonly rights: readonly Right[] }[] = [
  { label: "Read", hint: "see everything, change nothing", rights: ["read"] },
  { label: "Write", hint: "edit texts and move sliders", rights: ["read", "write"] },
  { label: "Run", hint: "also run code and use terminals", rights: ["read", "write", "run"] },
];

const COPIED = "The link has been copied.";

export class ShareElement extends HTMLElement {
  readonly #button = h("button", { class: "button", type: "button", "aria-haspopup": "dialog" }, icon("share"), h("span", {}, "Share"));
  readonly #dialog = h("dialog", { class: "dialog", "aria-label": "Share this room" });

  connectedCallback(): void {
    this.replaceChildren(this.#button, this.#dialog);
    this.#button.onclick = () => this.#open();
  }

  #open(): void {
    const { room } = contextOf(this);
    const allowed = CHOICES.filter(({ rights }) => rights.every((right) => room.may(right)));
    const result = h("p", { class: "share-result", role: "status" });
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", {}, "Share this room"),
      h("p", {}, "The link opens this room and no other. Whoever has it can:"),
      h("fieldset", { class: "choices" }, h("legend", { class: "visually-hidden" }, "Rights"), ...allowed.map(choice)),
      result,
      h("div", { class: "dialog-buttons" },
        h("button", { type: "button", class: "button", value: "close" }, "Close"),
        h("button", { type: "submit", class: "button primary" }, "Copy link")),
    );
    form.querySelector('[value="close"]')?.addEventListener("click", () => this.#dialog.close());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const index = Number(new FormData(form).get("rights") ?? 0);
      void this.#share(allowed[index]?.rights ?? ["read"], result);
    });
    if (allowed.length === 0) result.textContent = "A link can be made once the room is connected.";
    this.#dialog.replaceChildren(form);
    this.#dialog.showModal();
  }

  async #share(rights: readonly Right[], result: HTMLElement): Promise<void> {
    result.classList.remove("problem");
    try {
      const url = await this.#makeLink(rights);
      if (await copied(url)) result.replaceChildren(COPIED);
      else offer(url, result);
    } catch (error) {
      result.classList.add("problem");
      result.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  async #makeLink(rights: readonly Right[]): Promise<string> {
    const { site } = contextOf(this);
    const body = JSON.stringify({ address: site.address, rights });
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(new URL("share", site.own), { method: "POST", headers, body }).catch(() => undefined);
    if (answer === undefined) throw new Error("There is no connection now. Try again when it is back.");
    const text = await answer.text();
    // who is refused is told why in a line of text
    if (!answer.ok) throw new Error(text.trim() || `No link was made: the server answered ${answer.status}.`);
    const said: unknown = JSON.parse(text);
    if (isRecord(said) && typeof said["url"] === "string") return new URL(said["url"], document.baseURI).href;
    throw new Error("No link was made: this room has no page.");
  }
}

function choice({ label, hint }: (typeof CHOICES)[number], index: number, all: readonly unknown[]): HTMLElement {
  const input = h("input", { type: "radio", name: "rights", value: index });
  input.checked = index === all.length - 1;
  return h("label", { class: "choice" }, input, h("span", {}, h("strong", {}, label), ` ${hint}`));
}

async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // not a secure origin, or the visitor said no
  }
}

/** The link in a field: copied in the old way, which needs no secure origin, or else by hand. */
function offer(url: string, result: HTMLElement): void {
  const field = h("input", { type: "text", readonly: true, value: url, "aria-label": "The link" });
  const words = h("span", {}, "This browser lets no page copy. Copy the link by hand:");
  result.replaceChildren(words, field);
  field.focus();
  field.select();
  if (document.execCommand("copy")) words.textContent = COPIED;
}
