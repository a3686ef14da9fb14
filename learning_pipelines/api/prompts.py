"""Routes of prompts: what serves now, versions written by hand, labels moved by hand.

Belongs here: paths, roles, ETags. Not here: what is kept at hand (served.py), SQL (storage/prompts.py), approval (proposals.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from learning_pipelines.acceptance.reviewing import Refused
from learning_pipelines.api.etags import is_current
from learning_pipelines.api.experiments_serving import EXPOSURE, LONGEST_UNIT, PROBLEM, UNIT, checked
from learning_pipelines.api.problems import Problem
from learning_pipelines.api.service import Admin, PersonName, Principal, Service, Serving, User
from learning_pipelines.experiments import canary
from learning_pipelines.feedback.kinds import TEXT_LIMIT
from learning_pipelines.prompts.prompt import content_hash
from learning_pipelines.storage import audit, prompts

router = APIRouter(tags=["prompts"])
LABEL = "^[a-z0-9][a-z0-9_-]{0,62}$"
_CACHED = {"Cache-Control": "private, no-cache"}


class Message(BaseModel):
    """A chat message; its content may hold {{variables}}, which whoever uses the prompt fills."""

    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(max_length=TEXT_LIMIT)]


class ServedPrompt(BaseModel):
    messages: list[dict[str, Any]]
    version: str
    experiment: Annotated[str | None, Field(description="The experiment that the unit takes part in; null: in none.")]
    variant: Annotated[str | None, Field(description="The unit's variant of it; `version` is what the variant serves.")]
    etag: str
    model: Annotated[
        str | None,
        Field(description="The model to ask: the fine-tuned one that serves, else the one the agent was imported with; null where neither is known."),
    ] = None
    disabled: Annotated[bool, Field(description="Learning is switched off for the agent: this is its base prompt, with nothing learnt beside it.")] = False
    guidance: Annotated[str | None, Field(description="Version of the guidance that is shown for the input; null where none is. Only with `input`.")] = None
    guidance_problem: Annotated[
        str | None, Field(description="Why guidance that serves is not shown: what it was measured with changed, or the encoder is away. Only with `input`.")
    ] = None
    experiment_problem: Annotated[str | None, Field(description=PROBLEM)] = None


@router.get("/prompts/{agent_id}", response_model=ServedPrompt, responses={304: {"description": "The prompt is the one that If-None-Match names."}})
async def get_prompt(
    agent_id: str, who: User, service: Serving, unit: Annotated[str | None, Query(max_length=LONGEST_UNIT, description=UNIT)] = None,
    input: Annotated[str | None, Query(max_length=16_000)] = None, label: Annotated[str, Query(pattern=LABEL)] = prompts.PRODUCTION,
    exposure: Annotated[bool, Query(description=EXPOSURE)] = True, if_none_match: Annotated[str | None, Header()] = None,
) -> Response:  # fmt: skip
    """The prompt that serves. With `input` the messages are those to send for it: guidance and demonstrations picked for it, its own turn last.

    Without, they are as they are stored. With `unit`, while an experiment runs: the version of the unit's variant, which stays the same for the unit while
    the experiment lasts. Guidance is shown with the prompt it was measured with alone. Labels other than production know no experiment.
    """
    return await served_prompt(service, who, agent_id, Asked(label, input, unit, exposure), if_none_match)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request for a prompt says. `exposure`: whether the unit counts as met."""

    label: str = prompts.PRODUCTION
    text: str | None = None
    unit: str | None = None
    exposure: bool = True


