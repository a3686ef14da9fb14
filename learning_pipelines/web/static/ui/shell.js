/**
 * What every page has: navigation, theme, announcements, and who may see it.
 *
 * Belongs here: the frame around a page. Not here: the session (session.js), what a page shows (pages/).
 */

import { ApiError, LearningClient } from "../client/learning.js";
import { h, fill } from "./dom.js";
import { problem } from "./problem.js";
import { keepSignedIn, signOut, signedIn } from "./session.js";

export { problem } from "./problem.js";

const PAGES = [["/", "Dashboard"], ["/executions", "Executions"], ["/annotate", "Annotate"], ["/training", "Training"], ["/reports", "Reports"]];
const THEMES = ["auto", "light", "dark"];

/** The address of the Dagster UI. */
export const dagsterLink = document.querySelector('meta[name="learning:dagster"]')?.content ?? "";

/** Whether a role includes another: each includes user, admin includes all. */
export const permits = (role, needed) => needed === "user" || role === needed || role === "admin";

/**
 * Runs a page: signs in where there is no session, then calls `render(main, context)`.
 *
 * context: { client, session, can(role), announce(text), problem(error, element) }.
 * @param {{title: string, role?: string, render: (main: HTMLElement, context: object) => unknown}} page
 */
export async function page({ title, role = "user", render }) {
  applyTheme(keptTheme());
  const main = h("main", { id: "main", tabindex: "-1" });
  const live = h("div", { class: "visually-hidden", role: "status", "aria-live": "polite", id: "announcements" });
  const client = new LearningClient({ baseUrl: location.origin });
  const session = await signedIn(client).catch(unreachable);
  keepSignedIn(client, session);
  document.body.replaceChildren(skipTo(main), header(client, session, title), main, live);
  const context = {
    client, session, can: (needed) => permits(session.role, needed),
    announce: (text) => { live.textContent = ""; requestAnimationFrame(() => { live.textContent = text; }); },
    problem: (error, element) => fill(element, problem(error)),
  };
  fill(main, h("h1", {}, title));
  if (session.isNew) main.focus();
  if (!permits(session.role, role)) {
    main.append(problem(new ApiError(403, "Not for this role", `This page needs the role ${role}; you are signed in with the role ${session.role}.`)));
    return;
  }
  try {
    await render(main, context);
  } catch (error) {
    main.append(problem(error), tryAgain());
    if (!(error instanceof ApiError)) throw error;
  }
}

const tryAgain = () => h("button", { type: "button", onclick: () => location.reload() }, "Try again");

/** Instead of the page: the service does not say whose session this is. */
function unreachable(error) {
  document.body.replaceChildren(h("main", {}, h("h1", {}, "learning_pipelines"), problem(error), tryAgain()));
  if (!(error instanceof ApiError)) throw error;
  return new Promise(() => {}); // the page goes on when it is loaded anew
}

/** Moves the focus, not the address: filters are kept there. */
function skipTo(main) {
  return h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); main.scrollIntoView(); } }, "Skip to content");
}

function header(client, session, title) {
  const links = PAGES.map(([path, name]) => h("a", { href: path, "aria-current": name === title ? "page" : null }, name));
  const carry = () => links.forEach((link, place) => { link.href = PAGES[place][0] + chosen(); });
  carry();
  window.addEventListener("querychange", carry); // of filters.js
  const leave = () => signOut(client).catch((error) => {
    top.querySelector(".problem")?.remove();
    top.append(problem(error));
  });
  const top = h("header", { class: "top" },
    h("nav", { "aria-label": "Pages" }, links, dagsterLink && h("a", { href: dagsterLink, rel: "noopener" }, "Dagster")),
    h("div", { class: "who" },
      h("span", {}, `${session.user} · ${session.role} · ${session.organization}`), themeButton(),
      h("button", { type: "button", onclick: leave }, "Sign out")));
  return top;
}

/** Agent and period go along to the next page. */
function chosen() {
  const now = new URLSearchParams(location.search);
  const kept = new URLSearchParams(["agent", "days"].filter((name) => now.get(name)).map((name) => [name, now.get(name)]));
  return kept.size ? `?${kept}` : "";
}

function themeButton() {
  const button = h("button", { type: "button" });
  const write = () => { button.textContent = `Theme: ${document.documentElement.dataset.theme ?? "auto"}`; };
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % THEMES.length];
    keepTheme(next);
    applyTheme(next);
    write();
  });
  window.addEventListener("storage", (event) => {
    if (event.key !== "learning-theme") return;
    applyTheme(keptTheme());
    write();
  });
  write();
  return button;
}

/** The theme is this browser's; where it keeps nothing, it is the system's again on the next page. */
function keptTheme() {
  try {
    const kept = localStorage.getItem("learning-theme");
    return THEMES.includes(kept) ? kept : "auto";
  } catch {
    return "auto";
  }
}

function keepTheme(theme) {
  try {
    localStorage.setItem("learning-theme", theme);
  } catch {
    // Storage is switched off or full.
  }
}

function applyTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
