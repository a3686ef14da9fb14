"""The order of an erasure: what is kept between its steps, who may work on it, what becomes of the account, what the certificate says.

Belongs here: the engine, requests, account, certificate. Not here: rows and archives, what was learnt, the whole of it on planted words.
"""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from learning_pipelines.api.keys import new_key
from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.feedback.erasure import certificate, engine
from learning_pipelines.feedback.erasure.requesting import request
from learning_pipelines.feedback.identity import fingerprint, organization_id, user_id
from learning_pipelines.settings import Settings
from learning_pipelines.storage import api_keys, archive, audit, erasure_requests, tenants
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load

HERE = organization_id("default")
ADA = user_id(HERE, "ada")


class Killed(BaseException):
    """What kill -9 is to a test: nothing after it runs."""


@pytest.fixture
def store(database: Database, tmp_path: Path) -> Store:
    return Store(Settings(home=tmp_path / "home", timezone="Europe/Berlin"), database)


@pytest.fixture
def ada(pipeline: Connection, load: Load) -> UUID:
    """Somebody of whom there is an account, and an agent for what they moved."""
    load("agents", [{"agent": "desk", "system_prompt": "You are desk."}])
    _, hashed = new_key("default")
    api_keys.create(pipeline, HERE, hashed, "admin", "ada", user_id)
    return ADA


def ask(connection: Connection, name: str = "ada") -> UUID:
    erasure = request(connection, HERE, name, actor="operator", requested_by="operator")
    assert erasure is not None
    return erasure


def value(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query, list(values)).fetchone()  # type: ignore[arg-type]
    return None if row is None else row[0]


def test_who_is_to_be_erased_is_switched_off_with_the_request(pipeline: Connection, ada: UUID) -> None:
    erasure = ask(pipeline)
    assert value(pipeline, "SELECT is_active FROM users WHERE id = %s", ada) is False
    assert value(pipeline, "SELECT state FROM erasures WHERE id = %s", erasure) == "requested"


def test_who_is_named_by_uuid_is_found_too(pipeline: Connection, ada: UUID) -> None:
    assert ask(pipeline, str(ada)) == ask(pipeline, "ada")


def test_a_second_request_joins_the_first(pipeline: Connection, ada: UUID) -> None:
    assert ask(pipeline) == ask(pipeline)
    assert value(pipeline, "SELECT count(*) FROM audit_log WHERE action = 'requested' AND subject_kind = 'erasure'") == 1


def test_nobody_of_that_name_is_no_request(pipeline: Connection, ada: UUID) -> None:
    assert request(pipeline, HERE, "bob", actor="operator", requested_by="operator") is None
    assert value(pipeline, "SELECT count(*) FROM erasures") == 0


def test_it_ends_with_a_certificate_that_names_nobody(store: Store, pipeline: Connection, ada: UUID) -> None:
    document = engine.erase(store, ask(pipeline))
    assert document["touched"]["api_keys"] == 1 and document["touched"]["users"] == 1 and document["remaining"] == []
    assert document["person"] == fingerprint(HERE, "ada").hex()
    text = certificate.as_bytes(document).decode()
    assert "ada" not in text and str(ada) not in text
    (state, user, name, kept) = pipeline.execute("SELECT state, user_id, external_id, certificate FROM erasures").fetchone() or ()
    assert (state, user, name, kept) == ("done", None, None, document)
    assert certificate.check(Path(store.settings.artifacts.removeprefix("file://")) / certificate.path_of(document)) == document


def test_an_erasure_that_is_done_gives_the_certificate_it_has(store: Store, pipeline: Connection, ada: UUID) -> None:
    erasure = ask(pipeline)
    assert engine.erase(store, erasure) == engine.erase(store, erasure)


def test_an_unknown_erasure_is_refused(store: Store) -> None:
    with pytest.raises(BadInput, match="There is no erasure"):
        engine.erase(store, uuid4())


