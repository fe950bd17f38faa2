"""The checks that tests/peers/run makes: what agents, approvers and auditors see, through other people's software."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
from mcp import MCPError
from mcp_types import CallToolResult

from gate import Finished, Gate, Peers, execute, field, legacy, modern, until

# The newest protocol of each era that the pinned servers speak.
LEGACY_PROTOCOL = "2025-11-25"
MODERN_PROTOCOL = "2026-07-28"
# The key under which a held call's result names its approval.
APPROVAL_KEY = "dev.callgate/approval"
# More than any check takes; a hang shall fail, not last.
CHECK_S = 90

Check = Callable[[Gate], Awaitable[None]]
CHECKS: list[Check] = []
SHORT_CHECKS: list[Check] = []
GRPCURL_CHECKS: list[Check] = []


def check(group: list[Check]) -> Callable[[Check], Check]:
    """Adds a check to a group; its name is what it shows."""

    def add(function: Check) -> Check:
        group.append(function)
        return function

    return add


class Call:
    """A call of write_file that runs beside the check."""

    def __init__(self, session: Any, path: Path, content: str) -> None:
        self.session = session
        self.path = path
        self.content = content
        self.scope = anyio.CancelScope()
        self.result: CallToolResult | None = None

    async def run(self) -> None:
        with self.scope:
            self.result = await write(self.session, self.path, self.content)

    async def ended(self) -> CallToolResult | None:
        return self.result


async def write(session: Any, path: Path, content: str) -> CallToolResult:
    """Calls write_file."""
    return await session.call_tool("write_file", {"path": str(path), "content": content})


def text(result: CallToolResult) -> str:
    """The text of a result, for people."""
    return " ".join(getattr(block, "text", "") for block in result.content)


def assert_written(result: CallToolResult, path: Path, content: str) -> None:
    """Asserts that the call worked and that the file holds what it was to hold."""
    assert not result.is_error, text(result)
    assert path.read_text() == content


def assert_pending(result: CallToolResult) -> str:
    """Asserts that the call is still held, and returns the approval's id."""
    assert result.is_error, text(result)
    note = (result.meta or {}).get(APPROVAL_KEY)
    assert note, f"no approval in the result: {text(result)}"
    assert str(field(note, "state")).endswith("PENDING"), note
    return field(note, "approval_id")


@check(CHECKS)
async def a_legacy_server_is_the_same_through_the_sidecar(gate: Gate) -> None:
    seen = []
    for command in (gate.peers.filesystem(gate.notes), gate.filesystem()):
        async with legacy(gate.peers, command) as session:
            tools = [tool.model_dump() for tool in (await session.list_tools()).tools]
            seen.append((session.protocol_version, session.server_info, session.server_capabilities, tools))
    direct, through = seen
    assert through[0] == LEGACY_PROTOCOL, through[0]
    assert "write_file" in [tool["name"] for tool in through[3]]
    assert direct == through, f"direct {direct}\nthrough {through}"


@check(CHECKS)
async def a_modern_server_is_the_same_through_the_sidecar(gate: Gate) -> None:
    seen = []
    for command in (gate.peers.time(), gate.sidecar("time", gate.peers.time())):
        async with modern(gate.peers, command) as client:
            tools = [tool.model_dump() for tool in (await client.list_tools()).tools]
            result = await client.call_tool("get_current_time", {"timezone": "UTC"})
            assert not result.is_error, text(result)
            assert '"timezone": "UTC"' in text(result), text(result)
            seen.append((client.protocol_version, client.server_info, client.server_capabilities, tools))
    direct, through = seen
    assert through[0] == MODERN_PROTOCOL, through[0]
    assert direct == through, f"direct {direct}\nthrough {through}"


@check(CHECKS)
async def an_old_client_reaches_a_server_of_both_eras(gate: Gate) -> None:
    async with legacy(gate.peers, gate.sidecar("time", gate.peers.time())) as session:
        assert session.protocol_version == LEGACY_PROTOCOL, session.protocol_version
        assert not (await session.call_tool("get_current_time", {"timezone": "UTC"})).is_error


