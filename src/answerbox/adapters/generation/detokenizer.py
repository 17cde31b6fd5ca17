"""From tokens to text, piece by piece, never half a character."""

from __future__ import annotations

from collections.abc import Callable, Sequence

UNFINISHED = "\ufffd"


class Detokenizer:
    """Keeps a few tokens of context, for the text of a token depends on the one before it."""

    CONTEXT = 6

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._read = 0

    def add(self, token: int) -> str:
        """The text that this token completes; empty while a character is not complete."""
        self._ids.append(token)
        text = self._text_after_read()
        if text.endswith(UNFINISHED):
            return ""
        self._read = len(self._ids)
        return text

    def rest(self) -> str:
        """What is left at the end, with a replacement character for a half one."""
        text = self._text_after_read() if self._read < len(self._ids) else ""
        self._read = len(self._ids)
        return text

    def _text_after_read(self) -> str:
        start = max(0, self._read - self.CONTEXT)
        before = self._decode(self._ids[start : self._read])
        return self._decode(self._ids[start:])[len(before) :]
