/**
 * A room as a page holds it: the document, who is present, values, evaluations and terminals, over one socket.
 *
 * The law: the document and what was asked outlive every connection; what the server lacks is sent when it is back.
 * It draws nothing and knows no element. Everything it tells, it tells through signals.
 */

import { applyAwarenessUpdate, Awareness, encodeAwarenessUpdate, removeAwarenessStates } from "y-protocols/awareness";
import * as Y from "yjs";
import { Connection, type ConnectionState } from "./connection";
import { cleanUpdate, type Person, rememberedPerson } from "./presence";
import {
  assertNever,
  type Completions,
  decode,
  type EngineStateName,
  encode,
  type FromMember,
  jsonValue,
  type Right,
  SUBPROTOCOL,
  type ToMember,
  type Value,
  type Welcome,
} from "./protocol";
import { Refusal, Requests } from "./requests";
import { Signal } from "./signals";
import { Terminals } from "./terminals";
import { Unsaved } from "./unsaved";
import { Values } from "./values";

/** Something to tell the visitor. */
export interface Notice {
  readonly code: string;
  readonly text: string;
}

export interface EngineStatus {
  readonly state: EngineStateName;
  readonly reason: string;
}

export interface RoomOptions {
  readonly url: string;
  readonly address: string;
  readonly mayEnter: () => Promise<boolean>;
  readonly makeSocket?: (url: string) => WebSocket;
}

/** A long paste goes to a terminal in parts, well below what a room takes in one message. */
const MAX_INPUT_BYTES = 16 * 1024;

export class Room {
  readonly address: string;
  readonly document = new Y.Doc();
  readonly awareness: Awareness;
  readonly values = new Values();
  readonly terminals = new Terminals();
  readonly connection: Connection;

  /** Rights, connection, or what is saved has changed. */
  readonly changed = new Signal<void>();
  /** The room has greeted this member, for the first time or anew. */
  readonly joined = new Signal<Welcome>();
  readonly notices = new Signal<Notice>();
  /** The page has this version on disk now. */
  readonly pageChanged = new Signal<string>();
  readonly enginesChanged = new Signal<string>();
  /** Resolves once the document is the room's. */
  readonly synced: Promise<void>;

  readonly #requests = new Requests();
  readonly #unsaved = new Unsaved();
  readonly #engines = new Map<string, EngineStatus>();
  #resolveSynced: () => void = () => undefined;
  #welcome: Welcome | undefined;
  /** The server has told its state vector on this connection, so that single updates may follow. */
  #exchanging = false;
  /** What waited for this connection has been asked again on it. */
  #resumed = false;

