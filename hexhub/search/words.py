"""Which packages hold a text in their name or a word in their description, without asking each.

Names lie in one text, which the interpreter searches a thousand times faster than it asks packages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from hexhub.per_package import Name
from hexhub.search import query as language

END = "\n"


class Words:
    """Keys of packages by their folded names and by the stems of their descriptions."""

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[Name, ...]] = {}
        self._by_word: defaultdict[str, set[Name]] = defaultdict(set)
        self._names: str | None = END
        """Each with END before and behind it; None when it is to be made anew."""
        self._new: list[str] = []
        """Names that are to be put behind the others first."""

    def move(self, key: Name, before: frozenset[str] | None, after: frozenset[str] | None) -> None:
        """A package came, says something else of itself, or went; None where there is none."""
        if before is None:
            self._add_name(key)
        elif after is None:
            self._remove_name(key)
        was, is_now = before or frozenset(), after or frozenset()
        for word in is_now - was:
            self._by_word[word].add(key)
        for word in was - is_now:
            self._by_word[word].discard(key)
            if not self._by_word[word]:
                del self._by_word[word]

    def _add_name(self, key: Name) -> None:
        folded = key[1].lower()
        keys = self._by_name.get(folded, ())
        if not keys:
            self._new.append(folded + END)
        self._by_name[folded] = (*keys, key)

    def _remove_name(self, key: Name) -> None:
        folded = key[1].lower()
        keys = tuple(each for each in self._by_name[folded] if each != key)
        if keys:
            self._by_name[folded] = keys
        else:
            del self._by_name[folded]
            self._names = None

    def matching(self, text: str) -> set[Name]:
        """Packages with this text in their name, as `repository/name`, or a word of it in what
        they say of themselves."""
        found = self.having(language.stems(text)) | self.named(text)
        repository, slash, name = text.partition("/")
        if slash:
            found.update(key for key in self.named(name) if key[0] == repository)
        return found

    def having(self, stems: Iterable[str]) -> set[Name]:
        """Packages with any of these in their description."""
        return set().union(*(self._by_word.get(stem, ()) for stem in stems))

    def named(self, text: str) -> set[Name]:
        """Packages whose folded name matches (`query.name_matches`)."""
        if len(text) < language.ANYWHERE_MIN:
            return set(self._by_name.get(text, ()))
        return self.holding(text)

    def holding(self, text: str) -> set[Name]:
        """Packages with this text anywhere in their folded name."""
        found: set[Name] = set()
        if END in text:
            return found
        if self._names is None:
            self._names = END + "".join(name + END for name in self._by_name)
        elif self._new:
            self._names += "".join(self._new)
        self._new.clear()
        names, at = self._names, 0
        while (at := names.find(text, at)) >= 0:
            start, end = names.rindex(END, 0, at + 1) + 1, names.index(END, at)
            found.update(self._by_name[names[start:end]])
            at = end
        return found
