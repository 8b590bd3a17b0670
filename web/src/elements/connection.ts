/** `<x-connection>`: saved or not, connected or not, and what the room has to tell. */

import { h, icon } from "../dom";
import type { Notice, Room } from "../room";
import { Lifetime } from "../signals";
import { contextOf } from "../site";

/** A connection that is back within this time is no news. */
const PATIENCE_MS = 700;
const TOAST_MS = 8_000;
const MAX_TOASTS = 4;

interface Shown {
  readonly tone: "good" | "busy" | "bad";
  readonly word: string;
  /** For the banner; none where all is well. */
  readonly banner?: string;
  readonly final?: boolean;
}

export class ConnectionElement extends HTMLElement {
  readonly #life = new Lifetime();
  readonly #status = h("span", { class: "connection-status", role: "status" });
  readonly #banner = h("div", { class: "banner", role: "alert", hidden: true });
  readonly #toasts = h("div", { class: "toasts", role: "log", "aria-live": "polite" });
  #trouble: string | undefined;
  #patience: ReturnType<typeof setTimeout> | undefined;
  #lostAt: number | undefined;

  connectedCallback(): void {
    const { room } = contextOf(this);
    this.replaceChildren(this.#status);
    document.body.append(this.#banner, this.#toasts);
    this.#life.add(() => {
      this.#banner.remove();
      this.#toasts.remove();
      clearTimeout(this.#patience);
    });
    this.#life.add(room.changed.listen(() => this.#show(room)));
    this.#life.add(room.notices.listen((notice) => this.#notice(room, notice)));
    this.#show(room);
  }

  disconnectedCallback(): void {
    this.#life.end();
  }

  #show(room: Room): void {
    const connected = room.connection.state.kind === "open" && room.isJoined;
    this.#lostAt = connected ? undefined : (this.#lostAt ?? Date.now());
    const patient = this.#lostAt !== undefined && Date.now() - this.#lostAt < PATIENCE_MS;
    clearTimeout(this.#patience);
    if (patient) this.#patience = setTimeout(() => this.#show(room), PATIENCE_MS);
    const shown = appearance(room, this.#trouble);
    this.#draw(patient && shown.final !== true ? { tone: "busy", word: "Connecting…" } : shown);
  }

  #draw({ tone, word, banner, final }: Shown): void {
    this.dataset["tone"] = tone;
    if (this.#status.textContent !== word) this.#status.textContent = word;
    this.#banner.hidden = banner === undefined;
    if (banner === undefined || this.#banner.dataset["text"] === banner) return;
    this.#banner.dataset["text"] = banner;
    this.#banner.replaceChildren(h("span", {}, banner));
    if (final !== true) return;
    const reload = h("button", { class: "button", type: "button" }, "Reload");
    reload.onclick = () => location.reload();
    this.#banner.append(reload);
  }

  #notice(room: Room, { code, text }: Notice): void {
    if (code === "not_saved" || code === "saved") {
      this.#trouble = code === "not_saved" ? text || "The server cannot save at the moment." : undefined;
      return this.#show(room);
    }
    this.#toast(text || code);
  }

  #toast(text: string): void {
    const same = [...this.#toasts.children].some((toast) => toast.textContent === text);
    if (same) return;
    const close = h("button", { class: "icon-button", type: "button", "aria-label": "Dismiss" }, icon("close"));
    const toast = h("div", { class: "toast" }, h("span", {}, text), close);
    close.onclick = () => toast.remove();
    this.#toasts.append(toast);
    while (this.#toasts.childElementCount > MAX_TOASTS) this.#toasts.firstElementChild?.remove();
    setTimeout(() => toast.remove(), TOAST_MS);
  }
}

function appearance(room: Room, trouble: string | undefined): Shown {
  const { state } = room.connection;
  if (state.kind === "stopped") return { tone: "bad", word: "Disconnected", banner: state.text, final: true };
  if (state.kind !== "open" && room.isJoined) {
    const kept = "Connection lost. Your changes are kept here and will be saved when it is back.";
    const looking = "Connection lost. Looking for the server…";
    return { tone: "bad", word: "Offline", banner: room.may("write") ? kept : looking };
  }
  if (state.kind !== "open" || !room.isJoined) {
    return { tone: "bad", word: "Connecting…", banner: "The room cannot be reached yet. Trying again…" };
  }
  if (trouble !== undefined) return { tone: "bad", word: "Not saved", banner: trouble };
  if (!room.may("write")) return { tone: "good", word: "Read only" };
  return room.isSaved ? { tone: "good", word: "Saved" } : { tone: "busy", word: "Saving…" };
}
