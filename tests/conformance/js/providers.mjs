// Unmodified providers of every kind, behind one face: what a test does with a client and looks at.
//
// They talk through the server alone: the channel between tabs of one browser is off. A client's `changed` is called
// whenever something that `facts` tells may have changed.

import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const WebSocket = require('ws')
const Y = require('yjs')
const { Awareness } = require('y-protocols/awareness')
const { DocumentManager } = require('@y-sweet/sdk')
const { createYjsProvider } = require('@y-sweet/client')

const Y_WEBSOCKET = {
  'y-websocket-1': require('y-websocket-1').WebsocketProvider,
  'y-websocket-3': require('y-websocket-3').WebsocketProvider
}
const HOCUSPOCUS = {
  'hocuspocus-2': require('hocuspocus-provider-2'),
  'hocuspocus-3': require('hocuspocus-provider-3'),
  'hocuspocus-4': require('hocuspocus-provider-4')
}

class Client {
  constructor () {
    this.changed = () => {}
    this.document = new Y.Doc()
    this.text = this.document.getText('text')
    this.document.on('update', () => this.changed())
  }

  watch (awareness) {
    this.awareness = awareness
    awareness.on('change', () => this.changed())
  }

  facts () {
    return {
      text: this.text.toString(),
      names: [...this.awareness.getStates().values()]
        .map(state => state.user?.name)
        .filter(name => name !== undefined)
        .sort()
    }
  }

  stateVector () {
    return JSON.stringify([...Y.decodeStateVector(Y.encodeStateVector(this.document))].sort())
  }
}

// What a browser adds by itself: cookies, an origin.
function withHeaders (headers) {
  return class extends WebSocket {
    constructor (url, protocols) {
      super(url, protocols, { headers })
    }
  }
}

class YWebsocketClient extends Client {
  constructor ({ kind, url, room, params = {}, headers = {} }) {
    super()
    this.refusals = []
    this.provider = new Y_WEBSOCKET[kind](url, room, this.document, {
      WebSocketPolyfill: withHeaders(headers),
      disableBc: true,
      params
    })
    this.provider.on('connection-error', event => {
      this.refusals.push(event.message)
      this.changed()
    })
    for (const name of ['status', 'sync']) this.provider.on(name, () => this.changed())
    this.watch(this.provider.awareness)
  }

  facts () {
    return {
      ...super.facts(),
      synced: this.provider.synced,
      connected: this.provider.wsconnected,
      refused: this.refusals[0] ?? null
    }
  }

  connect () { this.provider.connect() }
  disconnect () { this.provider.disconnect() }
  leave () { this.provider.destroy() }

  vanish () {
    this.provider.shouldConnect = false
    this.provider.ws.terminate()
  }
}

class HocuspocusClient extends Client {
  // With `socket`, the name of a socket that was opened before, the document shares it with others.
  constructor ({ kind, url, room, token = null, socket, sessionAwareness = false, forceSyncInterval = false }, sockets) {
    super()
    this.heard = { authenticated: [], denied: [], stateless: [], closed: [] }
    const { HocuspocusProvider } = HOCUSPOCUS[kind]
    this.socket = socket === undefined ? hocuspocusSocket(kind, url) : sockets.get(socket)
    this.ownsSocket = socket === undefined
    const note = (list, pick) => event => {
      this.heard[list].push(pick(event))
      this.changed()
    }
    this.provider = new HocuspocusProvider({
      websocketProvider: this.socket,
      name: room,
      document: this.document,
      token,
      sessionAwareness,
      forceSyncInterval,
      broadcast: false,
      onAuthenticated: note('authenticated', event => event?.scope ?? this.provider.authorizedScope),
      onAuthenticationFailed: note('denied', event => event.reason),
      onStateless: note('stateless', event => event.payload)
    })
    for (const name of ['synced', 'status', 'unsyncedChanges', 'disconnect']) this.provider.on(name, () => this.changed())
    this.provider.on('close', note('closed', ({ event }) => event.reason))
    this.watch(this.provider.awareness)
    this.provider.attach?.()
  }

  facts () {
    const last = list => list.at(-1) ?? null
    return {
      ...super.facts(),
      synced: this.provider.isSynced,
      connected: this.socket.status === 'connected',
      unsaved: this.provider.unsyncedChanges,
      scope: last(this.heard.authenticated),
      denied: last(this.heard.denied),
      closed: last(this.heard.closed),
      stateless: this.heard.stateless
    }
  }

  connect () { this.socket.connect() }
  disconnect () { this.socket.disconnect() }
  send (text) { this.provider.sendStateless(text) }
  forceSync () { this.provider.forceSync() }

  leave () {
    this.provider.destroy()
    if (this.ownsSocket) this.socket.destroy()
  }

  vanish () {
    this.socket.shouldConnect = false
    this.socket.webSocket.terminate()
  }
}

class YSweetClient extends Client {
  // `url` is a connection string, `ys://token@host/y-sweet`, or with `clientToken` nothing.
  constructor ({ url, room, authorization, clientToken }) {
    super()
    this.manager = url === undefined ? null : new DocumentManager(url)
    this.refusals = []
    const endpoint = async () =>
      clientToken ?? await this.manager.getOrCreateDocAndToken(room, { authorization })
    this.watch(new Awareness(this.document))
    this.provider = createYjsProvider(this.document, room, endpoint, {
      WebSocketPolyfill: WebSocket,
      awareness: this.awareness,
      showDebuggerLink: false
    })
    this.provider.on('connection-status', () => this.changed())
    this.provider.on('local-changes', () => this.changed())
    this.provider.on('connection-error', event => {
      this.refusals.push(event.message)
      this.changed()
    })
  }

  facts () {
    return {
      ...super.facts(),
      synced: this.provider.status === 'connected',
      connected: this.provider.status === 'connected',
      unsaved: this.provider.hasLocalChanges ? 1 : 0,
      refused: this.refusals[0] ?? null
    }
  }

  connect () { this.provider.connect() }
  disconnect () { this.provider.disconnect() }

  leave () {
    this.provider.status = 'offline'
    this.provider.destroy()
  }

  vanish () {
    this.provider.websocket.onclose = null
    this.provider.websocket.terminate()
  }
}

export function hocuspocusSocket (kind, url) {
  const { HocuspocusProviderWebsocket } = HOCUSPOCUS[kind]
  return new HocuspocusProviderWebsocket({
    url,
    WebSocketPolyfill: WebSocket,
    delay: 100,
    minDelay: 100,
    maxDelay: 1000
  })
}

export function makeClient (options, sockets) {
  if (options.kind in Y_WEBSOCKET) return new YWebsocketClient(options)
  if (options.kind in HOCUSPOCUS) return new HocuspocusClient(options, sockets)
  if (options.kind === 'y-sweet') return new YSweetClient(options)
  throw new Error(`there is no client of kind ${options.kind}`)
}

export { DocumentManager, Y }