@check(CHECKS)
async def a_read_passes_without_a_human(gate: Gate) -> None:
    path = gate.notes / "read.txt"
    path.write_text("plain and ünïcode\n")
    async with legacy(gate.peers, gate.filesystem()) as session:
        result = await session.call_tool("read_text_file", {"path": str(path)})
    assert not result.is_error, text(result)
    assert text(result) == "plain and ünïcode\n", text(result)


@check(CHECKS)
async def a_write_waits_for_a_human_and_runs_once(gate: Gate) -> None:
    path = gate.notes / "approved.txt"
    async with legacy(gate.peers, gate.filesystem()) as session, anyio.create_task_group() as tasks:
        call = Call(session, path, "approved")
        tasks.start_soon(call.run)
        approval = await gate.pending(path.name)
        assert call.result is None, "answered before anybody decided"
        assert not path.exists(), "written before anybody decided"
        await gate.decide("approve", approval, "looked at it")
        assert_written(await until("the call ends", call.ended), path, "approved")
    await gate.ran_once(approval)


@check(CHECKS)
async def a_rejected_write_does_nothing_and_says_who_and_why(gate: Gate) -> None:
    path = gate.notes / "rejected.txt"
    async with legacy(gate.peers, gate.filesystem()) as session, anyio.create_task_group() as tasks:
        call = Call(session, path, "rejected")
        tasks.start_soon(call.run)
        approval = await gate.pending(path.name)
        await gate.decide("reject", approval, "not in my folder")
        result = await until("the call ends", call.ended)
        assert result.is_error, text(result)
        assert "admin_user" in text(result) and "not in my folder" in text(result), text(result)
        again = await write(session, path, "rejected")
        assert again.is_error and "not in my folder" in text(again), text(again)
    assert not path.exists(), "written all the same"
    assert await gate.recorded("GRANT_REDEEMED", approval) == 0


@check(CHECKS)
async def a_cancelled_call_does_not_run_until_it_is_made_again(gate: Gate) -> None:
    path = gate.notes / "cancelled.txt"
    async with legacy(gate.peers, gate.filesystem()) as session:
        async with anyio.create_task_group() as tasks:
            call = Call(session, path, "cancelled")
            tasks.start_soon(call.run)
            approval = await gate.pending(path.name)
            call.scope.cancel()
        # The sidecar reads in order: once this is answered, it knows of the cancellation.
        await session.call_tool("list_directory", {"path": str(gate.notes)})
        await gate.decide("approve", approval, "too late for the first call")
        listing = await session.call_tool("list_directory", {"path": str(gate.notes)})
        assert path.name not in text(listing), "ran though its caller had given up"
        assert await gate.recorded("GRANT_REDEEMED", approval) == 0
        assert_written(await write(session, path, "cancelled"), path, "cancelled")
    await gate.ran_once(approval)


@check(CHECKS)
async def a_held_call_made_again_after_the_approval_runs_once(gate: Gate) -> None:
    path = gate.notes / "again.txt"
    async with legacy(gate.peers, gate.filesystem("--hold", "2s")) as session:
        first = assert_pending(await write(session, path, "again"))
        second = assert_pending(await write(session, path, "again"))
        assert first == second, "the second call did not join the first one's approval"
        assert not path.exists(), "written before anybody decided"
        approval = await gate.pending(path.name)
        assert field(approval, "approval_id") == first
        await gate.decide("approve", approval, "looked at it")
        assert_written(await write(session, path, "again"), path, "again")
        await gate.ran_once(approval)
        written = path.stat()
        third = assert_pending(await write(session, path, "again"))
        assert third != first, "a spent approval was used again"
    assert path.stat().st_mtime_ns == written.st_mtime_ns and path.stat().st_ino == written.st_ino, "ran twice"
    await gate.ran_once(approval)


@check(CHECKS)
async def a_modern_call_waits_for_a_human_too(gate: Gate) -> None:
    path = gate.notes / "modern.txt"
    async with modern(gate.peers, gate.filesystem()) as client, anyio.create_task_group() as tasks:
        call = Call(client, path, "modern")
        tasks.start_soon(call.run)
        approval = await gate.pending(path.name)
        await gate.decide("approve", approval, "looked at it")
        assert_written(await until("the call ends", call.ended), path, "modern")
    await gate.ran_once(approval)


