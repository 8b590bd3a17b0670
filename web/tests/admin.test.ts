/** The admin page's figures, and how its lists are kept in line. */

import { describe, expect, it } from "vitest";
import { amount, bytes, rate, span } from "../src/admin/figures";
import { keyed } from "../src/admin/parts";
import { inPath } from "../src/admin/state";

describe("figures", () => {
  it("are short, with their units", () => {
    expect([0, 999, 1_500, 45_000, 3_400_000, 1_200_000_000].map(bytes)).toEqual(["0 B", "999 B", "1.5 kB", "45 kB", "3.4 MB", "1.2 GB"]);
    expect([0, 0.44, 12, 1_234, 1_200_000].map(amount)).toEqual(["0", "0.4", "12", "1\u202f234", "1.2 M"]);
    expect([0.003, 1.23, 59, 240, 10_800, 200_000].map(span)).toEqual(["3 ms", "1.2 s", "59 s", "4 min", "3 h", "2 days"]);
  });

  it("grow between two looks at one server", () => {
    const look = (time: number, sent: number, started = 1) => ({ time, started, counters: { sent } });
    expect(rate(look(10, 100), look(12, 300), "sent")).toBe(100);
    expect(rate(undefined, look(12, 300), "sent")).toBe(0);
    expect(rate(look(10, 100), look(12, 5, 11), "sent")).toBe(0);
    expect(rate(look(10, 100), look(10, 300), "sent")).toBe(0);
  });
});

describe("lists", () => {
  it("keep what stays, in order, and lose what is gone", () => {
    const list = document.createElement("ul");
    const show = (names: string[]): Element[] => {
      keyed(list, names, (name) => name, () => document.createElement("li"), (row, name) => {
        row.textContent = name;
      });
      return [...list.children];
    };
    const first = show(["a", "b", "c"]);
    const second = show(["c", "a", "d"]);
    expect(second.map((row) => row.textContent)).toEqual(["c", "a", "d"]);
    expect([second[0], second[1]]).toEqual([first[2], first[0]]);
  });
});

describe("addresses", () => {
  it("stand in paths", () => {
    expect(inPath("notes/a b#ü@x")).toBe("notes/a%20b%23%C3%BC%40x");
  });
});
