/**
 * Who this visitor is to the others, and what of theirs is let in.
 *
 * The law: presence comes from any member and ends up in styles and editors, so it is rebuilt from checked parts
 * before anything reads it.
 */

import { modifyAwarenessUpdate } from "y-protocols/awareness";
import { isRecord } from "./records";

export interface Person {
  readonly name: string;
  readonly color: string;
  readonly colorLight: string;
}

/** Readable with white text on them, and as cursors on white and on near black. */
export const COLORS = [
  "#c2410c", "#b45309", "#4d7c0f", "#15803d", "#0f766e", "#0e7490",
  "#1d4ed8", "#4f46e5", "#7c3aed", "#a21caf", "#be185d", "#b91c1c",
] as const;

const QUALITIES = [
  "Quiet", "Bright", "Gentle", "Swift", "Curious", "Merry", "Calm", "Bold", "Clever", "Kind", "Lucky", "Patient",
  "Sunny", "Brave", "Early", "Nimble",
] as const;

const ANIMALS = [
  "Otter", "Heron", "Fox", "Badger", "Finch", "Hare", "Lynx", "Marten", "Owl", "Plover", "Robin", "Seal", "Swallow",
  "Tern", "Vole", "Wren",
] as const;

const STORAGE_KEY = "engineroom.person";
export const MAX_NAME_LENGTH = 40;

/** The visitor as this browser remembers them, or a friendly name and a colour at random, remembered from now on. */
export function rememberedPerson(): Person {
  const stored = parse(read(STORAGE_KEY));
  if (isRecord(stored) && typeof stored["name"] === "string" && isColor(stored["color"])) {
    return person(stored["name"], stored["color"]);
  }
  const made = person(`${pick(QUALITIES)} ${pick(ANIMALS)}`, pick(COLORS));
  remember(made);
  return made;
}

export function remember({ name, color }: Person): void {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify({ name, color }));
  } catch {
    // a browser that keeps nothing still has a visitor with a name, for as long as the page is open
  }
}

export function person(name: string, color: string): Person {
  const short = name.trim().replace(/\s+/gu, " ").slice(0, MAX_NAME_LENGTH);
  return { name: short === "" ? "Visitor" : short, color, colorLight: `${color.slice(0, 7)}33` };
}

/** One or two letters for an avatar. */
export function initials(name: string): string {
  const words = name.split(/\s+/u).filter((word) => word !== "");
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => [...(word ?? "")][0] ?? "").join("").toUpperCase() || "?";
}

/** An awareness update in which every state is rebuilt from its checked parts. */
export function cleanUpdate(update: Uint8Array): Uint8Array {
  return modifyAwarenessUpdate(update, (state: unknown) => cleanState(state));
}

export function cleanState(state: unknown): Record<string, unknown> | null {
  if (!isRecord(state)) return null;
  const clean: Record<string, unknown> = {};
  if (isRecord(state["user"])) {
    const { name, color } = state["user"];
    clean["user"] = person(typeof name === "string" ? name : "", isColor(color) ? color : "#6b7280");
  }
  if (isRecord(state["cursor"])) {
    const anchor = cleanPosition(state["cursor"]["anchor"]);
    const head = cleanPosition(state["cursor"]["head"]);
    if (anchor !== undefined && head !== undefined) clean["cursor"] = { anchor, head };
  }
  if (state["answers"] === true) clean["answers"] = true;
  return clean;
}

/** A relative position with every part that Yjs reads, null where there is none; undefined when it says nothing. */
function cleanPosition(value: unknown): Record<string, unknown> | undefined {
  if (!isRecord(value)) return undefined;
  const type = cleanId(value["type"]);
  const item = cleanId(value["item"]);
  const tname = typeof value["tname"] === "string" ? value["tname"] : null;
  const assoc = typeof value["assoc"] === "number" ? value["assoc"] : 0;
  return type === null && item === null && tname === null ? undefined : { type, tname, item, assoc };
}

function cleanId(id: unknown): Record<string, unknown> | null {
  return isRecord(id) && isClock(id["client"]) && isClock(id["clock"]) ? { client: id["client"], clock: id["clock"] } : null;
}

function isClock(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isColor(value: unknown): value is string {
  return typeof value === "string" && /^#[0-9a-f]{6}$/iu.test(value);
}

function pick<T>(choices: readonly [T, ...T[]]): T {
  return choices[Math.floor(Math.random() * choices.length)] ?? choices[0];
}

function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function parse(json: string | null): unknown {
  try {
    return JSON.parse(json ?? "null") as unknown;
  } catch {
    return null;
  }
}
