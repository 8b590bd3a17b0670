// Holds unmodified clients and does with them what the lines on stdin ask for.
//
// A line in:  {"id": 7, "do": "insert", "client": "ada", "at": 0, "text": "hello"}
// A line out: {"id": 7, "result": null} or {"id": 7, "error": "why"}, in the order in which things are done: `wait`
// answers when its condition holds, without holding up the lines behind it.

import { createInterface } from 'node:readline'
import { DocumentManager, Y, hocuspocusSocket, makeClient } from './providers.mjs'

const MAX_DELETED = 8 // characters at once: fewer than are inserted, so the text grows

// mulberry32: a small generator, so that a seed repeats a run.
function generator (seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

const clients = new Map()
const sockets = new Map() // of Hocuspocus, each for several clients
let waiting = []

function answerWaiting () {
  const still = []
  for (const entry of waiting) {
    if (entry.holds()) answer(entry.id, entry.result())
    else still.push(entry)
  }
  waiting = still
}

function when (id, holds, result = () => null) {
  waiting.push({ id, holds, result })
  answerWaiting()
}

function allEqual () {
  const [first, ...rest] = clients.values()
  const vector = first.stateVector()
  const text = first.text.toString()
  return rest.every(one => one.text.toString() === text && one.stateVector() === vector)
}

function editAtRandom (client, random) {
  const length = client.text.length
  const at = Math.floor(random() * (length + 1))
  if (random() < 0.3 && at < length) {
    client.text.delete(at, Math.min(length - at, 1 + Math.floor(random() * MAX_DELETED)))
  } else {
    client.text.insert(at, 'abcdefghäß€'.slice(0, 1 + Math.floor(random() * 11)))
  }
}

const ACTIONS = {
  open ({ id, client, ...options }) {
    const made = makeClient(options, sockets)
    made.changed = answerWaiting
    clients.set(client, made)
    answer(id, null)
  },

  openSocket ({ id, socket, kind, url }) {
    sockets.set(socket, hocuspocusSocket(kind, url))
    answer(id, null)
  },

  closeSocket ({ id, socket }) {
    sockets.get(socket).destroy()
    sockets.delete(socket)
    answer(id, null)
  },

  insert ({ id, client, at, text }) {
    clients.get(client).text.insert(at, text)
    answer(id, null)
  },

  announce ({ id, client, name }) {
    clients.get(client).awareness.setLocalStateField('user', { name })
    answer(id, null)
  },

  facts ({ id, client }) {
    answer(id, clients.get(client).facts())
  },

  // Answers once every fact named in `facts` has the value given there.
  wait ({ id, client, facts }) {
    const entries = Object.entries(facts)
    const one = clients.get(client)
    when(id, () => {
      const now = one.facts()
      return entries.every(([name, value]) => JSON.stringify(now[name]) === JSON.stringify(value))
    })
  },

  waitRefused ({ id, client }) {
    const one = clients.get(client)
    when(id, () => one.refusals.length > 0, () => one.refusals[0])
  },

  send ({ id, client, text }) {
    clients.get(client).send(text)
    answer(id, null)
  },

  forceSync ({ id, client }) {
    clients.get(client).forceSync()
    answer(id, null)
  },

  // What `@y-sweet/sdk` does over HTTP: a method of its DocumentManager, bytes as base64.
  async manage ({ id, url, method, values = [], update }) {
    const manager = new DocumentManager(url)
    if (update !== undefined) values = [...values, Buffer.from(update, 'base64')]
    try {
      const result = await manager[method](...values)
      answer(id, result instanceof Uint8Array ? Buffer.from(result).toString('base64') : result ?? null)
    } catch (error) {
      answer(id, { failed: error.message, cause: error.cause })
    }
  },

  disconnect ({ id, client }) {
    clients.get(client).disconnect()
    answer(id, null)
  },

  connect ({ id, client }) {
    clients.get(client).connect()
    answer(id, null)
  },

  // Leaves as a closed tab does.
  leave ({ id, client }) {
    clients.get(client).leave()
    clients.delete(client)
    answer(id, null)
  },

  // Leaves as a broken line does: no close frame, no last word about presence.
  vanish ({ id, client }) {
    clients.get(client).vanish()
    clients.delete(client)
    answer(id, null)
  },

  // Every client makes `count` edits, all of them interleaved with what arrives from the others.
  async editAll ({ id, count, seed }) {
    const random = generator(seed)
    for (let round = 0; round < count; round++) {
      for (const client of clients.values()) {
        editAtRandom(client, random)
        if (random() < 0.2) await new Promise(resolve => setImmediate(resolve))
      }
    }
    answer(id, null)
  },

  waitAllEqual ({ id }) {
    when(id, allEqual, () => clients.values().next().value.text.toString())
  }
}

function answer (id, result) {
  process.stdout.write(JSON.stringify({ id, result }) + '\n')
}

function fail (id, error) {
  process.stdout.write(JSON.stringify({ id, error: String(error?.stack ?? error) }) + '\n')
}

const lines = createInterface({ input: process.stdin })
lines.on('line', async line => {
  const request = JSON.parse(line)
  try {
    await ACTIONS[request.do](request)
  } catch (error) {
    fail(request.id, error)
  }
})
lines.on('close', () => process.exit(0))