@check(CHECKS)
async def of_two_identical_calls_one_runs_per_approval(gate: Gate) -> None:
    path = gate.notes / "twice.txt"
    command = gate.filesystem()
    async with (
        legacy(gate.peers, command) as left,
        legacy(gate.peers, command) as right,
        anyio.create_task_group() as tasks,
    ):
        calls = [Call(left, path, "twice"), Call(right, path, "twice")]

        async def one_ended() -> bool:
            return any(call.result for call in calls)

        async def both_ended() -> bool:
            return all(call.result for call in calls)

        async def joined() -> bool:
            return await gate.recorded("APPROVAL_JOINED", first) == 1

        for call in calls:
            tasks.start_soon(call.run)
        first = await gate.pending(path.name)
        await until("the second call joins", joined)
        await gate.decide("approve", first, "one of you")
        await until("one of the calls ends", one_ended)
        second = await gate.pending(path.name, but_not=field(first, "approval_id"))
        assert sum(call.result is not None for call in calls) == 1, "both ran on one approval"
        await gate.ran_once(first)
        await gate.decide("approve", second, "and the other")
        await until("the other call ends", both_ended)
        for call in calls:
            assert call.result
            assert_written(call.result, path, "twice")
    await gate.ran_once(first)
    await gate.ran_once(second)


@check(CHECKS)
async def a_call_with_a_request_state_is_refused(gate: Gate) -> None:
    async with modern(gate.peers, gate.sidecar("time", gate.peers.time())) as client:
        try:
            result = await client.session.call_tool(
                "get_current_time", {"timezone": "UTC"}, request_state="forged", allow_input_required=True
            )
        except MCPError as error:
            assert "requestState" in error.message, error.message
        else:
            assert isinstance(result, CallToolResult) and result.is_error, result
            assert "requestState" in text(result), text(result)


@check(CHECKS)
async def the_wrapped_server_learns_nothing_of_callgate(gate: Gate) -> None:
    proc = Path("/proc")
    if not (proc / "self/environ").exists():
        raise Skipped("this system shows no environments of processes")
    command = [str(gate.peers.callgate), "sidecar", "--server-name", "fs", "--user", "dev_user", "--"]
    command += gate.peers.filesystem(gate.notes)
    variables = {"CALLGATE_ADDRESS": gate.address, "CALLGATE_TOKEN_FILE": str(gate.gate_token)}
    async with legacy(gate.peers, command, **variables) as session:
        await session.list_tools()
        environments: dict[str, list[str]] = {"sidecar": [], "server": []}
        for process in proc.glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_text().split("\0")
                environment = (process / "environ").read_text()
            except OSError:
                continue
            if str(gate.notes) in words:
                environments["sidecar" if "sidecar" in words else "server"].append(environment)
    assert len(environments["sidecar"]) == 1 and "CALLGATE_TOKEN_FILE=" in environments["sidecar"][0]
    assert environments["server"] and all("PATH=" in found for found in environments["server"])
    assert not any("CALLGATE_" in found for found in environments["server"]), "CALLGATE_… reached the server"


@check(SHORT_CHECKS)
async def an_undecided_write_does_nothing_and_says_so(gate: Gate) -> None:
    path = gate.notes / "undecided.txt"
    async with legacy(gate.peers, gate.filesystem()) as session:
        result = await write(session, path, "undecided")
    assert result.is_error, text(result)
    assert "nobody decided" in text(result), text(result)
    note = (result.meta or {}).get(APPROVAL_KEY) or {}
    assert str(field(note, "state")).endswith("EXPIRED"), note
    assert not path.exists(), "written all the same"


@check(GRPCURL_CHECKS)
async def grpcurl_lists_and_describes_with_a_credential(gate: Gate) -> None:
    listed = await grpcurl(gate, *bearer("-H", gate), gate.address, "list")
    assert listed.code == 0, listed.err
    for service in ("callgate.v1.GateService", "callgate.v1.ReviewService", "callgate.v1.AuditService"):
        assert service in listed.out.split(), listed.out
    described = await grpcurl(
        gate, *bearer("-H", gate), gate.address, "describe", "callgate.v1.GateService.AuthorizeTool"
    )
    assert described.code == 0, described.err
    assert "callgate.v1.AuthorizeToolRequest" in described.out, described.out


