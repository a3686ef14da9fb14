/**
 * What is shown after a verdict: what it led to, whether judge and other experts said the same, the nearest approved example, and every annotation
 * of an example, which experts may verify.
 *
 * Belongs here: what would influence a verdict and is therefore shown after it. Not here: the item (item.js), undoing (desk.js).
 */

import { segment } from "../../client/learning.js";
import { showDiff } from "../../ui/diff.js";
import { h, fill } from "../../ui/dom.js";
import { count, moment, number, percent } from "../../ui/format.js";
import { problem } from "../../ui/shell.js";
import { SCORES, STATES, text, TONES, verdictOf } from "./words.js";

const KINDS = { equal: "same", delete: "removed", insert: "added" };

/**
 * @param {object} given
 * @param {object} given.item @param {string} given.verdict @param {object} given.answer Of POST /annotations.
 * @param {object} context
 */
export async function outcome({ item, verdict, answer }, context) {
  const place = h("section", { class: "card outcome", "aria-label": "After your verdict" });
  const said = await annotationsOf(item.example_id, context.client).catch((error) => error);
  const others = Array.isArray(said) ? comparable(said, context.session.user, item.round) : [];
  const hints = answer.hints;
  return fill(place,
    h("h2", {}, "After your verdict"),
    h("p", {}, "You said ", badge(verdict), " about the ", h("a", { href: `?example=${segment(item.example_id)}` }, "last item"), ": it is ",
      h("strong", {}, STATES[answer.review_status]), waiting(answer.review_status, item)),
    h("p", { class: "agreement" }, agreement(verdict, others, hints?.judge ?? null)),
    hints?.contradictions.length > 0 && contradictions(hints.contradictions),
    hints?.nearest ? nearest(hints.nearest, item) : h("p", { class: "muted" }, "Nearest approved example: there is none yet that resembles it."),
    said instanceof Error ? problem(said)
      : h("details", {}, h("summary", {}, `All annotations of it (${said.length})`), annotationList(said, context)));
}

const badge = (verdict) => h("span", { class: `badge ${TONES[verdict] ?? ""}` }, verdict ? STATES[verdict] : "comment");

const waiting = (status, item) => (status === "in_review" ? `: ${item.reviews_needed} experts judge it, more verdicts are to come.` : ".");

/** Verdicts of others in the same round that were not taken back. */
function comparable(said, me, round) {
  return said.filter((one) => one.expert !== me && one.withdrawn_at === null && one.round === round && verdictOf(one) !== null);
}

function agreement(verdict, others, judge) {
  const parts = [];
  if (others.length > 0) {
    const same = others.filter((one) => verdictOf(one) === verdict).length;
    parts.push(`${same} of ${others.length} other expert${others.length === 1 ? "" : "s"} said the same as you.`);
  } else parts.push("No other expert has judged it so far.");
  if (judge) {
    const theirs = judge.approved ? "approved" : "rejected";
    const like = verdict === theirs ? "the same as you" : "not what you said";
    parts.push(` The judge (${judge.judge}) ${theirs} it on ${moment(judge.created_at)}: ${like}.`);
  } else parts.push(" No judge has said anything about it.");
  return parts;
}

function nearest(found, item) {
  const like = found.by === "embedding" ? `cosine of meanings ${number(found.similarity)}` : `${percent(found.similarity, 0)} of the words shared`;
  return h("details", {}, h("summary", {}, `Nearest approved example (${like})`),
    h("h3", {}, "Its input"), text(found.input_text, "Input of the nearest example"), expectedThere(found),
    item.expected_output !== null && found.expected_output === item.expected_output && h("p", {}, "The same text as was proposed here."));
}

const expectedThere = ({ expected_output: expected }) => [h("h3", {}, "What is expected there"),
  expected === null ? h("p", { class: "muted" }, "Nothing: it shows what is wrong.") : text(expected, "Expected there")];

function contradictions(found) {
  return h("details", { open: true, class: "notice" },
    h("summary", {}, `It contradicts ${count(found.length)} other example${found.length === 1 ? "" : "s"}`),
    found.map((one) => h("div", { class: "candidate" },
      h("p", {}, h("a", { href: `?example=${segment(one.example_id)}` }, h("bdi", {}, one.example_id)), `: ${one.reason}`),
      text(one.input_text, "Its input"), expectedThere(one))),
    h("p", { class: "hint" }, "If both cannot be right, undo or judge the other one."));
}

/** What experts said about an example, as far as this one may see it; the service hides open verdicts until one has judged. */
export const annotationsOf = async (id, client) => (await client.request("GET", "/annotations", { query: { example_id: id } })).annotations;

/** The annotations, oldest first, each with what verifying it needs. */
export function annotationList(said, context) {
  if (said.length === 0) {
    return h("p", { class: "muted" }, "No annotation that you may see: what others say about an open item is shown once you have judged it.");
  }
  return h("ol", { class: "annotations" }, said.map((one) => h("li", {}, annotation(one, context))));
}

function annotation(one, context) {
  const scores = Object.entries(SCORES).filter(([name]) => one[name] !== null).map(([name, label]) => `${label} ${number(one[name])}`);
  return h("article", { class: one.withdrawn_at ? "withdrawn" : "" },
    h("p", {}, h("strong", {}, h("bdi", {}, one.expert)), " ", badge(verdictOf(one)), ` ${moment(one.created_at)}, round ${one.round}`,
      one.withdrawn_at && h("span", { class: "badge" }, `taken back ${moment(one.withdrawn_at)}`)),
    scores.length > 0 && h("p", {}, scores.join(" · ")),
    one.diff && [h("h3", {}, "Correction"), showDiff(one.diff.map(({ op, text: piece }) => ({ kind: KINDS[op], text: piece })))],
    one.notes && [h("h3", {}, "Notes"), text(one.notes, "Notes")],
    one.improvement_suggestions && [h("h3", {}, "Suggestions"), text(one.improvement_suggestions, "Suggestions")],
    verification(one, context));
}

function verification(one, context) {
  const place = h("div", { class: "verification" });
  const show = (now) => {
    if (now.is_verified) {
      return fill(place, h("span", { class: "badge good" }, "verified"), " by ", h("bdi", {}, now.verified_by), `, ${moment(now.verified_at)}`);
    }
    if (now.withdrawn_at || now.expert === context.session.user) return place;
    const button = h("button", { type: "button" }, "Verify");
    const said = h("div", {});
    button.setAttribute("aria-label", `Verify the annotation of ${now.expert}`);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        show(await context.client.request("POST", `/annotations/${segment(now.annotation_id)}/verify`, { body: {} }));
        context.announce("Verified.");
      } catch (error) {
        button.disabled = false;
        fill(said, problem(error));
      }
    });
    return fill(place, button, said);
  };
  show(one);
  return place;
}

