/** Elements in a line each. Data becomes text, never markup. */

/**
 * An element. `attributes`: names with a value, true (present) or false and undefined (absent).
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | undefined>} attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/**
 * A button with an icon of icons.svg, and its words.
 * @param {string} icon
 * @param {string} label
 * @param {() => void} click
 * @param {Record<string, string | boolean>} attributes
 */
export function button(icon, label, click, attributes = {}) {
  const words = el("span", { class: "label" }, label);
  const made = el(
    "button",
    { type: "button", ...attributes },
    ...(icon ? [drawn(icon)] : []),
    words,
  );
  made.addEventListener("click", click);
  return made;
}

/** @param {string} icon  An id in icons.svg. */
export function drawn(icon) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `icons.svg#${icon}`);
  svg.append(use);
  return svg;
}

/**
 * The element that a page of ours has under `id`.
 * @param {string} id
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no #${id}`);
  return found;
}
