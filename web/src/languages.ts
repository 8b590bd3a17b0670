/** Languages of editors, each loaded when first asked for. */

import type { Extension } from "@codemirror/state";

/** What makes an editor speak `name`; nothing for plain text and for what we do not know. */
export async function languageSupport(name: string): Promise<Extension> {
  switch (name.toLowerCase()) {
    case "python":
    case "py":
      return (await import("@codemirror/lang-python")).python();
    case "markdown":
    case "md":
      return (await import("@codemirror/lang-markdown")).markdown();
    case "javascript":
    case "js":
      return (await import("@codemirror/lang-javascript")).javascript();
    case "typescript":
    case "ts":
      return (await import("@codemirror/lang-javascript")).javascript({ typescript: true });
    case "html":
      return (await import("@codemirror/lang-html")).html();
    case "css":
      return (await import("@codemirror/lang-css")).css();
    case "json":
      return (await import("@codemirror/lang-json")).json();
    default:
      return [];
  }
}
