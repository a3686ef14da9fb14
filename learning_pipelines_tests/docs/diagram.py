"""docs/data-model.md, made from a migrated database: `python -m learning_pipelines_tests.docs.diagram` writes it.

Belongs here: tables, keys and references as Mermaid diagrams. Not here: the tables themselves (storage/migrations).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import Connection, of_server
from learning_pipelines.storage.embedded_place import place_of
from learning_pipelines.storage.migrate import migrate
from learning_pipelines_tests.docs.snippets import PROJECT

PAGE = PROJECT / "docs" / "data-model.md"
HEAD = """# Data model

The tables of the schema `learning`, for data engineers who query it. Made from a migrated database by `python -m learning_pipelines_tests.docs.diagram`; do
not edit.

Every table carries `organization_id`, every key begins with it, and row-level security is forced on all of them ([security](security.md)); so the diagrams
leave out that column and the references to `organizations`. `agent_executions` and `agent_feedback` have one partition a month. A table is drawn with its keys
(PK: primary key, FK: refers to another table); all columns of a table are in the Dagster UI, and in `psql` with `\\d learning.agent_feedback`.

Each diagram holds the tables that refer to one table, the one at its head, and each reference stands in one diagram.
"""
_KEYS = """
SELECT c.relname, a.attname, format_type(a.atttypid, NULL) AS kind,
    bool_or(k.contype = 'p') AS is_primary, bool_or(k.contype = 'f') AS is_foreign
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (k.conkey)
WHERE c.relnamespace = 'learning'::regnamespace AND NOT c.relispartition AND k.contype IN ('p', 'f') AND a.attname <> 'organization_id'
GROUP BY c.relname, a.attnum, a.attname, a.atttypid ORDER BY c.relname, a.attnum"""
_REFERENCES = """
SELECT DISTINCT c.relname, t.relname,
    (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a
     WHERE a.attrelid = c.oid AND a.attnum = ANY (k.conkey) AND a.attname <> 'organization_id') AS columns
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class t ON t.oid = k.confrelid
WHERE k.contype = 'f' AND c.relnamespace = 'learning'::regnamespace AND NOT c.relispartition AND NOT t.relispartition AND t.relname <> 'organizations'
ORDER BY 2, 1, 3"""
_TABLES = """
SELECT relname FROM pg_class WHERE relnamespace = 'learning'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
AND relname <> 'alembic_version' ORDER BY 1"""


def page(connection: Connection) -> str:
    """The page as this database makes it. The connection sees the catalogue."""
    tables = [row[0] for row in connection.execute(_TABLES).fetchall()]
    keys: dict[str, list[tuple[str, str, bool, bool]]] = {}
    for name, *column in connection.execute(_KEYS).fetchall():
        keys.setdefault(name, []).append((column[0], column[1], bool(column[2]), bool(column[3])))
    references = [(str(row[0]), str(row[1]), str(row[2])) for row in connection.execute(_REFERENCES).fetchall()]
    parts, drawn = [HEAD], set()
    for target in dict.fromkeys(one[1] for one in references):
        mine = [one for one in references if one[1] == target]
        members = list(dict.fromkeys([target, *(one[0] for one in mine)]))
        drawn.update(members)
        parts.append(f"\n## {target}\n\n```mermaid\n{_diagram(members, mine, keys)}\n```\n")
    alone = [name for name in tables if name not in drawn]
    return "".join(parts) + f"\n## Tables that refer to organizations alone\n\n{', '.join(f'`{name}`' for name in alone)}\n"


def _diagram(members: Sequence[str], references: Sequence[tuple[str, str, str]], keys: dict[str, list[tuple[str, str, bool, bool]]]) -> str:
    lines = ["erDiagram"]
    for name in members:
        columns = [f"        {kind.split('(')[0].replace(' ', '_')} {column} {_mark(pk, fk)}" for column, kind, pk, fk in keys.get(name, [])]
        lines += [f"    {name} {{", *columns, "    }"]
    return "\n".join([*lines, *(f'    {target} ||--o{{ {table} : "{columns}"' for table, target, columns in references)])


def _mark(primary: bool, foreign: bool) -> str:
    return "PK, FK" if primary and foreign else "PK" if primary else "FK"


def main() -> None:
    """Writes the page from a server of its own, which is gone afterwards."""
    home = Path(tempfile.mkdtemp())
    try:
        database = of_server(embedded.ensure_running(home))
        migrate(database)
        with database.connect("owner") as connection:
            PAGE.write_text(page(connection), encoding="utf-8")
    finally:
        embedded.stop(home)
        shutil.rmtree(place_of(home).base, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
