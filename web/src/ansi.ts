/**
 * Text with ANSI escapes to styled spans. Pure.
 *
 * It knows SGR (colours of 16, 256 and 24 bits, bold, underline, …); every other escape is dropped, and so are bells.
 * Carriage returns have been applied by whoever wrote the text. Text may be cut anywhere: an escape that is not
 * complete waits in the state.
 *
 * Source: ECMA-48 §8.3.117 (SGR); xterm's control sequences (38;5, 38;2).
 */

export interface Style {
  /** `0` to `15` for the theme's colours, else `#rrggbb`. */
  readonly foreground?: string;
  readonly background?: string;
  readonly bold?: true;
  readonly dim?: true;
  readonly italic?: true;
  readonly underline?: true;
  readonly inverse?: true;
  readonly strike?: true;
}

export interface AnsiState {
  readonly style: Style;
  /** The beginning of an escape whose end has not come. */
  readonly pending: string;
}

export interface Span {
  readonly text: string;
  readonly style: Style;
}

export const PLAIN: Style = {};
export const START: AnsiState = { style: PLAIN, pending: "" };

/** CSI with its parameters and final byte; OSC and other strings to their end; two-byte escapes. */
// eslint-disable-next-line no-control-regex
const ESCAPE = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-OQ-WYZ\\`-~]|[^])/gu;
// eslint-disable-next-line no-control-regex
const UNFINISHED = /\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)$/u;
// eslint-disable-next-line no-control-regex
const SILENT = /[\x00\x07\x0e\x0f\x7f]/gu;
const MAX_PENDING = 512;

/** The spans of `text`, which follows upon `state`, and the state after it. */
export function parseAnsi(text: string, state: AnsiState): { spans: Span[]; state: AnsiState } {
  let rest = state.pending + text;
  if (!rest.includes("\x1b")) return { spans: spansOf(rest, state.style), state: { style: state.style, pending: "" } };
  const pending = UNFINISHED.exec(rest.slice(-MAX_PENDING))?.[0] ?? "";
  rest = rest.slice(0, rest.length - pending.length);
  const spans: Span[] = [];
  let style = state.style;
  let end = 0;
  for (const match of rest.matchAll(ESCAPE)) {
    spans.push(...spansOf(rest.slice(end, match.index), style));
    end = match.index + match[0].length;
    if (match[2] === "m") style = restyled(style, match[1] ?? "");
  }
  spans.push(...spansOf(rest.slice(end), style));
  return { spans, state: { style, pending } };
}

function spansOf(text: string, style: Style): Span[] {
  const shown = text.replace(SILENT, "");
  return shown === "" ? [] : [{ text: shown, style }];
}

type Draft = { -readonly [K in keyof Style]: Style[K] };

function restyled(style: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/u).map((code) => (code === "" ? 0 : Number(code)));
  let draft: Draft = { ...style };
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index] ?? 0;
    if (code === 0) draft = {};
    else if (code === 38 || code === 48) {
      const { color, used } = extendedColor(codes.slice(index + 1));
      index += used;
      if (color !== undefined) draft[code === 38 ? "foreground" : "background"] = color;
    } else apply(draft, code);
  }
  return draft;
}

function apply(draft: Draft, code: number): void {
  if (code >= 30 && code <= 37) draft.foreground = String(code - 30);
  else if (code >= 90 && code <= 97) draft.foreground = String(code - 82);
  else if (code >= 40 && code <= 47) draft.background = String(code - 40);
  else if (code >= 100 && code <= 107) draft.background = String(code - 92);
  else if (code === 1) draft.bold = true;
  else if (code === 2) draft.dim = true;
  else if (code === 3) draft.italic = true;
  else if (code === 4 || code === 21) draft.underline = true;
  else if (code === 7) draft.inverse = true;
  else if (code === 9) draft.strike = true;
  else if (code === 22) delete draft.bold, delete draft.dim;
  else if (code === 23) delete draft.italic;
  else if (code === 24) delete draft.underline;
  else if (code === 27) delete draft.inverse;
  else if (code === 29) delete draft.strike;
  else if (code === 39) delete draft.foreground;
  else if (code === 49) delete draft.background;
}

/** The colour that follows 38 or 48, and how many codes it took. */
function extendedColor(codes: readonly number[]): { color?: string; used: number } {
  const [kind, one = 0, two = 0, three = 0] = codes;
  if (kind === 2) return { color: hex(one, two, three), used: 4 };
  if (kind !== 5) return { used: 1 };
  if (one < 16) return { color: String(one), used: 2 };
  if (one < 232) {
    const level = (part: number): number => (part === 0 ? 0 : 55 + part * 40);
    const index = one - 16;
    return { color: hex(level(Math.floor(index / 36)), level(Math.floor(index / 6) % 6), level(index % 6)), used: 2 };
  }
  const grey = 8 + (one - 232) * 10;
  return { color: hex(grey, grey, grey), used: 2 };
}

function hex(...parts: number[]): string {
  return `#${parts.map((part) => Math.min(255, part).toString(16).padStart(2, "0")).join("")}`;
}

export function equalStyles(one: Style, other: Style): boolean {
  return one === other || JSON.stringify(Object.entries(one).sort()) === JSON.stringify(Object.entries(other).sort());
}
