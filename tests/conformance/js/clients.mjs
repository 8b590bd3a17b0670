// Holds unmodified y-websocket clients and does with them what the lines on stdin ask for.
//
// A line in:  {"id": 7, "do": "insert", "client": "ada", "at": 0, "text": "hello"}
// A line out: {"id": 7, "result": null} or {"id": 7, "error": "why"}, in the order in which things are done: `wait`
// answers when its condition holds, without holding up the lines behind it.
//
// The clients talk through the server alone: the channel between tabs of one browser is off.

import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

const require = createRequire(import.meta.url)
const WebSocket = require('ws')
const Y = require('yjs')
const PROVIDERS = {
  1: require('y-websocket-1').WebsocketProvider,
  3: require('y-websocket-3').WebsocketProvider
}
const MAX_DELETED = 8 // characters at once: fewer than are inserted, so the text grows

class Client {
  constructor ({ version, url, room, params = {} }) {
    this.changed = () => {}
    this.refusals = []
    this.document = new Y.Doc()
    this.text = this.document.getText('text')
    this.provider = new PROVIDERS[version](url, room, this.document, {
      WebSocketPolyfill: WebSocket,
      disableBc: true,
      params
    })
    this.provider.on('connection-error', event => {
      this.refusals.push(event.message)
      this.changed()
    })
    for (const name of ['status', 'sync']) this.provider.on(name, () => this.changed())
    this.document.on('update', () => this.changed())
    this.provider.awareness.on('change', () => this.changed())
  }

  // Everything that a test may look at or wait for.
  facts () {
    return {
      text: this.text.toString(),
      synced: this.provider.synced,
      connected: this.provider.wsconnected,
      refused: this.refusals.length > 0 ? this.refusals[0] : null,
      names: [...this.provider.awareness.getStates().values()]
        .map(state => state.user?.name)
        .filter(name => name !== undefined)
        .sort()
    }
  }

  stateVector () {
    return JSON.stringify([...Y.decodeStateVector(Y.encodeStateVector(this.document))].sort())
  }
}

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
    const made = new Client(options)
    made.changed = answerWaiting
    clients.set(client, made)
    answer(id, null)
  },

  insert ({ id, client, at, text }) {
    clients.get(client).text.insert(at, text)
    answer(id, null)
  },

  announce ({ id, client, name }) {
    clients.get(client).provider.awareness.setLocalStateField('user', { name })
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

  disconnect ({ id, client }) {
    clients.get(client).provider.disconnect()
    answer(id, null)
  },

  connect ({ id, client }) {
    clients.get(client).provider.connect()
    answer(id, null)
  },

  // Leaves as a closed tab does.
  leave ({ id, client }) {
    clients.get(client).provider.destroy()
    clients.delete(client)
    answer(id, null)
  },

  // Leaves as a broken line does: no close frame, no last word about presence.
  vanish ({ id, client }) {
    const { provider } = clients.get(client)
    provider.shouldConnect = false
    provider.ws.terminate()
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