def test_the_account_becomes_a_tombstone_and_keys_go(store: Store, pipeline: Connection, ada: UUID) -> None:
    engine.erase(store, ask(pipeline))
    names = [name for (name,) in pipeline.execute("SELECT external_id FROM users WHERE NOT is_active").fetchall()]
    assert len(names) == 1 and names[0].startswith("erased-")
    assert value(pipeline, "SELECT count(*) FROM api_keys") == 0
    assert value(pipeline, "SELECT count(*) FROM users WHERE external_id = 'ada' OR id = %s", ada) == 0


def test_what_an_operator_did_stays_under_the_other_name(store: Store, pipeline: Connection, ada: UUID) -> None:
    key = value(pipeline, "SELECT id FROM api_keys WHERE user_id = %s", ada)
    for actor in ("user:ada", f"key:{uuid4()} for user:ada", f"key:{key}", "user:adam", f"key:{uuid4()} for user:x for user:ada"):
        audit.record(pipeline, HERE, actor=actor, action="moved", kind="prompt_label", subject="desk/production")
    audit.record(pipeline, HERE, actor="operator", action="withdrew", kind="expert", subject=str(ada), before="x", after="y")
    agent = value(pipeline, "SELECT id FROM agents")
    pipeline.execute("UPDATE prompt_labels SET moved_by = %s", [ada])
    assert value(pipeline, "SELECT count(*) FROM prompt_labels WHERE moved_by = %s AND agent_id = %s", ada, agent) > 0
    document = engine.erase(store, ask(pipeline))
    tombstone = value(pipeline, "SELECT external_id FROM users WHERE external_id LIKE 'erased-%%'")
    actors = [actor for (actor,) in pipeline.execute("SELECT actor FROM audit_log WHERE action = 'moved' ORDER BY id").fetchall()]
    assert actors[0] == actors[2] == f"user:{tombstone}" and actors[1].endswith(f" for user:{tombstone}")
    assert actors[3] == "user:adam" and actors[4].endswith(" for user:x for user:ada")
    assert pipeline.execute("SELECT subject_id, before_hash FROM audit_log WHERE action = 'withdrew'").fetchone() == (str(user_id(HERE, tombstone)), None)
    assert value(pipeline, "SELECT u.external_id FROM prompt_labels l JOIN users u ON u.id = l.moved_by") == tombstone
    assert any("prompt_labels" in one for one in document["kept"])


def test_who_comes_later_under_the_same_name_is_a_new_person(store: Store, pipeline: Connection, load: Load, ada: UUID) -> None:
    first = engine.erase(store, ask(pipeline))
    load("executions", [{"execution_id": "later", "agent": "desk", "input": "q", "output": "a", "user": "ada"}])
    assert value(pipeline, "SELECT is_active FROM users WHERE external_id = 'ada'") is True
    assert ask(pipeline) != UUID(first["certificate_id"])


def test_a_tombstone_is_nobody(store: Store, pipeline: Connection, ada: UUID) -> None:
    engine.erase(store, ask(pipeline))
    name = value(pipeline, "SELECT external_id FROM users WHERE external_id LIKE 'erased-%%'")
    assert request(pipeline, HERE, name, actor="operator", requested_by="operator") is None


def test_the_same_name_in_another_organization_stays(store: Store, pipeline: Connection, load: Load, ada: UUID) -> None:
    load("agents", [{"agent": "desk"}], "other")
    load("executions", [{"execution_id": "run", "agent": "desk", "input": "q", "output": "a", "user": "ada"}], "other")
    audit.record(pipeline, organization_id("other"), actor="user:ada", action="moved", kind="prompt_label", subject="desk/production")
    engine.erase(store, ask(pipeline))
    assert value(pipeline, "SELECT external_id FROM users WHERE id = %s", user_id(organization_id("other"), "ada")) == "ada"
    assert value(pipeline, "SELECT actor FROM audit_log WHERE organization_id = %s", organization_id("other")) == "user:ada"


