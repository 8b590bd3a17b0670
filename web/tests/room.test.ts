import * as encoding from "lib0/encoding";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import * as Y from "yjs";
import { decode } from "../src/protocol";
import { Refusal } from "../src/requests";
import { Room } from "../src/room";

/** A socket whose other end is the test. */
class FakeSocket {
  binaryType = "";
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  readonly sent: Uint8Array[] = [];
  closed = false;

  send(frame: Uint8Array): void {
    this.sent.push(frame);
  }

  close(): void {
    this.closed = true;
  }

  hear(...parts: (number | string | Uint8Array)[]): void {
    this.onmessage?.({ data: frame(...parts).slice().buffer });
  }

  /** The frames that were sent with this first number. */
  of(type: number): Uint8Array[] {
    return this.sent.filter((sent) => sent[0] === type);
  }

  clear(): void {
    this.sent.length = 0;
  }
}

function frame(...parts: (number | string | Uint8Array)[]): Uint8Array {
  return encoding.encode((out) => {
    for (const part of parts) {
      if (typeof part === "number") encoding.writeVarUint(out, part);
      else if (typeof part === "string") encoding.writeVarString(out, part);
      else encoding.writeVarUint8Array(out, part);
    }
  });
}

const WELCOME = {
  protocol: 1, member: 1, address: "write@abc", lineage: "L", version: "v1", rights: ["read", "write", "run"],
  user: { id: "u" }, terminals: [], engines: ["python"], limits: { frame_bytes: 10_000 },
};
const EMPTY_STATE = Uint8Array.from([0]);
const EMPTY_UPDATE = Uint8Array.from([0, 0]);

let sockets: FakeSocket[];
let room: Room;

function latest(): FakeSocket {
  const socket = sockets.at(-1);
  if (socket === undefined) throw new Error("no socket yet");
  return socket;
}

/** Opens the newest socket and says what a room says first. */
function join(welcome: Partial<typeof WELCOME> = {}): FakeSocket {
  const socket = latest();
  socket.onopen?.();
  socket.hear(100, JSON.stringify({ ...WELCOME, ...welcome }));
  socket.hear(0, 0, EMPTY_STATE);
  socket.hear(0, 1, EMPTY_UPDATE);
  return socket;
}

function lose(code = 1006): void {
  latest().onclose?.({ code });
}

function type(text: string): void {
  room.document.getText("notes").insert(0, text);
}

/** The update in a sync frame. */
function updateIn(sent: Uint8Array | undefined): Uint8Array {
  const message = sent && decode(sent);
  if (message?.type !== "update" && message?.type !== "step2") throw new Error("no update");
  return message.update;
}

beforeEach(() => {
  vi.useFakeTimers();
  sockets = [];
  room = new Room({
    url: "ws://test/rooms/write@abc",
    address: "write@abc",
    mayEnter: () => Promise.resolve(true),
    makeSocket: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket as unknown as WebSocket;
    },
  });
  room.connection.open();
});

afterEach(() => {
  room.document.destroy();
  vi.useRealTimers();
});

describe("what is saved", () => {
  it("is an edit whose exact bytes have come back", () => {
    const socket = join();
    expect(room.isSaved).toBe(true);
    socket.clear();
    type("hello");
    expect(room.isSaved).toBe(false);
    socket.hear(0, 2, updateIn(socket.sent[0]));
    expect(room.isSaved).toBe(true);
  });

  it("is an edit without a connection only after the echo of the next Step 2", () => {
    join();
    lose();
    type("offline");
    expect(room.isSaved).toBe(false);
    vi.advanceTimersByTime(3_000);
    const socket = join();
    const step2 = socket.sent.map((sent) => decode(sent)).find((message) => message?.type === "step2");
    expect(room.isSaved).toBe(false);
    if (step2?.type !== "step2") throw new Error("no Step 2");
    const server = new Y.Doc();
    Y.applyUpdate(server, step2.update);
    expect(server.getText("notes").toString()).toBe("offline");
    socket.hear(0, 2, step2.update);
    expect(room.isSaved).toBe(true);
  });

  it("stays unsure of an edit that was on its way when the connection ended", () => {
    const first = join();
    first.clear();
    type("x");
    const update = updateIn(first.sent[0]);
    lose();
    expect(room.isSaved).toBe(false);
    vi.advanceTimersByTime(3_000);
    const second = latest();
    second.onopen?.();
    second.hear(100, JSON.stringify(WELCOME));
    second.clear();
    second.hear(0, 0, Y.encodeStateVectorFromUpdate(update));
    expect(room.isSaved).toBe(false);
    second.hear(0, 2, updateIn(second.sent[0]));
    expect(room.isSaved).toBe(true);
  });

  it("does not count others' updates", () => {
    const socket = join();
    const other = new Y.Doc();
    other.getText("notes").insert(0, "theirs");
    socket.hear(0, 2, Y.encodeStateAsUpdate(other));
    expect(room.isSaved).toBe(true);
    expect(room.document.getText("notes").toString()).toBe("theirs");
  });
});

