/**
 * Addresses in the Dagster UI: assets with their partition, runs.
 *
 * Belongs here: the forms that Dagster's addresses have. Not here: what is shown with them, the address of the UI itself (shell.js).
 */

import { h } from "./dom.js";
import { dagsterLink } from "./shell.js";

/** @param {string} key @param {string} [partition] Of an agent, as agentPartition gives it. */
export function assetLink(key, partition) {
  const query = new URLSearchParams(partition ? { view: "partitions", partition } : { view: "overview" });
  return `${dagsterLink}/assets/${encodeURIComponent(key)}?${query}`;
}

/** @param {string} id Dagster's id of a run. */
export const runLink = (id) => `${dagsterLink}/runs/${encodeURIComponent(id)}`;

/** The partition of an agent, as every asset per agent has it. */
export const agentPartition = (organization, agent) => `${organization}/${agent}`;

/** A link into the Dagster UI; the text alone where it has no address. */
export const intoDagster = (address, text) => (dagsterLink ? h("a", { href: address, rel: "noopener" }, text) : h("span", {}, text));
