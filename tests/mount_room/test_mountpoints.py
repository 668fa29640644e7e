"""What is mounted, what can be, and with which options: without mounting anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from mediafs.errors import ConfigError
from mediafs.model import AccountName
from mediafs.mount.available import check_fuse, check_mountpoint
from mediafs.mount.errors import FuseUnavailable
from mediafs.mount.fusectl import connection_limits, raise_connection_limits
from mediafs.mount.mountinfo import mount_at, mounts, parse, resolved
from mediafs.mount.options import MountOptions, with_words

INFO = rb"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
36 22 0:41 / /home/ann/My\040Recordings\134x rw shared:7 master:2 - fuse.mediafs mediafs:my\040clinic rw
37 22 0:42 / /mnt/ssh rw - fuse.sshfs ann@host: rw
38 22 0:43 / /mnt/twice rw - ext4 /dev/b rw
39 38 0:44 / /mnt/twice rw - fuse.mediafs mediafs:b rw
40 22 0:45 / /mnt/other rw - fuse.mediafs something-else rw
nonsense
"""


@pytest.fixture
def mountinfo(tmp_path: Path) -> Path:
    file = tmp_path / "mountinfo"
    file.write_bytes(INFO)
    return file


def test_escaped_names_are_decoded(mountinfo: Path) -> None:
    first, second = mounts(mountinfo)

    assert first.mountpoint == "/home/ann/My Recordings\\x"
    assert (first.account, first.connection) == ("my clinic", 41)
    assert (second.mountpoint, second.account) == ("/mnt/twice", "b")


def test_the_last_mount_at_a_place_is_the_visible_one(mountinfo: Path) -> None:
    found = mount_at("/mnt/twice", mountinfo)

    assert found is not None
    assert found.fstype == "fuse.mediafs"


def test_lines_that_make_no_sense_are_left_out() -> None:
    assert parse(b"\n - \n1 2 3:x / / rw - a b c\n1 2 0:1 / / rw -\n") == []


