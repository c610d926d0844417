"""What a run tells of itself, setting by setting; its writer may have put anything into that."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from layerscope.app.encoding import json_text
from layerscope.engine.foundations.record import value_text

__all__ = ["MOST_SETTINGS", "Setting", "cut", "leaves", "settings", "value_words"]

MOST_SETTINGS = 200
MOST_TEXT = 120
DEEPEST = 8
"""Levels of a configuration that are settings of their own."""
BEFORE = 20
"""Characters of what is the same that are shown ahead of a difference."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting by its path in the configuration, with each run's whole text for it; None: not
    set. ``differs`` tells types apart: 1 is not "1", nor 1.0."""

    name: str
    texts: tuple[str | None, ...]
    differs: bool


def settings(configs: Sequence[Mapping[Any, Any]]) -> list[Setting]:
    """Every setting of any of them, those that differ first.

    >>> for each in settings([{"a": 1, "b": {"c": 2}}, {"a": "1", "b": {"c": 2}}]):
    ...     print(each)
    Setting(name='a', texts=('1', '"1"'), differs=True)
    Setting(name='b.c', texts=('2', '2'), differs=False)
    """
    told = [dict(leaves(config)) for config in configs]
    names = dict.fromkeys(name for config in told for name in config)
    found = []
    for name in names:
        texts = tuple(value_words(c[name]) if name in c else None for c in told)
        kinds = {_canonical(c[name]) if name in c else None for c in told}
        found.append(Setting(name, texts, len(kinds) > 1))
    return sorted(found, key=lambda setting: not setting.differs)


def leaves(
    config: Mapping[Any, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """Each setting by its path, and its value.

    >>> list(leaves({"lr": 0.1, "net": {"depth": 2}, "net.depth": 3}))
    [('lr', 0.1), ('net.depth', 2), ('"net.depth"', 3)]
    """
    for key, value in config.items():
        own = (*path, _key(key))
        if isinstance(value, Mapping) and value and len(own) < DEEPEST:
            yield from leaves(value, own)
        else:
            yield ".".join(own), value


def value_words(value: Any) -> str:
    """A setting's value in words, whole; text that reads like another kind of value in quotes.

    >>> value_words(1), value_words("1"), value_words("adam"), value_words([1, None, math.inf])
    ('1', '"1"', 'adam', '[1,null,inf]')
    """
    if isinstance(value, str):
        return json_text(value) if _reads_as_a_value(value) else value
    return _whole(value)


def _whole(value: Any) -> str:
    """As JSON, but for what it has no word for: ``nan``, ``inf`` and ``-inf``, however deep."""
    if isinstance(value, float) and not math.isfinite(value):
        return value_text(value)
    if isinstance(value, Mapping):
        keys = [key if isinstance(key, str) else _whole(key) for key in value]
        pairs = zip(map(json_text, keys), map(_whole, value.values()), strict=True)
        return f"{{{','.join(map(':'.join, pairs))}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_whole, value))}]"
    return json_text(value)


def cut(texts: Sequence[str | None]) -> list[str | None]:
    """Texts as a table has room for them; where they differ further behind, from there on.

    >>> [text[:12] for text in cut(["a" * 200 + "x", "a" * 200 + "yz"])]
    ['…aaaaaaaaaaa', '…aaaaaaaaaaa']
    """
    known = [text for text in texts if text is not None]
    alike = takewhile(lambda each: len(set(each)) == 1, zip(*known, strict=False))
    same = sum(1 for _ in alike) if len(set(known)) > 1 else 0
    begin = same - BEFORE if same >= MOST_TEXT - BEFORE else 0
    return [None if text is None else _cut(text, begin) for text in texts]


def _cut(text: str, begin: int) -> str:
    text = f"…{text[begin:]}" if begin else text
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"


def _key(key: Any) -> str:
    """A name of a path; in quotes where it could be taken for something else."""
    plain = isinstance(key, str) and not set(key) & set('."') and not _reads_as_a_value(key)
    return key if plain else json_text(key)


def _reads_as_a_value(text: str) -> bool:
    with suppress(ValueError, RecursionError):
        float(text)
        return True
    with suppress(ValueError, RecursionError):
        json.loads(text)
        return True
    return not text


def _canonical(value: Any) -> Any:
    """Equal for values that are the same in kind and content, in whatever order of their keys."""
    if isinstance(value, Mapping):
        return "{}", tuple(sorted((repr(k), repr(_canonical(v))) for k, v in value.items()))
    if isinstance(value, list | tuple):
        return "[]", tuple(_canonical(v) for v in value)
    return repr(value)
