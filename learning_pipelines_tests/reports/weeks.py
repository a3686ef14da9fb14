"""Weeks of rows that tests of reports load: executions, ratings, complaints and corrections of one agent.

Belongs here: rows. Not here: assertions.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, execution, said

MONDAY = dt.date(2024, 7, 1)


def week_of(load: Load, monday: dt.date, *, executions: int, ratings: list[int], issues: dict[str, int] | None = None, agent: str = "desk") -> None:
    """So many executions spread over the week; each rating by somebody of their own on one of them, so many of them naming each issue."""
    load("agents", [{**AGENT, "agent": agent}])
    name = f"{agent}{monday:%m%d}"

    def moment(place: int) -> str:
        return f"{monday + dt.timedelta(days=place % 7)}T12:00:00Z"

    load("executions", [execution(f"{name}e{place}", agent, created_at=moment(place)) for place in range(executions)])
    rows: list[dict[str, Any]] = [
        said(f"{name}f{place}", f"{name}e{place}", "star_rating", user=f"u{place}", rating=rating, created_at=moment(place))
        for place, rating in enumerate(ratings)
    ]
    for category, count in (issues or {}).items():
        for row in rows[:count]:
            row.setdefault("issue_categories", []).append(category)
    load("feedback", rows)
