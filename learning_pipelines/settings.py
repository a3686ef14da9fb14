"""Every environment variable of the project, typed and documented, in one place.

Belongs here: names, types, defaults and the folders derived from them. Not here: anything that connects, reads a file or starts a process.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from learning_pipelines.errors import BadInput

PROJECT = Path(__file__).resolve().parent.parent
LEARNT_KINDS = ("prompt", "index", "reranker", "expansion", "chunk_edit", "policy", "playbook", "fine_tune")
FINETUNE_METHODS = ("sft", "dpo", "rlhf")


def default_home() -> Path:
    """.learning in the checkout; of an installed package, which lies where nobody keeps data, in the current folder."""
    return (PROJECT if (PROJECT / "pyproject.toml").exists() else Path.cwd()) / ".learning"


class Settings(BaseSettings):
    """What the environment says, validated. Field `x` is read from `LEARNING_` and its name in capitals; an empty variable counts as unset."""

    model_config = SettingsConfigDict(env_prefix="LEARNING_", env_ignore_empty=True, extra="ignore", frozen=True)

    home: Path = Field(
        default_factory=default_home, description="Data, artifacts and DAGSTER_HOME; unset: .learning in the checkout, or in the current folder."
    )
    database_url: str | None = Field(
        default=None, description="PostgreSQL ≥ 15 with pgvector ≥ 0.8, a login that may create the roles at `migrate`; unset: the embedded server."
    )
    api_database_url: str | None = Field(
        default=None, description="Login holding only the role learning_api, all that the service needs; unset: LEARNING_DATABASE_URL with SET ROLE."
    )
    pipeline_database_url: str | None = Field(
        default=None, description="Login holding only the role learning_pipeline; unset: LEARNING_DATABASE_URL with SET ROLE."
    )
    dagster_database_url: str | None = Field(default=None, description="Dagster's own storage; unset: database `dagster` beside the data.")
    artifacts_url: str | None = Field(default=None, description="fsspec URL for artifacts; unset: LEARNING_HOME/artifacts.")
    celery_broker: str | None = Field(
        default=None, description="Celery's broker, redis://… (extra [scale]): runs go to `celery-worker`s, on other machines too; unset: they stay here."
    )
    celery_runs: int = Field(
        default=16, ge=1, le=1_000, description="With a broker: runs, and steps of a pool, that go on at once; a few more than workers have places."
    )
    api_host: str = Field(default="127.0.0.1", description="Address the feedback API binds to.")
    api_port: int = Field(default=8000, ge=1, le=65535, description="Port of the feedback API.")
    dagster_port: int = Field(default=3000, ge=1, le=65535, description="Port of the Dagster UI (loopback only: it has no login).")
    openai_api_key: str | None = Field(default=None, validation_alias="OPENAI_API_KEY", description="Key of the language-model endpoint.")
    openai_base_url: str | None = Field(
        default=None, validation_alias="OPENAI_BASE_URL", description="OpenAI-compatible endpoint; unset and no key: the embedded model."
    )
    task_model: str | None = Field(default=None, description="Model that agents run on.")
    reflection_model: str | None = Field(default=None, description="Model that proposes prompt changes.")
    reflection_engine: Literal["both", "own", "gepa"] = Field(
        default="both", description="What evolves instructions by the reflection model: the search's own climb, the library gepa, or both."
    )
    judge_model: str | None = Field(default=None, description="Model that judges answers.")
    model_prices: str = Field(default="", description="Prices of models: name=in/out[/cached] in USD per million tokens, comma-separated.")
    embedding_model: str | None = Field(default=None, description="sentence-transformers model; unset: the packaged all-MiniLM-L6-v2.")
    language: str | None = Field(default=None, description="Language of the documents, by its English name, or none; unset: told by their commonest words.")
    jwt_secret: str | None = Field(default=None, description="HS256 secret of bearer tokens.")
    jwks_url: str | None = Field(default=None, description="JWKS of the identity provider; replaces the secret.")
    jwt_audience: str | None = Field(default=None, description="Audience a bearer token must name.")
    jwt_claims: str = Field(default="sub,organization,role", description="Names of the claims for user, organization and role.")
    token_secret: str | None = Field(default=None, description="Signs the tokens of the widget and browser sessions; unset: one kept below LEARNING_HOME.")
    cors_origins: str = Field(default="", description="Comma-separated origins that may call the API from a browser.")
    rate_limits: str = Field(
        default="", description="Limits per key, user and address, as key=5000/second,user=50/second,address=200/second (these are the defaults)."
    )
    smtp_url: str | None = Field(
        default=None, description="Where reports and alerts are mailed through: smtp:// (STARTTLS where offered), smtps://, smtp+starttls:// (required)."
    )
    webhook_url: str | None = Field(default=None, description="Where alerts and weekly reports are posted.")
    slack_webhook: str | None = Field(default=None, description="Slack incoming webhook for alerts and weekly reports.")
    report_recipients: Annotated[tuple[tuple[str, str], ...], NoDecode] = Field(
        default=(), description="Who gets the weekly report by mail, as organization=address, comma-separated; * is every organization."
    )
    report_items: int = Field(
        default=100, ge=0, le=10_000, description="Held-out items that what serves is scored on anew each week, per agent, each answer paid; 0: not at all."
    )
    public_url: str | None = Field(default=None, description="Address under which people reach the pages; unset: that of the feedback API.")
    dagster_url: str | None = Field(default=None, description="Address under which people reach the Dagster UI; unset: its port on this machine.")
    min_executions: int = Field(default=50, ge=1, description="Executions in 30 days before an agent is optimized.")
    min_examples: int = Field(default=10, ge=1, description="Approved examples before an agent is optimized.")
    min_effect: float = Field(default=0.02, ge=0, le=1, description="Smallest gain (point estimate, share of the metric) worth promoting.")
    planned_effect: float = Field(default=0.30, gt=0, le=1, description="Gain that test sizes are planned for.")
    optimization_calls: int = Field(default=300, ge=1, description="Calls of the model that one search for a better prompt may make; its test comes on top.")
    optimization_usd: float | None = Field(default=None, gt=0, description="Most US dollars one run of prompt optimization may cost; unset: no limit.")
    guidance_tokens: int = Field(
        default=600, ge=100, le=100_000, description="Most tokens that guidance adds to a served prompt (a token for 2.5 bytes, which is cautious)."
    )
    rag_min_pairs: int = Field(default=1000, ge=1, description="New judged pairs of question and passage in 7 days before retrieval trains.")
    rag_training_seconds: int = Field(
        default=1800, ge=1, description="Seconds that one run of retrieval training may learn for; a learner that does not finish in it is left out."
    )
    finetune_engine: Literal["local", "openai"] = Field(
        default="local", description="Where models are fine-tuned: on this machine (extra [finetune]), or by jobs of the endpoint of OPENAI_BASE_URL."
    )
    finetune_model: str | None = Field(
        default=None, description="Causal model that fine-tuning begins at (folder, hub name, or model of the endpoint); unset: the packaged one."
    )
    finetune_methods: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("sft", "dpo", "rlhf"), description="Methods that a run of fine_tuning tries (comma-separated), each where there are enough rows for it."
    )
    finetune_min_rows: int = Field(default=50, ge=10, description="Rows of the train split before a model is fine-tuned on them.")
    finetune_seconds: int = Field(
        default=1800, ge=1, description="Seconds that one local training (its control as long again) may learn for; then it ends with its best so far."
    )
    finetune_wait_seconds: int = Field(
        default=21_600, ge=1, description="Seconds that a run waits for a job of the endpoint; the next run goes on waiting for the same job."
    )
    finetune_price: float | None = Field(default=None, gt=0, description="US dollars that the endpoint takes per million trained tokens.")
    finetune_usd: float | None = Field(
        default=None, gt=0, description="Most US dollars that the jobs of one run may cost; needs LEARNING_FINETUNE_PRICE; unset: no limit."
    )
    feedback_retention_days: int = Field(
        default=180, ge=1, description="Days after which whole months of executions and feedback are archived; at least 31 are kept whatever it says."
    )
    orphan_days: int = Field(default=7, ge=0, description="Days after which feedback without an execution is reported.")
    auto_approve: Annotated[tuple[str, ...], NoDecode] = Field(default=(), description="Kinds of learnt change that need no approval (comma-separated).")
    canary_metric: str = Field(default="thumbs", description="Metric that canary rollouts watch beside the guardrails, and whose values their steps wait for.")
    canary_growth: float = Field(
        default=0.25, ge=0, le=100, description="Share by which latency and cost may grow before a canary rollout is taken back for it."
    )
    canary_step_hours: int = Field(default=24, ge=0, le=8_760, description="Hours that a canary rollout stays at a step at least.")
    canary_step_units: int = Field(
        default=600, ge=0, le=1_000_000_000,
        description="Users with a value that a canary rollout's treatment needs before everybody gets it; earlier steps need their share of them.",
    )  # fmt: skip
    timezone: str = Field(default="UTC", description="Zone of schedules, days and weeks.")
    start_date: dt.date = Field(default=dt.date(2015, 1, 5), description="First day that counts; a Monday. Older rows are refused.")
    duplicate_jaccard: float = Field(
        default=0.8, ge=0.7, le=1, description="5-gram Jaccard from which two inputs are near-duplicates; below 0.7 the search would miss too many."
    )
    duplicate_cosine: float | None = Field(
        default=0.95, gt=0, le=1, description="Cosine of their vectors from which two inputs are near-duplicates; off: 5-grams alone, and no encoder."
    )
    split_shares: Annotated[tuple[float, float, float], NoDecode] = Field(
        default=(0.5, 0.2, 0.3), description="Shares of train, validation and test (comma-separated, sum 1)."
    )
    peer_scales: Annotated[dict[str, Literal["1-5", "thumb"]], NoDecode] = Field(
        default={}, description="Scales of peers' score names that do not say theirs, for example rating=1-5,user_feedback=thumb."
    )
    index_versions_kept: int = Field(
        default=5, ge=1, description="Newest learnt index versions kept per agent; those that serve, served before or await a verdict are kept beside."
    )
    behavior_versions_kept: int = Field(
        default=5, ge=1,
        description="Newest learnt versions kept per agent, kind of behaviour and topic; those that serve, served before or await a verdict are kept beside.",
    )  # fmt: skip
    prompt_versions_kept: int = Field(
        default=50, ge=1,
        description="Newest prompt versions kept per agent; older ones go after 30 days where nothing ever used them and no other version came from them.",
    )  # fmt: skip
    exports_kept: int = Field(
        default=5, ge=1, description="Newest dataset versions per agent and format whose exported files are kept; older files go after 7 days, versions never."
    )
    history_days: int = Field(
        default=180, ge=1,
        description="Days for which prompts that searches dropped, models' answers, every hourly look at ended experiments, failed checks and jobs are kept.",
    )  # fmt: skip
    outbox_retention_days: int = Field(default=30, ge=1, description="Days for which consumed outbox entries are kept.")
    otel_endpoint: str | None = Field(
        default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT", description="OTLP/HTTP collector that traces go to; unset: none are made."
    )
    otel_traces_endpoint: str | None = Field(
        default=None, validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", description="The same for traces alone, with its path (…/v1/traces)."
    )
    otel_protocol: str | None = Field(
        default=None, validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"), description="http/protobuf only."
    )
    otel_traces_exporter: str | None = Field(default=None, validation_alias="OTEL_TRACES_EXPORTER", description="none: no traces, whatever else is set.")
    otel_sdk_disabled: bool = Field(default=False, validation_alias="OTEL_SDK_DISABLED", description="true: no traces, whatever else is set.")

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is not a time zone (for example UTC or Europe/Berlin)") from error
        return value

    @field_validator("start_date")
    @classmethod
    def _monday(cls, value: dt.date) -> dt.date:
        if value.weekday() != 0:
            raise ValueError(f"{value} is a {value:%A}; weeks start on Monday")
        return value

    @field_validator("duplicate_cosine", mode="before")
    @classmethod
    def _switched_off(cls, value: object) -> object:
        return None if isinstance(value, str) and value.strip().lower() in ("off", "none") else value

    @field_validator("auto_approve", mode="before")
    @classmethod
    def _kinds(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        kinds = tuple(part.strip() for part in value.split(",") if part.strip())
        if unknown := sorted(set(kinds) - set(LEARNT_KINDS)):
            raise ValueError(f"unknown kind {', '.join(unknown)}; known: {', '.join(LEARNT_KINDS)}")
        return kinds

    @field_validator("finetune_methods", mode="before")
    @classmethod
    def _methods(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        methods = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        if unknown := sorted(set(methods) - set(FINETUNE_METHODS)):
            raise ValueError(f"unknown method {', '.join(unknown)}; known: {', '.join(FINETUNE_METHODS)}")
        return methods

    @field_validator("report_recipients", mode="before")
    @classmethod
    def _recipients(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = tuple((name.strip(), address.strip()) for name, _, address in (part.partition("=") for part in value.split(",") if part.strip()))
        for name, address in pairs:
            if not name or not re.fullmatch(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+", address):
                raise ValueError(f"{name}={address} is not organization=address, for example default=ada@example.org or *=team@example.org")
        return pairs

    @field_validator("split_shares", mode="before")
    @classmethod
    def _shares(cls, value: object) -> object:
        try:
            shares = tuple(float(part) for part in value.split(",")) if isinstance(value, str) else value
        except ValueError:
            shares = None
        if not isinstance(shares, tuple) or len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError("needs three positive shares that sum to 1, for example 0.5,0.2,0.3")
        return shares

    @field_validator("peer_scales", mode="before")
    @classmethod
    def _scales(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        return {re.sub(r"[\s./-]+", "_", name.strip().lower()): scale.strip() for name, _, scale in pairs}

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"

    @property
    def artifacts(self) -> str:
        return self.artifacts_url or (self.home / "artifacts").as_uri()

    @property
    def page_link(self) -> str:
        """The address of the pages, without a slash at its end."""
        return (self.public_url or f"http://{self.api_host}:{self.api_port}").rstrip("/")

    @property
    def dagster_link(self) -> str:
        """The address of the Dagster UI, without a slash at its end."""
        return (self.dagster_url or f"http://127.0.0.1:{self.dagster_port}").rstrip("/")


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """The settings of this process. Raises BadInput that names the variable which cannot be used."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "?"
        name = field if field.isupper() else f"LEARNING_{field.upper()}"
        raise BadInput(f"The setting {name} cannot be used: {first['msg'].removeprefix('Value error, ')}.", "Correct or unset it.") from error
