"""An experiment from its first unit to what serves everybody, through the command line and a running service: no part is put in by hand.

Belongs here: that the parts fit together. Not here: any one of them.
"""

from __future__ import annotations

from pathlib import Path

from learning_pipelines.settings import Settings
from learning_pipelines_tests.api.serving import Api, serving
from learning_pipelines_tests.cli.command_line import Ended, call, database_of
from learning_pipelines_tests.cli.conftest import Load
from learning_pipelines_tests.cli.test_experiments import three_versions

UNITS = 120


def typed(home: Path, *arguments: str) -> Ended:
    ended = call(home, "experiments", *arguments, "--organization", "whole", "--json")
    assert ended.code == 0, ended.err
    return ended


def served(api: Api, key: str, unit: str) -> dict[str, str]:
    answer = api.get("/prompts/desk", key, params={"unit": unit})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def sent(api: Api, key: str, path: str, items: list[dict[str, object]]) -> None:
    answer = api.post(path, {"items": items}, key)
    assert answer.status_code == 200 and {one["status"] for one in answer.json()["results"]} == {"stored"}, answer.text


def test_a_better_prompt_wins_on_live_traffic_and_serves_everybody(home: Path, load_rows: Load) -> None:
    three_versions(home, load_rows, "whole")
    made = typed(home, "create", "--agent", "desk", "--treatment", "2", "--min-hours", "0", "--min-units", "20", "--auto-adopt", "--start").document
    settings = Settings(home=home, database_url=None, rate_limits="key=100000/second,user=100000/second,address=100000/second")
    with serving(database_of(home), settings) as api:
        key = api.key("user", "whole")
        units = [f"unit-{number}" for number in range(UNITS)]
        got = {unit: served(api, key, unit) for unit in units}
        assert {(one["variant"], one["version"]) for one in got.values()} == {("control", "1"), ("treatment", "2")}
        assert all(one["experiment"] == made["id"] for one in got.values())
        assert {unit: served(api, key, unit)["variant"] for unit in units[:10]} == {unit: got[unit]["variant"] for unit in units[:10]}
        executions = [
            {
                "execution_id": f"run-{unit}", "agent": "desk", "input": "Is it due?", "output": "Yes.", "user": unit, "prompt_version": int(one["version"]),
                "context": {"experiment": one["experiment"], "variant": one["variant"], "unit": unit},
            }
            for unit, one in got.items()
        ]  # fmt: skip
        sent(api, key, "/executions/batch", executions)
        liked = {unit: "thumbs_up" if one["variant"] == "treatment" else "thumbs_down" for unit, one in got.items()}
        sent(api, key, "/feedback/batch", [{"execution_id": f"run-{unit}", "feedback_type": liked[unit], "user": unit} for unit in units])

        seen = typed(home, "look", made["id"]).document
        assert (seen["state"], seen["decision"], seen["winner"]) == ("completed", "adopt_treatment", "treatment"), seen["verdict"]
        assert sum(arm["units"] for arm in seen["arms"]) == UNITS and [arm["mean"] for arm in seen["arms"]] == [0.0, 1.0] and seen["refused"] == {}
        after = served(api, key, "somebody-new")
        assert (after["version"], after["experiment"], after["variant"]) == ("2", None, None)
    shown = call(home, "experiments", "show", made["id"], "--organization", "whole")
    assert "decision: adopt_treatment" in shown.out and "+1 [" in shown.out
    with database_of(home).connect("pipeline") as connection:
        actions = connection.execute("SELECT action FROM audit_log WHERE subject_id = %s ORDER BY id", [f"desk/{made['id']}"]).fetchall()
    assert [action for (action,) in actions] == ["created", "started", "concluded"]
