/**
 * The page dialect, `engineroom.v1`: bytes to messages and back, one message a binary WebSocket frame.
 *
 * The law: pure. It knows the framing of Yjs (types 0, 1 and 3) and the room's own messages (from 100 up); it knows
 * nothing of sockets, documents or elements. Offsets into code are UTF-16 units.
 *
 * Source: y-protocols (sync.js, awareness.js), lib0 (encoding.js); `docs/reference/page-protocol.md`.
 */

import * as decoding from "lib0/decoding";
import * as encoding from "lib0/encoding";

export const SUBPROTOCOL = "engineroom.v1";

/** The first number of each frame. */
const TYPE = {
  sync: 0,
  awareness: 1,
  queryAwareness: 3,
  welcome: 100,
  setValue: 101,
  valueChanged: 102,
  done: 103,
  refused: 104,
  evaluate: 110,
  interrupt: 111,
  restart: 112,
  complete: 113,
  completions: 114,
  answerInput: 115,
  engineState: 116,
  terminalInput: 120,
  terminalResize: 121,
  terminalOutput: 122,
  terminalScreen: 123,
  terminalEnded: 124,
  terminalSize: 125,
  pageChanged: 130,
  trouble: 131,
  rightsChanged: 132,
} as const;

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const SYNC = { step1: 0, step2: 1, update: 2 } as const;

/** How a value's bytes are to be read. */
export const VALUE_KIND = { json: 0, bytes: 1 } as const;

export type Right = "read" | "write" | "run";

/** JSON text (UTF-8) or bytes, as `kind` says. */
export interface Value {
  readonly kind: number;
  readonly data: Uint8Array;
}

/** What the room's first message says. */
export interface Welcome {
  readonly protocol: number;
  readonly member: number;
  readonly address: string;
  readonly lineage: string;
  readonly version: string;
  readonly rights: readonly Right[];
  readonly user: { readonly id: string };
  readonly terminals: readonly string[];
  readonly engines: readonly string[];
  readonly limits: { readonly frame_bytes: number };
}

export type EngineStateName = "absent" | "starting" | "idle" | "busy" | "restarting" | "dead";

export type DocumentMessage =
  | { readonly type: "step1"; readonly stateVector: Uint8Array }
  | { readonly type: "step2"; readonly update: Uint8Array }
  | { readonly type: "update"; readonly update: Uint8Array }
  | { readonly type: "awareness"; readonly states: Uint8Array }
  | { readonly type: "queryAwareness" };

export type FromMember =
  | DocumentMessage
  | { readonly type: "setValue"; readonly request: number; readonly address: string; readonly value: Value }
  | {
      readonly type: "evaluate";
      readonly request: number;
      readonly evaluation: string;
      readonly cell: string;
      readonly code: string;
    }
  | { readonly type: "interrupt" | "restart"; readonly request: number; readonly engine: string }
  | {
      readonly type: "complete";
      readonly request: number;
      readonly cell: string;
      readonly code: string;
      readonly cursor: number;
    }
  | { readonly type: "answerInput"; readonly request: number; readonly evaluation: string; readonly text: string }
  | { readonly type: "terminalInput"; readonly terminal: string; readonly data: Uint8Array }
  | { readonly type: "terminalResize"; readonly terminal: string; readonly columns: number; readonly rows: number };

export interface Completions {
  readonly type: "completions";
  readonly request: number;
  readonly start: number;
  readonly end: number;
  readonly matches: readonly string[];
}

export type TerminalMessage =
  | { readonly type: "terminalOutput"; readonly terminal: string; readonly data: Uint8Array }
  | {
      readonly type: "terminalScreen";
      readonly terminal: string;
      readonly columns: number;
      readonly rows: number;
      readonly data: Uint8Array;
    }
  | { readonly type: "terminalEnded"; readonly terminal: string; readonly reason: string }
  | { readonly type: "terminalSize"; readonly terminal: string; readonly columns: number; readonly rows: number };

export type ToMember =
  | DocumentMessage
  | TerminalMessage
  | Completions
  | { readonly type: "welcome"; readonly welcome: Welcome }
  | { readonly type: "valueChanged"; readonly address: string; readonly revision: number; readonly value: Value }
  | { readonly type: "done"; readonly request: number }
  | { readonly type: "refused"; readonly request: number; readonly code: string; readonly reason: string }
  | {
      readonly type: "engineState";
      readonly engine: string;
      readonly state: EngineStateName;
      readonly reason: string;
    }
  | { readonly type: "pageChanged"; readonly version: string }
  | { readonly type: "trouble"; readonly code: string; readonly text: string }
  | { readonly type: "rightsChanged"; readonly rights: readonly Right[] };

/** Bytes that do not follow the dialect. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** For the end of an exhaustive switch: the compiler proves that nothing gets there. */
export function assertNever(value: never): never {
  throw new Error(`unexpected: ${JSON.stringify(value)}`);
}

/** The frame that carries `message`. */
export function encode(message: FromMember): Uint8Array {
  return encoding.encode((out) => {
    write(out, message);
  });
}

