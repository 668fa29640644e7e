"""TLS for real: a certificate of one's own, and a certificate that shows the service who asks."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mediafs.errors import MediafsError
from mediafs.model import AccountName, Question, Urgency
from mediafs.remote import RemoteAccount, RemoteOptions, RetryOptions, TransportOptions
from mediafs.vendors.apizee import Apizee, ApizeeOptions


class Empty(BaseHTTPRequestHandler):
    """An account without media."""

    def do_GET(self) -> None:
        body = json.dumps({"total": 0, "next_offset": 0, "data": []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that does not trust us hangs up; that is what is tested


@contextmanager
def served(made: Path, *, ask_who: bool = False) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made / "cert.pem", made / "key.pem")
    if ask_who:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(made / "cert.pem")
    server = Quiet(("127.0.0.1", 0), Empty)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


async def total(url: str, transport: TransportOptions) -> int | None:
    vendor = Apizee(ApizeeOptions(base_url=url, token="t"))
    options = RemoteOptions(transport=transport, retry=RetryOptions(tries=1))
    async with RemoteAccount(AccountName("tls"), vendor, options) as source:
        return (await source.page(Question(), urgency=Urgency.PERSON)).total


async def test_an_authority_of_ones_own_is_believed_beside_the_systems(made: Path) -> None:
    with served(made) as url:
        assert await total(url, TransportOptions(ca_file=made / "cert.pem")) == 0


async def test_a_certificate_that_nobody_vouches_for_is_refused(made: Path) -> None:
    with served(made) as url, pytest.raises(MediafsError, match="certificate"):
        await total(url, TransportOptions())


@pytest.mark.parametrize("apart", [True, False])
async def test_a_certificate_shows_the_service_who_asks(made: Path, tmp_path: Path, apart: bool) -> None:
    both = tmp_path / "both.pem"
    both.write_text((made / "cert.pem").read_text() + (made / "key.pem").read_text())
    shown = TransportOptions(
        ca_file=made / "cert.pem",
        client_cert=made / "cert.pem" if apart else both,
        client_key=made / "key.pem" if apart else None,
    )
    with served(made, ask_who=True) as url:
        assert await total(url, shown) == 0
        with pytest.raises(MediafsError):
            await total(url, TransportOptions(ca_file=made / "cert.pem"))
