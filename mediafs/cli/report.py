"""What `status` shows: facts first, then what is wrong and what to do about it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from ..app import App
from ..errors import MediafsError
from ..mount import KernelCaches, connection_limits
from ..vendors import VENDORS

_ADVICE: Final[Mapping[str, str]] = {
    "Denied": "the service does not allow the account this: look at what it may do there",
    "Unavailable": "check the network and base_url; what is known stays readable in listings",
    "Late": "the service's rate limit or its slowness: wait, or look at fewer folders at a time",
    "FilterRefused": "set filters = { conversation = ..., user = ... } to the service's query names",
    "Incomplete": "the service's listing does not add up; try again later",
    "InvalidReply": "the service, or something before it (a proxy, a sign-in page), answers nonsense",
    "NoRoom": "make room on the disk of the cache folder, or mount with another --cache-dir",
    "LocalFailure": "look after the disk of the cache folder, or mount with another --cache-dir",
    "NotReady": "the media is still being made; try again later",
}


def report(app: App, kernel: KernelCaches, mountpoint: str, started: float) -> dict[str, Any]:
    """Facts that JSON can hold. No secret, query string or URL but the account's base."""
    remote, reading = app.source.statistics(), app.reading.statistics()
    limits = connection_limits(mountpoint)
    return {
        "account": app.account.name,
        "vendor": app.account.vendor,
        "service": app.account.base_url,
        "mountpoint": mountpoint,
        "pid": os.getpid(),
        "up_s": round(time.time() - started),
        "catalogue": _catalogue_of(app),
        "credentials": remote.credentials.value,
        "requests": {
            "left": remote.limits.left,
            "reset_in_s": remote.limits.reset_in_s,
            "throttled_until": remote.limits.throttled_until,
            "waiting": remote.limits.waiting,
            "spent": {urgency.name.lower(): n for urgency, n in remote.limits.spent.items()},
            "by_operation": dict(remote.limits.spent_by_operation),
            "today": {
                "by_urgency": {urgency.name.lower(): n for urgency, n in remote.limits.today.items()},
                "by_operation": dict(remote.limits.today_by_operation),
            },
        },
        "reading": {
            "memory": reading.memory,
            "open": reading.readers,
            "streams": reading.streams,
            "fetched": reading.fetched,
            "requests": reading.gets,
            "spools": reading.spools,
        },
        "cache": None if reading.cache is None else asdict(reading.cache),
        "deletions": {"policy": app.deletions.policy.value, **asdict(app.deletions.state())},
        "sync": app.listings.runs.current.news() if app.listings.runs.current is not None else None,
        "poll": app.listings.poll.news(),
        "kernel": {
            "max_background": limits.max_background,
            "pending": kernel.pending,
            "advice": limits.advice,
        },
        "refused": {
            kind: why for kind in ("conversation", "user") if (why := app.listings.refusal(kind)) is not None
        },
        "problems": _problems(app),
    }


def _catalogue_of(app: App) -> dict[str, Any]:
    """What is known; of a catalogue that cannot be read nothing, and `problems` says why."""
    try:
        known, whole = app.tree.space(), app.listings.whole_since()
    except MediafsError:
        return {"media": None, "bytes": None, "complete": False}
    return {"media": known.files, "bytes": known.used, "complete": whole is not None}


def as_json(facts: object) -> str:
    """The report, or several, for a program: a text that ends with a line end."""
    return json.dumps(facts, indent=2) + "\n"


def _problems(app: App) -> list[dict[str, Any]]:
    """The service's and this machine's, newest first."""
    remote = app.source.statistics().problems
    found = [(each.kind, each.operation, each.message, each.at_wall_s) for each in remote]
    if (trouble := app.catalogue.database.trouble) is not None:
        found.append((type(trouble.error).__name__, "catalogue", str(trouble.error), trouble.at))
    return [
        {
            "kind": kind,
            "operation": operation,
            "message": message,
            "at": at,
            "advice": _advice(kind, app.account.vendor),
        }
        for kind, operation, message, at in sorted(found, key=lambda one: one[3], reverse=True)
    ]


def _advice(kind: str, vendor: str) -> str:
    """What to do about a problem of this kind."""
    spec = VENDORS[vendor]
    if kind == "CredentialsRefused":
        keys = ", or ".join(" and ".join(way) for way in spec.ways)
        return f"check {keys}, of the account; then mount again"
    if kind == "Denied" and "user" in spec.keys:
        return 'the account may not see this; for user = "all" the service wants an administrator'
    return _ADVICE.get(kind, "")


