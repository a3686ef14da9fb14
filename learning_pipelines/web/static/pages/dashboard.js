/**
 * The page Dashboard: <learning-dashboard> below the filters, which live in the address.
 *
 * Belongs here: putting the element onto a page. Not here: its numbers (elements/dashboard-view.js).
 */

import "../elements/learning-dashboard.js";
import { h } from "../ui/dom.js";
import { filtered } from "../ui/filters.js";
import { page } from "../ui/shell.js";

await page({
  title: "Dashboard",
  render: async (main, context) => {
    const element = h("learning-dashboard", { "pages-url": "", ".client": context.client });
    for (const name of ["dashboard-shown", "dashboard-drawn"]) element.addEventListener(name, () => performance.mark(name), { once: true });
    await filtered(main, context, {
      render: (target, { agent, days }) => {
        if (agent) element.setAttribute("agent", agent);
        else element.removeAttribute("agent");
        element.setAttribute("days", days);
        target.append(element);
      },
    });
  },
});
