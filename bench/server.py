"""nginx and the API, on loopback or in a network namespace behind the slow link.

Everybody reads the same files from the same nginx: peers by their names below /media/, mediafs by the API's
download path, which nginx maps to the same files; it passes the rest of the API on to `service.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .media import Library
from .rig import Failure, first_line, python, run, running, tail, wait_until

HTTP_PORT: Final = 18080
HTTPS_PORT: Final = 18443
NEAR: Final = "198.18.0.1"
FAR: Final = "198.18.0.2"
"""Of the network that is set aside for benchmarks (RFC 2544)."""

_CONFIG: Final = """
user root;
worker_processes auto;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    types {{ video/mp4 mp4; image/jpeg jpg; }}
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 300s;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    map_hash_max_size 8192;
    map_hash_bucket_size 128;
    map $id $place {{ {places} }}
    upstream api {{ server 127.0.0.1:{api_port}; keepalive 4; }}
    server {{
        listen {host}:{http_port};
        listen {host}:{https_port} ssl;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        ssl_session_cache shared:tls:1m;
        location /media/ {{ root {data}; autoindex on; }}
        location ~ ^/api/v3/medias/(?<id>[0-9]+)/download$ {{ rewrite ^ /media/$place last; }}
        location / {{
            proxy_pass http://api;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Origin:
    """Where a server is. *ca_file* is who vouches for it, for https."""

    url: str
    ca_file: Path | None = None


@contextmanager
def serving(
    library: Library, folder: Path, *, host: str, inside: Sequence[str] = ()
) -> Iterator[list[Origin]]:
    """The origins of a server, plain and TLS; its processes are started by the words *inside*."""
    folder.mkdir()
    _certificates(folder, host)
    catalogue, log = folder / "catalogue.json", folder / "service.log"
    library.write_catalogue(catalogue)
    with running([*inside, *python("bench.service", str(catalogue))], log) as service:
        config = folder / "nginx.conf"
        config.write_text(
            _CONFIG.format(
                folder=folder,
                data=library.media.parent,
                places=" ".join(f"{file.id} {file.group}/{file.name};" for file in library.files),
                api_port=int(first_line(service, log)),
                host=host,
                http_port=HTTP_PORT,
                https_port=HTTPS_PORT,
            )
        )
        log = folder / "nginx.log"
        command = [*inside, "nginx", "-p", str(folder), "-e", str(log), "-c", str(config)]
        with running(command, log) as nginx:

            def up() -> bool:
                if nginx.poll() is not None:
                    raise Failure(f"nginx ended: {tail(log)}")
                return (folder / "nginx.pid").exists()

            wait_until(up, "nginx")
            plain = Origin(f"http://{host}:{HTTP_PORT}")
            yield [plain, Origin(f"https://{host}:{HTTPS_PORT}", folder / "ca.pem")]


def _certificates(folder: Path, host: str) -> None:
    """`ca.pem`, and `server.pem` with `server.key`, for a day."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    ca, ca_key = str(folder / "ca.pem"), str(folder / "ca.key")
    uses = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
    run("openssl", "req", "-x509", *key, "-keyout", ca_key, "-out", ca, "-subj", "/CN=benchmark", *uses)
    (folder / "names").write_text(f"subjectAltName=IP:{host}\n")
    request = str(folder / "request.pem")
    server = ["-keyout", str(folder / "server.key"), "-out", request, "-subj", f"/CN={host}"]
    run("openssl", "req", *key[:-2], *server)
    signed = ["-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2"]
    out = ["-extfile", str(folder / "names"), "-out", str(folder / "server.pem")]
    run("openssl", "x509", "-req", "-in", request, *signed, *out)


@contextmanager
def linked(folder: Path) -> Iterator[list[str]]:
    """The slow link and a namespace at its far end; yields the words that run a command there."""
    space = f"mediafs-bench-{os.getpid()}"
    near, far = f"mfsb{os.getpid()}n", f"mfsb{os.getpid()}f"
    inside = ["ip", "netns", "exec", space]
    run("ip", "netns", "add", space)
    try:
        log = folder / "link.log"
        with running(python("bench.link", near, far), log) as link:
            first_line(link, log)
            run("ip", "link", "set", far, "netns", space)
            run("ip", "addr", "add", f"{NEAR}/30", "dev", near)
            run("ip", "link", "set", near, "up", "txqueuelen", "10000")
            run(*inside, "ip", "addr", "add", f"{FAR}/30", "dev", far)
            run(*inside, "ip", "link", "set", far, "up", "txqueuelen", "10000")
            run(*inside, "ip", "link", "set", "lo", "up")
            # What one competitor's connection learnt of the link must not help the next one's.
            run(*inside, "sysctl", "-q", "-w", "net.ipv4.tcp_no_metrics_save=1")
            yield inside
    finally:
        run("ip", "netns", "del", space)
