"""The commands: what is typed, and which room does it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from .. import __version__
from ..errors import MediafsError
from ..vendors import VENDORS
from .asking import allow_deletes, refresh, status
from .caching import cache
from .checking import check
from .common import add_places, complain, number, path
from .demo import demo
from .exits import Exit, exit_for
from .mounting import mount, umount
from .syncing import day, sync
from .warming import warm

_EPILOG = """\
to try it: mediafs demo. For an account of yours: describe it in
~/.config/mediafs/config.toml (README.md shows how), then mediafs check.

exit status: 0 done, 1 failed, 2 usage, 3 configuration, 4 credentials refused,
5 FUSE unavailable, 6 service unreachable or too slow"""

Command = Callable[[argparse.Namespace], Exit]


def main(argv: Sequence[str] | None = None) -> int:
    """`mediafs`: returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["sandbox"]:
        from ..sandbox import main as sandbox_main  # its options are its own

        return sandbox_main(arguments[1:])
    given = _parser().parse_args(arguments)
    return _run(given.command, given)


def mount_helper(argv: Sequence[str] | None = None) -> int:
    """`mount.mediafs ACCOUNT MOUNTPOINT -o OPTS`, as mount(8) calls it for fstab."""
    parser = argparse.ArgumentParser(prog="mount.mediafs", description="mount(8) helper of mediafs")
    _mount_arguments(parser)
    # mount(8) adds flags of its own: -s tolerates unknown options, -n writes no mtab, -f fakes.
    for flag in ("-s", "-n", "-f"):
        parser.add_argument(flag, action="store_true", help=argparse.SUPPRESS, dest=f"flag{flag[1]}")
    parser.add_argument("-t", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.flagf:
        return Exit.DONE
    given.account = given.account.removeprefix("mediafs:")  # as the mount shows its own source
    return _run(mount, given)


def _run(command: Command, given: argparse.Namespace) -> int:
    try:
        return command(given)
    except MediafsError as error:
        complain(error)
        return exit_for(error)
    except OSError as error:  # a folder that cannot be made, a file that cannot be read
        complain(MediafsError(f"{error.filename or command.__name__}: {error.strerror or error}"))
        return Exit.FAILED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mediafs",
        description="A vendor's media archive (snapshots, screen captures, call recordings), as a drive.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mediafs {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = _add(commands, "mount", mount, "mount an account; returns when the mount serves")
    _mount_arguments(one)

    one = _add(commands, "umount", umount, "unmount, and wait until it is gone")
    one.add_argument("mountpoint", type=path, metavar="MOUNTPOINT", help="where it is mounted")
    one.add_argument("--lazy", action="store_true", help="also while files are open: it goes with the last")

    one = _add(commands, "status", status, "what is mounted, what was asked of the service, what is wrong")
    one.add_argument("mountpoint", type=path, metavar="MOUNTPOINT", nargs="?", help="default: all mounts")
    one.add_argument("--json", action="store_true", help="for programs: all that is known")

    one = _add(
        commands,
        "check",
        check,
        "test FUSE, configuration, credentials, clock, service and filters; say what to do",
    )
    one.add_argument("account", metavar="ACCOUNT", nargs="?", help="default: all accounts")

    one = _add(commands, "refresh", refresh, "list again what lies at a path of a mount")
    one.add_argument("path", type=path, metavar="PATH", help="a folder or file in a mount")

    one = _add(commands, "cache", cache, "what is kept on disk of each account; --purge removes it")
    one.add_argument("account", metavar="ACCOUNT", nargs="?", help="default: all accounts")
    one.add_argument(
        "--purge",
        action="store_true",
        help="remove all bytes kept on disk, also of media that may be downloaded only so often",
    )

    one = _add(
        commands, "sync", sync, "list everything an account has, so that looking at it costs no request"
    )
    one.add_argument("account", metavar="ACCOUNT", help="a name from the configuration; mounted or not")
    one.add_argument(
        "--since", type=day, metavar="DATE", help="only days from this one on, such as 2024-05-17"
    )

    one = _add(commands, "warm", warm, "fetch files and folders of a mount into the disk cache")
    one.add_argument("path", type=path, metavar="PATH", nargs="+", help="a file, or a folder with all in it")
    what = one.add_mutually_exclusive_group()
    what.add_argument("--pin", action="store_true", help="and keep them there, whatever else needs the room")
    what.add_argument("--unpin", action="store_true", help="fetch nothing; they are evicted like any other")
    what.add_argument(
        "--check", action="store_true", help="fetch nothing; say how much is there, status 0 if it is all"
    )
    what.add_argument(
        "--evict",
        action="store_true",
        help="remove them from the disk cache, pinned ones too, but not what may be downloaded only so often",
    )

    one = _add(
        commands,
        "allow-deletes",
        allow_deletes,
        "let rm go on where delete_limit has stopped it",
    )
    one.add_argument("mountpoint", type=path, metavar="MOUNTPOINT", help="where it is mounted")
    one.add_argument(
        "count", metavar="COUNT", nargs="?", type=_whole_number, help="how many more (default: delete_limit)"
    )

    one = _add(commands, "demo", demo, "start a sandbox of each service, mount them, say what to try")
    one.add_argument("mountpoint", type=path, metavar="MOUNTPOINT", nargs="?", help="default: ~/mediafs-demo")
    one.add_argument("--vendor", choices=list(VENDORS), help="mount this one only, at MOUNTPOINT itself")
    one.add_argument("--media", type=number, default=300, metavar="N", help="sample media (default 300)")

    commands.add_parser("sandbox", help="the API of one service on loopback, without a mount", add_help=False)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: Command, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command)
    add_places(parser)
    return parser


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000000")
    return int(text)


def _mount_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("account", metavar="ACCOUNT", help="a name from the configuration")
    parser.add_argument("mountpoint", type=path, metavar="MOUNTPOINT", help="an empty folder of yours")
    parser.add_argument("--foreground", action="store_true", help="stay, and log to standard error")
    parser.add_argument(
        "--read-only", action="store_true", help="refuse every change as a read-only disk does"
    )
    parser.add_argument(
        "--delete",
        choices=["permanent", "trash", "deny"],
        help="what rm is to do: delete for good, move into the trash of a service that has one, nothing",
    )
    parser.add_argument("--allow-other", action="store_true", help="let other users in, as permissions allow")
    parser.add_argument(
        "-o",
        dest="options",
        action="append",
        default=[],
        metavar="OPTS",
        help="mount options: ro, allow_other, uid=, gid=, umask=, config=, cache_dir=, delete=, noatime...",
    )
    parser.add_argument("--ready-fd", type=number, help=argparse.SUPPRESS)
    if parser.prog == "mount.mediafs":
        add_places(parser)
