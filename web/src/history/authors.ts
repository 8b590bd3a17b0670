/**
 * Who a client was, with a name and a colour to show. Pure.
 *
 * Whoever is here now has the colour of their cursor; others have one that their id always gets.
 */

import { COLORS } from "../presence";
import { isRecord } from "../records";
import type { Overview } from "./past";

export interface Author {
  /** The same for everything that the same person wrote. */
  readonly key: string;
  readonly name: string;
  readonly color: string;
}

type States = ReadonlyMap<number, Readonly<Record<string, unknown>>>;

const SERVER: Author = { key: "", name: "The server", color: "#6b7280" };
const UNKNOWN: Author = { key: "?", name: "Unknown", color: "#6b7280" };

export class Authors {
  readonly #overview: Overview;
  readonly #here = new Map<string, Author>();
  readonly #clients = new Map<number, Author>();

  /** `states` is the presence of those who are here, by client. */
  constructor(overview: Overview, states: States) {
    this.#overview = overview;
    for (const [client, { user: person }] of states) {
      if (!isRecord(person)) continue;
      const user = this.userOf(client, 0);
      const author = { key: user ?? `client ${client}`, name: String(person["name"]), color: String(person["color"]) };
      this.#clients.set(client, author);
      if (user !== undefined && user !== "") this.#here.set(user, author);
    }
  }

  /** Who wrote this unit. Of who has come just now the server has not told yet; their presence has. */
  of(client: number, clock: number): Author {
    const user = this.userOf(client, clock);
    return user === undefined ? (this.#clients.get(client) ?? UNKNOWN) : this.author(user);
  }

  /** The user who brought this unit; undefined where nobody knows. */
  userOf(client: number, clock: number): string | undefined {
    return this.#overview.clients.get(client)?.find(({ start, end }) => start <= clock && clock < end)?.user;
  }

  author(user: string): Author {
    if (user === "") return SERVER;
    const here = this.#here.get(user);
    if (here !== undefined) return here;
    const name = this.#overview.names.get(user) ?? "";
    return { key: user, name: name === "" ? user : name, color: colorOf(user) };
  }
}

/** Always the same colour for the same id. */
function colorOf(user: string): string {
  let hash = 0;
  for (const character of user) hash = (31 * hash + (character.codePointAt(0) ?? 0)) % 9_973;
  return COLORS[hash % COLORS.length] ?? COLORS[0];
}
