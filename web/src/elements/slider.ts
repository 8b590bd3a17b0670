/** `<x-slider value min max step initial label>`: a number of the room, moved by hand. */

import { h } from "../dom";
import { number } from "../format";
import type { Room } from "../room";
import { Lifetime } from "../signals";
import { contextOf } from "../site";

export class SliderElement extends HTMLElement {
  readonly #life = new Lifetime();
  readonly #range = h("input", { type: "range" });
  readonly #number = h("input", { type: "number", class: "slider-number", inputmode: "decimal" });
  #wanted: number | undefined;
  #frame: number | undefined;

  connectedCallback(): void {
    const { room } = contextOf(this);
    this.#build();
    this.#life.add(room.values.changed.listen((address) => {
      if (address === this.#address) this.#show();
    }));
    this.#life.add(room.changed.listen(() => this.#allow(room)));
    this.#life.on(this.#range, "input", () => this.#want(this.#range.valueAsNumber));
    this.#life.on(this.#number, "change", () => this.#want(this.#clamped(this.#number.valueAsNumber)));
    this.#allow(room);
    this.#show();
  }

  disconnectedCallback(): void {
    this.#life.end();
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
  }

  get #address(): string {
    return this.getAttribute("value") ?? "";
  }

  #build(): void {
    const label = this.getAttribute("label") ?? this.#address.slice(1);
    for (const name of ["min", "max", "step"]) {
      const value = this.getAttribute(name);
      if (value === null) continue;
      this.#range.setAttribute(name, value);
      this.#number.setAttribute(name, value);
    }
    this.#number.setAttribute("aria-label", `${label}, as a number`);
    this.replaceChildren(
      h("label", { class: "slider" }, h("span", { class: "slider-label" }, label), this.#range),
      this.#number,
    );
  }

  #allow(room: Room): void {
    const may = room.may("write");
    const why = may || !room.isJoined ? "" : "You can look at this room, but not change it.";
    for (const input of [this.#range, this.#number]) {
      input.disabled = !may;
      input.title = why;
    }
  }

  /** At most one message an animation frame, however fast the hand. */
  #want(value: number): void {
    if (!Number.isFinite(value)) return this.#show();
    this.#wanted = value;
    this.#draw(value);
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined;
      const wanted = this.#wanted;
      this.#wanted = undefined;
      if (wanted !== undefined) contextOf(this).room.setValue(this.#address, wanted);
    });
  }

  #clamped(value: number): number {
    return Math.min(Number(this.#range.max || 100), Math.max(Number(this.#range.min || 0), value));
  }

  #show(): void {
    if (this.#wanted !== undefined) return;
    const value = contextOf(this).room.values.get(this.#address);
    const initial = Number(this.getAttribute("initial") ?? this.getAttribute("min") ?? 0);
    this.#draw(typeof value === "number" ? value : initial);
  }

  #draw(value: number): void {
    const shown = number(value);
    this.#range.value = shown;
    this.#range.setAttribute("aria-valuetext", shown);
    // what somebody is typing is theirs until they are done
    if (document.activeElement !== this.#number || this.#wanted !== undefined) this.#number.value = shown;
    const { min, max } = this.#range;
    const span = Number(max || 100) - Number(min || 0);
    const filled = span > 0 ? ((value - Number(min || 0)) / span) * 100 : 0;
    this.#range.style.setProperty("--filled", `${Math.min(100, Math.max(0, filled))}%`);
  }
}
