"""The control API under ``/_sandbox/``: how a test in another process scripts a running sandbox and looks
into it.

Every request carries the key of the run in ``X-Sandbox-Key``; none is logged, limited or spoiled.
"""

import json
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from hmac import compare_digest
from typing import Final

from mediafs.sandbox.faults import read_fault
from mediafs.sandbox.media import Body, BytesBody, NoiseBody, sha256_of
from mediafs.sandbox.records import Media, Owner
from mediafs.sandbox.state import Server
from mediafs.sandbox.wire import Refusal, Request, Response, json_response

PREFIX: Final = "/_sandbox/"
KEY_HEADER: Final = "x-sandbox-key"

_TEXTS: Final = ("filename", "title", "description", "status", "media_type", "source_type")


def control(server: Server, request: Request) -> Response:
    """The answer to one control request: 200, or 400, 403, 404 with ``{"error"}``."""
    try:
        if not compare_digest(request.headers.get(KEY_HEADER, "").encode(), server.control_key.encode()):
            raise Refusal(403, "wrong or missing X-Sandbox-Key")
        return json_response(200, _answer(server, request))
    except Refusal as refusal:
        return json_response(refusal.status, {"error": refusal.text})
    except KeyError as error:
        return json_response(404, {"error": f"no media {error}"})
    except (TypeError, ValueError) as error:
        return json_response(400, {"error": str(error)})


def _answer(server: Server, request: Request) -> object:
    match request.method, *request.segments[1:]:
        case "GET", "requests":
            return {
                "requests": [exchange.as_json() for exchange in server.requests],
                "connections": server.connections,
                "in_flight": server.in_flight,
                "peak_in_flight": server.peak_in_flight,
            }
        case "POST", "leaks":
            secrets = [str(value) for value in _list(request)]
            return {"requests": [exchange.as_json() for exchange in server.leaks(*secrets)]}
        case "POST", "reset":
            server.reset_counts()
            return {}
        case "GET", "faults":
            return {"pending": server.faults.pending}
        case "POST", "faults":
            server.faults.add([read_fault(value) for value in _list(request)])
            return {"pending": server.faults.pending}
        case "DELETE", "faults":
            server.faults.clear()
            return {"pending": 0}
        case "GET", "options":
            return server.options.as_json()
        case "POST", "options":
            server.options = server.options.patched(_object(request))
            return server.options.as_json()
        case "POST", "expire":
            server.service.expire()
            return {}
        case "POST", "owners":
            given = _object(request)
            owner = Owner(**given)  # type: ignore[arg-type]
            server.world.add_owner(owner)
            return owner.record()
        case "POST", "media":
            return _add(server, _object(request)).truth(server.url)
        case "PATCH", "media", media_id:
            return _change(server, int(media_id), _object(request)).truth(server.url)
        case "DELETE", "media", media_id:
            server.world.remove(int(media_id))
            return {}
        case "GET", "world":
            digest = bool(dict(request.parameters).get("digest"))
            return {"media": [_truth(server, media, digest) for media in server.world]}
    raise Refusal(404, "no such control request")


def _truth(server: Server, media: Media, digest: bool) -> dict[str, object]:
    truth = media.truth(server.url)
    return truth | {"sha256": sha256_of(media.body)} if digest else truth


def _add(server: Server, given: Mapping[str, object]) -> Media:
    values = _values(given)
    values.update((name, given[name]) for name in ("owner", "conversation", "filesize") if name in given)
    body = _body(given, seed=len(server.world) + 1)
    # World.add's own fields, read from a test's JSON: an unknown one is a TypeError, which answers 400.
    return server.world.add(body=body, **values)  # type: ignore[arg-type]


def _change(server: Server, media_id: int, given: Mapping[str, object]) -> Media:
    body = _body(given, seed=media_id + 1_000_000_007)
    if body is not None:
        server.world.replace_body(media_id, body)
    values = _values(given)
    created = values.pop("created", None)
    if isinstance(created, datetime):
        values["created_s"] = int(created.timestamp())
    if "conversation" in given:
        values["conversation"] = str(given["conversation"])
    if "filesize" in given:
        values["filesize"] = given["filesize"]
    if "owner" in given:
        owner = given["owner"]
        if not isinstance(owner, int) or owner not in server.world.owners:
            raise ValueError(f"no owner {owner!r}")
        values["owner"] = server.world.owners[owner]
    return server.world.update(media_id, **values)


def _values(given: Mapping[str, object]) -> dict[str, object]:
    """The fields that adding and changing read alike. Raises ValueError for a name that neither knows."""
    others = {
        "created",
        "geoloc",
        "tags",
        "owner",
        "conversation",
        "filesize",
        "body",
        "size",
        "seed",
        "content_type",
    }
    unknown = given.keys() - others - set(_TEXTS)
    if unknown:
        raise ValueError(f"a media has no {', '.join(sorted(unknown))}")
    values = {name: given[name] for name in _TEXTS if name in given}
    created, geoloc, tags = given.get("created"), given.get("geoloc"), given.get("tags")
    if isinstance(created, str):
        values["created"] = datetime.fromisoformat(created)
    if isinstance(geoloc, list | tuple):
        latitude, longitude = geoloc
        values["geoloc"] = (float(latitude), float(longitude))
    elif "geoloc" in given:
        values["geoloc"] = None
    if isinstance(tags, list):
        values["tags"] = tuple(str(tag) for tag in tags)
    return values


def _body(given: Mapping[str, object], *, seed: int) -> Body | None:
    content_type = str(given.get("content_type", "application/octet-stream"))
    data, size, chosen = given.get("body"), given.get("size"), given.get("seed", seed)
    if isinstance(data, str):
        return BytesBody(data=b64decode(data, validate=True), content_type=content_type)
    if isinstance(size, int) and isinstance(chosen, int):
        return NoiseBody(size=size, seed=chosen, content_type=content_type)
    return None


def _object(request: Request) -> dict[str, object]:
    value = json.loads(request.body or b"{}")
    if not isinstance(value, dict):
        raise ValueError("a JSON object is wanted")
    return value


def _list(request: Request) -> list[object]:
    value = json.loads(request.body or b"[]")
    return value if isinstance(value, list) else [value]
