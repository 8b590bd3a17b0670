/**
 * `<x-terminal terminal rows label>`: a pseudo-terminal that the whole room sees and types into.
 *
 * Each page says what fits on it; the room takes the smallest, and every page shows that.
 */

import { FitAddon } from "@xterm/addon-fit";
import { type ITheme, Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { h } from "../dom";
import { assertNever, type TerminalMessage } from "../protocol";
import { Lifetime } from "../signals";
import { contextOf } from "../site";

const DEFAULT_ROWS = 20;
const SCROLLBACK_LINES = 5_000;
const RESIZE_DELAY_MS = 120;
const LINE_HEIGHT = 1.25;
/** How long after Escape a Tab leaves the terminal instead of going to the program; as CodeMirror has it. */
const LEAVING_MS = 2_000;
const READABLE_CONTRAST = 4.5;

export class TerminalElement extends HTMLElement {
  readonly #life = new Lifetime();
  readonly #note = h("p", { class: "terminal-note", role: "status", hidden: true });
  /** Why the program ended; undefined while there is one. */
  #ended: string | undefined;

  connectedCallback(): void {
    const { room } = contextOf(this);
    const name = this.getAttribute("terminal") ?? "";
    const screen = h("div", { class: "terminal-screen" });
    this.replaceChildren(h("div", { class: "terminal-frame" }, screen, this.#note));

    const terminal = openTerminal(screen, this.getAttribute("label") ?? name);
    this.#life.add(() => terminal.dispose());
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    this.#reserve(terminal, screen);
    this.#followColors(terminal);
    this.#followSize(terminal, fit, screen, (columns, rows) => room.resizeTerminal(name, columns, rows));

    const replay = new Replay();
    answerOnce(terminal, () => !replay.isRunning && room.answersForTerminals);
    this.#life.add(room.terminals.listen(name, (message) => this.#show(message, terminal, replay)));
    this.#takeInput(terminal, (data) => room.typeIntoTerminal(name, data));
    this.#life.add(room.changed.listen(() => this.#allow(terminal)));
    this.#allow(terminal);
  }

  disconnectedCallback(): void {
    this.#life.end();
  }

  #allow(terminal: Terminal): void {
    const { room } = contextOf(this);
    const may = room.may("run");
    const connected = room.connection.state.kind === "open";
    terminal.options.disableStdin = !may || !connected;
    this.classList.toggle("read-only", !may);
    this.classList.toggle("offline", room.isJoined && !connected);
    this.#explain();
    const answers = room.awareness.getLocalState()?.["answers"] === true;
    if (may && !answers) room.awareness.setLocalStateField("answers", true);
  }

  #show(message: TerminalMessage, terminal: Terminal, replay: Replay): void {
    if (message.type !== "terminalSize") this.#ended = message.type === "terminalEnded" ? message.reason : undefined;
    this.#explain();
    draw(message, terminal, replay);
  }

  /** The line below the screen: what has ended, and what this visitor may not. */
  #explain(): void {
    const { room } = contextOf(this);
    const may = room.may("run") || !room.isJoined;
    const watching = may ? "" : "You can watch this terminal, but not type into it.";
    const again = may ? " Press a key to start it again." : "";
    const text = this.#ended === undefined ? watching : `Ended: ${this.#ended}.${again}`;
    if (this.#note.textContent !== text) this.#note.textContent = text;
    this.#note.hidden = text === "";
  }

  #takeInput(terminal: Terminal, send: (data: Uint8Array) => void): void {
    const encoder = new TextEncoder();
    terminal.onData((text) => send(encoder.encode(text)));
    terminal.onBinary((text) => send(Uint8Array.from(text, (character) => character.charCodeAt(0))));
  }

  /** Room for as many rows as the page states, before and whatever the terminal shows. */
  #reserve(terminal: Terminal, screen: HTMLElement): void {
    const rows = Number(this.getAttribute("rows")) || DEFAULT_ROWS;
    const rowPixels = (screen.querySelector<HTMLElement>(".xterm-screen")?.offsetHeight ?? 0) / terminal.rows;
    const height = rowPixels || Number(terminal.options.fontSize) * LINE_HEIGHT;
    screen.style.height = `${Math.ceil(rows * height) + 2}px`;
  }

  #followSize(terminal: Terminal, fit: FitAddon, screen: HTMLElement, tell: (columns: number, rows: number) => void): void {
    let told = "";
    let timer: ReturnType<typeof setTimeout> | undefined;
    const measure = (): void => {
      const size = fit.proposeDimensions();
      if (size === undefined || !Number.isFinite(size.cols) || size.cols < 2 || size.rows < 1) return;
      if (told === `${size.cols}x${size.rows}`) return;
      // alone it is this size anyhow; with others the room will tell
      if (told === "") terminal.resize(size.cols, size.rows);
      told = `${size.cols}x${size.rows}`;
      tell(size.cols, size.rows);
    };
    const observer = new ResizeObserver(() => {
      clearTimeout(timer);
      timer = setTimeout(measure, RESIZE_DELAY_MS);
    });
    observer.observe(screen);
    measure();
    this.#life.add(() => {
      observer.disconnect();
      clearTimeout(timer);
    });
  }

  #followColors(terminal: Terminal): void {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const apply = (): void => {
      terminal.options.theme = themeOf(this);
    };
    this.#life.on(dark, "change", apply);
    apply();
  }
}