@pytest.mark.parametrize("after", ["started", "archives", "rows", "files", "runs", "certificate"])
def test_killed_after_any_step_the_next_run_ends_it(store: Store, pipeline: Connection, ada: UUID, after: str) -> None:
    def step(name: str) -> None:
        if name == after:
            raise Killed

    erasure = ask(pipeline)
    with pytest.raises(Killed):
        engine.erase(store, erasure, step=step)
    assert value(pipeline, "SELECT state FROM erasures") == "erasing"
    assert value(pipeline, "SELECT count(*) FROM users WHERE external_id = 'ada'") == (1 if after in ("started", "archives") else 0)
    document = engine.erase(store, erasure)
    assert document["touched"]["api_keys"] == 1
    assert value(pipeline, "SELECT state FROM erasures") == "done" and value(pipeline, "SELECT count(*) FROM users WHERE external_id = 'ada'") == 0


def test_a_failing_step_changes_no_row_and_keeps_the_request(store: Store, pipeline: Connection, ada: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any) -> None:
        raise LearningError("No.", "Nothing.")

    monkeypatch.setattr(engine.account, "erase", fails)
    with pytest.raises(LearningError):
        engine.erase(store, ask(pipeline))
    assert value(pipeline, "SELECT count(*) FROM users WHERE external_id = 'ada'") == 1
    assert value(pipeline, "SELECT rows_gone_at FROM erasures") is None


