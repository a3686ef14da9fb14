/**
 * What a proposal, or a version of a prompt, changes: both sides as text, word by word; demonstrations; what is not text.
 *
 * Belongs here: from stored contents to text and elements. Not here: comparing words (ui/diff.js), numbers (evidence.js).
 */

import { h } from "../../ui/dom.js";
import { diffWords, showDiff } from "../../ui/diff.js";

/** A prompt as one text: each message under its role. What is done for each input comes last. */
export function promptText({ messages, retrieval, serving, model }) {
  const found = retrieval ?? serving?.retrieval;
  const parts = messages.map((message) => `[${message.role}]\n${message.content}`);
  if (found) parts.push(`[for each input]\n${shown(found)}`);
  if (model) parts.push(`[model]\n${model}`);
  return parts.join("\n\n");
}

const shown = ({ k, agreeing }) => `the ${k} approved examples nearest to it${agreeing ? ", those that agree with most of them only" : ""}`;

/** What one side of a proposal holds, as text. */
export function contentText(content) {
  if (!content) return "";
  if (Array.isArray(content.messages)) return promptText(content);
  if (typeof content.text === "string") return content.text;
  if (Array.isArray(content.rules)) return content.rules.join("\n");
  return plain(content);
}

/** Any configuration as lines "name: value", names in order. */
function plain(value, prefix = "") {
  return Object.entries(value)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .flatMap(([name, inner]) => {
      if (inner !== null && typeof inner === "object" && !Array.isArray(inner) && Object.keys(inner).length) return plain(inner, `${prefix}${name}.`);
      return `${prefix}${name}: ${typeof inner === "string" ? inner : JSON.stringify(inner)}`;
    })
    .join("\n");
}

/** Two texts as one, with what was taken out and put in. */
export function difference(before, after, names = ["before", "after"]) {
  if (before === after) return h("p", { class: "muted" }, "Both are the same.");
  const legend = h("p", { class: "hint" }, h("del", {}, `only in ${names[0]}`), " · ", h("ins", {}, `only in ${names[1]}`));
  const region = { class: "scroll tall", tabindex: "0", role: "region", "aria-label": `What differs between ${names[0]} and ${names[1]}` };
  return h("div", {}, legend, h("div", region, showDiff(diffWords(before, after))));
}

/** Demonstrations among the messages: turns of user and assistant that follow each other. */
export function demonstrationsOf(messages) {
  return messages.flatMap((message, at) =>
    message.role === "user" && messages[at + 1]?.role === "assistant" ? [{ input: message.content, output: messages[at + 1].content }] : [],
  );
}

/** A list of demonstrations as text. */
export function demonstrations(found) {
  if (!found.length) return null;
  return h(
    "details",
    {},
    h("summary", {}, `${found.length} demonstration${found.length === 1 ? "" : "s"} shown to the model`),
    h(
      "ol",
      { class: "demonstrations" },
      found.map(({ input, output }) =>
        h(
          "li",
          {},
          h("div", { class: "hint" }, "Input"),
          h("pre", { dir: "auto" }, input),
          h("div", { class: "hint" }, "Answer"),
          h("pre", { dir: "auto" }, output),
        ),
      ),
    ),
  );
}

/** What changes from the incumbent of a proposal to its candidate. */
export function changes({ candidate, incumbent }, [before, after]) {
  if (!candidate) return h("p", { class: "muted" }, "What it proposes is no longer stored.");
  return h(
    "div",
    {},
    difference(contentText(incumbent), contentText(candidate), [before, after]),
    Array.isArray(candidate.messages) && demonstrations(demonstrationsOf(candidate.messages)),
  );
}
