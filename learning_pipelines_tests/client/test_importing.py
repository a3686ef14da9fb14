"""What importing the client costs and what it must never pull in.

Belongs here: imports, settings, that both clients are alike. Not here: behaviour.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from learning_pipelines.client import AsyncClient, Client
from learning_pipelines.client.options import Target, queue_root

LIST = "import sys, learning_pipelines.client; print('\\n'.join(sys.modules))"


def test_importing_the_client_imports_nothing_heavy_and_nothing_of_the_package() -> None:
    modules = subprocess.run([sys.executable, "-c", LIST], capture_output=True, text=True, check=True).stdout.split()
    roots = {name.split(".")[0] for name in modules}
    assert not roots & {"dagster", "torch", "pydantic", "psycopg", "orjson", "openai", "numpy", "pandas", "fastapi", "httpx", "rich"}
    own = {name for name in modules if name.startswith("learning_pipelines.")}
    assert own and all(name.startswith("learning_pipelines.client") for name in own)


def test_both_clients_have_the_same_methods() -> None:
    def methods(client: type) -> dict[str, object]:
        return {name: inspect.signature(value) for name, value in inspect.getmembers(client, inspect.isfunction) if not name.startswith("_")}

    assert methods(Client) == methods(AsyncClient)


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(inspect.getfile(Client)).parents[1] / "py.typed").exists()


def test_settings_come_from_arguments_then_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEARNING_API_URL", "https://learning.example/ ")
    monkeypatch.setenv("LEARNING_API_KEY", "lp_firm_k\n")
    monkeypatch.setenv("LEARNING_QUEUE_DIR", str(tmp_path))
    assert Target.of(None, None) == Target("https://learning.example/api/learning", "lp_firm_k")
    assert Target.of("http://x/api/learning/", "other") == Target("http://x/api/learning", "other")
    assert queue_root(None) == tmp_path and queue_root("/a") == Path("/a")
    folder = Target.of(None, None).folder_name
    assert folder.startswith("learning.example-firm-") and "lp_firm_k" not in folder
    monkeypatch.delenv("LEARNING_QUEUE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert queue_root(None) == Path("/state/learning_pipelines/queue")