@check(GRPCURL_CHECKS)
async def grpcurl_asks_for_health_without_a_credential(gate: Gate) -> None:
    # The credential is for reflection, which tells grpcurl what the message looks like; the call has none.
    health = await grpcurl(gate, *bearer("-reflect-header", gate), gate.address, "grpc.health.v1.Health/Check")
    assert health.code == 0, health.err
    assert '"SERVING"' in health.out, health.out


@check(GRPCURL_CHECKS)
async def grpcurl_learns_nothing_without_a_credential(gate: Gate) -> None:
    for words in (["list"], ["describe", "callgate.v1.GateService"]):
        refused = await grpcurl(gate, gate.address, *words)
        assert refused.code != 0 and "callgate.v1" not in refused.out, refused.out
        assert "Unauthenticated" in refused.err + refused.out, refused.err


async def the_audit_log_verifies(gate: Gate) -> None:
    await gate.told("audit", "verify")


class Skipped(Exception):
    """The check means nothing here; says why."""


def bearer(flag: str, gate: Gate) -> list[str]:
    """The administrator's credential as grpcurl takes it."""
    return [flag, f"authorization: Bearer {gate.admin_token.read_text().strip()}"]


async def grpcurl(gate: Gate, *words: str) -> Finished:
    """Runs grpcurl without TLS."""
    return await execute(gate.peers.grpcurl, "-plaintext", *words)


class Tally:
    """Runs checks one after another and counts how they end."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.passed = 0
        self.failed = 0

    def wanted(self, checks: list[Check]) -> list[Check]:
        return [each for each in checks if not self.words or any(word in each.__name__ for word in self.words)]

    async def run(self, checks: list[Check], gate: Gate) -> None:
        for each in self.wanted(checks):
            start = time.monotonic()
            try:
                with anyio.fail_after(CHECK_S):
                    await each(gate)
            except Skipped as why:
                print(f"skip {each.__name__}: {why}", flush=True)
            except Exception as error:
                self.failed += 1
                print(f"FAIL {each.__name__}", flush=True)
                print("".join(traceback.format_exception(error)), file=sys.stderr, flush=True)
            else:
                self.passed += 1
                print(f"ok {each.__name__} ({time.monotonic() - start:.1f} s)", flush=True)

    async def run_with(self, checks: list[Check], peers: Peers, data: Path, **settings: str) -> None:
        """Runs checks against a server of their own; one that doesn't start is a failure too."""
        if not self.wanted(checks):
            return
        try:
            async with Gate(peers, data).running(**settings) as gate:
                await self.run([*checks, the_audit_log_verifies], gate)
        except Exception as error:
            self.failed += 1
            print(f"FAIL the_server_of_{data.name}_starts_and_stops", flush=True)
            print("".join(traceback.format_exception(error)), file=sys.stderr, flush=True)


async def main(settings: argparse.Namespace) -> int:
    tally = Tally(settings.names)
    with tempfile.TemporaryDirectory(prefix="callgate-peers-", ignore_cleanup_errors=True) as folder:
        # The filesystem server compares real paths.
        root = Path(folder).resolve()
        with (root / "log").open("w") as log:
            peers = Peers(settings.callgate.resolve(), settings.peers, settings.grpcurl, log)
            checks = CHECKS.copy()
            if settings.grpcurl:
                checks += GRPCURL_CHECKS
            else:
                print("skip the checks with grpcurl: there is none", flush=True)
            await tally.run_with(checks, peers, root / "default")
            await tally.run_with(SHORT_CHECKS, peers, root / "short", CALLGATE_APPROVAL_TIMEOUT="5s")
        if tally.failed:
            last = (root / "log").read_text().splitlines()[-40:]
            print("what the servers logged last:", *last, sep="\n  ", file=sys.stderr)
    print(f"{tally.passed} passed, {tally.failed} failed", flush=True)
    return 1 if tally.failed or not tally.passed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callgate", type=Path, required=True, help="the binary under test")
    parser.add_argument("--peers", type=Path, required=True, help="where the pinned software is installed")
    parser.add_argument("--grpcurl", default="", help="grpcurl; empty where there is none")
    parser.add_argument("names", nargs="*", help="parts of the names of the checks to run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(anyio.run(main, arguments()))