def words(facts: Mapping[str, Any], now: float) -> list[str]:
    """The report for a person."""
    requests, catalogue, reading = facts["requests"], facts["catalogue"], facts["reading"]
    complete = "every day listed" if catalogue["complete"] else "listed as far as it was looked at"
    known = "cannot be read"
    if catalogue["media"] is not None:
        known = f"{catalogue['media']} media, {size(catalogue['bytes'])}; {complete}"
    left = "no limit known" if requests["left"] is None else f"{requests['left']} left"
    if requests["reset_in_s"]:
        left += f", again in {requests['reset_in_s']:.0f} s"
    spent = sum(requests["spent"].values())
    lines = [
        f"{facts['account']} at {facts['mountpoint']}",
        f"  service      {facts['vendor']}, {facts['service']}",
        f"  daemon       PID {facts['pid']}, up {span(facts['up_s'])}",
        f"  credentials  {facts['credentials']}",
        f"  catalogue    {known}",
        f"  requests     {spent} sent since the start; {left}",
        *_spent_today(requests["today"]),
        *_asked_for(facts, now),
        f"  reading      {reading['open']} open, {size(reading['fetched'])} fetched in"
        f" {reading['requests']} requests, {size(reading['memory'])} in memory",
    ]
    lines += _cache(facts.get("cache"))
    lines += _deletions(facts["deletions"], facts["mountpoint"])
    if facts["kernel"]["advice"]:
        lines.append(f"  kernel       max_background {facts['kernel']['advice']}")
    lines += [f"  refused      by-{kind}: {why}" for kind, why in facts["refused"].items()]
    for problem in facts["problems"][:5]:
        lines.append(f"  problem      {span(now - problem['at'])} ago, {problem['message']}")
        if problem["advice"]:
            lines.append(f"               -> {problem['advice']}")
    return lines


def _spent_today(today: Mapping[str, Mapping[str, int]]) -> list[str]:
    whose = {"person": "for people", "prefetch": "ahead of them", "background": "behind"}
    counts = today["by_urgency"]
    shares = [f"{counts[kind]} {words}" for kind, words in whose.items() if counts.get(kind)]
    if not shares:
        return []
    kinds = sorted(today["by_operation"].items(), key=lambda item: (-item[1], item[0]))
    operations = ", ".join(f"{count} {operation}" for operation, count in kinds)
    return [f"               {sum(counts.values())} today (UTC): {', '.join(shares)}; {operations}"]


def _asked_for(facts: Mapping[str, Any], now: float) -> list[str]:
    """What is listed without anybody looking."""
    lines = []
    if sync := facts.get("sync"):
        of = f" of {sync['total']}" if sync["total"] is not None else ""
        lines.append(f"  sync         under way, {sync['items']}{of} media on {sync['pages']} pages")
        lines += [f"               -> it tries again: {sync['troubled']}"] if sync["troubled"] else []
    if poll := facts.get("poll"):
        if not poll["can"]:
            lines.append("  poll         never: this service cannot be asked what is new")
        else:
            last = "not yet asked" if poll["done"] is None else f"last {span(now - poll['done'])} ago"
            line = f"  poll         every {span(poll['every_s'])}, {last}"
            if poll["next"] is not None and poll["next"] > now:
                line += f", again in {span(poll['next'] - now)}"
            lines.append(line)
            lines += [f"               -> it failed: {poll['error']}"] if poll["error"] else []
    return lines


def _cache(facts: Mapping[str, Any] | None) -> list[str]:
    if not facts:
        return []
    cap = size(facts["size"]) if facts["size"] else "nothing new"
    others = f" with {size(facts['others'])} of other accounts" if facts["others"] else ""
    lines = [
        f"  disk cache   {size(facts['bytes'])} in {facts['files']} files, of {cap}{others};"
        f" {facts['hits']} times read from instead of the service"
    ]
    if facts["pinned"]:
        lines.append(f"               {facts['pinned']} pinned")
    if facts["trouble"]:
        lines.append(f"               -> not everything was kept: {facts['trouble']}")
    return lines


def _deletions(facts: Mapping[str, Any], mountpoint: str) -> list[str]:
    if facts["policy"] == "deny":
        return ["  deletions    refused: delete is not permitted for this account"]
    does = "rm deletes for good" if facts["policy"] == "permanent" else "rm puts into the trash"
    if not facts["limit"]:
        return [f"  deletions    {does}; {facts['done']} in the last hour, no limit"]
    line = f"  deletions    {does}; {facts['done']} in the last hour, {facts['left']} more allowed"
    if not facts["latched"]:
        return [line]
    return [f"{line}: STOPPED", f"               -> if they are meant: mediafs allow-deletes {mountpoint}"]


def span(seconds: float) -> str:
    """In words, of one unit: `3 h`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Bytes in words: `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
