"""Found by its words is what asking every package would find."""

from __future__ import annotations

from hypothesis import given, strategies as st

from hexhub.per_package import Name
from hexhub.search.query import name_matches, stems
from hexhub.search.words import Words

NAMES = st.sampled_from(["ab", "aB", "abC", "b_abc"])
"""Few, so that packages go and come again."""
KEYS = st.tuples(st.sampled_from(["hexpm", "abc"]), NAMES)
SAID = st.sets(st.sampled_from(["ab", "parser", "Parsing", "abc", "c"]), max_size=3)
TEXTS = st.one_of(
    NAMES.map(str.lower),
    st.text("abc_", min_size=1, max_size=5),
    st.builds("/".join, st.tuples(st.sampled_from(["hexpm", "abc", ""]), NAMES.map(str.lower))),
    st.sampled_from(["parse", "parsers", "ab parse", "a\nb", "\n", "c\na", "/", "abc/"]),
)


def matches(key: Name, said: frozenset[str], text: str) -> bool:
    """Asked of one package."""
    repository, slash, name = text.partition("/")
    return (
        name_matches(key[1].lower(), text)
        or not said.isdisjoint(stems(text))
        or (bool(slash) and key[0] == repository and name_matches(key[1].lower(), name))
    )


@given(
    changes=st.lists(st.tuples(KEYS, st.one_of(st.none(), SAID)), max_size=12),
    texts=st.lists(TEXTS, min_size=1, max_size=4),
)
def test_what_is_found_is_what_each_package_says(
    changes: list[tuple[Name, set[str] | None]], texts: list[str]
) -> None:
    words, here = Words(), dict[Name, frozenset[str]]()
    for key, said in changes:
        before = here.pop(key, None)
        after = None if said is None else stems(" ".join(said))
        if before is not None or after is not None:
            words.move(key, before, after)
        if after is not None:
            here[key] = after
        for text in texts:
            assert words.matching(text) == {
                key for key, said in here.items() if matches(key, said, text)
            }