def test_who_writes_meanwhile_does_not_end_it(store: Store, pipeline: Connection, ada: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends one of two that wait for each other; nothing is counted twice."""
    erase, tried = engine.account.erase, []

    def first_fails(*arguments: Any) -> None:
        erase(*arguments)
        tried.append(1)
        if len(tried) == 1:
            raise psycopg.errors.DeadlockDetected

    monkeypatch.setattr(engine.account, "erase", first_fails)
    monkeypatch.setattr(erasure_requests, "_WAIT_SECONDS", 0)
    document = engine.erase(store, ask(pipeline))
    assert len(tried) == 2 and document["touched"]["users"] == 1


def test_files_that_are_named_go_and_those_that_are_gone_are_passed_over(store: Store, pipeline: Connection, ada: UUID, monkeypatch: Any) -> None:
    from learning_pipelines.feedback.erasure import learnt

    folder = Path(store.settings.artifacts.removeprefix("file://"))
    (folder / "exports").mkdir(parents=True)
    (folder / "exports" / "one.jsonl").write_text("words")
    monkeypatch.setattr(learnt, "erase", lambda connection, store, person, touched: touched.files.extend(["exports/one.jsonl", "exports/gone.jsonl"]))
    document = engine.erase(store, ask(pipeline))
    assert not (folder / "exports" / "one.jsonl").exists()
    assert document["files"]["deleted"] == ["exports/gone.jsonl", "exports/one.jsonl"]


def test_a_file_outside_of_the_artifact_store_is_not_deleted(store: Store, pipeline: Connection, ada: UUID, monkeypatch: Any) -> None:
    from learning_pipelines.feedback.erasure import learnt

    monkeypatch.setattr(learnt, "erase", lambda connection, store, person, touched: touched.files.append("../elsewhere"))
    with pytest.raises(LearningError, match="does not lie below"):
        engine.erase(store, ask(pipeline))


def test_folders_of_this_machine_go_once_the_rows_are_gone(store: Store, pipeline: Connection, ada: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    """An erasure that is taken back had deleted the checkpoints of a run that then went on."""
    from learning_pipelines.feedback.erasure import learnt

    (kept := store.settings.home / "training" / "run").mkdir(parents=True)
    monkeypatch.setattr(learnt, "erase", lambda connection, store, person, touched: touched.here.extend(["training/run", "training/gone"]))
    erasure, account = ask(pipeline), engine.account.erase
    with monkeypatch.context() as taken_back, pytest.raises(LearningError):
        taken_back.setattr(engine.account, "erase", lambda *arguments: (account(*arguments), (_ for _ in ()).throw(LearningError("No.", "Nothing."))))
        engine.erase(store, erasure)
    assert kept.exists()
    engine.erase(store, erasure)
    assert not kept.exists()


def test_a_folder_that_cannot_be_deleted_is_named_and_nothing_is_called_erased(store: Store, pipeline: Connection, ada: UUID, monkeypatch: Any) -> None:
    from learning_pipelines.feedback.erasure import learnt

    (left := store.settings.home / "training" / "run").parent.mkdir(parents=True)
    left.write_text("words")  # a file, where a folder is deleted
    monkeypatch.setattr(learnt, "erase", lambda connection, store, person, touched: touched.here.append("training/run"))
    erasure = ask(pipeline)
    with pytest.raises(LearningError, match="training/run, which may hold what the person said, cannot be deleted"):
        engine.erase(store, erasure)
    assert value(pipeline, "SELECT certificate FROM erasures") is None
    left.unlink()
    engine.erase(store, erasure)
    assert value(pipeline, "SELECT state FROM erasures") == "done"


def test_erasing_waits_for_the_archive_and_says_so(store: Store, pipeline: Connection, ada: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    erasure = ask(pipeline)
    with store.database.connect("owner") as archiving:
        assert archive.begin(archiving)
        thread = threading.Thread(target=lambda: engine.erase(store, erasure, said.append))
        thread.start()
        while not any("archive is at work" in one for one in said):
            assert thread.is_alive()
        assert value(pipeline, "SELECT state FROM erasures") == "requested"
        archive.end(archiving)
        thread.join(30)
    assert value(pipeline, "SELECT state FROM erasures") == "done"


def test_archiving_is_refused_while_somebody_is_erased(store: Store, pipeline: Connection, ada: UUID) -> None:
    refused: list[bool] = []

    def step(name: str) -> None:
        with store.database.connect("owner") as other:
            refused.append(not archive.begin(other))

    engine.erase(store, ask(pipeline), step=step)
    assert refused and all(refused)


def test_two_at_once_give_one_certificate(store: Store, pipeline: Connection, ada: UUID) -> None:
    erasure, found = ask(pipeline), []
    threads = [threading.Thread(target=lambda: found.append(engine.erase(store, erasure))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 2 and found[0] == found[1]


def test_what_nobody_works_on_is_known(store: Store, pipeline: Connection, ada: UUID) -> None:
    erasure = ask(pipeline)
    assert [one.id for one in erasure_requests.nobodys(pipeline, 0)] == [erasure]
    assert erasure_requests.nobodys(pipeline, 3600) == []
    with store.database.connect("pipeline") as working, erasure_requests.alone(working, erasure, lambda text: None):
        assert erasure_requests.nobodys(pipeline, 0) == []


def test_what_is_left_is_said(store: Store, pipeline: Connection, ada: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.account, "erase", lambda *arguments: None)
    document = engine.erase(store, ask(pipeline))
    assert {"users.external_id: 1 rows", "users.id: 1 rows", "api_keys.user_id: 1 rows"} <= set(document["remaining"])


def test_a_changed_certificate_is_refused(store: Store, pipeline: Connection, ada: UUID, tmp_path: Path) -> None:
    document = engine.erase(store, ask(pipeline))
    path = tmp_path / "certificate.json"
    path.write_bytes(certificate.as_bytes(document))
    assert certificate.check(path) == document
    path.write_bytes(certificate.as_bytes({**document, "completed_at": dt.datetime.now(dt.UTC).isoformat()}))
    with pytest.raises(BadInput, match="not as it was issued"):
        certificate.check(path)
    for content, said in ((b"{", "is not JSON"), (b"[]", "is not a certificate"), (b'{"checksum": "x"}', "is not a certificate")):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=said):
            certificate.check(path)
    with pytest.raises(BadInput, match="cannot be read"):
        certificate.check(tmp_path / "none.json")


def test_another_organization_is_not_known_by_its_users(pipeline: Connection, ada: UUID) -> None:
    other = organization_id("other")
    tenants.ensure_organization(pipeline, other, "other")
    assert request(pipeline, other, "ada", actor="operator", requested_by="operator") is None
