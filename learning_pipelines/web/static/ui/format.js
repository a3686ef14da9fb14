/**
 * Numbers and times as people read them. What has nothing behind it reads "no evidence", never 0.
 *
 * Belongs here: wording of single values. Not here: elements.
 */

export const NONE = "no evidence";
const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

export const count = (value) => (known(value) ? new Intl.NumberFormat("en").format(value) : NONE);
export const number = (value, digits = 2) => (known(value) ? value.toFixed(digits) : NONE);
export const percent = (value, digits = 1) => (known(value) ? `${(100 * value).toFixed(digits)} %` : NONE);
/** A difference of shares in points, with its sign. */
export const points = (value, digits = 1) => (known(value) ? `${value >= 0 ? "+" : "−"}${Math.abs(100 * value).toFixed(digits)} points` : NONE);
export const interval = (low, high, write = number) => (known(low) && known(high) ? `[${write(low)}, ${write(high)}]` : NONE);
export const moment = (text) => (text ? new Date(text).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) : "never");
export const day = (text) => (text ? new Date(text).toLocaleDateString("en-GB", { dateStyle: "medium" }) : "never");

/** How long ago, in its largest unit. */
export function ago(text, now = Date.now()) {
  if (!text) return "never";
  const seconds = (new Date(text).getTime() - now) / 1000;
  const units = [["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];
  const [unit, size] = units.find(([, length]) => Math.abs(seconds) >= length) ?? units.at(-1);
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(seconds / size), unit);
}
