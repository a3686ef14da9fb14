/**
 * A page to try the elements on: example.html#token=…&output=…&lang=de. Further names: execution-id, agent-id, input, version, latency-ms,
 * format, dir, api, element (feedback-collector, or by default agent-output-card). The fragment never leaves the browser.
 *
 * Belongs here: a host page as small as one can be, with a list of the events. Not here: the elements.
 */

import "./agent-output-card.js";
import { h } from "../ui/dom.js";

const EVENTS = ["feedback-changed", "feedback-sent", "feedback-queued", "feedback-failed", "token-needed"];
const main = document.getElementById("main");
const given = new URLSearchParams(location.hash.slice(1));
const { element: tag = "agent-output-card", token = "", dir, lang, ...others } = Object.fromEntries(given);
if (dir) document.documentElement.dir = dir;

const element = document.createElement(tag === "feedback-collector" ? tag : "agent-output-card");
for (const [name, value] of Object.entries(others)) element.setAttribute(name, value);
if (lang) element.lang = lang;
if (!others.output) element.setAttribute("output", "VAT returns are due on the 10th of the following month.");
if (token) element.token = token;

const field = h("input", { id: "token", autocomplete: "off", value: token });
const renew = (event) => {
  event.preventDefault();
  element.token = field.value.trim();
};
const log = h("ol", { id: "events", "aria-live": "off" });
for (const name of EVENTS) {
  element.addEventListener(name, ({ detail }) => log.append(h("li", {}, `${name} ${JSON.stringify(detail).slice(0, 500)}`)));
}
main.append(
  h("form", { onsubmit: renew }, h("label", { for: "token" }, "Token of POST /tokens (execution_id, user)"), field, " ", h("button", {}, "Use it")),
  element, h("h2", {}, "Events"), log,
);
addEventListener("hashchange", () => location.reload());
