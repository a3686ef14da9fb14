"""Ports of this machine: which is free, who listens.

Belongs here: looking. Not here: what they are for (processes.py); dagster is not imported.
"""

from __future__ import annotations

import socket

from learning_pipelines.errors import Unavailable

HOST = "127.0.0.1"


def require_free(host: str, port: int, setting: str, purpose: str) -> None:
    """Raises Unavailable, naming the setting, if something listens there already or nobody can."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise Unavailable(f"The address {host}, meant for {purpose}, is not known: {error.strerror}.", "Correct LEARNING_API_HOST.") from error
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Unavailable(f"Port {port}, meant for {purpose}, cannot be used: {error.strerror}.", f"Stop what uses it, or set {setting}.") from error


def reachable(host: str) -> str:
    """Where this machine reaches a server that binds to `host`."""
    return {"0.0.0.0": HOST, "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # nosec B104 # asked of, not bound to


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody listens at this port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0
