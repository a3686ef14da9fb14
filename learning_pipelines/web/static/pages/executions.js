/**
 * The page Executions: a list with filters, and one with all that was said about it. What is shown stands in the address.
 *
 * Belongs here: which of both is shown, and the address. Not here: the list (executions/list.js), one (executions/one.js).
 */

import { h } from "../ui/dom.js";
import { page } from "../ui/shell.js";
import { list } from "./executions/list.js";
import { one } from "./executions/one.js";

await page({
  title: "Executions",
  async render(main, context) {
    const title = main.querySelector("h1");
    const places = { list: h("div", {}), one: h("div", { hidden: true }) };
    main.append(places.list, places.one);
    const listed = list(context, (query) => go(query));
    places.list.append(listed.element);

    /** Goes to an address of this page without loading it anew. */
    function go(query) {
      history.pushState(null, "", query.size ? `?${query}` : location.pathname);
      return show();
    }

    async function show(first = false) {
      const query = new URLSearchParams(location.search);
      const execution = query.get("execution");
      [places.list.hidden, places.one.hidden] = [execution !== null, execution === null];
      title.textContent = execution === null ? "Executions" : "Execution";
      if (execution === null) return listed.show(query);
      query.delete("execution");
      await one(context, places.one, execution, query.size ? `?${query}` : location.pathname);
      if (!first) title.focus();
    }

    title.tabIndex = -1;
    main.addEventListener("click", (event) => {
      const link = event.target.closest("a[href^='?'], a[data-here]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      go(new URL(link.href).searchParams);
    });
    addEventListener("popstate", () => show());
    await show(true);
  },
});
