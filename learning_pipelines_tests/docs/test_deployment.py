"""Dockerfile and compose.yaml, as far as they can be tried without a container engine: what they name exists, and the pieces run together as processes.

Belongs here: the deployment's files. Not here: the pages about them (test_pages.py). No image is built here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from learning_pipelines.defs.instance import environment as dagster_environment
from learning_pipelines.defs.processes import end_group
from learning_pipelines.settings import Settings
from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import of_server
from learning_pipelines.storage.embedded import EmbeddedServer
from learning_pipelines.storage.embedded_place import place_of
from learning_pipelines_tests.cli.running import free_port, wait_for
from learning_pipelines_tests.docs.snippets import PROJECT

PROGRAMS = Path(sys.executable).parent
DOCKERFILE = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
PIECES = {"postgres", "migrate", "logins", "api", "code-server", "webserver", "daemon", "redis", "celery-worker"}
OTHERS = {"postgres", "redis", "logins"}
"""Pieces that are not of our image."""
SECRETS = {
    "POSTGRES_PASSWORD": "postgres-secret", "LEARNING_API_PASSWORD": "api-secret", "LEARNING_PIPELINE_PASSWORD": "pipeline-secret",
    "LEARNING_TOKEN_SECRET": "a secret of the tests that is long enough",
}  # fmt: skip


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def test_every_piece_is_a_service_and_exactly_one_daemon_runs(services: dict[str, Any]) -> None:
    assert set(services) == PIECES
    assert [name for name, one in services.items() if "learning_pipelines.defs.daemon" in one.get("command", [])] == ["daemon"]
    assert all("deploy" not in one and "scale" not in one for one in services.values())


def test_services_use_only_keys_of_the_compose_specification_that_we_know(services: dict[str, Any]) -> None:
    known = {"image", "build", "restart", "environment", "volumes", "ports", "command", "depends_on", "healthcheck", "network_mode", "shm_size", "profiles"}
    assert {name: set(one) - known for name, one in services.items() if set(one) - known} == {}


def test_services_wait_for_what_can_be_waited_for(services: dict[str, Any]) -> None:
    for name, one in services.items():
        for other, how in one.get("depends_on", {}).items():
            assert other in services, name
            if how["condition"] == "service_completed_successfully":
                assert services[other]["restart"] == "no", name
            else:
                assert how["condition"] == "service_healthy" and "healthcheck" in services[other], name


def test_what_has_no_login_is_published_on_loopback_only(services: dict[str, Any]) -> None:
    published = [port for one in services.values() for port in one.get("ports", [])]
    assert published and all(port.startswith("127.0.0.1:") for port in published)
    assert "ports" not in services["postgres"] and "ports" not in services["redis"]


def test_the_webserver_is_where_the_service_looks_for_it(services: dict[str, Any]) -> None:
    """The service asks 127.0.0.1 and its port of Dagster, which is the default."""
    assert services["webserver"]["network_mode"] == "service:api"
    command = services["webserver"]["command"]
    assert command[command.index("-p") + 1] == str(Settings.model_fields["dagster_port"].default)


def test_volumes_are_declared_and_no_home_is_shared(compose: dict[str, Any], services: dict[str, Any]) -> None:
    mounted = [volume.split(":") for one in services.values() for volume in one.get("volumes", [])]
    assert {name for name, _ in mounted} == set(compose["volumes"])
    home = re.search(r"LEARNING_HOME=(\S+)", DOCKERFILE)
    assert home is not None and home[1] not in {path for _, path in mounted}


def test_every_variable_is_one_that_something_reads(services: dict[str, Any]) -> None:
    server = EmbeddedServerUrl()
    known = {f"LEARNING_{name.upper()}" for name in Settings.model_fields} | set(dagster_variables(server)) | {"OPENAI_BASE_URL", "OPENAI_API_KEY"}
    for name in PIECES - OTHERS:
        assert set(services[name]["environment"]) <= known, name
    read = set(re.findall(r"env: (\w+)", (PROJECT / "dagster.yaml").read_text(encoding="utf-8")))
    assert read and read <= set(services["daemon"]["environment"])


class EmbeddedServerUrl:
    """Enough of a database for the variables that processes get."""

    dagster_url = "postgresql://user:secret@localhost:5432/dagster"


def test_the_service_has_no_login_but_its_own(services: dict[str, Any]) -> None:
    given = services["api"]["environment"]
    assert "LEARNING_API_DATABASE_URL" in given and set(given).isdisjoint({"LEARNING_DATABASE_URL", "LEARNING_PIPELINE_DATABASE_URL"})
    assert not any("POSTGRES_PASSWORD" in str(value) for value in given.values())


def dagster_variables(database: Any) -> dict[str, str]:
    import tempfile

    with tempfile.TemporaryDirectory() as home:
        return {name: value for name, value in dagster_environment(Settings(home=Path(home)), database).items() if name not in os.environ}


def test_values_that_may_be_given_are_those_of_the_page() -> None:
    text = (PROJECT / "compose.yaml").read_text(encoding="utf-8")
    page = "".join((PROJECT / "docs" / name).read_text(encoding="utf-8") for name in ("deployment.md", "models.md", "jobs.md"))
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    assert set(SECRETS) <= asked
    assert {name for name in asked if name not in page} == set()
    assert {name for name in SECRETS if f"${{{name}:?" not in text} == set()


def test_programs_of_all_commands_are_installed(services: dict[str, Any]) -> None:
    commands = [one["command"] for name, one in services.items() if "command" in one and name != "logins"]
    commands += [one["healthcheck"]["test"][1:] for name, one in services.items() if "healthcheck" in one and name not in OTHERS]
    commands += [yaml.safe_load(found) for found in re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)]
    words = [shlex.split(part)[0] for command in commands for part in (command[2].split("&&") if command[:2] == ["sh", "-c"] else [command[0]])]
    assert len(words) >= 8
    assert {word for word in words if not (PROGRAMS / word).exists()} == set()


def test_the_image_is_built_in_stages_and_its_user_is_not_root(services: dict[str, Any]) -> None:
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert [name for _, name in stages] == ["build", "base", "code-server", "service"]
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE) and "USER root" not in DOCKERFILE
    assert {one["build"]["target"] for one in services.values() if "build" in one} == {"service", "code-server"}
    assert not re.search(r"^ADD|curl|wget|:latest", DOCKERFILE, re.MULTILINE)


def test_files_that_the_image_takes_are_there_and_are_sent() -> None:
    sent = {line[1:] for line in (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    taken = [word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()]
    assert len(taken) > 8
    assert {word.removeprefix("./") for word in taken} <= sent
    assert [word for word in taken if not (PROJECT / word).exists()] == []


def test_workers_are_there_only_where_they_are_asked_for_and_share_what_runs_write(services: dict[str, Any]) -> None:
    assert {name for name, one in services.items() if one.get("profiles") == ["scale"]} == {"redis", "celery-worker"}
    assert services["celery-worker"]["volumes"] == services["code-server"]["volumes"]
    assert services["celery-worker"]["environment"] == services["daemon"]["environment"]


def test_containers_write_their_instance_file_before_anything_starts(tmp_path: Path) -> None:
    """The image's entry point, with and without a broker."""
    (found,) = re.findall(r"^ENTRYPOINT (\[.*\])$", DOCKERFILE, re.MULTILINE)
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("LEARNING_", "DAGSTER_"))}
    for broker in ("", "redis://redis:6379/0"):
        env = {**bare, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "DAGSTER_HOME": str(tmp_path), "LEARNING_CELERY_BROKER": broker}
        ended = subprocess.run([*yaml.safe_load(found), "echo", "two words"], env=env, capture_output=True, text=True, check=True)
        assert ended.stdout == "two words\n"
        written = (tmp_path / "dagster.yaml").read_bytes()
        assert (written == (PROJECT / "dagster.yaml").read_bytes()) is (not broker)
        assert ("learning_pipelines.celery_launcher" in written.decode()) is bool(broker)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of this test's own, as the container of PostgreSQL."""
    home = tmp_path / "server"
    try:
        yield embedded.ensure_running(home)
    finally:
        embedded.stop(home)
        shutil.rmtree(place_of(home).base, ignore_errors=True)


