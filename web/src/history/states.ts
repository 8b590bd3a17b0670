/** Documents as they were at the stops of the slider: fetched when they are asked for, the last few kept. */

import type * as Y from "yjs";
import type { Past } from "./past";
import type { Stop } from "./timeline";
import { documentOf } from "./texts";

const KEPT = 12;

export class States {
  readonly #documents = new Map<string, Promise<Y.Doc>>();

  constructor(readonly past: Past, readonly present: Y.Doc) {}

  /** The document at a stop. The present is the room's own document: not to be changed. */
  at(stop: Stop): Promise<Y.Doc> {
    if (stop.kind === "now") return Promise.resolve(this.present);
    const known = this.#documents.get(stop.id);
    this.#documents.delete(stop.id);
    const document = known ?? this.past.read(stop.id).then(documentOf);
    this.#documents.set(stop.id, document); // the newest is last
    document.catch(() => this.#documents.delete(stop.id));
    const [oldest] = this.#documents.keys();
    if (this.#documents.size > KEPT && oldest !== undefined) this.#documents.delete(oldest);
    return document;
  }
}
