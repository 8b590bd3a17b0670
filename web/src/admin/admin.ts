/** The admin page: looks at the server every two seconds while it is seen, and carries out what is asked of it. */

import { amount, bytes, rate, span } from "./figures";
import { fill, keyed, part, copyOf } from "./parts";
import { RoomPanel } from "./room";
import { RoomList } from "./rooms";
import { ask, Refused, tell, type ServerView } from "./state";
import { WebhooksPanel } from "./webhooks";

const INTERVAL_MS = 2_000;

class AdminPage {
  readonly #figures = part("figures", HTMLElement);
  readonly #status = part("status", HTMLElement);
  readonly #alert = part("alert", HTMLElement);
  readonly #prefix = part("prefix", HTMLInputElement);
  readonly #order = part("order", HTMLSelectElement);
  readonly #rooms = new RoomList();
  readonly #act = (action: string, body: unknown): Promise<boolean> => this.#carryOut(action, body);
  readonly #room = new RoomPanel(this.#act);
  readonly #webhooks = new WebhooksPanel(this.#act);
  #before: ServerView | undefined;
  #timer: number | undefined;
  #looking = false;
  #again = false;

  start(): void {
    for (const [target, event] of [[this.#prefix, "input"], [this.#order, "change"], [window, "hashchange"]] as const) {
      target.addEventListener(event, () => void this.#look());
    }
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) void this.#look();
    });
    void this.#look();
  }

  get #chosen(): string | undefined {
    try {
      return decodeURIComponent(location.hash.slice(1)) || undefined;
    } catch {
      return undefined;
    }
  }

  /** One look at a time; the next one comes a while after it has ended, or at once when it was asked for meanwhile. */
  async #look(): Promise<void> {
    this.#again = this.#looking;
    if (this.#looking) return;
    this.#looking = true;
    window.clearTimeout(this.#timer);
    try {
      const query = new URLSearchParams({ order: this.#order.value, prefix: this.#prefix.value });
      const view = await ask<ServerView>(`state?${query}`);
      this.#show(view);
      await this.#room.look(this.#chosen, view.time);
    } catch (error) {
      this.#showStatus("bad", messageOf(error));
    }
    this.#looking = false;
    if (this.#again) void this.#look();
    else if (!document.hidden) this.#timer = window.setTimeout(() => void this.#look(), INTERVAL_MS);
  }

  #show(view: ServerView): void {
    const failing = Object.entries(view.checks).filter(([, verdict]) => verdict !== "ok").map(([name]) => name);
    this.#showStatus(failing.length > 0 ? "bad" : "good", failing.length > 0 ? `Not ready: ${failing.join(", ")}` : "Ready");
    const now = (counter: string): string => amount(rate(this.#before, view, counter));
    fill(this.#figures, {
      rooms: amount(view.room_count),
      members: amount(view.member_count),
      messages: now("messages_received"),
      updates: now("updates_applied"),
      deliveries: now("deliveries"),
      sent: bytes(rate(this.#before, view, "bytes_sent")),
      lag: span(Math.max(0, ...view.rooms.map((room) => room.unstored_seconds))),
      loop: span(view.loop_lag_seconds),
    });
    fill(document, { version: view.version, uptime: span(view.time - view.started) });
    this.#rooms.show(view, this.#prefix.value, this.#chosen);
    this.#webhooks.show(view.webhooks, view.time);
    showCounts("limits", view.limits);
    showCounts("closes", view.closes);
    this.#before = view;
  }

  #showStatus(kind: string, text: string): void {
    this.#status.dataset["state"] = kind;
    if (this.#status.textContent !== text) this.#status.textContent = text;
  }

  async #carryOut(action: string, body: unknown): Promise<boolean> {
    try {
      const done = await tell(action, body);
      this.#alert.textContent = done ? "" : "That was gone already.";
      return done;
    } catch (error) {
      this.#alert.textContent = messageOf(error);
      return false;
    } finally {
      void this.#look();
    }
  }
}

function showCounts(list: string, counts: Readonly<Record<string, number>>): void {
  const items = Object.entries(counts);
  keyed(part(list, HTMLElement), items, ([name]) => name, () => copyOf("count-row"), (row, [name, count]) =>
    fill(row, { name, count: amount(count) }),
  );
  part(`${list}-none`, HTMLElement).hidden = items.length > 0;
}

function messageOf(error: unknown): string {
  return error instanceof Refused ? error.message : "This page has failed; load it again.";
}

new AdminPage().start();
