/** The webhooks: what is stated, what waits, and what was given up. */

import { amount, span } from "./figures";
import { copyOf, fill, keyed, part } from "./parts";
import type { Act } from "./room";
import type { DeadLetter, WebhooksView } from "./state";

export class WebhooksPanel {
  readonly #panel = part("webhooks", HTMLElement);
  readonly #act: Act;

  constructor(act: Act) {
    this.#act = act;
  }

  show(view: WebhooksView | null, now: number): void {
    this.#panel.hidden = view === null;
    if (view === null) return;
    const { waiting = 0, dead = 0, delivered = 0, failures = 0 } = view.statistics;
    fill(this.#panel, { waiting: amount(waiting), dead: amount(dead), delivered: amount(delivered), failures: amount(failures) });
    keyed(part("hooks", HTMLElement), view.hooks, (hook) => `${hook.host} ${hook.rooms}`, () => copyOf("hook-row"), (row, hook) =>
      fill(row, { host: hook.host, rooms: hook.rooms, events: hook.events.join(", ") }),
    );
    keyed(part("letters", HTMLElement), view.dead, (letter) => String(letter.number), (letter) => this.#makeRow(letter), (row, letter) =>
      fill(row, {
        what: `${letter.event} of ${letter.document}`,
        where: letter.host,
        why: `${letter.error}, ${amount(letter.attempts)} attempts, ${span(now - letter.made)} ago`,
      }),
    );
  }

  #makeRow(letter: DeadLetter): HTMLElement {
    const row = copyOf("letter-row");
    const about = { number: letter.number };
    row.querySelector("[data-do=revive]")?.addEventListener("click", () => void this.#act("revive-letter", about));
    row.querySelector("[data-do=discard]")?.addEventListener("click", () => void this.#act("discard-letter", about));
    return row;
  }
}
