"""What the utilities of ``dbutils`` have in common."""

from __future__ import annotations

from typing import ClassVar


class Utility:
    """One utility: it lists its own commands."""

    NAME: ClassVar[str]

    def help(self, *_: str) -> None:
        """Print the commands."""
        known = sorted(name for name in vars(type(self)) if not name.startswith("_") and callable(getattr(self, name)))
        print(f"dbutils.{self.NAME}: {', '.join(known)}")
