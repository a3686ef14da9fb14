"""How long the dashboard takes over ten million feedback rows, its route and its page in a browser: `make bench-dashboard`.

Belongs here: rows, timings, printing. Not here: assertions about time (there are none), the numbers themselves (reports/dashboard.py).

A hundred agents of one organization, 180 days, four feedback events per execution, half of them by one of 100,000 people; a tenth as many examples, of which
every third waits for review, and a twentieth as many annotations. The newest days are loaded first, and every stretch of days is computed as it is loaded.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks.record import left_out, record
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.settings import Settings
from learning_pipelines.storage import embedded, metrics
from learning_pipelines.storage.database import SESSION, Database, of_server
from learning_pipelines.storage.migrate import migrate
from learning_pipelines.storage.tenants import agents, ensure_organization
from learning_pipelines_tests.api.serving import Api, serving

ORGANIZATION = organization_id("default")
AGENTS, DAYS, PEOPLE, STRETCH = 100, 180, 100_000, 9

_PEOPLE = """INSERT INTO users (organization_id, id, external_id)
    SELECT %(o)s, md5('user' || n)::uuid, 'user-' || n FROM generate_series(0, %(people)s - 1) n"""
_AGENTS = "INSERT INTO agents (organization_id, id, slug) SELECT %(o)s, md5('agent' || n)::uuid, 'agent-' || n FROM generate_series(0, %(agents)s - 1) n"
# Agent a gets a share that falls with its number: the first has a fifth of everything.
_NUMBERS = """CREATE TEMP TABLE numbers ON COMMIT DROP AS
    SELECT n, floor(%(agents)s * power(abs(hashint8(n / 4)::float8) / 2147483648, 3))::integer %% %(agents)s AS agent,
        abs(hashint8(n)::bigint) %% 1000 AS chance, abs(hashint8(n + 7)::bigint) %% (2 * %(people)s) AS person,
        least(now() - interval '1 second', %(start)s::timestamptz + make_interval(secs => %(seconds)s * (n - %(first)s)::float8 / %(count)s)) AS moment
    FROM generate_series(%(first)s::bigint, %(first)s::bigint + %(count)s - 1) n"""
_EXECUTIONS = """INSERT INTO agent_executions (organization_id, id, agent_id, input, output, latency_ms, input_tokens, output_tokens, cost_usd, created_at,
        received_at)
    SELECT %(o)s, 'e' || n / 4, md5('agent' || agent)::uuid, 'How do I file this?', 'Open the form, fill in the year and send it off.', 500 + chance, 200, 50,
        0.001, moment, moment FROM numbers WHERE n %% 4 = 0"""
_FEEDBACK = """INSERT INTO agent_feedback (organization_id, id, execution_id, agent_id, user_id, feedback_type, rating, accuracy_rating, helpfulness_rating,
        issue_categories, correction_text, context, created_at, received_at)
    SELECT %(o)s, 'f' || n, 'e' || n / 4, md5('agent' || agent)::uuid, CASE WHEN person < %(people)s THEN md5('user' || person)::uuid END,
        CASE WHEN chance < 400 THEN 'star_rating' WHEN chance < 700 THEN 'thumbs_up' WHEN chance < 850 THEN 'thumbs_down' WHEN chance < 950 THEN 'report_issue'
            ELSE 'correction' END,
        CASE WHEN chance < 400 THEN 1 + (chance %% 13) * 5 / 13 END, CASE WHEN chance < 200 THEN 1 + chance %% 5 END,
        CASE WHEN chance < 200 THEN 1 + chance %% 7 * 5 / 7 END,
        CASE WHEN chance BETWEEN 850 AND 949 THEN ARRAY[(ARRAY['incorrect', 'incomplete', 'unclear', 'outdated', 'tone'])[1 + chance %% 5]] ELSE '{}' END,
        CASE WHEN chance >= 950 THEN 'Send it by the 10th.' END, CASE WHEN chance %% 50 = 0 THEN '{"simulated": true}'::jsonb ELSE '{}' END, moment, moment
    FROM numbers"""
_EXAMPLES = """INSERT INTO learning_examples (organization_id, id, agent_id, example_type, source_type, input_text, expected_output, content_hash, scrub_rules,
        review_status, created_at, received_at)
    SELECT %(o)s, 'x' || n, md5('agent' || n %% %(agents)s)::uuid, 'correction', 'user_feedback', 'How do I file this?', 'Send it by the 10th. ' || n,
        sha256(n::text::bytea), '1', (ARRAY['pending', 'approved', 'rejected'])[1 + n %% 3], moment, moment
    FROM (SELECT n, now() - make_interval(days => %(days)s) * (1 - n::float8 / %(examples)s) AS moment FROM generate_series(1, %(examples)s) n) AS made"""
_ANNOTATIONS = """INSERT INTO expert_annotations (organization_id, example_id, expert_id, approved, created_at, received_at)
    SELECT organization_id, id, md5('user1')::uuid, true, received_at, received_at FROM learning_examples WHERE substr(id, 2)::integer %% 2 = 0"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--feedback", type=int, default=10_000_000)
    parser.add_argument("--asks", type=int, default=40, help="Questions of each kind.")
    parser.add_argument("--pages", type=int, default=8, help="Loads of the page; 0: none.")
    parser.add_argument("--home", type=Path, help="Fill this home, or ask what it holds; by default a new one that is deleted at the end.")
    parser.add_argument("--explain", action="store_true", help="Print the plan of each statement.")
    given = parser.parse_args()
    home = given.home or Path(tempfile.mkdtemp(prefix="dashboard-"))
    server = embedded.ensure_running(home)
    try:
        database = of_server(server, "dashboard")
        migrate(database)
        _timed("filled", lambda: fill(database, given.feedback))
        with serving(database, Settings(home=home, database_url=None, rate_limits="key=100000/second,user=100000/second,address=100000/second")) as api:
            print(json.dumps(held(database)), flush=True)
            ask(api, given.asks)
            if given.pages and _browser() is None:
                left_out("the page: no Chromium is installed")
            elif given.pages:
                look(api, given.pages)
        if given.explain:
            explain(database)
    finally:
        embedded.stop(home)
        if given.home is None:
            shutil.rmtree(server.data_dir.parent, ignore_errors=True)
            shutil.rmtree(home, ignore_errors=True)


