/**
 * A refusal or a failure, as people read it: what happened, and what to do next.
 *
 * Belongs here: wording of problems. Not here: raising them (client/transport.js).
 */

import { h } from "./dom.js";

/** A problem as an element. */
export function problem(error) {
  return h("div", { class: "problem", role: "alert" }, h("strong", {}, error.title ?? "Something went wrong"), " ", error.message, " ", next(error));
}

function next(error) {
  if (error.status === 0) return "Check that the service runs, then try again.";
  if (!error.transient) return null;
  return error.retryAfter ? `Try again in ${seconds(error.retryAfter)}.` : "Try again in a moment.";
}

/** A time to wait: "1 second", "40 seconds", "2 minutes". */
export function seconds(value) {
  const [size, unit] = [[3600, "hour"], [60, "minute"], [1, "second"]].find(([length]) => value >= 1.5 * length) ?? [1, "second"];
  const count = Math.max(1, Math.ceil(value / size));
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
