"""What experiments make of served prompts: the unit's variant from every worker, counted once, and production wherever there is no part to take.

Belongs here: GET /prompts/{agent_id}?unit=. Not here: the hash (experiments/test_assignment.py), the writing thread (test_exposures.py), search
(test_search.py), next-action (test_next_action.py).
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from learning_pipelines.client import Client, Options
from learning_pipelines.experiments.assignment import ranges_of_step, ranges_of_weights, slice_for
from learning_pipelines.llm import Message
from learning_pipelines.prompts.prompt import Prompt, Retrieval
from learning_pipelines.storage import experiments, proposals
from learning_pipelines.storage.experiment_rows import Arm, Status
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.api.experimenting import HALVES, add_version, an_agent, ask, asked, carried, change, met, run
from learning_pipelines_tests.api.serving import Api, serving

UNITS = [f"user-{number}" for number in range(24)]
_numbers = itertools.count(1)
PRODUCTION = ("1", None, None)


@pytest.fixture
def agent(api: Api) -> AgentRef:
    return an_agent(api, f"trial-{next(_numbers)}")


@pytest.fixture
def another_worker(api: Api) -> Iterator[Api]:
    """A worker that has seen nothing yet, as after a restart."""
    with serving(api.database, api.settings) as running:
        yield running


def part(answer: dict[str, Any]) -> tuple[Any, ...]:
    return answer["version"], answer["experiment"], answer["variant"]


def to(agent: AgentRef, experiment: UUID, status: Status) -> Callable[[Any], Any]:
    return lambda connection: experiments.set_status(connection, agent.organization_id, experiment, status)


def test_a_unit_gets_the_version_of_its_variant_from_every_worker_and_after_a_restart(api: Api, agent: AgentRef, another_worker: Api) -> None:
    one = run(api, agent)
    first = {unit: part(asked(api, agent, unit)) for unit in UNITS}
    assert {(version, variant) for version, _, variant in first.values()} == {("1", "control"), ("2", "treatment")}
    assert {experiment for _, experiment, _ in first.values()} == {str(one)}
    assert {unit: part(asked(another_worker, agent, unit)) for unit in UNITS} == first
    assert asked(api, agent, next(unit for unit in UNITS if first[unit][0] == "2"))["messages"][0]["content"].endswith("version 2.")


def test_who_was_met_is_written_once_with_the_time_it_happened(api: Api, agent: AgentRef, another_worker: Api) -> None:
    one = run(api, agent)
    begun = dt.datetime.now(dt.UTC)
    first = {unit: asked(api, agent, unit)["variant"] for unit in UNITS[:6] * 2}
    ended = dt.datetime.now(dt.UTC)
    rows = met(api, one, 6)
    assert rows == {unit: (variant, 1) for unit, variant in first.items()}
    for unit in UNITS[:7]:
        asked(another_worker, agent, unit)
    assert len(met(api, one, 7)) == 7
    with api.database.connect("pipeline") as connection:
        times = connection.execute(
            "SELECT exposed_at FROM experiment_assignments WHERE experiment_id = %s AND unit = ANY(%s)", [one, UNITS[:6]]
        ).fetchall()
    assert all(begun <= at <= ended for (at,) in times)


def test_a_preview_shows_the_variant_without_counting(api: Api, agent: AgentRef) -> None:
    one = run(api, agent)
    shown = asked(api, agent, "ann", exposure="false")
    assert shown["experiment"] == str(one)
    assert asked(api, agent, "bob")["experiment"] == str(one)
    assert set(met(api, one, 1)) == {"bob"}


def test_changed_weights_move_nobody_who_was_met(api: Api, agent: AgentRef, another_worker: Api) -> None:
    one = run(api, agent)
    first = {unit: asked(api, agent, unit)["variant"] for unit in UNITS}
    assert len(met(api, one, len(UNITS))) == len(UNITS)
    arms = (Arm("control", 1, 0.9), Arm("treatment", 2, 0.1))
    change(
        api, lambda connection: experiments.begin_epoch(connection, agent.organization_id, one, ranges_of_weights(arms, ranges_of_weights(HALVES)))
    )  # fmt: skip
    for worker in (api, another_worker):
        assert {unit: asked(worker, agent, unit)["variant"] for unit in UNITS} == first
    new = [f"new-{number}" for number in range(60)]
    treated = sum(asked(another_worker, agent, unit)["variant"] == "treatment" for unit in new)
    assert treated <= 16  # of 60 at 10 %: more has a chance below 0.0002
    rows = met(api, one, len(UNITS) + 60)
    assert {epoch for unit, (_, epoch) in rows.items() if unit in first} == {1} and {rows[unit][1] for unit in new} == {2}


def test_units_that_lie_in_no_range_are_served_as_if_there_were_no_experiment(api: Api, agent: AgentRef) -> None:
    one = run(api, agent)
    change(api, lambda connection: experiments.begin_epoch(connection, agent.organization_id, one, ranges_of_step(5)))
    fresh = [f"fresh-{number}" for number in range(40)]
    parts = [part(asked(api, agent, unit)) for unit in fresh]
    assert parts.count(PRODUCTION) > 25
    assert len(met(api, one, 40 - parts.count(PRODUCTION))) == 40 - parts.count(PRODUCTION)


@pytest.mark.parametrize("status", ["paused", "completed", "cancelled", "draft"])
def test_an_experiment_that_does_not_run_serves_nobody(api: Api, agent: AgentRef, status: Status) -> None:
    one = run(api, agent)
    assert asked(api, agent, "ann")["experiment"] == str(one)
    change(api, to(agent, one, status))
    assert {part(asked(api, agent, unit)) for unit in UNITS[:10]} == {PRODUCTION}


def test_a_paused_experiment_gives_everybody_his_variant_back(api: Api, agent: AgentRef) -> None:
    one = run(api, agent)
    first = {unit: part(asked(api, agent, unit)) for unit in UNITS[:10]}
    change(api, lambda connection: experiments.end_epoch(connection, agent.organization_id, one), to(agent, one, "paused"))
    change(
        api, lambda connection: experiments.begin_epoch(connection, agent.organization_id, one, ranges_of_weights(HALVES)), to(agent, one, "running")
    )  # fmt: skip
    assert {unit: part(asked(api, agent, unit)) for unit in UNITS[:10]} == first


def test_a_disabled_agent_has_no_experiments(api: Api, agent: AgentRef) -> None:
    run(api, agent)
    change(api, lambda connection: proposals.set_learning(connection, agent.organization_id, agent.agent_id, False))
    assert {part(asked(api, agent, unit)) for unit in UNITS[:10]} == {PRODUCTION}


def test_without_a_unit_and_with_another_label_there_is_no_experiment(api: Api, agent: AgentRef) -> None:
    one = run(api, agent)
    change(
        api, lambda connection: connection.execute(
            "INSERT INTO prompt_labels (organization_id, agent_id, label, version) VALUES (%s, %s, 'staging', 2)", [agent.organization_id, agent.agent_id]
        )
    )  # fmt: skip
    assert part(asked(api, agent)) == part(asked(api, agent, "")) == PRODUCTION
    assert {part(asked(api, agent, unit, label="staging")) for unit in UNITS[:6]} == {("2", None, None)}
    asked(api, agent, "bob")
    assert set(met(api, one, 1)) == {"bob"}


def test_experiments_of_another_organization_never_show(api: Api, agent: AgentRef) -> None:
    api.key(organization="elsewhere")
    theirs = an_agent(api, agent.agent, "elsewhere")
    one = run(api, theirs)
    assert {part(asked(api, agent, unit)) for unit in UNITS[:10]} == {PRODUCTION}
    assert asked(api, theirs, "ann")["experiment"] == str(one)
    assert set(met(api, one, 1)) == {"ann"}


def test_with_an_input_the_variant_shows_its_own_prompt(api: Api, agent: AgentRef) -> None:
    one = run(api, agent)
    for unit in UNITS[:8]:
        plain, with_input = asked(api, agent, unit, exposure=False), asked(api, agent, unit, input="hello")
        assert part(with_input) == part(plain) and with_input["messages"] == [*plain["messages"], {"role": "user", "content": "hello"}]
        assert with_input["etag"] != plain["etag"]
    assert set(met(api, one, 8)) == set(UNITS[:8])


def test_every_variant_has_an_etag_of_its_own(api: Api, agent: AgentRef) -> None:
    run(api, agent)
    etags = {answer["variant"]: answer["etag"] for answer in (asked(api, agent, unit) for unit in UNITS)}
    etags[""] = asked(api, agent)["etag"]
    assert len(set(etags.values())) == 3 and "treatment" in etags["treatment"] and etags["treatment"].startswith('"2-')
    for unit in UNITS[:6]:
        variant = asked(api, agent, unit)["variant"]
        for known, etag in etags.items():
            assert ask(api, agent, etag, unit=unit).status_code == (304 if known == variant else 200)


def test_where_a_version_is_gone_the_control_serves_says_so_and_counts_nobody(api: Api, agent: AgentRef) -> None:
    one = run(api, agent, (Arm("control", 1, 0.5), Arm("treatment", 9, 0.5)))
    answers = {unit: asked(api, agent, unit) for unit in UNITS}
    lost = [unit for unit, answer in answers.items() if answer["experiment"] is None]
    assert 2 < len(lost) < 22
    assert {(answers[unit]["version"], answers[unit]["variant"]) for unit in lost} == {("1", None)}
    assert all("Version 9" in answers[unit]["experiment_problem"] for unit in lost)
    assert set(met(api, one, len(UNITS) - len(lost))) == set(UNITS) - set(lost)


def test_where_a_variant_s_demonstrations_cannot_be_looked_up_production_answers_and_counts_nobody(api: Api, agent: AgentRef) -> None:
    number = add_version(api, agent, Prompt((Message("system", "You sort."),), Retrieval(3, None)))
    one = run(api, agent, (Arm("control", 1, 0.5), Arm("treatment", number, 0.5)))
    answers = {unit: asked(api, agent, unit, input="hello") for unit in UNITS}
    lost = {unit for unit, answer in answers.items() if answer["experiment"] is None}
    assert 2 < len(lost) < 22 and all("names no examples" in answers[unit]["experiment_problem"] for unit in lost)
    assert {(answer["version"], answer["messages"][-1]["content"]) for answer in answers.values()} == {("1", "hello")}
    assert set(met(api, one, len(UNITS) - len(lost))) == set(UNITS) - lost


def test_whoever_was_in_an_arm_that_was_withdrawn_is_served_production(api: Api, agent: AgentRef) -> None:
    one = run(api, agent)
    first = {unit: asked(api, agent, unit)["variant"] for unit in UNITS[:10]}
    change(api, lambda connection: experiments.set_config(connection, agent.organization_id, one, {"withdrawn": ["treatment"]}))
    now = {unit: part(asked(api, agent, unit)) for unit in UNITS[:10]}
    assert all(now[unit] == (PRODUCTION if variant == "treatment" else ("1", str(one), "control")) for unit, variant in first.items())


def test_experiments_of_a_group_share_the_units(api: Api, agent: AgentRef) -> None:
    slices = [slice_for([], 0.5)]
    slices.append(slice_for(slices, 0.5))
    two = {str(run(api, agent, exclusion_group="checkout", config={"slice": [list(span) for span in spans]})) for spans in slices}
    parts = [asked(api, agent, unit)["experiment"] for unit in UNITS]
    assert set(parts) == two and all(2 < parts.count(one) < 22 for one in two)


def test_executions_and_their_feedback_carry_what_the_client_was_served(api: Api, agent: AgentRef, tmp_path: Path) -> None:
    one = run(api, agent)
    served: dict[str, str] = {}
    with Client(api.url, api.key(), queue_dir=tmp_path, options=Options(prompt_timeout=60)) as client:
        for unit in UNITS[:6]:
            prompt = client.prompt(agent.agent, unit=unit)
            with client.execution(agent=agent.agent, input="q", user=unit) as execution:
                execution.output = prompt.messages[0]["content"]
            client.thumbs_up(execution.execution_id, user=unit)
            served[execution.execution_id] = str(prompt.variant)
        assert client.flush(60)
    with api.database.connect("pipeline") as connection:
        rows = connection.execute(
            """SELECT e.id, e.context, e.prompt_version, count(f.id) FROM agent_executions e
            JOIN agent_feedback f ON f.organization_id = e.organization_id AND f.execution_id = e.id WHERE e.id = ANY(%s) GROUP BY 1, 2, 3""",
            [list(served)],
        ).fetchall()
    assert len(rows) == 6
    for name, context, version, feedback in rows:
        ((experiment, variant, _),) = carried(context)
        assert (experiment, variant, feedback) == (str(one), served[name], 1)
        assert str(version) == ("2" if variant == "treatment" else "1")
    assert {unit: variant for unit, (variant, _) in met(api, one, 6).items()} == {row[1]["unit"]: served[row[0]] for row in rows}


@pytest.mark.parametrize("params", [{"unit": "a\x00b"}, {"unit": "x" * 256}, {"exposure": "perhaps"}])
def test_bad_input_is_named(api: Api, agent: AgentRef, params: dict[str, str]) -> None:
    answer = ask(api, agent, **params)
    assert (answer.status_code, answer.json()["field"]) == (422, next(iter(params)))
