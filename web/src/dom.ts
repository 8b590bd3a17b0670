/** Making elements. Text is only ever set as text: nothing here parses HTML. */

type Child = Node | string | undefined;
type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** An element with attributes (`true` is an empty one, `false` and undefined none) and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

export function setAttributes(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

const SVG = "http://www.w3.org/2000/svg";

/** The paths of our icons, on a field of 16 by 16. */
const ICONS = {
  run: "M4.5 2.7v10.6c0 .5.6.8 1 .5l8-5.3a.6.6 0 0 0 0-1l-8-5.3c-.4-.3-1 0-1 .5z",
  stop: "M4 3h8a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1z",
  restart:
    "M8 2.2a5.8 5.8 0 1 0 5.7 6.9.75.75 0 0 0-1.5-.3A4.3 4.3 0 1 1 11 4.9L9.6 6.2c-.3.3-.1.8.3.8h3.6c.3 0 .5-.2.5-.5V3c0-.4-.5-.6-.8-.3l-1.1 1.1A5.8 5.8 0 0 0 8 2.2z",
  share:
    "M11.5 1.5a2.5 2.5 0 0 0-2.4 3.1L6 6.2a2.5 2.5 0 1 0 0 3.6l3.1 1.6a2.5 2.5 0 1 0 .7-1.3L6.7 8.5a2.6 2.6 0 0 0 0-1l3.1-1.6a2.5 2.5 0 1 0 1.7-4.4z",
  history:
    "M3.4 2.6a.7.7 0 0 0-1.4 0v3c0 .4.3.7.7.7h3a.7.7 0 0 0 0-1.4H4.4a4.8 4.8 0 1 1-1.1 3.9.7.7 0 0 0-1.4.2A6.2 6.2 0 1 0 3.4 4zm5.3 2.2a.7.7 0 0 0-1.4 0V8c0 .2.1.4.2.5l2.1 2.1a.7.7 0 0 0 1-1L8.7 7.7z",
  back: "M10.5 3.2a.8.8 0 0 1 0 1.1L6.8 8l3.7 3.7a.8.8 0 1 1-1.1 1.1L5.2 8.6a.8.8 0 0 1 0-1.2l4.2-4.2a.8.8 0 0 1 1.1 0z",
  forward: "M5.5 3.2a.8.8 0 0 0 0 1.1L9.2 8l-3.7 3.7a.8.8 0 1 0 1.1 1.1l4.2-4.2a.8.8 0 0 0 0-1.2L6.6 3.2a.8.8 0 0 0-1.1 0z",
  close: "M4.3 3.3 8 7l3.7-3.7 1 1L9 8l3.7 3.7-1 1L8 9l-3.7 3.7-1-1L7 8 3.3 4.3z",
} as const;

export type IconName = keyof typeof ICONS;

/** A decorative icon in the colour of the text around it. */
export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  setAttributes(svg, { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true", focusable: "false" });
  const path = document.createElementNS(SVG, "path");
  setAttributes(path, { d: ICONS[name], fill: "currentColor" });
  svg.append(path);
  return svg;
}
