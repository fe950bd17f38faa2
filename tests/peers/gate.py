"""A running Callgate for the checks: the server, its command line, and sidecars in front of real MCP servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, TypeVar

import anyio
from mcp import Client, ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

T = TypeVar("T")

# Bounds for what takes well under a second: only a broken run meets them.
DEADLINE_S = 20
STOP_S = 20
POLL_S = 0.05


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment without what configures Callgate, and with what the check adds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CALLGATE_")}
    return kept | extra


async def until(what: str, question: Callable[[], Awaitable[T | None]]) -> T:
    """Asks until the answer is neither None, False nor empty, and returns it."""
    with anyio.move_on_after(DEADLINE_S):
        while True:
            answer = await question()
            if answer:
                return answer
            await anyio.sleep(POLL_S)  # poll until it is so
    raise AssertionError(f"not within {DEADLINE_S} s: {what}")


def field(message: dict[str, Any], name: str) -> Any:
    """A field of a protobuf message in JSON, whichever of the two spellings it has; absent is the empty string."""
    first, *rest = name.split("_")
    camel = first + "".join(word.capitalize() for word in rest)
    return message.get(name, message.get(camel, ""))


def messages(text: str, list_name: str) -> list[dict[str, Any]]:
    """The messages that a command printed: one object that holds a list, a list, or an object a line."""
    try:
        documents = [json.loads(text)]
    except json.JSONDecodeError:
        documents = [json.loads(line) for line in text.splitlines() if line.strip()]
    found: list[dict[str, Any]] = []
    for document in documents:
        if isinstance(document, list):
            found += document
        elif list_name in document:
            found += document[list_name]
        else:
            found.append(document)
    return found


@dataclass
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str


async def execute(*command: str | Path) -> Finished:
    """Runs a command to its end, without input and without Callgate's variables."""
    with anyio.fail_after(DEADLINE_S):
        done = await anyio.run_process(
            [str(word) for word in command],
            check=False,
            stdin=subprocess.DEVNULL,
            env=clean_environment(),
        )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


@dataclass
class Peers:
    """Where the binary under test and the pinned software lie, and where their noise goes."""

    callgate: Path
    folder: Path
    grpcurl: str
    log: TextIO

    def filesystem(self, notes: Path) -> list[str]:
        """The npm filesystem server on one folder: speaks the legacy protocol."""
        server = self.folder / "node_modules/@modelcontextprotocol/server-filesystem/dist/index.js"
        return ["node", str(server), str(notes)]

    def time(self) -> list[str]:
        """The PyPI time server: speaks both protocols."""
        return [str(self.folder / "venv/bin/mcp-server-time")]


@asynccontextmanager
async def legacy(peers: Peers, command: list[str], **variables: str) -> AsyncIterator[ClientSession]:
    """A client that begins with `initialize`."""
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=variables)
    async with stdio_client(parameters, errlog=peers.log) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        yield session


@asynccontextmanager
async def modern(peers: Peers, command: list[str], **variables: str) -> AsyncIterator[Client]:
    """A client that begins with `server/discover`."""
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=variables)
    async with Client(stdio_client(parameters, errlog=peers.log)) as client:
        yield client


class Gate:
    """A server with the built-in policy, on a free port of loopback, with a data directory of its own."""

    def __init__(self, peers: Peers, data: Path) -> None:
        self.peers = peers
        self.data = data
        self.notes = data.with_name(data.name + "-notes")
        self.gate_token = data / "gate.token"
        self.admin_token = data / "admin_user.token"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"

    @asynccontextmanager
    async def running(self, **settings: str) -> AsyncIterator[Gate]:
        """Starts the server, waits until it answers, and stops it in the end."""
        self.notes.mkdir()
        server = subprocess.Popen(
            [self.peers.callgate, "serve", "--data-dir", self.data, "--listen", self.address],
            stdin=subprocess.DEVNULL,
            stdout=self.peers.log,
            stderr=self.peers.log,
            env=clean_environment(**settings),
        )
        try:
            await until("the server answers", lambda: self.answers(server))
            yield self
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGTERM)
            try:
                server.wait(STOP_S)
            except subprocess.TimeoutExpired:
                print(f"the server did not stop within {STOP_S} s", file=sys.stderr)
                server.kill()
                server.wait()

    async def answers(self, server: subprocess.Popen[bytes]) -> bool:
        """Whether the server has written its first credentials and answers a question."""
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with code {server.returncode}")
        if not (self.admin_token.exists() and self.gate_token.exists()):
            return False
        return (await self.cli("approvals", "list")).code == 0

    async def cli(self, *words: str | Path) -> Finished:
        """Runs a command of the command line as the administrator."""
        return await execute(
            self.peers.callgate, *words, "--address", self.address, "--token-file", self.admin_token
        )

    async def told(self, *words: str | Path) -> str:
        """What a command prints, which must not fail."""
        done = await self.cli(*words)
        assert done.code == 0, f"`callgate {' '.join(map(str, words))}` ended with {done.code}: {done.err or done.out}"
        return done.out

    def sidecar(self, name: str, command: list[str], *options: str) -> list[str]:
        """The command of a sidecar for dev_user in front of an MCP server."""
        return [
            *(str(self.peers.callgate), "sidecar", "--address", self.address, "--server-name", name),
            *("--user", "dev_user", "--token-file", str(self.gate_token), *options, "--", *command),
        ]

    def filesystem(self, *options: str) -> list[str]:
        """The command of a sidecar in front of the filesystem server."""
        return self.sidecar("fs", self.peers.filesystem(self.notes), *options)

    async def pending(self, word: str, but_not: str = "") -> dict[str, Any]:
        """The pending approval whose arguments hold the word, once there is one."""

        async def question() -> dict[str, Any] | None:
            for approval in messages(await self.told("approvals", "list", "--output", "json"), "approvals"):
                if word in field(approval, "arguments_preview") and field(approval, "approval_id") != but_not:
                    assert str(field(approval, "state")).endswith("PENDING"), approval
                    return approval
            return None

        return await until(f"an approval about `{word}` is pending", question)

    async def decide(self, verdict: str, approval: dict[str, Any], reason: str) -> None:
        """Casts the administrator's vote: `approve` or `reject`."""
        await self.told("approvals", verdict, field(approval, "approval_id"), "--reason", reason)

    async def recorded(self, kind: str, approval: dict[str, Any]) -> int:
        """How many entries of a kind the audit log has about an approval."""
        entries = messages(await self.told("audit", "query", "--output", "json"), "entries")
        about = [entry for entry in entries if field(entry, "approval_id") == field(approval, "approval_id")]
        return sum(str(field(entry, "kind")) in (kind, f"AUDIT_KIND_{kind}") for entry in about)

    async def ran_once(self, approval: dict[str, Any]) -> None:
        """Asserts that the approval's grant was spent on one call, whose outcome was reported once."""

        async def reported() -> bool:
            return await self.recorded("OUTCOME_REPORTED", approval) > 0

        await until("the outcome is recorded", reported)
        for kind in ("GRANT_REDEEMED", "OUTCOME_REPORTED"):
            count = await self.recorded(kind, approval)
            assert count == 1, f"{count} entries {kind}"
