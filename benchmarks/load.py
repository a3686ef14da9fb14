"""A closed-loop HTTP load generator that costs little itself: one process, blocking sockets behind epoll, requests cut from templates.

Belongs here: sending, timing, counting what was acknowledged. Not here: which services there are and what is sent to them (targets.py).

`python -m benchmarks.load` takes a Load as JSON on stdin and prints a Result as JSON. Every request bears a number
that no other one bears, so that whoever reads the database afterwards can tell which acknowledged record is missing or there twice.
"""

from __future__ import annotations

import dataclasses
import json
import select
import socket
import subprocess
import sys
import time
from array import array

MARK = "########"
"""Stands in a template where the eight digits of the request's number go."""
_PATIENCE_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Load:
    """What one round sends. `bodies` are sent in turn; an answer counts if its status is `status` and `proof` occurs in it `times` times."""

    port: int
    path: str
    headers: dict[str, str]
    bodies: list[str]
    status: int
    clients: int
    seconds: float
    warmup: float
    first: int = 0
    proof: str = ""
    times: int = 0
    method: str = "POST"


@dataclasses.dataclass(frozen=True)
class Result:
    """`requests` answered within `seconds` after the warm-up, their latencies in ms, and over the whole round: the numbers sent [first, last)
    and those of them that were not acknowledged. `elapsed`
    seconds from the first request to the last answer; `cpu` is the generator's own processor time in seconds per second."""

    requests: int
    seconds: float
    p50: float
    p95: float
    p99: float
    first: int
    last: int
    refused: list[int]
    example: str
    elapsed: float
    cpu: float


def run(load: Load) -> Result:
    """One round in a process of its own. Raises RuntimeError if it fails."""
    done = subprocess.run([sys.executable, "-m", __name__], input=json.dumps(dataclasses.asdict(load)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Result(**json.loads(done.stdout))


class Client:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
        self.number = -1
        self.begun = 0.0
        self.answer = b""

    def send(self, number: int, segments: list[bytes]) -> None:
        self.number, self.answer = number, b""
        request = (b"%08d" % number).join(segments)
        self.begun = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Reads what is there; True once the answer is whole."""
        more = self.socket.recv(1 << 20)
        if not more:
            raise RuntimeError(f"the service closed the connection in the middle of an answer: {self.answer[:200]!r}")
        self.answer = self.answer + more if self.answer else more
        end = self.answer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self.answer[:end].lower()
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            raise RuntimeError(f"the answer has no length: {head!r}")
        return len(self.answer) >= end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])


def requests(load: Load) -> list[list[bytes]]:
    """The templates as whole requests, split where the number goes."""
    made = []
    for body in load.bodies:
        sent = body.encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in {**load.headers, "Content-Length": str(len(sent))}.items())
        made.append((f"{load.method} {load.path} HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\n{head}\r\n".encode() + sent).split(MARK.encode()))
    return made


def generate(load: Load) -> Result:
    """Keeps every client busy until the time is over, then waits for the answers under way."""
    templates = requests(load)
    clients = {client.socket.fileno(): client for client in (Client(load.port) for _ in range(load.clients))}
    ready = select.epoll()
    for descriptor in clients:
        ready.register(descriptor, select.EPOLLIN)
    expected, proof = str(load.status).encode(), load.proof.encode()
    latencies, refused, example = array("d"), [], ""
    number, waiting = load.first, 0
    begun = time.perf_counter()
    counted, end = begun + load.warmup, begun + load.warmup + load.seconds
    for client in clients.values():
        client.send(number, templates[number % len(templates)])
        number, waiting = number + 1, waiting + 1
    processor = time.process_time()
    while waiting:
        events = ready.poll(_PATIENCE_SECONDS)
        if not events:
            raise RuntimeError(f"no answer for {_PATIENCE_SECONDS:.0f} s")
        for descriptor, _ in events:
            client = clients[descriptor]
            if not client.receive():
                continue
            now = time.perf_counter()
            if counted <= now < end:
                latencies.append(now - client.begun)
            if client.answer[9:12] != expected or (load.times and client.answer.count(proof) != load.times):
                refused.append(client.number)
                example = example or client.answer[:600].decode(errors="replace")
            if now < end:
                client.send(number, templates[number % len(templates)])
                number += 1
            else:
                waiting -= 1
    elapsed = time.perf_counter() - begun
    cpu = (time.process_time() - processor) / elapsed
    ordered = sorted(latencies)

    def percentile(share: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))], 3) if ordered else float("nan")

    return Result(len(ordered), load.seconds, percentile(0.5), percentile(0.95), percentile(0.99), load.first, number, refused, example, elapsed, cpu)


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(generate(Load(**json.load(sys.stdin))))))
