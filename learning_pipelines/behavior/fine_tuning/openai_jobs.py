"""Fine-tuning jobs of an OpenAI-compatible endpoint: upload, create, wait, cancel; each step safe to repeat.

Belongs here: the protocol and its troubles. Not here: what is trained and scored (openai_tuning.py), where ids are kept between attempts (its `Kept`).

A job is created once: its id is kept as soon as it is known, and where the answer to its creation was lost it is found again by its suffix, which names the
training run. The files are deleted from the endpoint when their job has ended.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import openai
import orjson

from learning_pipelines.errors import BadInput, LearningError, Unavailable
from learning_pipelines.llm_client import Endpoint, Retry
from learning_pipelines.llm_errors import UnknownModel, explain

logger = logging.getLogger(__name__)
METHODS = {"sft": "supervised", "dpo": "dpo"}
_OVER = ("succeeded", "failed", "cancelled")
_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 60.0
TIMEOUT = 60.0


class NoSuchApi(BadInput):
    """The endpoint answers, but fine-tunes nothing."""


class JobEnded(LearningError):
    """The endpoint ended the job without a model."""


class StillRunning(Unavailable):
    """The job is not over yet; the next run goes on waiting for it."""


class Kept(Protocol):
    """What outlives this process of one job: ids of its files and its own."""

    def read(self) -> Mapping[str, Any]: ...

    def write(self, values: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Wanted:
    """One job. `rows` and `looks` as the endpoint's format wants them; `suffix`: at most 64 characters, unlike that of every other job."""

    model: str
    method: str
    rows: Sequence[Mapping[str, Any]]
    looks: Sequence[Mapping[str, Any]]
    suffix: str
    seed: int
    epochs: int
    beta: float = 0.1

    def as_method(self) -> dict[str, Any]:
        kind, numbers = METHODS[self.method], {"n_epochs": self.epochs}
        return {"type": kind, kind: {"hyperparameters": numbers | ({"beta": self.beta} if kind == "dpo" else {})}}


@dataclass(frozen=True)
class Finished:
    """A job that succeeded. `curve`: losses by step as the endpoint reported them, none where it reports none."""

    id: str
    model: str
    trained_tokens: int | None
    curve: tuple[Mapping[str, float], ...] = ()


