"""Attributes in the kernel's words."""

from __future__ import annotations

import pyfuse3
from hypothesis import given
from hypothesis import strategies as st

from mediafs.model import Inode
from mediafs.mount.entries import Dress
from mediafs.tree.values import Attributes, Kind

FIELDS = [name for name in dir(pyfuse3.EntryAttributes) if name.startswith("st_") or "time" in name]

ATTRIBUTES = st.builds(
    Attributes,
    inode=st.integers(2, 9).map(Inode),
    kind=st.sampled_from(Kind),
    size=st.integers(0, 2000),
    links=st.integers(0, 2),
    modified_s=st.integers(0, 3),
    writable=st.booleans(),
    entry_timeout_s=st.sampled_from([0.0, 300.0]),
    attr_timeout_s=st.sampled_from([0.0, 300.0]),
)


@given(st.lists(ATTRIBUTES, max_size=8))
def test_a_lent_entry_holds_nothing_of_who_had_it_before(shown: list[Attributes]) -> None:
    dress = Dress(uid=1, gid=2, umask=0o77)
    assert len(FIELDS) > 12
    for attributes in shown:
        lent, own = dress.lent_entry(attributes), dress.entry(attributes)
        assert [getattr(lent, name) for name in FIELDS] == [getattr(own, name) for name in FIELDS]
