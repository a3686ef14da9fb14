/**
 * Requests about items of the queue: the next one, one by its name, verdict, skip, release.
 *
 * Belongs here: which requests in which order, and what is tried again. Not here: elements (desk.js), drafts (kept.js).
 */

import { segment } from "../../client/learning.js";

const TRIES = 3;
const MOST_EXCLUDED = 50;
const path = (id, verb = "") => `/annotations/queue/${segment(id)}${verb}`;

/**
 * @param {object} client
 * @param {{agent: string | null, domain?: string, type?: string, status?: string}} filters
 * @param {object} store See kept.js.
 */
export function queueOf(client, { agent, domain, type, status }, store) {
  const wanted = Object.fromEntries(Object.entries({ agent, domain, type, status }).filter(([, value]) => value));
  const filters = JSON.stringify(wanted);
  const releasing = () => Promise.all(store.releases);

  /** Leases an item by its name: { item, lease_until, now }. */
  const take = async (id) => {
    await releasing();
    const leased = await client.request("POST", path(id, "/lease"), { body: {} });
    const item = await client.request("GET", path(id));
    await store.hold(id);
    store.keepAtHand({ id, filters });
    return { item, lease_until: leased.lease_until, now: leased.now };
  };
  /** The item that was at hand before a reload; null if there is none, or somebody else has it now. */
  const again = async (elsewhere) => {
    const before = store.atHand();
    if (!before || (before.filters !== null && before.filters !== filters) || elsewhere.includes(before.id)) return null;
    store.keepAtHand(null);
    try {
      return await take(before.id);
    } catch (error) {
      if (error.status >= 400 && error.status < 500) return null;
      throw error;
    }
  };
  return {
    take,
    /** The most valuable item that is open to this expert and not at hand in another window, leased; null if there is none. */
    async next() {
      await releasing();
      const elsewhere = await store.elsewhere();
      const before = await again(elsewhere);
      if (before) return before;
      for (let tries = 0; tries < TRIES; tries += 1) {
        const body = { ...wanted, limit: 1, exclude: elsewhere.slice(0, MOST_EXCLUDED) };
        const { queue, total, now } = await client.request("POST", "/annotations/queue/next", { body });
        if (queue.length === 0) return null;
        const [item] = queue;
        if (await store.hold(item.example_id)) {
          store.keepAtHand({ id: item.example_id, filters });
          return { item, total, lease_until: item.lease_until, now };
        }
        elsewhere.unshift(item.example_id); // another window took it at the same moment
      }
      return null;
    },
    /** Sends a verdict. If the lease ran out, the item is leased again first; what refuses that is raised. */
    async review(item, draft, lease) {
      const said = { example_id: item.example_id, ...draft.scores };
      if (draft.verdict === "needs_revision") said.needs_revision = true;
      else said.approved = draft.verdict === "approved";
      if (draft.correction !== null) said.corrected_output = draft.correction;
      if (draft.notes.trim()) said.notes = draft.notes;
      if (draft.suggestions.trim()) said.improvement_suggestions = draft.suggestions;
      const send = () => client.request("POST", "/annotations", { body: said });
      if (!lease.out) {
        try {
          return await send();
        } catch (error) {
          if (error.status !== 409 || !error.message.includes("ran out")) throw error; // by the service's clock it ran out
        }
      }
      await client.request("POST", path(item.example_id, "/lease"), { body: {} });
      return send();
    },
    skip: (id) => client.request("POST", path(id, "/skip"), { body: {} }),
    /** Gives a lease back; whoever leaves need not know whether that went well: the lease ends by itself. */
    release(id) {
      const done = client.request("POST", path(id, "/release"), { body: {} }).catch(() => {}).finally(() => store.releases.delete(done));
      store.releases.add(done);
    },
  };
}
