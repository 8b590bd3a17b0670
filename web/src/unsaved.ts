/**
 * What this page has changed and the server has not yet on disk.
 *
 * The law: an update is saved when the server sends its exact bytes back. What was on its way when a connection ended
 * counts as unsaved until the Step 2 of the next one has come back, even if that brought the server nothing new.
 */

import { equalBytes } from "./protocol";

export class Unsaved {
  #onTheirWay: Uint8Array[] = [];
  #kept = false;

  get isEmpty(): boolean {
    return !this.#kept && this.#onTheirWay.length === 0;
  }

  /** An edit that could not be sent; the next Step 2 will carry it. */
  keep(): void {
    this.#kept = true;
  }

  /** An update that was sent by itself. */
  sent(update: Uint8Array): void {
    this.#onTheirWay.push(update);
  }

  /** A Step 2 was sent. Where nothing of ours was missing, nobody needs to wait for its echo. */
  sentAll(update: Uint8Array): void {
    if (this.#kept) this.#onTheirWay.push(update);
    this.#kept = false;
  }

  /** The connection ended. */
  lost(): void {
    this.#kept ||= this.#onTheirWay.length > 0;
    this.#onTheirWay = [];
  }

  /** An update came; true when it is the echo of one of ours. */
  echoed(update: Uint8Array): boolean {
    const index = this.#onTheirWay.findIndex((sent) => equalBytes(sent, update));
    if (index >= 0) this.#onTheirWay.splice(index, 1);
    return index >= 0;
  }
}