  constructor({ url, address, mayEnter, makeSocket }: RoomOptions) {
    this.address = address;
    this.synced = new Promise((resolve) => (this.#resolveSynced = resolve));
    this.awareness = new Awareness(this.document);
    this.awareness.setLocalStateField("user", rememberedPerson());
    this.connection = new Connection(url, {
      mayEnter,
      probe: () => this.#send({ type: "queryAwareness" }),
      makeSocket: makeSocket ?? ((address) => new WebSocket(address, SUBPROTOCOL)),
    });
    this.connection.changed.listen((state) => this.#connectionChanged(state));
    this.connection.received.listen((frame) => this.#receive(frame));
    this.document.on("update", (update: Uint8Array, origin: unknown) => this.#edited(update, origin));
    this.awareness.on("update", (change: AwarenessChange, origin: unknown) => this.#presenceChanged(change, origin));
  }

  // --- what elements ask -----------------------------------------------------------------------

  may(right: Right): boolean {
    return this.#welcome?.rights.includes(right) ?? false;
  }

  get rights(): readonly Right[] {
    return this.#welcome?.rights ?? [];
  }

  get isJoined(): boolean {
    return this.#welcome !== undefined;
  }

  /** The server has on disk all that this page has changed. */
  get isSaved(): boolean {
    return this.#unsaved.isEmpty;
  }

  engine(name: string): EngineStatus {
    return this.#engines.get(name) ?? { state: "absent", reason: "" };
  }

  /** Tells the others the visitor's name and colour. */
  introduce(person: Person): void {
    this.awareness.setLocalStateField("user", person);
  }

  setValue(address: string, json: unknown): void {
    this.#send(this.values.set(address, jsonValue(json), this.#requests.number()));
  }

  /**
   * Runs `code` as `cell`; resolves when the room has queued it. Without a connection it is asked when that is back.
   *
   * @throws Refusal when the room will not.
   */
  async evaluate(cell: string, code: string): Promise<void> {
    const request = this.#requests.number();
    const message: FromMember = { type: "evaluate", request, evaluation: crypto.randomUUID(), cell, code };
    await this.#ask(message, { again: true });
  }

  /** @throws Refusal when the room will not, or the connection is lost. */
  async interrupt(engine: string): Promise<void> {
    await this.#ask({ type: "interrupt", request: this.#requests.number(), engine });
  }

  /** @throws Refusal when the room will not, or the connection is lost. */
  async restart(engine: string): Promise<void> {
    await this.#ask({ type: "restart", request: this.#requests.number(), engine });
  }

  /** @throws Refusal when the room will not, or the connection is lost. */
  async answerInput(evaluation: string, text: string): Promise<void> {
    await this.#ask({ type: "answerInput", request: this.#requests.number(), evaluation, text });
  }

  /** How `code` may go on at `cursor` (UTF-16 units); undefined when the engine cannot tell now. */
  async complete(cell: string, code: string, cursor: number): Promise<Completions | undefined> {
    const request = this.#requests.number();
    try {
      const answer = await this.#ask({ type: "complete", request, cell, code, cursor });
      return answer.type === "completions" ? answer : undefined;
    } catch (error) {
      if (error instanceof Refusal) return undefined;
      throw error;
    }
  }

  /** What was typed; lost when there is no connection, for typing blindly into a shell helps nobody. */
  typeIntoTerminal(terminal: string, data: Uint8Array): void {
    for (let start = 0; start < data.length; start += MAX_INPUT_BYTES) {
      this.#send({ type: "terminalInput", terminal, data: data.subarray(start, start + MAX_INPUT_BYTES) });
    }
  }

  resizeTerminal(terminal: string, columns: number, rows: number): void {
    this.#send(this.terminals.resize(terminal, { columns, rows }));
  }

  /**
   * Whether this page is the one that speaks for a terminal when a program asks it something (its cursor, its colours):
   * every page hears the question, one may answer.
   */
  get answersForTerminals(): boolean {
    const answering = [...this.awareness.getStates()].filter(([, state]) => state["answers"] === true);
    return Math.min(...answering.map(([client]) => client)) === this.document.clientID;
  }

  // --- towards the room ------------------------------------------------------------------------

  #send(message: FromMember): boolean {
    const frame = encode(message);
    const limit = this.#welcome?.limits.frame_bytes ?? Infinity;
    if (frame.length <= limit) return this.connection.send(frame);
    const text = `The last change is larger than the server takes (${limit} bytes). Copy your text, then reload the page.`;
    this.connection.stop("too_big", text);
    return false;
  }

  #ask(message: FromMember & { request: number }, { again = false } = {}): ReturnType<Requests["ask"]> {
    const answer = this.#requests.ask(message.request, message, { again });
    if (!this.#send(message) && !again) {
      this.#requests.refused(message.request, "connection_lost", "There is no connection now. Try again when it is back.");
    }
    return answer;
  }

  #edited(update: Uint8Array, origin: unknown): void {
    if (origin === this) return;
    if (this.#exchanging && this.#send({ type: "update", update })) this.#unsaved.sent(update);
    else this.#unsaved.keep();
    this.changed.emit();
  }

  #presenceChanged({ added, updated, removed }: AwarenessChange, origin: unknown): void {
    const own = this.document.clientID;
    if (origin === this) {
      // the server takes this client for gone: say that it is here, which takes a further clock
      if (removed.includes(own)) this.awareness.setLocalState(this.awareness.getLocalState());
      return;
    }
    if (![...added, ...updated, ...removed].includes(own)) return;
    this.#send({ type: "awareness", states: encodeAwarenessUpdate(this.awareness, [own]) });
  }

  #connectionChanged(state: ConnectionState): void {
    if (state.kind === "open") this.#greet();
    else this.#parted();
    this.changed.emit();
  }

  #greet(): void {
    this.#send({ type: "step1", stateVector: Y.encodeStateVector(this.document) });
    // The room may remember that this client left, one clock further: to be seen again, go past that.
    const state = this.awareness.getLocalState();
    this.awareness.meta.set(this.awareness.clientID, {
      clock: (this.awareness.meta.get(this.awareness.clientID)?.clock ?? 0) + 1,
      lastUpdated: Date.now(),
    });
    this.awareness.setLocalState(state);
  }

  #parted(): void {
    this.#exchanging = false;
    this.#resumed = false;
    this.values.parted();
    this.#unsaved.lost();
    this.#requests.lost();
    const others = [...this.awareness.getStates().keys()].filter((client) => client !== this.document.clientID);
    removeAwarenessStates(this.awareness, others, this);
    // what the departed said last must count as new when they are back
    for (const client of others) this.awareness.meta.delete(client);
  }

