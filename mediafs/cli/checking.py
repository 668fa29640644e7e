"""`mediafs check`: what could be wrong, one line each, and what to do about it."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import trio

from ..app import policy_of, remote_account
from ..config import AccountConfig, load, read_conversations
from ..errors import (
    ConfigError,
    CredentialsRefused,
    Denied,
    FilterRefused,
    InvalidReply,
    MediafsError,
    ValueRefused,
)
from ..model import Conversation, ConversationId, Traits, Urgency, User, UserId
from ..mount import check_fuse
from ..paths import private_cache_dir
from ..vendors import VENDORS
from ..writing import Policy
from .common import Places, say
from .exits import Exit, exit_for

CLOCK_TOLERANCE_S = 120
"""Tokens and signatures are refused by services when clocks differ by more than minutes."""


class _Report:
    def __init__(self) -> None:
        self.exit = Exit.DONE

    def good(self, what: str) -> None:
        say(f"pass  {what}")

    def bad(self, what: str, code: Exit, advice: str = "") -> None:
        say(f"FAIL  {what}")
        if advice:
            say(f"      -> {advice}")
        if self.exit is Exit.DONE:
            self.exit = code

    def attempt(self, what: str, do: Callable[[], object]) -> bool:
        try:
            do()
        except MediafsError as error:
            self.bad(f"{what}: {error}", exit_for(error))
            return False
        self.good(what)
        return True


def check(given: argparse.Namespace) -> Exit:
    """DONE where every line passes, else the code of the first that does not."""
    places, report = Places.of(given), _Report()
    report.attempt("FUSE can be used", check_fuse)
    _check_kernel(report)
    config = load(places.config, os.environ)
    accounts = [config.account(given.account)] if given.account else list(config.accounts.values())
    report.good(f"configuration {places.config}: {len(config.accounts)} account(s)")
    report.attempt(f"cache folder {places.cache}", lambda: private_cache_dir(places.cache))
    for account in accounts:
        _check_listed_file(account, report)
        trio.run(_check_account, account, report)
    return report.exit


def _check_kernel(report: _Report) -> None:
    fusectl = Path("/sys/fs/fuse/connections")
    if os.access(fusectl, os.R_OK) and any(fusectl.iterdir()):
        report.good("fusectl is readable: read-ahead of many files can be raised where root mounts")
    elif os.path.ismount(fusectl):
        report.good("fusectl is mounted")
    else:
        say("note  fusectl is not mounted: slow reads of many files at once may delay others")
        say(f"      -> as root, mount -t fusectl none {fusectl}")


def _check_listed_file(account: AccountConfig, report: _Report) -> None:
    """A mount goes on without it, so only here it is a failure."""
    if account.service.listed.file is None:
        return
    what = f"account {account.name}: {VENDORS[account.vendor].listed}_file"
    try:
        ids = read_conversations(account.service.listed.file)
    except ConfigError as error:
        report.bad(f"{what}: {'; '.join(error.problems[:3])}", exit_for(error))
    else:
        report.good(f"{what} names {len(ids)} conversation(s)")


async def _check_account(account: AccountConfig, report: _Report) -> None:
    name = f"account {account.name}"
    try:
        async with remote_account(account) as source:
            with trio.fail_after(60):
                reach = await source.reach()
            report.good(f"{name}: {account.base_url} answers, credentials are taken")
            report.good(f"{name}: {reach.total if reach.total is not None else 'some'} media can be seen")
            skew = reach.server_time - time.time() if reach.server_time is not None else 0.0
            if abs(skew) > CLOCK_TOLERANCE_S:
                report.bad(
                    f"{name}: the clocks differ by {skew:+.0f} s",
                    Exit.FAILED,
                    "set this machine's clock (NTP)",
                )
            else:
                report.good(f"{name}: clock agrees with the service's")
            for kind, scope in _filtered(source.traits):
                try:
                    with trio.fail_after(60):
                        await source.prove_filter(scope, urgency=Urgency.PERSON)
                    report.good(f"{name}: by-{kind} can be shown")
                except (FilterRefused, Denied) as error:
                    if isinstance(error, CredentialsRefused):
                        raise
                    report.bad(f"{name}: by-{kind} cannot be shown: {error}", Exit.FAILED)
            for line in _capabilities(account, source.traits):
                report.good(f"{name}: {line}")
    except trio.TooSlowError:
        report.bad(f"{name}: {account.base_url} does not answer within a minute", Exit.SERVICE)
    except MediafsError as error:
        report.bad(f"{name}: {error}", exit_for(error), _advice(account, error))


def _filtered(traits: Traits) -> list[tuple[str, Conversation | User]]:
    """The views that hang on a filter of the service's."""
    kinds: list[tuple[bool, str, Conversation | User]] = [
        (traits.conversations, "conversation", Conversation(ConversationId("0"))),
        (traits.users, "user", User(UserId("0"))),
    ]
    return [(kind, scope) for has, kind, scope in kinds if has]


def _capabilities(account: AccountConfig, traits: Traits) -> list[str]:
    """What can be done with such an account, and what this one does."""
    try:
        does = {
            Policy.PERMANENT: "rm deletes for good",
            Policy.TRASH: "rm puts into the trash",
            Policy.DENY: "rm is refused",
        }[policy_of(account.delete, traits)]
    except ConfigError as error:
        does = str(error)
    can = [
        words
        for has, words in (
            (traits.deletable, 'delete = "permanent"'),
            (traits.trash, 'delete = "trash"'),
            (True, 'delete = "deny"'),
        )
        if has
    ]
    return [
        "all media are listed" if traits.enumerable else "only what the configuration names is listed",
        f"{does} (it can do {', '.join(can)})",
        f"setfattr can change {', '.join(sorted(traits.editable)) or 'nothing'}",
    ]


def _advice(account: AccountConfig, error: MediafsError) -> str:
    if isinstance(error, CredentialsRefused):
        return f"check the secrets of [accounts.{account.name}]"
    if isinstance(error, ConfigError):
        return ""  # it says itself what to do
    keys = VENDORS[account.vendor].keys
    if isinstance(error, Denied):
        if "user" in keys:
            return 'the account may not see this: user = "all" wants an administrator'
        return "the service does not allow the account this: look at what it may do there"
    if isinstance(error, FilterRefused | ValueRefused | InvalidReply):
        if "filters" in keys:
            return "is base_url the service's, and do filters = { .. } name its parameters?"
        return "is base_url the service's?"
    return "check base_url, the network and the proxy variables"
