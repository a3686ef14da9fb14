/**
 * What this window remembers of reviewing, so that a reload or an ended session loses nothing: drafts, the item at hand, what can be undone.
 *
 * Belongs here: sessionStorage (of one window), locks between windows of one expert, the switch of shortcuts. Not here: the service, elements.
 */

/** @typedef {{verdict: string | null, correction: string | null, scores: Record<string, number>, notes: string, suggestions: string}} Draft */
/** @typedef {{undoId: string | null, ids: string[], label: string, draft?: Draft}} Done What was done; undoId null: a skip. */

const MOST_DONE = 20;
const MOST_DRAFT_IN_DONE = 20_000;

/**
 * @param {{organization: string, user: string}} session
 */
export function kept(session) {
  const own = `learning-annotate:${session.organization}:${session.user}`;
  const read = (name, otherwise) => {
    try {
      return JSON.parse(sessionStorage.getItem(`${own}:${name}`)) ?? otherwise;
    } catch {
      return otherwise;
    }
  };
  const write = (name, value) => {
    try {
      if (value === null) sessionStorage.removeItem(`${own}:${name}`);
      else sessionStorage.setItem(`${own}:${name}`, JSON.stringify(value));
      return true;
    } catch {
      return false; // full, or switched off
    }
  };
  return {
    /** @returns {Draft | null} */
    draft: (id) => read(`draft:${id}`, null),
    /** False if it cannot be kept. */
    keepDraft: (id, draft) => write(`draft:${id}`, draft),
    dropDraft: (id) => write(`draft:${id}`, null),
    /** The item at hand and the filters it was found with. @returns {{id: string, filters: string | null} | null} */
    atHand: () => read("at-hand", null),
    keepAtHand: (value) => write("at-hand", value),
    /** The desk is to take this item next, whatever the filters. */
    askFor: (id) => write("at-hand", { id, filters: null }),
    /** @returns {Done[]} The last thing done comes last. */
    done: () => read("done", []),
    addDone: (done) => {
      const small = JSON.stringify(done.draft ?? null).length <= MOST_DRAFT_IN_DONE ? done : { ...done, draft: undefined };
      write("done", [...read("done", []), small].slice(-MOST_DONE));
    },
    dropDone: (done) => write("done", read("done", []).filter((one) => JSON.stringify(one) !== JSON.stringify(done))),
    /** Leases that are being given back: no item is taken before they are. @type {Set<Promise<unknown>>} */
    releases: new Set(),
    ...windows(own),
  };
}

/** Other windows of the same expert: an item is at hand in one of them. Without locks (plain HTTP) the service refuses the second verdict. */
function windows(own) {
  const name = (id) => `${own}:item:${id}`;
  let letGo = () => {};
  return {
    /** Ids at hand in other windows. */
    async elsewhere() {
      if (!navigator.locks) return [];
      const { held } = await navigator.locks.query();
      return held.filter((lock) => lock.name.startsWith(name(""))).map((lock) => lock.name.slice(name("").length));
    },
    /** Takes an item to hand in this window; false if another one has it. */
    hold(id) {
      letGo();
      if (!navigator.locks) return Promise.resolve(true);
      return new Promise((answer) => {
        navigator.locks.request(name(id), { ifAvailable: true }, (lock) => {
          answer(lock !== null);
          return lock && new Promise((resolve) => { letGo = resolve; });
        }).catch(() => answer(true)); // the browser permits no locks here: the service refuses the second verdict
      });
    },
    letGo: () => letGo(),
  };
}

const SWITCH = "learning-annotate-shortcuts";
let switched = null; // where the browser keeps nothing
/** Whether single keys are shortcuts; remembered in this browser. */
export function singleKeys() {
  try {
    return (switched ?? localStorage.getItem(SWITCH)) !== "off";
  } catch {
    return true;
  }
}

export function setSingleKeys(on) {
  switched = on ? "on" : "off";
  try {
    localStorage.setItem(SWITCH, switched);
    switched = null;
  } catch {
    // Storage is switched off or full.
  }
}