function write(out: encoding.Encoder, message: FromMember): void {
  const number = (value: number): void => encoding.writeVarUint(out, value);
  const text = (value: string): void => encoding.writeVarString(out, value);
  const bytes = (value: Uint8Array): void => encoding.writeVarUint8Array(out, value);
  switch (message.type) {
    case "step1":
      return number(TYPE.sync), number(SYNC.step1), bytes(message.stateVector);
    case "step2":
      return number(TYPE.sync), number(SYNC.step2), bytes(message.update);
    case "update":
      return number(TYPE.sync), number(SYNC.update), bytes(message.update);
    case "awareness":
      return number(TYPE.awareness), bytes(message.states);
    case "queryAwareness":
      return number(TYPE.queryAwareness);
    case "setValue":
      number(TYPE.setValue), number(message.request), text(message.address);
      return number(message.value.kind), bytes(message.value.data);
    case "evaluate":
      number(TYPE.evaluate), number(message.request), text(message.evaluation);
      return text(message.cell), text(message.code);
    case "interrupt":
    case "restart":
      return number(TYPE[message.type]), number(message.request), text(message.engine);
    case "complete":
      number(TYPE.complete), number(message.request), text(message.cell);
      return text(message.code), number(message.cursor);
    case "answerInput":
      number(TYPE.answerInput), number(message.request);
      return text(message.evaluation), text(message.text);
    case "terminalInput":
      return number(TYPE.terminalInput), text(message.terminal), bytes(message.data);
    case "terminalResize":
      number(TYPE.terminalResize), text(message.terminal);
      return number(message.columns), number(message.rows);
    default:
      return assertNever(message);
  }
}

/**
 * The message in one frame; undefined for a type that this version does not know.
 *
 * @throws ProtocolError when the bytes end too early, go on too long, or are not UTF-8 or JSON.
 */
export function decode(frame: Uint8Array): ToMember | undefined {
  const from = decoding.createDecoder(frame);
  let message: ToMember | undefined;
  try {
    message = read(from);
  } catch (cause) {
    throw new ProtocolError(`a frame of ${frame.length} bytes cannot be read`, { cause });
  }
  if (message !== undefined && decoding.hasContent(from)) {
    throw new ProtocolError(`a frame goes on after its message of type ${message.type}`);
  }
  return message;
}

function read(from: decoding.Decoder): ToMember | undefined {
  const number = (): number => decoding.readVarUint(from);
  const text = (): string => readText(from);
  const bytes = (): Uint8Array => readBytes(from);
  switch (number()) {
    case TYPE.sync:
      return readSync(from);
    case TYPE.awareness:
      return { type: "awareness", states: bytes() };
    case TYPE.queryAwareness:
      return { type: "queryAwareness" };
    case TYPE.welcome:
      return { type: "welcome", welcome: readWelcome(text()) };
    case TYPE.valueChanged:
      return { type: "valueChanged", address: text(), revision: number(), value: { kind: number(), data: bytes() } };
    case TYPE.done:
      return { type: "done", request: number() };
    case TYPE.refused:
      return { type: "refused", request: number(), code: text(), reason: text() };
    case TYPE.completions:
      return { type: "completions", request: number(), start: number(), end: number(), matches: readTexts(from) };
    case TYPE.engineState:
      return { type: "engineState", engine: text(), state: text() as EngineStateName, reason: text() };
    case TYPE.terminalOutput:
      return { type: "terminalOutput", terminal: text(), data: bytes() };
    case TYPE.terminalScreen:
      return { type: "terminalScreen", terminal: text(), columns: number(), rows: number(), data: bytes() };
    case TYPE.terminalEnded:
      return { type: "terminalEnded", terminal: text(), reason: text() };
    case TYPE.terminalSize:
      return { type: "terminalSize", terminal: text(), columns: number(), rows: number() };
    case TYPE.pageChanged:
      return { type: "pageChanged", version: text() };
    case TYPE.trouble:
      return { type: "trouble", code: text(), text: text() };
    case TYPE.rightsChanged:
      return { type: "rightsChanged", rights: readTexts(from) as Right[] };
    default:
      return undefined;
  }
}

function readSync(from: decoding.Decoder): DocumentMessage {
  const step = decoding.readVarUint(from);
  switch (step) {
    case SYNC.step1:
      return { type: "step1", stateVector: readBytes(from) };
    case SYNC.step2:
      return { type: "step2", update: readBytes(from) };
    case SYNC.update:
      return { type: "update", update: readBytes(from) };
    default:
      throw new ProtocolError(`no sync step ${step}`);
  }
}

function readBytes(from: decoding.Decoder): Uint8Array {
  const length = decoding.readVarUint(from);
  // lib0 reads on past the end of a frame that is a view into a larger buffer
  if (length > from.arr.length - from.pos) throw new ProtocolError("a frame ends too early");
  return decoding.readUint8Array(from, length);
}

function readText(from: decoding.Decoder): string {
  return UTF8.decode(readBytes(from));
}

function readTexts(from: decoding.Decoder): string[] {
  const count = decoding.readVarUint(from);
  const texts: string[] = [];
  for (let index = 0; index < count; index += 1) texts.push(readText(from));
  return texts;
}

function readWelcome(json: string): Welcome {
  const welcome = JSON.parse(json) as Partial<Welcome>;
  if (!Array.isArray(welcome.rights) || typeof welcome.lineage !== "string") {
    throw new ProtocolError("the welcome lacks rights or lineage");
  }
  return welcome as Welcome;
}

/** `json` as a value. */
export function jsonValue(json: unknown): Value {
  return { kind: VALUE_KIND.json, data: new TextEncoder().encode(JSON.stringify(json)) };
}

/** What a value holds: anything that JSON can say, or its bytes. */
export function contentOf(value: Value): unknown {
  if (value.kind !== VALUE_KIND.json) return value.data;
  return JSON.parse(new TextDecoder().decode(value.data)) as unknown;
}

export function equalBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}
