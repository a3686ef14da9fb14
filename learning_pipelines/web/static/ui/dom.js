/**
 * Making elements. Text is always text: nothing here or in any page parses markup out of data.
 *
 * Belongs here: `h` and what works on elements alone. Not here: what elements mean.
 */

/**
 * An element: `h("button", { type: "button", onclick: send, class: "primary" }, "Send")`.
 * Keys beginning with `on` are listeners, with `.` properties; true is an empty attribute, null, undefined and false none.
 * Children are elements, texts, numbers, arrays of these; null, undefined and false are left out.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith(".")) element[name.slice(1)] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

/** Replaces what is inside an element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}