def fill(database: Database, feedback: int) -> None:
    """Rows by SQL alone, past triggers and foreign keys, newest days first; each stretch of days is computed at once. Does nothing where agents are there."""
    with database.connect("pipeline") as connection:
        if agents(connection, "default"):
            return
        ensure_organization(connection, ORGANIZATION, "default")
    today = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    values: dict[str, Any] = {"o": ORGANIZATION, "agents": AGENTS, "people": PEOPLE, "days": DAYS, "examples": max(300, feedback // 10)}
    with psycopg.connect(database.admin_url, options=SESSION, autocommit=True) as owner, database.connect("pipeline") as pipeline:
        owner.execute("ALTER SYSTEM SET max_wal_size = '8GB'")
        owner.execute("SELECT pg_reload_conf()")
        owner.execute("SET session_replication_role = replica")
        for table in ("agent_executions", "agent_feedback"):
            owner.execute("SELECT learning.make_partitions(%s, (now() - make_interval(days => %s))::date, 9)", [table, DAYS + 31])
        for statement in (_AGENTS, _PEOPLE, _EXAMPLES, _ANNOTATIONS):
            owner.execute(statement, values)  # type: ignore[call-overload]
        each = math.ceil(feedback * STRETCH / DAYS / 4) * 4
        for stretch in range(DAYS // STRETCH):
            start = today - dt.timedelta(days=STRETCH * (stretch + 1) - 1)
            with owner.transaction():
                numbers = values | {"first": stretch * each, "count": each, "start": start, "seconds": 86_400 * STRETCH - 1}
                for statement in (_NUMBERS, _EXECUTIONS, _FEEDBACK):
                    owner.execute(statement, numbers)  # type: ignore[call-overload]
            if stretch == 0:
                owner.execute("ANALYZE")
            metrics.compute_days(pipeline, start.date(), (start + dt.timedelta(days=STRETCH - 1)).date(), "UTC")
            print(f"  {time.strftime('%H:%M:%S')} {(stretch + 1) * each:,} feedback rows", flush=True)
        owner.execute("VACUUM ANALYZE")


def held(database: Database) -> dict[str, int]:
    """Rows of each table."""
    tables = ("agent_feedback", "agent_executions", "feedback_metrics", "learning_examples", "expert_annotations")
    with database.connect("pipeline") as connection:
        return {table: int((connection.execute(f"SELECT count(*) FROM {table}").fetchone() or [0])[0]) for table in tables}


def ask(api: Api, asks: int) -> None:
    """The routes over HTTP on one open connection: with all days stored, with days counted live, and with more waiting than is counted live."""
    key = api.key("user")
    with httpx.Client(base_url=f"{api.url}/api/learning", headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        questions = {f"dashboard, {days} days{of}": f"/dashboard?days={days}{query}" for days in (30, 90)
                     for of, query in (("", ""), (" of the largest agent", "&agent=agent-0"))}  # fmt: skip
        for name, path in {**questions, "stats": "/stats"}.items():
            _asked(name, lambda path=path: client.get(path), asks)
        _news(api, 300)
        _asked("dashboard, 30 days, 300 new of 20 agents", lambda: client.get("/dashboard?days=30"), max(5, asks // 4))
        _news(api, 8_000)
        _asked("dashboard, 30 days, 8,000 new: as of before", lambda: client.get("/dashboard?days=30"), max(5, asks // 4))


def _asked(name: str, request: Callable[[], httpx.Response], asks: int) -> None:
    times, size, freshness = [], 0, None
    for _ in range(asks + 1):
        begun = time.perf_counter()
        answer = request()
        times.append(1000 * (time.perf_counter() - begun))
        assert answer.status_code == 200, answer.text
        size, freshness = len(answer.content), answer.json().get("freshness")
    first, ordered = times[0], sorted(times[1:])
    state = "" if freshness is None else f", {freshness['live_agents']} agents live, {freshness['waiting_agents']} waiting"
    p50, p95 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]
    record(f"{name}, p50", p50, "ms")
    record(f"{name}, p95", p95, "ms")
    print(f"{name}: p50 {p50:.0f} ms, p95 {p95:.0f} ms, first {first:.0f} ms, {size:,} bytes{state}", flush=True)


def _news(api: Api, count: int) -> None:
    """New executions with feedback of the last twenty agents, over HTTP."""
    key, mark = api.key("user"), f"new-{time.time_ns()}"
    ran = [{"execution_id": f"{mark}-{n}", "agent": f"agent-{AGENTS - 1 - n % 20}", "input": "q", "output": "a"} for n in range(count // 2)]
    said = [{"execution_id": one["execution_id"], "user": "ada", "feedback_type": "thumbs_up"} for one in ran]
    for kind, items in (("executions", ran), ("feedback", said)):
        assert api.post(f"/{kind}/batch", {"items": items}, key).status_code == 200


def look(api: Api, pages: int) -> None:
    """The page in a browser, from the start of navigation until every tile shows its number; then until the charts are drawn."""
    from playwright.sync_api import sync_playwright

    from learning_pipelines_tests.browser.conftest import _QUIET

    path = _browser()
    made = api.post("/session", {}, api.key("user", user="ada"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_QUIET))
        for days in (30, 90):
            for kind in ("cold", "warm"):
                tiles, charts = [], []
                context = None
                for _ in range(pages):
                    if context is None or kind == "cold":
                        context = browser.new_context(viewport={"width": 1280, "height": 900})
                        context.add_cookies([{"name": "learning_session", "value": made.cookies["learning_session"], "url": api.url, "httpOnly": True}])
                    page = context.new_page()
                    page.goto(f"{api.url}/?days={days}")
                    page.wait_for_function("() => performance.getEntriesByName('dashboard-drawn').length > 0")
                    shown, drawn = page.evaluate("['dashboard-shown', 'dashboard-drawn'].map(name => performance.getEntriesByName(name)[0].startTime)")
                    tiles.append(shown)
                    charts.append(drawn)
                    page.close()
                tiles.sort()
                charts.sort()
                for shown in tiles:
                    record(f"page, {days} days, {kind} cache, all tiles", shown, "ms")
                print(f"page, {days} days, {kind} cache: all tiles p50 {tiles[len(tiles) // 2]:.0f} ms, most {tiles[-1]:.0f} ms; "
                      f"charts p50 {charts[len(charts) // 2]:.0f} ms, most {charts[-1]:.0f} ms", flush=True)  # fmt: skip
        browser.close()


def _browser() -> str | None:
    from learning_pipelines_tests.browser.conftest import _BROWSERS

    return next((found for name in _BROWSERS if (found := shutil.which(name))), None)


def explain(database: Database) -> None:
    """Plans of the statements."""
    from learning_pipelines.storage import dashboard, summaries
    from learning_pipelines.storage.sessions import Acting, act_as

    now = dt.datetime.now(dt.UTC)
    values = {
        "organization": ORGANIZATION, "agent": None, "today": now, "earlier": now.date() - dt.timedelta(days=179), "first": now.date() - dt.timedelta(days=89),
        "last": now.date(), "agents": [], "firsts": [], "lasts": [], "reader": "feedback_metrics", "bound": 5_000,
    }  # fmt: skip
    with database.connect("api") as connection:
        for statement in (dashboard._BEHIND, dashboard._SUMS, dashboard._ISSUES, dashboard._EXAMPLES, dashboard._TODAY, summaries._OVERVIEW):
            with connection.transaction():
                act_as(connection, Acting(ORGANIZATION, role="admin", application=True))
                rows = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", values).fetchall()  # type: ignore[call-overload]
            print("\n".join(row[0] for row in rows), "\n", flush=True)


def _timed(what: str, work: Callable[[], Any]) -> None:
    begun = time.perf_counter()
    work()
    print(f"{what} in {time.perf_counter() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