describe("the connection", () => {
  it("comes back after a loss, ever more slowly, at most every 2.5 s", () => {
    for (let attempt = 1; attempt <= 8; attempt += 1) {
      lose();
      expect(sockets).toHaveLength(attempt);
      vi.advanceTimersByTime(2_500);
      expect(sockets).toHaveLength(attempt + 1);
    }
  });

  it("comes back at once when the browser is online again", () => {
    join();
    lose();
    window.dispatchEvent(new Event("online"));
    expect(sockets).toHaveLength(2);
  });

  it.each([4401, 4403, 4400, 4410, 1009])("ends for good with code %i, and says why", (code) => {
    join();
    lose(code);
    vi.advanceTimersByTime(60_000);
    expect(sockets).toHaveLength(1);
    expect(room.connection.state).toMatchObject({ kind: "stopped", text: expect.stringMatching(/\w/u) as string });
  });

  it.each([1012, 1006, 1001, 4408])("comes back after code %i", (code) => {
    join();
    lose(code);
    vi.advanceTimersByTime(2_500);
    expect(sockets).toHaveLength(2);
  });

  it("asks a silent server for a word, and takes a new socket when none comes", () => {
    const socket = join();
    vi.advanceTimersByTime(26_000);
    expect(socket.of(3)).toHaveLength(1);
    expect(sockets).toHaveLength(1);
    vi.advanceTimersByTime(15_000);
    expect(sockets).toHaveLength(2);
    expect(socket.closed).toBe(true);
  });

  it("keeps a socket that answers", () => {
    const socket = join();
    for (let second = 0; second < 120; second += 1) {
      vi.advanceTimersByTime(1_000);
      if (second % 15 === 0) socket.hear(1, EMPTY_STATE);
    }
    expect(sockets).toHaveLength(1);
  });

  it("is refused for good when the visitor may not enter any more", async () => {
    room.connection.stop("protocol", "not this one");
    sockets = [];
    room = new Room({
      url: "ws://test",
      address: "a",
      mayEnter: () => Promise.resolve(false),
      makeSocket: () => {
        const socket = new FakeSocket();
        sockets.push(socket);
        return socket as unknown as WebSocket;
      },
    });
    room.connection.open();
    lose();
    vi.advanceTimersByTime(2_500);
    lose();
    await vi.advanceTimersByTimeAsync(0);
    expect(room.connection.state).toMatchObject({ kind: "stopped", code: "not_allowed" });
  });

  it("does not merge a room that has begun anew", () => {
    join();
    lose();
    vi.advanceTimersByTime(2_500);
    join({ lineage: "other" });
    expect(room.connection.state).toMatchObject({ kind: "stopped", code: "replaced" });
    expect(latest().of(0)).toHaveLength(1); // Step 1 alone: nothing of the old document
  });

  it("stops rather than send what the server will not take", () => {
    join();
    type("x".repeat(20_000));
    expect(room.connection.state).toMatchObject({ kind: "stopped", code: "too_big" });
    expect(room.isSaved).toBe(false);
  });
});

describe("requests", () => {
  it("to evaluate are asked again, under the same id, after a loss", async () => {
    const first = join();
    const asked = room.evaluate("cell-1", "1 + 1");
    const evaluate = first.of(110)[0];
    lose();
    vi.advanceTimersByTime(2_500);
    const second = join();
    expect(second.of(110)).toEqual([evaluate]);
    second.hear(103, evaluate?.[1] ?? 0);
    await expect(asked).resolves.toBeUndefined();
  });

  it("that cannot be asked twice are given up when the connection ends", async () => {
    join();
    const asked = room.restart("python");
    lose();
    await expect(asked).rejects.toMatchObject({ code: "connection_lost" });
  });

  it("tell who asked when the room refuses", async () => {
    const socket = join();
    const asked = room.evaluate("cell-1", "x");
    socket.hear(104, socket.of(110)[0]?.[1] ?? 0, "queue_full", "Too many wait already.");
    await expect(asked).rejects.toThrow(new Refusal("queue_full", "Too many wait already."));
  });

  it("that nobody made and are refused become notices", () => {
    const notices: string[] = [];
    room.notices.listen(({ code }) => notices.push(code));
    join().hear(104, 0, "limit", "too much");
    expect(notices).toEqual(["limit"]);
  });
});

