"""A text read from left to right, and the refusal that says where it went wrong."""

from __future__ import annotations

import re

__all__ = ["LiteralError", "Scanner"]

_SPACE = re.compile(r"[ \t\r\n]*")


class LiteralError(ValueError):
    """Text that is not what it should be.

    Attributes:
        position: index into the text of the character where it went wrong; its length at the end.
        found: what stands there.
        expected: what should.
    """

    def __init__(self, position: int, found: str, expected: str) -> None:
        self.position = position
        self.found = found
        self.expected = expected
        super().__init__(f"at position {position}: found {found}, expected {expected}")


class Scanner:
    """A text and a place in it. Refuses at once a text longer than ``max_length`` characters."""

    def __init__(self, text: str, max_length: int) -> None:
        if len(text) > max_length:
            found = f"a text of {len(text)} characters"
            raise LiteralError(max_length, found, f"at most {max_length}")
        self.text = text
        self.position = 0

    def skip_space(self) -> None:
        match = _SPACE.match(self.text, self.position)
        self.position = match.end() if match else self.position

    def peek(self) -> str:
        """The next character that is not a space; empty at the end."""
        self.skip_space()
        return self.text[self.position : self.position + 1]

    def take(self, literal: str) -> bool:
        """Step over ``literal`` where it comes next; whether it did."""
        self.skip_space()
        if not self.text.startswith(literal, self.position):
            return False
        self.position += len(literal)
        return True

    def token(self, pattern: re.Pattern[str]) -> str:
        """What ``pattern`` matches here, possibly nothing; the place stays before it."""
        self.skip_space()
        match = pattern.match(self.text, self.position)
        return match.group() if match else ""

    def error(self, expected: str) -> LiteralError:
        """That what comes next is not ``expected``."""
        next_character = self.peek()
        found = repr(next_character) if next_character else "the end of the text"
        return LiteralError(self.position, found, expected)

    def expect_end(self) -> None:
        if self.peek():
            raise self.error("the end of the text")