def test_a_path_is_resolved_without_asking_what_is_mounted_there(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to("real")
    nothing = tmp_path / "none"
    nothing.write_bytes(b"")

    assert resolved(tmp_path / "link", nothing) == str(real)
    assert resolved(tmp_path / "x" / ".." / "link", nothing) == str(real)
    (tmp_path / "loop").symlink_to("loop")
    assert resolved(tmp_path / "loop", nothing) == str(tmp_path / "loop")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda at: at / "missing", "does not exist"),
        (lambda at: at / "file", "not a folder"),
        (lambda at: at / "full", "not empty"),
    ],
)
def test_where_nothing_can_be_mounted_is_said(tmp_path: Path, make, words: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_bytes(b"")

    with pytest.raises(FuseUnavailable, match=words):
        check_mountpoint(str(make(tmp_path)))


def test_what_is_mounted_already_is_not_even_looked_at(mountinfo: Path) -> None:
    with pytest.raises(FuseUnavailable, match=r"already mounted \(fuse.sshfs of ann@host:\)"):
        check_mountpoint("/mnt/ssh", mountinfo=mountinfo)


def test_what_fuse_lacks_is_said_with_what_to_do(tmp_path: Path) -> None:
    device, configuration, programs = tmp_path / "fuse", tmp_path / "fuse.conf", tmp_path / "bin"
    programs.mkdir()

    def check(*, allow_other: bool = False) -> None:
        check_fuse(
            allow_other=allow_other,
            device=device,
            configuration=configuration,
            path=str(programs),
            root=False,
        )

    with pytest.raises(FuseUnavailable, match="modprobe fuse"):
        check()
    device.write_bytes(b"")
    with pytest.raises(FuseUnavailable, match="apt-get install fuse3"):
        check()
    (programs / "fusermount3").write_bytes(b"")
    (programs / "fusermount3").chmod(0o755)
    check()
    configuration.write_text("#user_allow_other\n")
    with pytest.raises(FuseUnavailable, match="user_allow_other"):
        check(allow_other=True)
    configuration.write_text("mount_max = 1000\nuser_allow_other\n")
    check(allow_other=True)


def _options(**changes: object) -> MountOptions:
    return MountOptions(mountpoint="/m", account=AccountName("clinic"), **changes)  # type: ignore[arg-type]


def test_the_kernel_always_checks_permissions() -> None:
    assert _options().fuse_words() == {"default_permissions", "fsname=mediafs:clinic", "subtype=mediafs"}
    assert {"ro", "allow_other"} <= _options(read_only=True, allow_other=True).fuse_words()


def test_words_of_fstab_are_understood_or_dropped() -> None:
    options = with_words(
        _options(),
        "defaults,noauto,x-systemd.automount,_netdev,ro,allow_other,uid=5,gid=6,umask=022,noatime",
    )

    assert (options.read_only, options.allow_other) == (True, True)
    assert (options.uid, options.gid, options.umask) == (5, 6, 0o022)
    assert options.extra == ("noatime",)


def test_all_unknown_words_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        with_words(_options(), "noatme,umask=9,nosuit")
    assert caught.value.problems == (
        "mount option 'noatme' is not known: noatime?",
        "mount option 'umask=9': umask is an octal number from 0 to 777",
        "mount option 'nosuit' is not known: nosuid?",
    )


@pytest.mark.parametrize(
    "word",
    [
        *("uid=99999999999", "gid=4294967295", "uid=-1", "uid=+1", "gid=1_0", "uid=\u0661", "uid= 1", "uid="),
        *("uid", "umask=0o22", "umask=1777", "umask=", "umask=1_0", f"uid={'9' * 5000}"),
    ],
)
def test_numbers_are_digits_and_those_of_somebody(word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_words(_options(), word)
    (problem,) = caught.value.problems
    assert problem.startswith(f"mount option {word!r}: {word.partition('=')[0]} is ")


def test_no_one_owns_no_files() -> None:
    assert with_words(_options(), "uid=4294967294,gid=0").uid == 4294967294
    for name in ("uid", "gid"):
        for number in (-1, 2**32 - 1, 99999999999):
            with pytest.raises(ConfigError, match="is not between 0 and 4294967294"):
                _options(**{name: number})


def test_max_read_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="'max_read=131072' is not supported: the kernel chooses"):
        with_words(_options(), "max_read=131072")
    with pytest.raises(ConfigError):
        _options(extra=("max_read=131072",))


@pytest.mark.parametrize("account", ["a,b", "a\\b", "", "\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_an_account_that_libfuse_would_misread_is_refused(account: str) -> None:
    with pytest.raises(ConfigError):
        MountOptions(mountpoint="/m", account=AccountName(account))


def test_limits_are_raised_where_they_can_be_written(tmp_path: Path, mountinfo: Path) -> None:
    folder = tmp_path / "41"
    folder.mkdir()
    (folder / "max_background").write_text("12\n")
    (folder / "congestion_threshold").write_text("9\n")
    place = "/home/ann/My Recordings\\x"

    assert "low" in connection_limits(place, fusectl=tmp_path, mountinfo=mountinfo).advice
    limits = raise_connection_limits(place, fusectl=tmp_path, mountinfo=mountinfo)
    assert (limits.connection, limits.max_background, limits.congestion_threshold) == (41, 256, 192)
    assert limits.advice == ""


def test_limits_that_cannot_be_read_are_none_and_not_a_guess(tmp_path: Path, mountinfo: Path) -> None:
    limits = raise_connection_limits("/mnt/twice", fusectl=tmp_path / "absent", mountinfo=mountinfo)

    assert limits.max_background is None
    assert "mount -t fusectl" in limits.advice
    assert not (tmp_path / "absent").exists()


def test_a_higher_limit_of_the_administrators_stays(tmp_path: Path, mountinfo: Path) -> None:
    (tmp_path / "41").mkdir()
    (tmp_path / "41" / "max_background").write_text("1000\n")

    limits = raise_connection_limits("/home/ann/My Recordings\\x", fusectl=tmp_path, mountinfo=mountinfo)
    assert limits.max_background == 1000
