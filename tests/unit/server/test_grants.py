"""The pattern language of grants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engineroom.rooms.address import Address
from engineroom.server.grants import check_pattern, exactly, granted, matches

READ = frozenset({"read"})
WRITE = frozenset({"write"})


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("notes", ["notes"], ["notes/a", "note", "notesx", "a/notes"]),
        ("notes/today", ["notes/today"], ["notes", "notes/today/x", "notes/toda"]),
        ("notes/*", ["notes/a", "notes/a@b"], ["notes", "notes/a/b", "x/notes/a"]),
        ("notes/a*z", ["notes/az", "notes/abcz", "notes/aazz"], ["notes/a", "notes/ab/z"]),
        ("*", ["a", "page@room"], ["a/b"]),
        ("**", ["a", "a/b", "a/b/c@d"], []),
        ("notes/**", ["notes/a", "notes/a/b", "notes/a/b@c"], ["notes", "note/a", "x/notes/a"]),
        ("**/x", ["a/x", "a/b/x"], ["x", "a/b", "ax"]),
        ("a/**/z", ["a/b/z", "a/b/c/z", "a/z/z"], ["a/z", "a/b/c"]),
        ("**/m/**", ["a/m/b", "m/m/m", "a/b/m/c/d"], ["m", "m/a", "a/m", "m/m"]),
        ("write@*", ["write@abc"], ["write", "writer@abc", "a/write@abc"]),
        ("a**b", ["ab", "axb"], ["a/b"]),
        ("*a*b*a*b*", ["abab", "xaxbxaxbx"], ["ab", "aabb"]),
        ("=notes/**", ["notes/**"], ["notes/a", "=notes/**"]),
        ("=*", ["*"], ["a"]),
        ("[a]", ["[a]"], ["a"]),
        ("a?", ["a?"], ["ab"]),
    ],
)
def test_patterns(pattern: str, fits: list[str], others: list[str]) -> None:
    """A pattern stands for these addresses, and not for those."""
    assert [matches(pattern, name) for name in fits] == [True] * len(fits)
    assert [matches(pattern, name) for name in others] == [False] * len(others)


def test_the_union_counts() -> None:
    """Every pattern that matches adds its rights; none takes any away, and their order is nothing."""
    grants = {"**": READ, "notes/*": WRITE, "notes/secret": frozenset()}
    for each in (grants, dict(reversed(grants.items()))):
        assert granted(each, Address.parse("notes/secret")) == READ | WRITE
        assert granted(each, Address.parse("other")) == READ


@given(st.text(st.sampled_from("a*/="), min_size=1, max_size=12))
def test_exactly_is_exact(name: str) -> None:
    """The pattern of an address stands for it alone, whatever it consists of."""
    try:
        address = Address.parse(name)
    except Exception:
        return
    assert matches(exactly(address), name)
    assert not matches(exactly(address), name + "a")


@given(
    st.lists(st.sampled_from(["a", "b", "*", "**", "a*", "*b"]), min_size=1, max_size=6),
    st.lists(st.text(st.sampled_from("ab"), min_size=1, max_size=3), min_size=1, max_size=6),
)
def test_as_the_definition_has_it(pattern: list[str], name: list[str]) -> None:
    """Matching agrees with the definition, tried out in all ways."""

    def by_definition(pattern: list[str], name: list[str]) -> bool:
        if not pattern or not name:
            return not pattern and not name
        if pattern[0] == "**":
            return any(by_definition(pattern[1:], name[n:]) for n in range(1, len(name) + 1))
        return segment(pattern[0], name[0]) and by_definition(pattern[1:], name[1:])

    def segment(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(segment(pattern[1:], text[n:]) for n in range(len(text) + 1))
        return text[:1] == pattern[0] and segment(pattern[1:], text[1:])

    assert matches("/".join(pattern), "/".join(name)) == by_definition(pattern, name)


def test_a_hostile_pattern_takes_no_time() -> None:
    """The longest pattern of stars against the longest address is decided at once: no search grows without bound."""
    assert not matches("*a" * 200 + "b", "a" * 255)
    assert not matches("/".join(["**", "a"] * 60) + "/b", "/".join("a" * 127))


@pytest.mark.parametrize("pattern", ["", "/", "a//b", "a/../b", "./a", "a" * 513, "="])
def test_no_patterns(pattern: str) -> None:
    """What could match no address is no pattern."""
    with pytest.raises(ValueError):
        check_pattern(pattern)


def test_patterns_are_normalised() -> None:
    """A pattern is NFC, as addresses are."""
    assert check_pattern("cafe\u0301/*") == "caf\u00e9/*"
