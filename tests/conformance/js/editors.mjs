// Two real editors on one shared document, as an application has them: Tiptap with the collaboration and caret
// extensions, CodeMirror 6 with y-codemirror.next. The page's query says where:
//
//     ?dialect=yjs|hocuspocus&server=ws://…&room=…&token=…&name=Ada

import { EditorState } from '@codemirror/state'
import { EditorView } from '@codemirror/view'
import { Editor } from '@tiptap/core'
import { Collaboration } from '@tiptap/extension-collaboration'
import { CollaborationCaret } from '@tiptap/extension-collaboration-caret'
import StarterKit from '@tiptap/starter-kit'
import { HocuspocusProvider } from 'hocuspocus-provider-4'
import { yCollab } from 'y-codemirror.next'
import { WebsocketProvider } from 'y-websocket-3'
import * as Y from 'yjs'

const query = Object.fromEntries(new URLSearchParams(location.search))
const user = { name: query.name, color: query.color ?? '#1a7f37', colorLight: '#1a7f3733' }
const ydoc = new Y.Doc()

function connect () {
  if (query.dialect === 'hocuspocus') {
    return new HocuspocusProvider({
      url: `${query.server}/hocuspocus`,
      name: query.room,
      document: ydoc,
      token: query.token
    })
  }
  return new WebsocketProvider(query.server, query.room, ydoc, {
    params: { token: query.token },
    disableBc: true
  })
}

const provider = connect()

const tiptap = new Editor({
  element: document.querySelector('#tiptap'),
  extensions: [
    StarterKit.configure({ undoRedo: false }),
    Collaboration.configure({ document: ydoc, field: 'prose' }),
    CollaborationCaret.configure({ provider, user })
  ]
})

const code = ydoc.getText('code')
const codemirror = new EditorView({
  parent: document.querySelector('#codemirror'),
  state: EditorState.create({
    doc: code.toString(),
    extensions: [EditorView.lineWrapping, yCollab(code, provider.awareness, { undoManager: new Y.UndoManager(code) })]
  })
})

function tell () {
  const synced = provider.synced && (provider.unsyncedChanges ?? 0) === 0
  document.body.dataset.synced = String(synced)
}
for (const event of ['sync', 'synced', 'unsyncedChanges', 'status']) provider.on(event, tell)

Object.assign(window, { tiptap, codemirror, provider })
