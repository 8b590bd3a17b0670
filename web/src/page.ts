/**
 * Brings a served page to life: its room, its elements, its menu; loads it again when it has changed on disk.
 *
 * It knows which module defines which element; the elements know their room, and not each other.
 */

import { ConnectionElement } from "./elements/connection";
import { HistoryElement } from "./elements/history";
import { PresenceElement } from "./elements/presence";
import { ShareElement } from "./elements/share";
import { SliderElement } from "./elements/slider";
import { ValueElement } from "./elements/value";
import { Room } from "./room";
import { provideContext, readSite, type Site } from "./site";

/** Each tag with its element; the heavy ones are modules of their own. */
const ELEMENTS: Readonly<Record<string, () => Promise<CustomElementConstructor>>> = {
  "x-connection": () => Promise.resolve(ConnectionElement),
  "x-presence": () => Promise.resolve(PresenceElement),
  "x-history": () => Promise.resolve(HistoryElement),
  "x-share": () => Promise.resolve(ShareElement),
  "x-editor": async () => (await import("./elements/editor")).EditorElement,
  "x-cell": async () => (await import("./elements/cell")).CellElement,
  "x-terminal": async () => (await import("./elements/terminal")).TerminalElement,
  "x-slider": () => Promise.resolve(SliderElement),
  "x-value": () => Promise.resolve(ValueElement),
};

const SCROLL_KEY = "engineroom.scroll";
const RELOADED_KEY = "engineroom.reloaded";

/** Starts everything. `module` is the URL of the page's module. */
export async function startPage(page: Document, module: string): Promise<void> {
  connectMenu(page);
  const site = readSite(page, module);
  if (site === undefined) return;
  const room = new Room({ url: site.socket.href, address: site.address, mayEnter: () => mayEnter(page) });
  provideContext(page, { site, room });
  room.connection.open();
  keepCurrent(site, room);
  guardUnsaved(room);
  await defineElements(page);
  restoreScroll(site);
}

async function defineElements(page: Document): Promise<void> {
  const present = Object.entries(ELEMENTS).filter(([tag]) => page.querySelector(tag) !== null);
  await Promise.all(
    present.map(async ([tag, load]) => {
      const element = await load();
      if (customElements.get(tag) === undefined) customElements.define(tag, element);
    }),
  );
}

/** Asks over HTTP, because a browser does not say why it could not open a WebSocket. */
async function mayEnter(page: Document): Promise<boolean> {
  try {
    const answer = await fetch(page.URL, { method: "HEAD", cache: "no-store", redirect: "manual" });
    return answer.status !== 401 && answer.status !== 403;
  } catch {
    return true; // no network, no verdict
  }
}

/** A page that has another version on disk is loaded again, once nothing of the visitor's is on its way. */
function keepCurrent(site: Site, room: Room): void {
  let wanted: string | undefined;
  const reload = (): void => {
    if (wanted === undefined || !room.isSaved) return;
    sessionStorage.setItem(RELOADED_KEY, wanted);
    sessionStorage.setItem(SCROLL_KEY, JSON.stringify([site.address, window.scrollY]));
    location.reload();
  };
  const want = (version: string): void => {
    // one reload a version: a proxy that serves an old page for ever must not make a loop
    if (version === "" || version === site.version || sessionStorage.getItem(RELOADED_KEY) === version) return;
    wanted = version;
    reload();
  };
  room.joined.listen((welcome) => want(welcome.version));
  room.pageChanged.listen(want);
  room.changed.listen(reload);
}

function restoreScroll(site: Site): void {
  const kept = sessionStorage.getItem(SCROLL_KEY);
  sessionStorage.removeItem(SCROLL_KEY);
  if (kept === null) return;
  const [address, top] = JSON.parse(kept) as [string, number];
  if (address === site.address) requestAnimationFrame(() => window.scrollTo({ top, behavior: "instant" }));
}

function guardUnsaved(room: Room): void {
  window.addEventListener("beforeunload", (event) => {
    if (!room.isSaved && room.connection.state.kind !== "open") event.preventDefault();
  });
}

/** The button that shows the menu where the screen is too narrow for both. */
function connectMenu(page: Document): void {
  const button = page.querySelector(".menu-button");
  const show = (open: boolean): void => {
    page.body.classList.toggle("menu-open", open);
    button?.setAttribute("aria-expanded", String(open));
  };
  button?.addEventListener("click", () => show(!page.body.classList.contains("menu-open")));
  page.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !page.body.classList.contains("menu-open")) return;
    show(false);
    if (button instanceof HTMLElement) button.focus();
  });
  page.querySelector(".site-body")?.addEventListener("click", (event) => {
    const inMenu = event.target instanceof Element && event.target.closest(".site-menu") !== null;
    if (!inMenu && page.body.classList.contains("menu-open")) show(false);
  });
}