/** Counts screens that are being written: a program's old questions in them have had their answers. */
class Replay {
  #running = 0;

  get isRunning(): boolean {
    return this.#running > 0;
  }

  write(terminal: Terminal, data: Uint8Array): void {
    this.#running += 1;
    terminal.write(data, () => (this.#running -= 1));
  }
}

function openTerminal(screen: HTMLElement, label: string): Terminal {
  const style = getComputedStyle(screen);
  const terminal = new Terminal({
    fontFamily: style.fontFamily,
    fontSize: Math.round(Number.parseFloat(style.fontSize)) || 13,
    lineHeight: LINE_HEIGHT,
    cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    scrollback: SCROLLBACK_LINES,
    convertEol: false,
    macOptionIsMeta: true,
    minimumContrastRatio: READABLE_CONTRAST,
  });
  terminal.open(screen);
  terminal.textarea?.setAttribute("aria-label", `Terminal ${label}`);
  terminal.textarea?.setAttribute("aria-description", "Escape, then Tab leaves the terminal.");
  terminal.attachCustomKeyEventHandler(keysForProgram(terminal));
  return terminal;
}

/** Says of each key whether it is the program's; the others are the page's. */
function keysForProgram(terminal: Terminal): (event: KeyboardEvent) => boolean {
  let escapedAt = -Infinity;
  return (event) => {
    if (event.type !== "keydown") return true;
    if (event.key === "Tab") {
      const leaves = terminal.options.disableStdin === true || event.timeStamp - escapedAt < LEAVING_MS;
      return !leaves; // what xterm does not take moves the focus, as everywhere
    }
    if (event.key !== "Shift") escapedAt = event.key === "Escape" ? event.timeStamp : -Infinity;
    // Ctrl-Shift-C copies, as in other terminals; Ctrl-C stays the program's
    if (!event.ctrlKey || !event.shiftKey || event.code !== "KeyC") return true;
    event.preventDefault();
    if (terminal.hasSelection()) void navigator.clipboard?.writeText(terminal.getSelection());
    return false;
  };
}

function draw(message: TerminalMessage, terminal: Terminal, replay: Replay): void {
  switch (message.type) {
    case "terminalScreen":
      terminal.reset();
      terminal.resize(Math.max(2, message.columns), Math.max(1, message.rows));
      return replay.write(terminal, message.data);
    case "terminalOutput":
      return terminal.write(message.data);
    case "terminalSize":
      return terminal.resize(Math.max(2, message.columns), Math.max(1, message.rows));
    case "terminalEnded":
      return;
    default:
      return assertNever(message);
  }
}

/**
 * Lets xterm answer a program's questions (who are you, where is the cursor, which colours) only while `may` says so:
 * every page of the room hears them, and a program that gets five answers types four of them into the shell.
 */
function answerOnce(terminal: Terminal, may: () => boolean): void {
  const swallow = (): boolean => !may();
  const { parser } = terminal;
  const questions = [
    { final: "c" },
    { prefix: ">", final: "c" },
    { prefix: "=", final: "c" },
    { final: "n" },
    { prefix: "?", final: "n" },
    { intermediates: "$", final: "p" },
    { prefix: "?", intermediates: "$", final: "p" },
    { prefix: ">", final: "q" },
    { final: "t" },
  ];
  for (const question of questions) parser.registerCsiHandler(question, swallow);
  parser.registerDcsHandler({ intermediates: "$", final: "q" }, swallow);
  for (const color of [4, 10, 11, 12]) parser.registerOscHandler(color, (data) => data.includes("?") && swallow());
}

const COLOR_NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"] as const;

/** xterm's colours from the page's variables. */
function themeOf(element: HTMLElement): ITheme {
  const style = getComputedStyle(element);
  const color = (name: string): string => style.getPropertyValue(name).trim();
  const theme: ITheme = {
    background: color("--terminal-background"),
    foreground: color("--terminal-text"),
    cursor: color("--terminal-cursor"),
    cursorAccent: color("--terminal-background"),
    selectionBackground: color("--terminal-selection"),
    scrollbarSliderBackground: color("--terminal-scrollbar"),
    scrollbarSliderHoverBackground: color("--terminal-scrollbar"),
    scrollbarSliderActiveBackground: color("--terminal-scrollbar"),
  };
  COLOR_NAMES.forEach((name, index) => {
    theme[name] = color(`--terminal-${index}`);
    theme[`bright${name[0]?.toUpperCase() ?? ""}${name.slice(1)}` as "brightBlack"] = color(`--terminal-${index + 8}`);
  });
  return theme;
}