  // --- from the room ---------------------------------------------------------------------------

  #receive(frame: Uint8Array): void {
    try {
      const message = decode(frame);
      if (message !== undefined) this.#heard(message);
    } catch (error) {
      reportError(error);
      this.connection.stop("protocol", "This page and the server do not understand each other. Reload the page.");
    }
  }

  #heard(message: ToMember): void {
    switch (message.type) {
      case "welcome":
        return this.#welcomed(message.welcome);
      case "step1":
        return this.#answerStep1(message.stateVector);
      case "step2":
        Y.applyUpdate(this.document, message.update, this);
        return this.#resolveSynced();
      case "update":
        if (this.#unsaved.echoed(message.update)) return this.changed.emit();
        return Y.applyUpdate(this.document, message.update, this);
      case "awareness":
        return applyAwarenessUpdate(this.awareness, cleanUpdate(message.states), this);
      case "queryAwareness":
        return this.awareness.setLocalState(this.awareness.getLocalState());
      case "valueChanged":
        return this.values.told(message.address, message.revision, message.value);
      case "done":
        this.values.answered(message.request, { refused: false });
        return this.#requests.done(message.request);
      case "refused":
        return this.#refused(message.request, message.code, message.reason);
      case "completions":
        return this.#requests.completed(message);
      case "engineState":
        this.#engines.set(message.engine, { state: message.state, reason: message.reason });
        return this.enginesChanged.emit(message.engine);
      case "terminalOutput":
      case "terminalScreen":
      case "terminalEnded":
      case "terminalSize":
        return this.terminals.receive(message);
      case "pageChanged":
        return this.pageChanged.emit(message.version);
      case "trouble":
        return this.notices.emit({ code: message.code, text: message.text });
      case "rightsChanged":
        return this.#rightsChanged(message.rights);
      default:
        return assertNever(message);
    }
  }

  #welcomed(welcome: Welcome): void {
    if (this.#welcome !== undefined && this.#welcome.lineage !== welcome.lineage) {
      // merging two histories of the same text would double it
      const text = "This room has begun anew. Copy what you want to keep, then reload the page.";
      return this.connection.stop("replaced", text);
    }
    this.#welcome = welcome;
    for (const message of this.terminals.rejoined()) this.#send(message);
    this.joined.emit(welcome);
    this.changed.emit();
  }

  #rightsChanged(rights: readonly Right[]): void {
    if (this.#welcome === undefined) return;
    const couldWrite = this.may("write");
    this.#welcome = { ...this.#welcome, rights };
    if (couldWrite && !this.may("write")) {
      this.notices.emit({ code: "read_only", text: "You may look at this page now, and no longer change it." });
    }
    this.changed.emit();
  }

  #answerStep1(stateVector: Uint8Array): void {
    if (this.may("write")) {
      const update = Y.encodeStateAsUpdate(this.document, stateVector);
      if (!this.#send({ type: "step2", update })) return;
      this.#exchanging = true;
      this.#unsaved.sentAll(update);
    }
    this.#askAgain();
    this.changed.emit();
  }

  /** Once a connection, and after the edits: what runs should find the text that its asker saw. */
  #askAgain(): void {
    if (this.#resumed) return;
    this.#resumed = true;
    for (const message of this.values.rejoined()) this.#send(message);
    for (const message of this.#requests.outstanding()) this.#send(message);
  }

  #refused(request: number, code: string, reason: string): void {
    const isValue = this.values.answered(request, { refused: true });
    const isAsked = this.#requests.refused(request, code, reason);
    if (isValue || !isAsked) this.notices.emit({ code, text: reason });
  }
}

interface AwarenessChange {
  readonly added: readonly number[];
  readonly updated: readonly number[];
  readonly removed: readonly number[];
}

export type { Right, Value };
