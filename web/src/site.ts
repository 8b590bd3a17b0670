/**
 * What the served page says about itself, and how its elements find their room.
 *
 * The law: nothing global. An element asks its document with an event, and whoever holds the room answers it
 * (the context protocol of the web components community group).
 */

import { isRecord } from "./records";
import type { Room } from "./room";

/** The page's `<meta name="engineroom">`, and where this site's own URLs begin. */
export interface Site {
  readonly address: string;
  readonly page: string;
  readonly room: string;
  readonly version: string;
  /** The room's WebSocket. */
  readonly socket: URL;
  /** Everything of Engineroom's own is below this: `…/-/`. */
  readonly own: URL;
}

export interface PageContext {
  readonly site: Site;
  readonly room: Room;
}

const CONTEXT_EVENT = "engineroom-context";

type Answer = (context: PageContext) => void;

/** What the page says about itself; undefined on a page that has no room. `module` is the URL of `engineroom.js`. */
export function readSite(page: Document, module: string): Site | undefined {
  const content = page.querySelector('meta[name="engineroom"]')?.getAttribute("content");
  if (content === null || content === undefined) return undefined;
  const said: unknown = JSON.parse(content);
  if (!isRecord(said)) return undefined;
  const text = (name: string): string => String(said[name] ?? "");
  const socket = new URL(text("socket"), page.baseURI);
  socket.protocol = socket.protocol === "https:" ? "wss:" : "ws:";
  const own = new URL("../", module);
  return { address: text("address"), page: text("page"), room: text("room"), version: text("version"), socket, own };
}

/** Answers every element of `page` that asks for its room. */
export function provideContext(page: Document, context: PageContext): void {
  page.addEventListener(CONTEXT_EVENT, (event) => {
    event.stopPropagation();
    (event as CustomEvent<Answer>).detail(context);
  });
}

/** The room and site that `element`, which is in a document, belongs to. */
export function contextOf(element: HTMLElement): PageContext {
  let found: PageContext | undefined;
  const answer: Answer = (context) => (found = context);
  element.dispatchEvent(new CustomEvent(CONTEXT_EVENT, { bubbles: true, composed: true, detail: answer }));
  if (found === undefined) throw new Error(`<${element.localName}> stands on a page without a room`);
  return found;
}
