"""``python -m mediafs.sandbox``: a sandbox in the foreground until it is told to end."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

import trio

from mediafs.sandbox.hostile import add_hostile
from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.server import serve
from mediafs.sandbox.services import DEFAULT, SERVICES
from mediafs.sandbox.state import Server
from mediafs.sandbox.world import World, day

RATE_LIMIT: Final = 10
"""Apizee's documented requests per minute and user, for ``--rate-limit`` without a number."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until SIGINT or SIGTERM. Returns 0, or 1 when a port is taken; argparse exits 2 on wrong
    usage.
    """
    parser = _parser()
    given = parser.parse_args(argv)
    try:
        options = SERVICES[given.vendor].options_type().patched(_option_changes(given))
        world = World.generate(
            given.media,
            seed=given.seed,
            first=day(given.first),
            last=day(given.last),
            users=given.users,
            conversations=given.conversations,
        )
        if given.hostile:
            add_hostile(world, day(given.last))
    except ValueError as error:
        parser.error(str(error))
    try:
        trio.run(_run, world, options, given)
    except OSError as error:
        print(f"mediafs sandbox: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mediafs sandbox", description="A vendor's API with sample media, on loopback."
    )
    parser.add_argument(
        "--vendor", choices=sorted(SERVICES), default=DEFAULT, help=f"whose API (default {DEFAULT})"
    )
    parser.add_argument(
        "--media", type=int, default=300, metavar="N", help="number of sample media (default 300)"
    )
    parser.add_argument("--seed", type=int, default=1, help="same seed, same account (default 1)")
    parser.add_argument("--first", default="2024-01-01", metavar="DATE", help="day of the oldest media")
    parser.add_argument("--last", default="2025-12-31", metavar="DATE", help="day of the newest media")
    parser.add_argument("--users", type=int, default=8, metavar="N")
    parser.add_argument("--conversations", type=int, default=30, metavar="N")
    parser.add_argument("--hostile", action="store_true", help="add media with hostile names")
    parser.add_argument("--port", type=int, default=0, help="port of the API (default: any free one)")
    parser.add_argument("--storage-port", type=int, default=0, help="port of the storage origin")
    parser.add_argument("--token", help="administrator's token (apizee: sandbox-admin-token)")
    parser.add_argument("--username", help="user name of the login")
    parser.add_argument("--password", help="password of the login")
    parser.add_argument(
        "--rate-limit",
        type=int,
        nargs="?",
        const=RATE_LIMIT,
        metavar="N",
        help="requests per minute (10 if no N)",
    )
    parser.add_argument("--no-range", action="store_true", help="ignore Range headers")
    parser.add_argument(
        "--redirect", action="store_true", help="answer downloads with a link to the storage origin"
    )
    parser.add_argument("--options", default="{}", metavar="JSON", help="any options by their names")
    parser.add_argument("--control-key", metavar="KEY", help="key of the control API (default: a random one)")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of text")
    parser.add_argument("--until-eof", action="store_true", help="end as well when standard input does")
    return parser


def _option_changes(given: argparse.Namespace) -> dict[str, object]:
    """The options that were given, as ``CommonOptions.patched`` wants them. Raises ValueError."""
    changes = json.loads(given.options)
    if not isinstance(changes, dict):
        raise ValueError("--options wants a JSON object")
    for name in ("token", "username", "password", "rate_limit"):
        if getattr(given, name) is not None:
            changes[name] = getattr(given, name)
    if given.no_range:
        changes["ranges"] = False
    if given.redirect:
        changes["redirect"] = True
    return changes


async def _run(world: World, options: CommonOptions, given: argparse.Namespace) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with (
            serve(
                world,
                options,
                vendor=given.vendor,
                port=given.port,
                storage_port=given.storage_port,
                control_key=given.control_key,
            ) as server,
            trio.open_nursery() as nursery,
        ):
            print(_announcement(server, as_json=given.json), flush=True)
            if given.until_eof:
                nursery.start_soon(_cancel_at_eof, nursery.cancel_scope)
            async for _ in signals:
                nursery.cancel_scope.cancel()
                break


async def _cancel_at_eof(scope: trio.CancelScope) -> None:
    # os.read, not sys.stdin: a thread inside a buffered reader makes the interpreter abort when it ends.
    while await trio.to_thread.run_sync(os.read, 0, 4096, abandon_on_cancel=True):
        pass
    scope.cancel()


def _announcement(server: Server, *, as_json: bool) -> str:
    credentials = server.service.credentials()
    account = {"vendor": server.service.name, **server.service.account()}
    facts = {
        "url": server.url,
        "storage_url": server.storage_url,
        "vendor": server.service.name,
        "credentials": credentials,
        "account": account,
        "control_key": server.control_key,
        "media": len(server.world),
        "pid": os.getpid(),
    }
    if as_json:
        # The credentials lie in the open too, but never over another fact.
        return json.dumps(credentials | facts)
    plain = {name: value for name, value in facts.items() if name not in ("account", "credentials")}
    lines = [f"{name + ':':14}{value}" for name, value in (plain | credentials).items()]
    # JSON's strings, lists and flags are TOML's too.
    table = [f"{name} = {json.dumps(value)}" for name, value in account.items()]
    return "\n".join([*lines, "", "[accounts.sandbox]", *table, "", "Ctrl-C ends it."])
