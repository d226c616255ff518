"""What goes wrong with an export, sorted by where the fix lies.

ProviderError
 + AdfError
    + DocumentError       a file: the message names it
    + ExpressionError     an expression: the message names it, the position and the function
       + ExpressionSyntaxError   it cannot be read
       + EvaluationError         it can be read, and has no value in this state
"""

from __future__ import annotations

from airflow_ml_provider.core.errors import ProviderError

_SHOWN = 200


class AdfError(ProviderError):
    """Base of what reading, judging and evaluating an export raises."""


class DocumentError(AdfError):
    """A file, or a resource in it, that cannot be read as what it should be."""


class ExpressionError(AdfError):
    """An expression without a value.

    :param reason: what is wrong, without the place.
    :param text: the expression as it is written.
    :param position: of the fault, in characters from the start of ``text``.
    :param function: the function at fault, if it is in one.
    """

    def __init__(self, reason: str, text: str = "", position: int = 0, function: str = "") -> None:
        self.reason, self.text, self.position, self.function = reason, text, position, function
        super().__init__(reason)

    def __reduce__(self) -> tuple[type[ExpressionError], tuple[str, str, int, str]]:
        return type(self), (self.reason, self.text, self.position, self.function)

    def __str__(self) -> str:
        where = f"function {self.function!r}, " if self.function else ""
        return f"{where}position {self.position} of {shorten(self.text)!r}: {self.reason}"


class ExpressionSyntaxError(ExpressionError):
    """The text is not an expression of the language."""


class EvaluationError(ExpressionError):
    """The expression has no value in this state."""


def shorten(text: str) -> str:
    """A text that fits into a message."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