def settled(services: dict[str, Any], server: EmbeddedServer, home: Path, piece: str) -> dict[str, str]:
    """The environment of a piece: what compose.yaml says, with this server's address instead of the container's."""
    admin = psycopg.conninfo.conninfo_to_dict(of_server(server).admin_url)
    asked = {**SECRETS, "POSTGRES_PASSWORD": str(admin["password"])}
    found = {}
    for name, value in services[piece]["environment"].items():
        text = re.sub(r"\$\{(\w+)(?::-(\w*))?[^}]*\}", lambda match: asked.get(match[1], match[2] or ""), str(value))
        found[name] = text.replace("@postgres:5432", f"@127.0.0.1:{admin['port']}").replace("//postgres:", f"//{admin['user']}:")
    moved = {"LEARNING_DAGSTER_PG_HOST": "127.0.0.1", "LEARNING_DAGSTER_PG_PORT": str(admin["port"]), "LEARNING_DAGSTER_PG_USER": str(admin["user"])}
    found |= {name: value for name, value in moved.items() if name in found}
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LEARNING_", "DAGSTER_", "OPENAI_", "PG"))}, **found,
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "DAGSTER_HOME": str(home / "dagster"), "LEARNING_HOME": str(home / "scratch"),
        "LEARNING_ARTIFACTS_URL": (home / "artifacts").as_uri(), "LEARNING_CODE_SERVER": "127.0.0.1",
    }  # fmt: skip


