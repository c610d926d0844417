"""A named, ordered collection of interchangeable things, each registered where it is defined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Concatenate, Generic, ParamSpec, Protocol, TypeVar, runtime_checkable

__all__ = ["Described", "Registry"]


@runtime_checkable
class Described(Protocol):
    """What every registered thing says of itself; shown by forms, help, docs and the API."""

    @property
    def name(self) -> str: ...

    @property
    def formula(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def help(self) -> str: ...


D = TypeVar("D", bound=Described)
F = TypeVar("F")
P = ParamSpec("P")


class Registry(Mapping[str, D], Generic[D]):
    """A mapping from name to a described thing, in order of registration or ``by_name``.

    ``noun`` is what one entry is called in messages, for example ``"activation"``.

    Errors: ``KeyError`` naming the value and every registered name; ``ValueError`` when a name is
    registered twice.
    """

    def __init__(self, noun: str, *, by_name: bool = False) -> None:
        self.noun = noun
        self.by_name = by_name
        self._entries: dict[str, D] = {}

    def register(self, entry: D) -> D:
        """Add ``entry`` under its own name; returns it, so that it serves as a decorator."""
        if entry.name in self._entries:
            raise ValueError(f"{self.noun} {entry.name!r} is registered twice")
        self._entries[entry.name] = entry
        return entry

    def decorator(self, make: Callable[Concatenate[F, P], D]) -> Callable[P, Callable[[F], F]]:
        """What registers ``make(function, …)`` of each function it decorates."""

        def described(*args: P.args, **facts: P.kwargs) -> Callable[[F], F]:
            def register(function: F) -> F:
                self.register(make(function, *args, **facts))
                return function

            return register

        return described

    def __getitem__(self, name: str) -> D:
        try:
            return self._entries[name]
        except KeyError:
            known = ", ".join(self)
            raise KeyError(f"unknown {self.noun} {name!r}; expected one of: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries) if self.by_name else self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @contextmanager
    def temporarily(self) -> Iterator[None]:
        """Forgets at the end whatever was registered within.

        >>> from types import SimpleNamespace
        >>> registry = Registry("thing")
        >>> with registry.temporarily():
        ...     _ = registry.register(SimpleNamespace(name="one"))
        >>> list(registry)
        []
        """
        before = dict(self._entries)
        try:
            yield
        finally:
            self._entries = before

    def describe(self) -> list[dict[str, str]]:
        """Name, formula, source and help of every entry, in order."""
        return [
            {"name": e.name, "formula": e.formula, "source": e.source, "help": e.help}
            for e in self.values()
        ]
