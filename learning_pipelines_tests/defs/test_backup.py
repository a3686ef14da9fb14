"""Backup and restore, from one real server into another: everything is there again, readers and sensors go on, what is wrong is named first.

Belongs here: whole backups. Not here: renumbering the outbox (storage/test_outbox_moves.py), the verbs' help (cli/test_verbs.py).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import orjson
import psycopg
import pytest
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorType, SensorInstigatorData
from dagster._core.test_utils import create_run_for_test

from learning_pipelines.defs import cursors, sensors
from learning_pipelines.defs import restore as restoring
from learning_pipelines.defs.backup import back_up
from learning_pipelines.defs.backup_files import CHECKSUM, DATA, MANIFEST, Manifest, whole_folder
from learning_pipelines.defs.instance import environment
from learning_pipelines.defs.restore import restore
from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.examples.versions import rebuild
from learning_pipelines.feedback.erasure import certificate
from learning_pipelines.feedback.identity import fingerprint, organization_id
from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.settings import Settings
from learning_pipelines.storage import backup_rows, dump, installation, migrate, outbox
from learning_pipelines.storage.database import Connection, Database, of_server, open_database
from learning_pipelines.storage.embedded import EmbeddedServer
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.cli.command_line import remove
from learning_pipelines_tests.conftest import START, MakeDatabase
from learning_pipelines_tests.examples.approved import dataset, example, refresh
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, said

CONTENT = b"weights" * 1_000
ARTIFACT = "models/default/desk/0123/model.bin"
SECURITY = """
SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner), c.relacl::text,
    (SELECT array_agg((p.polname, p.polcmd, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))::text ORDER BY
        p.polname) FROM pg_policy p WHERE p.polrelid = c.oid)
FROM pg_class c WHERE c.relnamespace = 'learning'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S') ORDER BY 1"""


@dataclass(frozen=True)
class Installation:
    settings: Settings
    database: Database

    @property
    def store(self) -> Store:
        return Store(self.settings, self.database)

    def load(self, connection: Connection, kind: str, rows: list[dict[str, Any]]) -> int:
        """How many were new."""
        path = self.settings.home / f"{kind}.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        result = import_file(connection, "default", kind, path, window=window_now(START, dt.UTC))
        assert result.rejected == 0
        return result.imported

    def instance(self, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
        """Dagster's instance on PostgreSQL, as the processes of the installation have it."""
        for name, value in environment(self.settings, self.database).items():
            monkeypatch.setenv(name, value)
        return dg.DagsterInstance.from_config(str(self.settings.dagster_home))


def here(home: Path, **more: Any) -> Settings:
    home.mkdir(parents=True, exist_ok=True)
    return Settings(**{"home": home, "database_url": None, "dagster_database_url": None, "artifacts_url": None, "duplicate_cosine": None, **more})


@contextmanager
def empty(server: EmbeddedServer, home: Path) -> Iterator[Settings]:
    """Settings of an installation on the server of all tests whose databases do not exist yet; they are dropped afterwards."""
    names = [f"restored_{hashlib.sha256(str(home).encode()).hexdigest()[:8]}{end}" for end in ("", "_dagster")]
    try:
        yield here(home, database_url=server.url(names[0]), dagster_database_url=server.url(names[1]))
    finally:
        with psycopg.connect(server.url(), autocommit=True) as session:
            for name in names:
                session.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]


