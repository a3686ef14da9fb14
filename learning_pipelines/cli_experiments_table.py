"""Experiments as tables for a terminal.

Belongs here: lines of text from what experiments/showing.py gives. Not here: verbs (cli_experiments.py).
"""

from __future__ import annotations

from typing import Any


def line(one: dict[str, Any]) -> str:
    """An experiment among others."""
    arms = " against ".join([", ".join(str(arm["version"]) for arm in one["arms"][1:]), str(one["arms"][0]["version"])])
    units = sum(arm["units"] for arm in one["arms"])
    return f"{one['id']}  {one['agent']:20} {one['state']:9} {one['decision'] or '–':15} {units:>8} units  {one['subject']} {arms}  {one['name']}"


def table(one: dict[str, Any]) -> list[str]:
    """One: its arms with units, means and differences, guardrails that need a look, what it comes to and how much longer it takes."""
    since = f" since {one['started_at'][:16].replace('T', ' ')}" if one["started_at"] and one["state"] == "running" else ""
    at = f" at {one['steps'][one['step']]:g} % of the traffic" if one["steps"] else ""
    head = f"{one['name']}  ({one['id']})"
    what = f"{one['kind']} on the {one['subject']} of {one['agent']} by {one['unit']}: {one['state']}{at}{since}"
    return [head, what, *_arms(one), *_guardrails(one), *_verdict(one)]


def _arms(one: dict[str, Any]) -> list[str]:
    wide = max(len("arm"), *(len(arm["variant"]) for arm in one["arms"]))
    primary = {each["variant"]: each for each in one["comparisons"] if each["role"] == "primary"}
    rows = [f"{'arm':{wide}}  {'version':>7}  {'share':>7}  {'units':>9}  {one['primary_metric']:>12}  difference"]
    for arm in one["arms"]:
        mean = "–" if arm["mean"] is None else f"{arm['mean']:.4g}"
        row = f"{arm['variant']:{wide}}  {arm['version']:>7}  {arm['weight']:>7.1%}  {arm['units']:>9}  {mean:>12}"
        rows.append(f"{row}  {_difference(primary.get(arm['variant']))}".rstrip())
    return rows


def _difference(compared: dict[str, Any] | None) -> str:
    if compared is None or compared["difference"] is None:
        return ""
    low, high = ("any" if compared[end] is None else f"{compared[end]:+.4g}" for end in ("low", "high"))
    return f"{compared['difference']:+.4g} [{low}, {high}]  p = {compared['p']:.3g}"


def _guardrails(one: dict[str, Any]) -> list[str]:
    from learning_pipelines.storage.experiment_units import REFUSED

    watched = [each for each in one["comparisons"] if each["role"] == "guardrail" and each["difference"] is not None]
    lines = [f"guardrail {each['metric']} of {each['variant']}: {_difference(each)}{'  HARMED' if each['harmed'] else ''}" for each in watched]
    ratio = one["sample_ratio"]
    broken = [f"the arms do not have their shares: p = {ratio['p']:.2g}"] if ratio and ratio["broken"] else []
    left_out = [f"{count} events count in no verdict: {REFUSED.get(why, why)}" for why, count in one["refused"].items()]
    return [*lines, *broken, *left_out]


def _verdict(one: dict[str, Any]) -> list[str]:
    if one["state"] in ("completed", "cancelled"):
        return [f"decision: {one['decision']}"] if one["decision"] else []
    verdict = one["verdict"]
    return [] if verdict is None else [f"verdict so far: {verdict['decision']}. {verdict['reason']}"]