@pytest.mark.slow
def test_the_pieces_run_together_as_the_file_says(services: dict[str, Any], elsewhere: EmbeddedServer, tmp_path: Path) -> None:
    """Commands of compose.yaml and Dockerfile with other ports and addresses: schema, logins, service, code server, webserver, daemon; their health."""
    ports = {"8000": str(free_port()), "4000": str(free_port()), "3000": str(free_port())}
    envs = {piece: {**settled(services, elsewhere, tmp_path, piece), "LEARNING_DAGSTER_PORT": ports["3000"]} for piece in PIECES - OTHERS}
    (tmp_path / "dagster").mkdir()
    shutil.copy(PROJECT / "dagster.yaml", tmp_path / "dagster")
    made = re.search(r"RUN printf '([^']+)'", DOCKERFILE)
    assert made is not None
    workspace = tmp_path / "dagster" / "workspace.yaml"
    workspace.write_text(made[1].replace("\\n", "\n").replace("4000", ports["4000"]), encoding="utf-8")

    def local(command: list[str]) -> list[str]:
        moved = [word.replace("0.0.0.0", "127.0.0.1").replace("/opt/dagster/workspace.yaml", str(workspace)) for word in command]
        return [re.sub(r"\b(8000|4000|3000)\b", lambda match: ports[match[1]], word) for word in moved]

    def once(command: list[str], piece: str = "migrate") -> int:
        return subprocess.run(command, env=envs[piece], cwd=tmp_path, capture_output=True, timeout=300, check=False).returncode

    assert once(services["migrate"]["command"]) == 0
    _logins(services, elsewhere)
    assert once(["learning-pipelines", "verify"]) == 0
    commands = {name: yaml.safe_load(found) for name, found in re.findall(r"^FROM base AS (\S+)\nEXPOSE \d+\nCMD (\[.*\])$", DOCKERFILE, re.MULTILINE)}
    commands = {"api": commands["service"], "code-server": commands["code-server"], **{name: services[name]["command"] for name in ("webserver", "daemon")}}
    with contextlib.ExitStack() as stack:
        for name in ("api", "code-server", "webserver", "daemon"):
            stack.enter_context(_running(local(commands[name]), envs[name], tmp_path / f"{name}.log"))
            if name != "webserver":
                probe = local(services[name]["healthcheck"]["test"][1:])
                wait_for(lambda probe=probe, name=name: once(probe, name) == 0, 120)
        wait_for(lambda: _location(ports["3000"]), 120)


def _logins(services: dict[str, Any], server: EmbeddedServer) -> None:
    """What the service `logins` says to psql, said by psycopg: roles get the passwords that the other pieces use."""
    script = services["logins"]["command"][2]
    statements = re.findall(r"^\s*(ALTER ROLE .*);$", script, re.MULTILINE)
    assert len(statements) == 2
    given = {"api": SECRETS["LEARNING_API_PASSWORD"], "pipeline": SECRETS["LEARNING_PIPELINE_PASSWORD"]}
    with psycopg.connect(server.url("learning"), autocommit=True) as session:
        for statement in statements:
            session.execute(re.sub(r":'(\w+)'", lambda match: psycopg.sql.Literal(given[match[1]]).as_string(session), statement))


@contextlib.contextmanager
def _running(command: list[str], env: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=env, cwd=log.parent, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        try:
            yield
            assert process.poll() is None, log.read_text(encoding="utf-8")[-2000:]
        finally:
            end_group(process.pid)


def _location(port: str) -> bool:
    """Whether the webserver has the code location, loaded."""
    query = "{ repositoriesOrError { __typename ... on RepositoryConnection { nodes { name location { name } } } } }"
    try:
        found = httpx.post(f"http://127.0.0.1:{port}/graphql", json={"query": query}, timeout=20).json()
    except (httpx.HTTPError, ValueError):
        return False
    nodes = found.get("data", {}).get("repositoriesOrError", {}).get("nodes", [])
    return [one["location"]["name"] for one in nodes] == ["learning_pipelines"]
