/** `<x-presence>`: who is here; one's own name and colour are changed by a click on oneself. */

import { h } from "../dom";
import { COLORS, initials, MAX_NAME_LENGTH, type Person, person, remember, rememberedPerson } from "../presence";
import { Lifetime } from "../signals";
import { contextOf } from "../site";

const MAX_SHOWN = 5;

export class PresenceElement extends HTMLElement {
  readonly #life = new Lifetime();
  readonly #others = h("ul", { class: "people", "aria-label": "Also here" });
  readonly #self = h("button", { class: "avatar self", type: "button", "aria-haspopup": "dialog" });
  readonly #dialog = h("dialog", { class: "dialog", "aria-label": "Your name" });

  connectedCallback(): void {
    const { awareness } = contextOf(this).room;
    this.replaceChildren(this.#others, this.#self, this.#dialog);
    const show = (): void => this.#show();
    awareness.on("change", show);
    this.#life.add(() => awareness.off("change", show));
    this.#life.on(this.#self, "click", () => this.#ask());
    this.#show();
  }

  disconnectedCallback(): void {
    this.#life.end();
  }

  #show(): void {
    const { room } = contextOf(this);
    const states = [...room.awareness.getStates()];
    const others = states.filter(([client]) => client !== room.document.clientID).map(([, state]) => personIn(state));
    const people = distinct(others.filter((other) => other !== undefined));
    this.#others.replaceChildren(
      ...people.slice(0, MAX_SHOWN).map((other) => h("li", {}, avatar(other))),
      ...(people.length > MAX_SHOWN ? [h("li", {}, more(people.slice(MAX_SHOWN)))] : []),
    );
    const self = personIn(room.awareness.getLocalState() ?? {}) ?? rememberedPerson();
    this.#self.replaceChildren(initials(self.name));
    this.#self.style.setProperty("--person", self.color);
    this.#self.title = `You are ${self.name}. Click to change your name.`;
    this.#self.setAttribute("aria-label", this.#self.title);
  }

  #ask(): void {
    const { room } = contextOf(this);
    const current = personIn(room.awareness.getLocalState() ?? {}) ?? rememberedPerson();
    const name = h("input", { type: "text", name: "name", maxlength: MAX_NAME_LENGTH, required: true, autocomplete: "nickname" });
    name.value = current.name;
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", {}, "Your name"),
      h("p", {}, "Others in this room see it with your cursor and on what you run."),
      h("label", { class: "field" }, h("span", {}, "Name"), name),
      colorChoice(current.color),
      h("div", { class: "dialog-buttons" },
        h("button", { type: "button", class: "button", value: "cancel" }, "Cancel"),
        h("button", { type: "submit", class: "button primary", value: "save" }, "Save")),
    );
    form.querySelector('[value="cancel"]')?.addEventListener("click", () => this.#dialog.close());
    form.addEventListener("submit", () => {
      const color = new FormData(form).get("color");
      const chosen = person(name.value, typeof color === "string" ? color : current.color);
      remember(chosen);
      room.introduce(chosen);
    });
    this.#dialog.replaceChildren(form);
    this.#dialog.showModal();
    name.select();
  }
}

function personIn(state: Record<string, unknown>): Person | undefined {
  return state["user"] as Person | undefined; // rebuilt from checked parts when it came in
}

/** One avatar for a person's many tabs. */
function distinct(people: readonly Person[]): Person[] {
  return [...new Map(people.map((one) => [`${one.name}\n${one.color}`, one])).values()];
}

function avatar({ name, color }: Person): HTMLElement {
  const element = h("span", { class: "avatar", title: name, role: "img", "aria-label": name }, initials(name));
  element.style.setProperty("--person", color);
  return element;
}

function more(people: readonly Person[]): HTMLElement {
  const names = people.map(({ name }) => name).join(", ");
  return h("span", { class: "avatar more", title: names, role: "img", "aria-label": names }, `+${people.length}`);
}

function colorChoice(current: string): HTMLElement {
  const colors = (COLORS as readonly string[]).includes(current) ? COLORS : [current, ...COLORS];
  const choices = colors.map((color, index) => {
    const input = h("input", { type: "radio", name: "color", value: color, "aria-label": `Colour ${index + 1}` });
    input.checked = color === current;
    input.style.setProperty("--person", color);
    return input;
  });
  return h("fieldset", { class: "colors" }, h("legend", {}, "Colour"), ...choices);
}
