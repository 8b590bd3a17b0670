/** Parts of the page: what is there already, found or cloned from its templates, and filled with text. */

/** The element with this `id`, which the page has. */
export function part<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no #${id}`);
  return found;
}

/** A copy of the first element of a template. */
export function copyOf(template: string): HTMLElement {
  const copy = part(template, HTMLTemplateElement).content.firstElementChild?.cloneNode(true);
  if (!(copy instanceof HTMLElement)) throw new Error(`#${template} is empty`);
  return copy;
}

/** Sets the text of each `[data-field]` in `element` that `texts` names; nothing is touched that says it already. */
export function fill(element: ParentNode, texts: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(texts)) {
    const field = element.querySelector(`[data-field="${name}"]`);
    if (field !== null && field.textContent !== text) field.textContent = text;
  }
}

/** Brings the children of `list` in line with `items`: kept by key, made where they are new, removed where they are gone. */
export function keyed<T>(
  list: HTMLElement,
  items: readonly T[],
  key: (item: T) => string,
  make: (item: T) => HTMLElement,
  show: (element: HTMLElement, item: T) => void,
): void {
  const known = new Map([...list.children].map((child) => [(child as HTMLElement).dataset["key"], child as HTMLElement]));
  items.forEach((item, index) => {
    const name = key(item);
    const element = known.get(name) ?? make(item);
    known.delete(name);
    element.dataset["key"] = name;
    show(element, item);
    // Only what stands elsewhere is moved: a move takes the focus away.
    if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
  });
  for (const gone of known.values()) gone.remove();
}