def tick(store: Store, instance: dg.DagsterInstance, cursor: str | None) -> Any:
    return sensors.new_feedback(dg.build_sensor_context(instance=instance, cursor=cursor, resources={"store": store}))


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def source(server: EmbeddedServer, make_database: MakeDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation on the server of all tests, used as somebody else's server: two people, feedback taken up and not, a dataset, an artifact."""
    with make_database() as database:
        name = psycopg.conninfo.conninfo_to_dict(database.admin_url)["dbname"]
        dagster = f"{name}_dagster"
        home = tmp_path_factory.mktemp("source")
        settings = here(home, database_url=database.admin_url, dagster_database_url=server.url(dagster))
        one = Installation(settings, open_database(settings))
        migrate.migrate(one.database)
        file = home / "artifacts" / ARTIFACT
        file.parent.mkdir(parents=True)
        file.write_bytes(CONTENT)
        with one.database.connect("pipeline") as connection:
            one.load(connection, "agents", [AGENT])
            one.load(connection, "executions", [execution(f"e{number}", user=f"u{number % 2}") for number in range(6)])
            one.load(connection, "feedback", [said("f1", "e1"), said("f2", "e2", "correction", correction_text="Better.")])
            one.load(connection, "examples", [example(number) for number in range(12)])
            refresh_examples(connection, agent_ref(connection))
            refresh(connection)
        yield one
        with psycopg.connect(server.url(), autocommit=True) as session:
            session.execute(f"DROP DATABASE IF EXISTS {dagster} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def taken(source: Installation, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """A backup of it: its sensor has seen everything but the last feedback, a run was under way, and people go on writing meanwhile."""
    path = tmp_path_factory.mktemp("backups") / "monday"

    def dump_amid_writes(of: dump.Source, *more: Any) -> None:
        if of.schema == "learning":  # the picture is taken, and not dumped yet
            with source.database.connect("pipeline") as writing:
                source.load(writing, "feedback", [said("f4", "e4")])
        dump_schema(of, *more)

    dump_schema = dump.dump
    with pytest.MonkeyPatch.context() as patch, source.instance(patch) as instance:
        seen = tick(source.store, instance, None)
        origin = RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("localhost", 4000, location_name="learning_pipelines"), "__repository__")
        state = SensorInstigatorData(cursor=seen.cursor)
        instance.add_instigator_state(
            InstigatorState(RemoteInstigatorOrigin(origin, "new_feedback"), InstigatorType.SENSOR, InstigatorStatus.RUNNING, state)
        )
        create_run_for_test(instance, job_name="examples_refresh", status=dg.DagsterRunStatus.STARTED)
    with source.database.connect("pipeline") as connection:
        source.load(connection, "feedback", [said("f3", "e3")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dump, "dump", dump_amid_writes)
        manifest = back_up(source.settings, path, quiet)
    return path, manifest


@pytest.fixture(scope="module")
def restored(taken: tuple[Path, Manifest], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Restored once, into a home that has never run."""
    settings = here(tmp_path_factory.mktemp("target"))
    try:
        _, wrong, replayed = restore(settings, taken[0], quiet)
        assert wrong == [] and replayed.erased == replayed.absent == []
        yield Installation(settings, open_database(settings))
    finally:
        remove(settings.home)


def test_a_backup_names_versions_rows_datasets_and_every_part(taken: tuple[Path, Manifest]) -> None:
    path, manifest = taken
    assert (manifest.schema, manifest.rows["agent_feedback"], list(manifest.datasets)) == (migrate.head(), 3, ["default/desk@1"])
    assert {part.path for part in manifest.parts} == {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()} - {MANIFEST, CHECKSUM}
    assert path.stat().st_mode & 0o777 == 0o700


def test_all_that_was_there_is_there_again(taken: tuple[Path, Manifest], restored: Installation) -> None:
    with restored.database.connect("pipeline") as connection:
        assert connection.execute("SELECT array_agg(id ORDER BY id) FROM agent_feedback").fetchone() == (["f1", "f2", "f3"],)
        version = dataset(connection)
        assert rebuild(connection, agent_ref(connection), version.id).content_hash.hex() == taken[1].datasets["default/desk@1"]
    assert (restored.settings.home / "artifacts" / ARTIFACT).read_bytes() == CONTENT
    assert all(one.ok for one in installation.findings(restored.database))


def test_policies_owners_and_rights_are_the_same(source: Installation, restored: Installation) -> None:
    with source.database.connect("owner") as before, restored.database.connect("owner") as after:
        assert after.execute(SECURITY).fetchall() == before.execute(SECURITY).fetchall()


def test_the_sensor_and_the_readers_go_on_without_a_gap_or_a_repeat(restored: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    with restored.instance(monkeypatch) as instance, restored.database.connect("pipeline") as connection:
        (state,) = instance.all_instigator_state()
        cursor = state.instigator_data.cursor
        agent = agent_ref(connection)
        first = tick(restored.store, instance, cursor)  # f3 came after its last look
        assert outbox.news(connection, cursors.position_of(cursor), 100, "UTC").entries == 1
        assert [one.partition_key for one in first.run_requests if one.job_name == "examples_refresh"] == ["default/desk"]
        assert refresh_examples(connection, agent).executions == 1
        assert isinstance(tick(restored.store, instance, first.cursor), dg.SkipReason)
        assert restored.load(connection, "feedback", [said("f3", "e3"), said("f5", "e5")]) == 1  # f3 is known: it is not stored again
        second = tick(restored.store, instance, first.cursor)
        assert outbox.news(connection, cursors.position_of(first.cursor), 100, "UTC").entries == 1
        assert refresh_examples(connection, agent).executions == 1
        assert isinstance(tick(restored.store, instance, second.cursor), dg.SkipReason)


def test_a_run_that_was_under_way_has_failed_and_is_not_waited_for(restored: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    with restored.instance(monkeypatch) as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


def test_an_installation_that_holds_something_is_refused_by_name(taken: tuple[Path, Manifest], source: Installation, restored: Installation) -> None:
    for one in (source, restored):
        with pytest.raises(BadInput, match="is not empty: it holds 1 organizations") as refused:
            restore(one.settings, taken[0], quiet)
        assert one.database.name in refused.value.cause


def test_an_artifact_of_something_else_is_refused_by_name(taken: tuple[Path, Manifest], server: EmbeddedServer, tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "theirs.bin").write_bytes(b"x")
    with empty(server, tmp_path) as settings, pytest.raises(BadInput, match=r"it holds theirs\.bin"):
        restore(settings, taken[0], quiet)


def erased_elsewhere(name: str) -> dict[str, Any]:
    """The certificate of an erasure that was done after the backup was taken."""
    document = {
        "certificate_id": str(uuid4()), "organization": "default", "person": fingerprint(organization_id("default"), name).hex(), "requested_by": "admin",
        "requested_at": "2026-11-20T08:00:00+00:00", "completed_at": "2026-11-20T08:00:01+00:00",
    }  # fmt: skip
    return {**document, "checksum": certificate.checksum(document)}


def test_who_was_erased_after_the_backup_was_taken_is_erased_again(taken: tuple[Path, Manifest], server: EmbeddedServer, tmp_path: Path) -> None:
    there, nobody = erased_elsewhere("u1"), erased_elsewhere("never-seen")
    copies = tmp_path / "copies" / "default"
    copies.mkdir(parents=True)
    (copies / "one.json").write_bytes(certificate.as_bytes(there))
    with empty(server, tmp_path) as settings:
        certificate.write(settings.artifacts, nobody)  # as an artifact store that outlived its installation holds it
        _, wrong, replayed = restore(settings, taken[0], quiet, tmp_path / "copies")
        assert wrong == [] and replayed.erased == [there["certificate_id"]] and replayed.absent == [nobody["certificate_id"]]
        database = open_database(settings)
        with database.connect("pipeline") as connection:
            assert connection.execute("SELECT count(*) FROM users WHERE external_id = 'u1'").fetchone() == (0,)
            rows = connection.execute("SELECT id::text, state, certificate FROM erasures ORDER BY requested_at").fetchall()
        assert [(name, state) for name, state, _ in rows] == [(nobody["certificate_id"], "done"), (there["certificate_id"], "done")]
        assert rows[0][2] == nobody and rows[1][2]["touched"]["users"] == 1
        assert certificate.check(tmp_path / "artifacts" / certificate.path_of(there)) == rows[1][2]


def test_a_certificate_that_was_changed_keeps_a_restore_from_beginning(taken: tuple[Path, Manifest], server: EmbeddedServer, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / "one.json").write_bytes(certificate.as_bytes({**erased_elsewhere("u1"), "person": "00" * 32}))
    with empty(server, tmp_path) as settings:
        with pytest.raises(BadInput, match="not as it was issued"):
            restore(settings, taken[0], quiet, tmp_path / "copies")
        with pytest.raises(BadInput, match="is not a folder of certificates"):
            restore(settings, taken[0], quiet, tmp_path / "none")
        backup_rows.require_empty(open_database(settings))


def test_a_restore_that_fails_late_leaves_nothing_and_can_be_repeated(
    taken: tuple[Path, Manifest], server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise psycopg.errors.DiskFull("could not extend file")

    with empty(server, tmp_path) as settings:
        with monkeypatch.context() as broken:
            broken.setattr(restoring, "_settle", fail)
            with pytest.raises(LearningError, match="disk of the database is full"):
                restore(settings, taken[0], quiet)
        database = open_database(settings)
        with database.connect("owner") as owner:
            assert owner.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'learning'::regnamespace").fetchone() == (0,)
        assert not [file for file in (tmp_path / "artifacts").rglob("*") if file.is_file()]
        backup_rows.require_empty(database)


def test_runs_of_dagster_are_refused_unless_a_restore_that_was_killed_left_them(server: EmbeddedServer, tmp_path: Path) -> None:
    with empty(server, tmp_path) as settings:
        database = open_database(settings)
        backup_rows.require_empty(database)
        with psycopg.connect(database.dagster_url) as session:
            session.execute("CREATE TABLE runs AS SELECT 1")
        with pytest.raises(BadInput, match="_dagster is not empty: it holds 1 runs"):
            backup_rows.require_empty(database)
        with psycopg.connect(database.dagster_url) as session:
            session.execute(f"COMMENT ON TABLE runs IS '{backup_rows.LEFTOVER}'")  # type: ignore[arg-type]
        backup_rows.require_empty(database)


@pytest.fixture
def copied(taken: tuple[Path, Manifest], tmp_path: Path) -> Path:
    """A backup that may be damaged."""
    return Path(shutil.copytree(taken[0], tmp_path / "copy"))


def one_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [one_byte, cut, Path.unlink])
@pytest.mark.parametrize("part", [DATA, f"artifacts/{ARTIFACT}"])
def test_a_damaged_part_is_named_before_anything_is_written(copied: Path, tmp_path: Path, part: str, damage: Callable[[Path], None]) -> None:
    damage(copied / part)
    with pytest.raises(BadInput, match=f"is damaged: {part} "):
        restore(here(tmp_path / "home"), copied, quiet)
    assert list((tmp_path / "home").iterdir()) == []


def test_a_damaged_manifest_is_named(copied: Path, tmp_path: Path) -> None:
    one_byte(copied / MANIFEST)
    with pytest.raises(BadInput, match=r"is damaged: manifest\.json was changed"):
        restore(here(tmp_path / "home"), copied, quiet)


def say_of_itself(path: Path, **claims: Any) -> None:
    content = json.dumps(json.loads((path / MANIFEST).read_bytes()) | claims).encode()
    (path / MANIFEST).write_bytes(content)
    (path / CHECKSUM).write_text(f"{hashlib.sha256(content).hexdigest()}  {MANIFEST}\n")


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"schema": "9999", "project": "7.0"}, r"the schema 9999, written by learning_pipelines 7\.0"),
        ({"format": 2}, "the format 2, this version knows 1"),
        ({"parts": [{"path": "artifacts/../../x", "sha256": "", "bytes": 0}]}, "outside of its folder"),
    ],
)
def test_a_backup_of_a_version_that_is_not_known_is_refused(copied: Path, tmp_path: Path, claims: dict[str, Any], reason: str) -> None:
    say_of_itself(copied, **claims)
    with pytest.raises(BadInput, match=reason):
        restore(here(tmp_path / "home"), copied, quiet)
    assert list((tmp_path / "home").iterdir()) == []


