/** CodeMirror on a shared text: what editors and cells have in common. It knows a room's document and presence. */

import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import { drawSelection, EditorView, highlightSpecialChars, keymap, lineNumbers, placeholder } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import { yCollab, yUndoManagerKeymap } from "y-codemirror.next";
import * as Y from "yjs";
import { languageSupport } from "./languages";
import type { Room } from "./room";
import type { Lifetime } from "./signals";

export interface EditorOptions {
  readonly parent: HTMLElement;
  readonly text: Y.Text;
  readonly room: Room;
  readonly language: string;
  readonly label: string;
  /** What an empty text says to those who may write in it, and to those who may not. */
  readonly placeholders?: { readonly writer: string; readonly reader: string };
  /** Go before everything else, so that their keys come first. */
  readonly extensions?: Extension;
}

const WAY_OUT = "Tab indents. Escape, then Tab leaves the code.";

/** An editor of `text`, shared with everybody in the room, until `life` ends. Read-only without the right to write. */
export function sharedEditor(options: EditorOptions, life: Lifetime): EditorView {
  const { parent, text, room } = options;
  const undoManager = new Y.UndoManager(text);
  const writable = new Compartment();
  const language = new Compartment();
  const view = new EditorView({
    parent,
    doc: text.toString(),
    extensions: [
      options.extensions ?? [],
      appearance(options),
      language.of([]),
      writable.of(access(options)),
      keymap.of([...closeBracketsKeymap, ...yUndoManagerKeymap, ...defaultKeymap]),
      yCollab(text, room.awareness, { undoManager }),
    ],
  });
  life.add(room.changed.listen(() => {
    if (view.state.readOnly === room.may("write")) view.dispatch({ effects: writable.reconfigure(access(options)) });
  }));
  life.on(view.scrollDOM, "mousedown", (event) => {
    if (event.target !== view.scrollDOM) return;
    event.preventDefault(); // the edge above the first line is no part of the text, but looks like one
    view.focus();
  });
  life.add(() => {
    view.destroy();
    undoManager.destroy();
  });
  void languageSupport(options.language).then((support) => view.dispatch({ effects: language.reconfigure(support) }));
  return view;
}

/** A shared text has `\n` between its lines; anything else would shift everybody's positions. */
function appearance({ language, label }: EditorOptions): Extension {
  const isProse = language === "markdown" || language === "plain" || language === "";
  return [
    EditorState.lineSeparator.of("\n"),
    EditorView.clipboardInputFilter.of((pasted) => pasted.replace(/\r\n?/gu, "\n")),
    EditorState.tabSize.of(4),
    indentUnit.of(language === "python" ? "    " : "  "),
    highlightSpecialChars(),
    drawSelection(),
    syntaxHighlighting(classHighlighter),
    isProse ? EditorView.lineWrapping : [lineNumbers(), bracketMatching(), closeBrackets(), indentOnInput()],
    // prose leaves Tab to the keyboard's way through the page; in code Escape, then Tab, does that
    isProse ? [] : [keymap.of([indentWithTab]), EditorView.contentAttributes.of({ "aria-description": WAY_OUT })],
    EditorView.contentAttributes.of({ "aria-label": label }),
  ];
}

function access({ room, placeholders }: EditorOptions): Extension {
  const may = room.may("write");
  return [
    EditorState.readOnly.of(!may),
    EditorView.contentAttributes.of({ "aria-readonly": String(!may) }),
    placeholders === undefined ? [] : placeholder(may ? placeholders.writer : placeholders.reader),
  ];
}