describe("values", () => {
  const json = (value: number): Uint8Array => new TextEncoder().encode(String(value));

  it("show one's own until the room has said them, whatever older comes before", () => {
    const socket = join();
    socket.hear(102, "/speed", 1, 0, json(1));
    room.setValue("/speed", 5);
    room.setValue("/speed", 6);
    const [first, second] = socket.of(101);
    socket.hear(102, "/speed", 2, 0, json(5));
    socket.hear(103, first?.[1] ?? 0);
    expect(room.values.get("/speed")).toBe(6);
    socket.hear(102, "/speed", 3, 0, json(6));
    socket.hear(103, second?.[1] ?? 0);
    socket.hear(102, "/speed", 4, 0, json(9));
    expect(room.values.get("/speed")).toBe(9);
  });

  it("do not flicker when the answer comes before the change", () => {
    const socket = join();
    socket.hear(102, "/speed", 1, 0, json(1));
    room.setValue("/speed", 5);
    socket.hear(103, socket.of(101)[0]?.[1] ?? 0);
    expect(room.values.get("/speed")).toBe(5);
    socket.hear(102, "/speed", 2, 0, json(5));
    socket.hear(102, "/speed", 3, 0, json(7));
    expect(room.values.get("/speed")).toBe(7);
  });

  it("go back to the room's when it refuses", () => {
    const socket = join();
    socket.hear(102, "/speed", 1, 0, json(1));
    room.setValue("/speed", 5);
    socket.hear(104, socket.of(101)[0]?.[1] ?? 0, "read_only", "You may not.");
    expect(room.values.get("/speed")).toBe(1);
  });

  it("set without a connection are asked when it is back, and a restarted room's count anew", () => {
    const first = join();
    first.hear(102, "/other", 90, 0, json(1));
    lose();
    room.setValue("/speed", 8);
    vi.advanceTimersByTime(2_500);
    const second = join();
    expect(second.of(101)).toHaveLength(1);
    second.hear(102, "/other", 2, 0, json(4));
    expect(room.values.get("/other")).toBe(4);
  });
});

describe("presence", () => {
  it("is told with a further clock at each connection, so that a remembered leave is outdone", () => {
    const clock = (socket: FakeSocket): number => {
      const message = socket.of(1).map((sent) => decode(sent)).at(-1);
      if (message?.type !== "awareness") throw new Error("no awareness");
      return Number(/^\d+/u.exec(String(clockIn(message.states)))?.[0]);
    };
    const before = clock(join());
    lose();
    vi.advanceTimersByTime(2_500);
    expect(clock(join())).toBeGreaterThanOrEqual(before + 2);
  });

  it("of others is forgotten while the connection is lost", () => {
    const socket = join();
    const states = frame(1, 77, 1, JSON.stringify({ user: { name: "Ada", color: "#aa0000" } }));
    socket.hear(1, states);
    expect(room.awareness.getStates().get(77)).toMatchObject({ user: { name: "Ada" } });
    lose();
    expect(room.awareness.getStates().has(77)).toBe(false);
    vi.advanceTimersByTime(2_500);
    join().hear(1, states);
    expect(room.awareness.getStates().has(77)).toBe(true);
  });
});

/** The clock of the first state in an awareness update. */
function clockIn(states: Uint8Array): number {
  const numbers: number[] = [];
  let value = 0;
  let scale = 1;
  for (const byte of states) {
    value += (byte & 127) * scale;
    scale *= 128;
    if (byte < 128) {
      numbers.push(value);
      value = 0;
      scale = 1;
      if (numbers.length === 3) break;
    }
  }
  return numbers[2] ?? 0;
}

describe("terminals", () => {
  it("keep what comes before anybody shows them, from the last screen on", () => {
    const socket = join();
    socket.hear(122, "shell", Uint8Array.from([1]));
    socket.hear(123, "shell", 80, 24, Uint8Array.from([2]));
    socket.hear(122, "shell", Uint8Array.from([3]));
    const heard: string[] = [];
    room.terminals.listen("shell", (message) => heard.push(message.type));
    expect(heard).toEqual(["terminalScreen", "terminalOutput"]);
  });

  it("are told this page's size again after a loss", () => {
    join();
    room.terminals.listen("shell", () => undefined);
    room.resizeTerminal("shell", 100, 30);
    lose();
    vi.advanceTimersByTime(2_500);
    expect(join().of(121)).toHaveLength(1);
  });
});

describe("rights that change", () => {
  it("tells what it may do now, and a warning when writing ends", () => {
    latest().onopen?.();
    latest().hear(100, JSON.stringify(WELCOME));
    const notices: string[] = [];
    room.notices.listen(({ code }) => notices.push(code));
    latest().hear(132, 1, "read");
    expect(room.rights).toEqual(["read"]);
    expect(notices).toEqual(["read_only"]);
  });

  it("sends what the room lacks once it may write again", () => {
    latest().onopen?.();
    latest().hear(100, JSON.stringify({ ...WELCOME, rights: ["read"] }));
    latest().hear(0, 0, EMPTY_STATE);
    expect(latest().of(0).filter((sent) => sent[1] === 1)).toHaveLength(0);
    latest().hear(132, 2, "read", "write");
    latest().hear(0, 0, EMPTY_STATE);
    expect(latest().of(0).filter((sent) => sent[1] === 1)).toHaveLength(1);
    room.document.getText("text").insert(0, "x");
    expect(latest().of(0).filter((sent) => sent[1] === 2)).toHaveLength(1);
  });

  it("stops for good when its document is of another history", () => {
    latest().onopen?.();
    latest().onclose?.({ code: 4409 });
    expect(room.connection.state).toMatchObject({ kind: "stopped", code: "replaced" });
  });

  it("stops for good when its document was deleted", () => {
    latest().onopen?.();
    latest().onclose?.({ code: 4410 });
    expect(room.connection.state).toMatchObject({ kind: "stopped", code: "deleted" });
  });
});
