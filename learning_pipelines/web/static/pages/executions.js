/** The page Executions. */

import { h } from "../ui/dom.js";
import { page } from "../ui/shell.js";

await page({
  title: "Executions",
  render: (main) => main.append(h("p", { class: "empty" }, "This page is not there yet.")),
});
