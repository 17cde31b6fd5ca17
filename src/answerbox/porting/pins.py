"""What distributions need, direct and transitive, pinned to the versions that are installed here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from answerbox.errors import SetupError


def closure(requirements: Iterable[str]) -> dict[str, str]:
    """Name → version of everything that these requirements need on this platform.

    Raises: SetupError where one of them is not installed.
    """
    found: dict[str, str] = {}
    open_ = [Requirement(text) for text in requirements]
    while open_:
        requirement = open_.pop()
        extras = requirement.extras or {""}
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = canonicalize_name(requirement.name)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            raise SetupError(f"{name} is not installed here.", hint="Install what is to be pinned.") from None
        seen = name in found
        found[name] = installed.version.partition("+")[0]
        for text in installed.requires or []:
            inner = Requirement(text)
            needed = inner.marker is None or any(inner.marker.evaluate({"extra": e}) for e in extras)
            if needed and (not seen or "extra" in str(inner.marker)):
                inner.marker = None
                open_.append(inner)
    return found
