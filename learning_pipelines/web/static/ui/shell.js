/**
 * What every page has: the session, signing in, navigation, theme, announcements, problems.
 *
 * Belongs here: the frame around a page. Not here: what a page shows (pages/).
 */

import { ApiError, LearningClient } from "../client/learning.js";
import { h, fill } from "./dom.js";

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
  applyTheme(localStorage.getItem("learning-theme") ?? "auto");
  const main = h("main", { id: "main", tabindex: "-1" });
  const live = h("div", { class: "visually-hidden", role: "status", "aria-live": "polite", id: "announcements" });
  const client = new LearningClient({ baseUrl: location.origin });
  const session = await signedIn(client);
  keepSignedIn(client);
  document.body.replaceChildren(h("a", { class: "skip", href: "#main" }, "Skip to content"), header(client, session, title), main, live);
  const context = {
    client, session, can: (needed) => permits(session.role, needed),
    announce: (text) => { live.textContent = ""; requestAnimationFrame(() => { live.textContent = text; }); },
    problem: (error, element) => fill(element, problem(error)),
  };
  fill(main, h("h1", {}, title));
  if (!permits(session.role, role)) {
    main.append(problem(new ApiError(403, "Not for this role", `This page needs the role ${role}; you are signed in with the role ${session.role}.`)));
    return;
  }
  try {
    await render(main, context);
  } catch (error) {
    main.append(problem(error));
    if (!(error instanceof ApiError)) throw error;
  }
}

/** A problem as an element that says what happened and what to do next. */
export function problem(error) {
  const next = error.status === 0 ? "Check that the service runs, then try again." : error.transient ? "Try again in a moment." : null;
  return h("div", { class: "problem", role: "alert" }, h("strong", {}, error.title ?? "Something went wrong"), " ", error.message, next && [" ", next]);
}

async function signedIn(client) {
  try {
    return adopt(client, await client.request("GET", "/session"));
  } catch (error) {
    if (error.status !== 401 && error.status !== 403) {
      document.body.replaceChildren(h("main", {}, h("h1", {}, "learning_pipelines"), problem(error)));
      throw error;
    }
  }
  return new Promise((resolve) => {
    document.body.replaceChildren(h("main", { class: "sign-in" }, h("h1", {}, "Sign in to learning_pipelines"), signInForm(client, resolve)));
    document.querySelector("input").focus();
  });
}

function adopt(client, session) {
  client.csrfToken = session.csrf_token;
  return session;
}

function signInForm(client, done) {
  const key = h("input", { id: "api-key", type: "password", autocomplete: "current-password", required: true, "aria-describedby": "key-help" });
  const said = h("div", {});
  const button = h("button", { class: "primary" }, "Sign in");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const bearer = new LearningClient({ baseUrl: client.baseUrl, token: key.value.trim(), fetch: (url, options) => fetch(url, { ...options, credentials: "same-origin" }) });
      done(adopt(client, await bearer.request("POST", "/session", { body: {} })));
    } catch (error) {
      fill(said, problem(error.status === 401 ? new ApiError(401, "Not accepted", "There is no such key, or it was revoked.") : error));
      key.focus();
    } finally {
      button.disabled = false;
    }
  };
  return h("form", { onsubmit: submit },
    h("label", { for: "api-key" }, "API key"), key,
    h("p", { id: "key-help", class: "hint" }, "An administrator makes one: ", h("code", {}, "learning-pipelines keys create --role expert --user you")),
    button, said);
}

/** A session that ended in the middle of work is made anew over the page, and the request repeated: nothing typed is lost. */
function keepSignedIn(client) {
  const request = client.request.bind(client);
  let asking = null;
  client.request = async (...given) => {
    try {
      return await request(...given);
    } catch (error) {
      if (error.status !== 401) throw error;
      asking ??= askAgain(client).finally(() => { asking = null; });
      await asking;
      return request(...given);
    }
  };
}

function askAgain(client) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-label": "Sign in again", oncancel: (event) => event.preventDefault() }, h("h2", {}, "Your session has ended"));
    dialog.append(h("p", {}, "Sign in again: what you have typed is still here."), signInForm(client, (session) => { dialog.close(); dialog.remove(); resolve(session); }));
    document.body.append(dialog);
    dialog.showModal();
  });
}

function header(client, session, title) {
  const links = PAGES.map(([path, name]) => h("a", { href: path, "aria-current": name === title ? "page" : null }, name));
  const leave = async () => {
    await client.request("DELETE", "/session");
    location.reload();
  };
  return h("header", { class: "top" },
    h("nav", { "aria-label": "Pages" }, links, dagsterLink && h("a", { href: dagsterLink, rel: "noopener" }, "Dagster")),
    h("div", { class: "who" },
      h("span", {}, `${session.user} · ${session.role} · ${session.organization}`), themeButton(),
      h("button", { type: "button", onclick: leave }, "Sign out")));
}

function themeButton() {
  const button = h("button", { type: "button" });
  const write = () => { button.textContent = `Theme: ${document.documentElement.dataset.theme ?? "auto"}`; };
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % THEMES.length];
    localStorage.setItem("learning-theme", next);
    applyTheme(next);
    write();
  });
  write();
  return button;
}

function applyTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
