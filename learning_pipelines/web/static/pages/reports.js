/**
 * The page Reports: the weeks that have a report, rates over them, and one report with its numbers, queries and files.
 *
 * Belongs here: the list, choosing a week, files. Not here: the sections of one report (report_sections.js), drawing (ui/charts.js).
 */

import { segment } from "../client/learning.js";
import { chart } from "../ui/charts.js";
import { fill, h } from "../ui/dom.js";
import { count, NONE, number, percent } from "../ui/format.js";
import { dagsterLink, page } from "../ui/shell.js";
import { sections } from "./report_sections.js";

const WEEK = /^#(\d{4}-W\d{2})$/;

await page({ title: "Reports", render });

async function render(main, context) {
  const { reports } = await context.client.request("GET", "/reports");
  if (!reports.length) {
    main.append(empty());
    return;
  }
  const shown = h("section", { "aria-live": "off" });
  main.append(h("div", { class: "grid" }, charts(reports)), h("h2", {}, "Weeks"), list(reports), shown);
  let reading = new AbortController();
  const follow = (focus) => {
    reading.abort(); // an answer about the week before must not come in afterwards
    reading = new AbortController();
    return show(shown, context, WEEK.exec(location.hash)?.[1] ?? reports[0].week, focus, reading.signal);
  };
  addEventListener("hashchange", () => { if (!location.hash || WEEK.test(location.hash)) follow(true); });
  await follow(WEEK.test(location.hash));
}

function empty() {
  const where = "materialize learning_report in Dagster";
  return h("div", { class: "empty" },
    h("p", {}, "There is no report yet. One is made every Monday at 09:00, of the week that has ended."),
    h("p", {}, "Make one now: ", h("code", {}, "learning-pipelines run learning_report")),
    h("p", {}, "Earlier weeks: ", dagsterLink ? h("a", { href: `${dagsterLink}/assets/learning_report`, rel: "noopener" }, where) : where,
      " for the weeks that you want."));
}

/** Rate and rating over the weeks, oldest first. */
function charts(reports) {
  const weeks = [...reports].reverse();
  const end = (name, place) => weeks.map((week) => week[name]?.[place] ?? null);
  return [
    chart({
      title: "Executions with feedback", labels: weeks.map((week) => week.week), labelsName: "Week", min: 0, write: (value) => percent(value),
      series: [{ name: "With feedback", values: weeks.map((week) => week.feedback_rate), low: end("feedback_rate_interval", 0),
        high: end("feedback_rate_interval", 1), counts: weeks.map((week) => week.executions) }],
      targets: [{ name: "Target", value: 0.2 }], note: "95 % intervals; n is executions.",
    }),
    chart({
      title: "Average rating", labels: weeks.map((week) => week.week), labelsName: "Week", min: 1, max: 5, write: (value) => number(value),
      series: [{ name: "Rating", values: weeks.map((week) => week.avg_rating), low: end("rating_interval", 0), high: end("rating_interval", 1),
        counts: weeks.map((week) => week.ratings) }], targets: [{ name: "Target", value: 4 }], note: "95 % intervals; n is ratings.",
    }),
  ];
}

function list(reports) {
  const numbers = ["Executions", "With feedback", "Rating", "Approved", "Adopted"];
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Weeks" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Week"), numbers.map((name) => h("th", { scope: "col", class: "number" }, name)),
      h("th", { scope: "col" }, "Alarms"))),
    h("tbody", {}, reports.map((week) => h("tr", {},
      h("th", { scope: "row" }, h("a", { href: `#${week.week}` }, week.week), " ", h("span", { class: "hint" }, `${week.starts} to ${week.ends}`)),
      h("td", { class: "number" }, count(week.executions)),
      h("td", { class: "number" }, percent(week.feedback_rate)),
      h("td", { class: "number" }, week.avg_rating === null ? NONE : `${number(week.avg_rating)} (n = ${count(week.ratings)})`),
      h("td", { class: "number" }, count(week.approved)),
      h("td", { class: "number" }, count(week.adopted)),
      h("td", {}, week.drift_alarms ? h("span", { class: "badge bad" }, "drift alarm") : null))))));
}

async function show(place, context, week, focus, signal) {
  fill(place, h("p", { class: "hint" }, `Reading week ${week} …`));
  try {
    const report = await context.client.request("GET", `/reports/${segment(week)}`, { signal });
    const heading = h("h2", { tabindex: "-1" }, `Week ${report.week} · ${report.organization}`);
    const happened = `${count(report.executions)} executions, ${count(report.feedback)} feedback`;
    const about = `${report.starts} to ${report.ends} (${report.timezone}) · ${happened}`;
    const old = "This report was made by an earlier version: materialize learning_report for its week again.";
    fill(place, heading, h("p", { class: "hint" }, about), report.headline ? [files(report), sections(report)] : h("p", { class: "notice" }, old));
    if (focus) heading.focus();
    context.announce(`Week ${report.week}`);
  } catch (error) {
    if (!signal.aborted) context.problem(error, place);
  }
}

/** The report as files; the page opens as it is kept, with its own styles. */
function files(report) {
  const address = (form) => `/api/learning/reports/${segment(report.week)}/${form}`;
  return h("p", { class: "bar" },
    h("a", { href: address("html") }, "Open as a page (to print or send)"),
    h("a", { href: address("html"), download: `learning-report-${report.week}.html` }, "HTML"),
    h("a", { href: address("md"), download: `learning-report-${report.week}.md` }, "Markdown"),
    h("a", { href: address("json"), download: `learning-report-${report.week}.json` }, "JSON"),
    dagsterLink && h("a", { href: `${dagsterLink}/assets/learning_report?partition=${segment(report.starts)}`, rel: "noopener" }, "In Dagster"));
}
