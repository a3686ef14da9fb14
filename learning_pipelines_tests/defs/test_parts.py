"""A run of independent parts: skipped where all were left out, a success where one worked, with all reasons.

Belongs here: defs/parts.py on an instance of its own. Not here: what the parts do.
"""

import itertools

import dagster as dg
import pytest

from learning_pipelines import run_tags
from learning_pipelines.defs.parts import left_out, worked

SAID = {"rests": ("rests: too few", "skipped"), "does": ("", "success"), "finds": ("finds: nothing better", "success")}


def ran(*parts: str) -> dict[str, str]:
    def asset(name: str, before: list[str]) -> dg.AssetsDefinition:
        @dg.asset(name=name, deps=before)
        def made(context: dg.AssetExecutionContext) -> None:
            if name == "rests":
                left_out(context, name, "too few")
                left_out(context, name, "too few")
            else:
                worked(context, name, "nothing better" if name == "finds" else None)

        return made

    assets = [asset(part, list(parts[max(0, place - 1) : place])) for place, part in enumerate(parts)]
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(assets, instance=instance)
        run = instance.get_run_by_id(done.run_id)
        assert run is not None
        return dict(run.tags)


@pytest.mark.parametrize("parts", [order for count in (1, 2, 3) for order in itertools.permutations(SAID, count)])
def test_a_run_is_skipped_only_if_every_part_is_and_says_why_of_each(parts: tuple[str, ...]) -> None:
    tags = ran(*parts)
    assert tags[run_tags.STATUS] == ("skipped" if parts == ("rests",) else "success")
    assert tags.get(run_tags.REASON, "") == "; ".join(SAID[part][0] for part in parts if SAID[part][0])