async def served_prompt(service: Service, who: Principal, agent: str, asked: Asked, if_none_match: str | None) -> Response:
    """The answer of the route, which the short way (direct.py) gives too."""
    unit = checked(asked.unit)
    served = await service.served.get(who, agent, asked.label)
    mine, taking = (served, None) if unit is None or not served.running else await service.served.for_unit(served, unit)
    answer = mine.answer if asked.text is None else await run_in_threadpool(service.served.for_unit_and_input, served, mine, asked.text)
    if taking is not None and asked.exposure and answer.counted:
        service.experiments.met(served.agent, taking)
    headers = {**_CACHED, "ETag": answer.etag}
    if is_current(answer.etag, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(answer.body, 200, headers, "application/json")


class WrittenPrompt(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"messages": [{"role": "system", "content": "You answer clients of {{firm}}."}]}})
    messages: Annotated[list[Message], Field(min_length=1, max_length=200)]
    model: Annotated[str | None, Field(max_length=255)] = None
    parent: Annotated[int | None, Field(ge=1, le=2_147_483_647, description="The version it was written from; null: the newest.")] = None
    user: PersonName | None = None


class PromptVersion(BaseModel):
    version: str
    status: Literal["stored", "unchanged"]


@router.post("/prompts/{agent_id}", status_code=201, response_model=PromptVersion)
async def post_prompt(agent_id: str, body: WrittenPrompt, who: Admin, service: Serving) -> dict[str, str]:
    """Stores a version written by hand. It serves nobody until a label points at it."""
    who = who.speaking_for(body.user)
    messages = [message.model_dump() for message in body.messages]
    if any("\x00" in message["content"] for message in messages) or "\x00" in (body.model or ""):
        raise Problem(422, "A message contains a NUL character, which cannot be stored.", field="messages")
    content = content_hash(messages, {})

    def write() -> dict[str, str]:
        with service.acting(who) as connection:
            agent = service.agent(connection, who, agent_id)
            if body.parent is not None and prompts.version(connection, agent, body.parent) is None:
                raise Problem(404, f"The agent has no version {body.parent}.", field="parent")
            version, new = prompts.add_written(connection, agent, messages, body.model, content, who.user_id, body.parent)
            if new:
                audit.record(
                    connection, who.organization_id, actor=who.actor, action="written", kind="prompt_version",
                    subject=f"{agent.agent}/{version}", fields=sorted(body.model_fields_set - {"user"}), after=messages,
                )  # fmt: skip
        return {"version": str(version), "status": "stored" if new else "unchanged"}

    return await run_in_threadpool(write)


class LabelTarget(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"version": 2}})
    version: Annotated[int, Field(ge=1, le=2_147_483_647)]
    user: PersonName | None = None


class MovedLabel(BaseModel):
    label: str
    version: str
    before: str | None


@router.put("/prompts/{agent_id}/labels/{label}", response_model=MovedLabel)
async def put_label(
    agent_id: str, label: Annotated[str, Path(pattern=LABEL)], body: LabelTarget, who: Admin, service: Serving
) -> dict[str, str | None]:
    """Points a label (production is the one that serves) at a version. A conflict while a canary rollout compares production with something else."""

    who = who.speaking_for(body.user)

    def write() -> dict[str, str | None]:
        with service.acting(who) as connection:
            agent = service.agent(connection, who, agent_id)
            if label == prompts.PRODUCTION:
                prompts.lock_agent(connection, agent)
                try:
                    canary.require_none(connection, agent, "prompt")
                except Refused as refused:
                    raise Problem(409, str(refused)) from None
            try:
                before = prompts.move_label(connection, agent, label, body.version, who.user_id)
            except prompts.Tombstone as erased:
                raise Problem(409, f"{erased.cause} {erased.advice}", field="version") from None
            except LookupError:
                raise Problem(404, f"The agent has no version {body.version}.", field="version") from None
            audit.record(
                connection, who.organization_id, actor=who.actor, action="moved", kind="prompt_label", subject=f"{agent.agent}/{label}",
                fields=["version"], before=before, after=body.version,
            )  # fmt: skip
        return {"label": label, "version": str(body.version), "before": None if before is None else str(before)}

    moved = await run_in_threadpool(write)
    service.served.forget(who.organization_id)
    return moved