def test_a_folder_that_is_no_backup_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no backup"):
        restore(here(tmp_path / "home"), tmp_path, quiet)


def test_a_backup_never_replaces_anything(source: Installation, taken: tuple[Path, Manifest]) -> None:
    before = (taken[0] / MANIFEST).read_bytes()
    with pytest.raises(BadInput, match="exists already"):
        back_up(source.settings, taken[0], quiet)
    assert (taken[0] / MANIFEST).read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(source: Installation, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be written to .*No such file"):
        back_up(source.settings, tmp_path / "missing" / "backup", quiet)


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(LearningError, match="No space left on device"), whole_folder(tmp_path / "backup") as folder, folder.part("data.dump") as into:
        into.write(b"x")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_backup_of_an_older_schema_is_migrated(make_database: MakeDatabase, server: EmbeddedServer, tmp_path: Path) -> None:
    with make_database() as database, empty(server, tmp_path / "target") as target:
        dagster = {"dagster_url": server.url("older_dagster")}
        old = Installation(here(tmp_path / "old", database_url=database.admin_url, dagster_database_url=dagster["dagster_url"]), database)
        old = dataclasses.replace(old, database=open_database(old.settings))
        try:
            with old.database.connect("pipeline") as connection:
                old.load(connection, "agents", [AGENT])
            older = migrate.versions()[-2]
            migrate.migrate(old.database, older)
            assert back_up(old.settings, tmp_path / "backup", quiet).schema == older
        finally:
            with psycopg.connect(server.url(), autocommit=True) as session:
                session.execute("DROP DATABASE IF EXISTS older_dagster WITH (FORCE)")
        restore(target, tmp_path / "backup", quiet)
        with open_database(target).connect("owner") as connection:
            assert migrate.current_version(connection) == migrate.head()
            assert connection.execute("SELECT slug FROM agents").fetchall() == [("desk",)]


def test_a_home_that_was_never_migrated_has_nothing_to_back_up_and_says_what_to_do(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learning_pipelines.defs.backup.open_database", lambda _: of_server(server, "never_made"))
    with pytest.raises(LearningError, match=r"never migrated: there is nothing to back up\..*LEARNING_HOME.*migrate"):
        back_up(Settings(home=tmp_path / "home"), tmp_path / "backup", lambda _: None)
    assert not (tmp_path / "backup").exists()