@dataclass
class Jobs:
    """The endpoint. `seconds`: how long to wait for a job; `told`: who hears of its states."""

    endpoint: Endpoint
    seconds: float
    told: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    retry: Retry = field(default_factory=Retry)

    def __post_init__(self) -> None:
        self._client = openai.OpenAI(base_url=self.endpoint.base_url, api_key=self.endpoint.api_key, timeout=TIMEOUT, max_retries=0)

    def begin(self, wanted: Wanted, kept: Kept) -> str:
        """The id of the job, which is created unless it is there. Raises NoSuchApi, ModelError (wrong key, no money, refused)."""
        return str(kept.read().get("id") or self._created(wanted, kept))

    def run(self, wanted: Wanted, kept: Kept) -> Finished:
        """Begins the job or takes it up, and waits for its end. Raises what `begin` raises, JobEnded, StillRunning.

        Whatever interrupts the waiting, the job goes on at the endpoint; `cancel` ends it.
        """
        identity = self.begin(wanted, kept)
        job = self._over(wanted, identity)
        curve = self._curve(wanted, identity) if job.status == "succeeded" else ()
        self._forget_files(wanted, kept)
        if job.status != "succeeded" or not job.fine_tuned_model:
            kept.write({"id": None})  # another attempt is another job
            code = f" ({job.error.code})" if job.error is not None and job.error.code else ""
            raise JobEnded(f"The fine-tuning job {identity} ended as {job.status}{code}.", "Look at it at the endpoint, then run this again.")
        return Finished(identity, job.fine_tuned_model, job.trained_tokens, curve)

    def cancel(self, wanted: Wanted, kept: Kept) -> None:
        """Ends the job at the endpoint and deletes its files; one that is over already, or was never begun, is no error."""
        identity = kept.read().get("id")
        try:
            if identity is None:
                return
            self._client.fine_tuning.jobs.cancel(identity)
            self.told(f"job {identity} is cancelled at the endpoint")
        except openai.APIError as error:
            logger.warning("The fine-tuning job %s could not be cancelled: %s", identity, explain(error, wanted.model, self.endpoint.where).error)
        finally:
            self._forget_files(wanted, kept)
            kept.write({"id": None})

    def _created(self, wanted: Wanted, kept: Kept) -> str:
        files = kept.read()
        if files.get("training_file"):
            found = self._found(wanted)  # it may have been created without our hearing of it
            if found is not None:
                kept.write({"id": found})
                return found
        for name, rows in (("training_file", wanted.rows), ("validation_file", wanted.looks)):
            if not kept.read().get(name):
                kept.write({name: self._uploaded(wanted, name, rows)})
        ids = kept.read()
        job = self._asked(
            wanted,
            lambda: self._client.fine_tuning.jobs.create(
                model=wanted.model, training_file=ids["training_file"], validation_file=ids["validation_file"], suffix=wanted.suffix,
                seed=wanted.seed % 2**31, method=wanted.as_method(),  # type: ignore[arg-type]
            ),
            again=False,  # one that was created and not heard of is looked for by its suffix
        )  # fmt: skip
        kept.write({"id": job.id})
        self.told(f"job {job.id} created with {len(wanted.rows)} rows")
        return str(job.id)

    def _uploaded(self, wanted: Wanted, name: str, rows: Sequence[Mapping[str, Any]]) -> str:
        content = b"".join(orjson.dumps(row) + b"\n" for row in rows)
        sent = self._asked(
            wanted, lambda: self._client.files.create(file=(f"{wanted.suffix}-{name}.jsonl", io.BytesIO(content)), purpose="fine-tune"), again=False
        )  # fmt: skip
        return str(sent.id)

    def _found(self, wanted: Wanted) -> str | None:
        try:
            listed = self._asked(wanted, lambda: self._client.fine_tuning.jobs.list(limit=100))
        except NoSuchApi:
            return None  # a server that creates but does not list
        own = (job for job in listed.data if getattr(job, "user_provided_suffix", None) == wanted.suffix and job.status not in ("failed", "cancelled"))
        return next((str(job.id) for job in own), None)

    def _over(self, wanted: Wanted, identity: str) -> Any:
        deadline, pause, said = self.clock() + self.seconds, _FIRST_SECONDS, ""
        while True:
            job = self._asked(wanted, lambda: self._client.fine_tuning.jobs.retrieve(identity))
            if job.status != said:
                said = str(job.status)
                self.told(f"job {identity} is {said}")
            if job.status in _OVER:
                return job
            if self.clock() >= deadline:
                raise StillRunning(
                    f"The fine-tuning job {identity} is still {job.status} after {self.seconds:.0f} s.", "Run the job again: it goes on waiting for it."
                )
            self.sleep(pause)
            pause = min(_LONGEST_SECONDS, 1.5 * pause)

    def _curve(self, wanted: Wanted, identity: str) -> tuple[Mapping[str, float], ...]:
        try:
            events = self._asked(wanted, lambda: self._client.fine_tuning.jobs.list_events(identity, limit=100))
        except NoSuchApi:
            return ()
        names = {"train_loss": "loss", "valid_loss": "validation_loss", "full_valid_loss": "validation_loss"}
        points = []
        for event in events.data:
            data = event.data if event.type == "metrics" and isinstance(event.data, Mapping) else {}
            numbers = {names[name]: float(data[name]) for name in names if isinstance(data.get(name), int | float)}
            if numbers and isinstance(data.get("step"), int | float):
                points.append({"step": float(data["step"]), **numbers})
        return tuple(sorted(points, key=lambda point: point["step"]))

    def _forget_files(self, wanted: Wanted, kept: Kept) -> None:
        for name in ("training_file", "validation_file"):
            if identity := kept.read().get(name):
                try:
                    self._client.files.delete(identity)
                except openai.APIError as error:
                    logger.warning("The file %s stays at the endpoint: %s", identity, explain(error, wanted.model, self.endpoint.where).error)
                kept.write({name: None})

    def _asked(self, wanted: Wanted, ask: Callable[[], Any], *, again: bool = True) -> Any:
        """The answer, asked for again where that may help and does no harm. Raises NoSuchApi, ModelError."""
        attempt = 1
        while True:
            try:
                return ask()
            except openai.NotFoundError:
                raise NoSuchApi(
                    f"The endpoint {self.endpoint.where} does not know this part of the fine-tuning API, or its job or model (HTTP 404).",
                    "Check LEARNING_FINETUNE_MODEL, use an endpoint with fine-tuning jobs, or set LEARNING_FINETUNE_ENGINE=local.",
                ) from None  # the client's own error holds the endpoint's words
            except openai.APIError as error:
                failure = explain(error, wanted.model, self.endpoint.where)
                if isinstance(failure.error, UnknownModel) or not (again or failure.retry_after is not None):
                    raise failure.error from None
                self.sleep(self.retry.pause(failure, attempt))
                attempt += 1
