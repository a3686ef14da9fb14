/** The page Annotate. */

import { h } from "../ui/dom.js";
import { page } from "../ui/shell.js";

await page({
  title: "Annotate",
  render: (main) => main.append(h("p", { class: "empty" }, "This page is not there yet.")),
});
