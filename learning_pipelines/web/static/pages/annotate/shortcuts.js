/**
 * Keys for everything on this page, and the dialog that lists them.
 *
 * Belongs here: which key means which action and when keys count. Not here: the actions.
 *
 * Single keys count outside of fields only and can be switched off (WCAG 2.1.4 Character Key Shortcuts); keys with Ctrl or Cmd always count,
 * but Ctrl+Z in a field is the field's own.
 */

import { h, fill } from "../../ui/dom.js";
import { setSingleKeys, singleKeys } from "./kept.js";

/** @typedef {{key: string, does: string, run: () => void, ctrl?: boolean, inFields?: boolean}} Shortcut */

/**
 * Installs the keys. `use(list)` sets those in force and returns what frees them again; `button()` makes one that opens the dialog that lists them.
 * @returns {{use: (list: Shortcut[]) => () => void, button: () => HTMLButtonElement}}
 */
export function shortcuts() {
  let list = [];
  const help = () => showHelp([...list, { key: "?", does: "Show these shortcuts" }]);
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.altKey || document.querySelector("dialog[open]")) return;
    const ctrl = event.ctrlKey || event.metaKey;
    const typing = isField(event.target);
    if (!ctrl && event.key === "?" && !typing && singleKeys()) return taken(event, help);
    const found = list.find((one) => Boolean(one.ctrl) === ctrl && one.key === (event.key.length === 1 ? event.key.toLowerCase() : event.key));
    if (!found || (!ctrl && !singleKeys()) || (typing && !found.inFields)) return undefined;
    if (event.repeat || (event.shiftKey && !ctrl)) return undefined;
    return taken(event, found.run);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !isField(event.target) || document.querySelector("dialog[open]")) return;
    const form = event.target.closest("[data-return]");
    if (form) form.focus();
    else event.target.blur();
  });
  const use = (chosen) => {
    list = chosen;
    return () => { if (list === chosen) list = []; };
  };
  return { use, button: () => h("button", { type: "button", onclick: help }, "Keyboard shortcuts (?)") };
}

function taken(event, run) {
  event.preventDefault();
  run();
}

/** Whether keys pressed here are text or choose a value by letters. */
function isField(element) {
  if (element instanceof HTMLInputElement) return !["radio", "checkbox", "range", "button", "submit"].includes(element.type);
  return element instanceof HTMLTextAreaElement || element instanceof HTMLSelectElement || element.isContentEditable;
}

const named = ({ key, ctrl }) => [ctrl && [h("kbd", {}, "Ctrl"), " + "], h("kbd", {}, key.length === 1 ? key.toUpperCase() : key)];

function showHelp(list) {
  const single = h("input", { type: "checkbox", id: "single-keys", ".checked": singleKeys(), onchange: () => setSingleKeys(single.checked) });
  const dialog = h("dialog", { "aria-labelledby": "shortcuts-title", onclose: () => dialog.remove() });
  fill(dialog,
    h("h2", { id: "shortcuts-title" }, "Keyboard shortcuts"),
    h("p", {}, single, " ", h("label", { for: "single-keys" }, "Single keys are shortcuts (outside of fields)")),
    h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Key"), h("th", { scope: "col" }, "What it does"))),
      h("tbody", {}, list.map((one) => h("tr", {}, h("td", {}, named(one)), h("td", {}, one.does))))),
    h("p", { class: "hint" }, "Esc leaves a field, so that single keys count again. On a Mac, Cmd does what Ctrl does. ",
      "The switch is remembered in this browser; keys with Ctrl count always."),
    h("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "Close"));
  document.body.append(dialog);
  dialog.showModal();
}
