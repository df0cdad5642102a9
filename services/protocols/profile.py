"""The profiles that there are: the built-in ones from one table, those of other distributions by entry point."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

from services.protocols.contract import Example, NoMaterial, Profile, ProfileBase, VectorOperation
from services.protocols.turn import Message

__all__ = [
    "BUILT_IN",
    "BrokenProfile",
    "Example",
    "Message",
    "NoMaterial",
    "Profile",
    "ProfileBase",
    "UnknownProfile",
    "VectorOperation",
    "broken_profiles",
    "distribution_of",
    "get_profile",
    "profile_ids",
]

ENTRY_POINT_GROUP = "drillyard.profiles"

BUILT_IN = MappingProxyType(
    {
        "roo_xml": "services.protocols.roo_xml.profile:PROFILE",
        "roo_xml_classic": "services.protocols.roo_xml.profile:CLASSIC_PROFILE",
        "roo_native": "services.protocols.roo_native.profile:PROFILE",
        "openai_tools": "services.protocols.openai_tools.profile:PROFILE",
        "text": "services.protocols.plain_text.profile:PROFILE",
    }
)
"""Module and name of each profile that ships with the product."""

_NEEDED = (
    *("id", "version", "packages", "digest", "prompt_sizes", "tools", "closed_tools", "vector_operations"),
    *("messages", "tools_for", "read_answer", "as_written", "judge", "style_notes", "take_turn", "replies"),
    *("check_case",),
    *("reference_answer", "example", "suites", "categories", "draw"),
)
_LOAD_FAULTS = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError),
)
"""What running a foreign module can end in, short of what must stop the process."""


class UnknownProfile(ValueError):
    """No profile has this id."""


class BrokenProfile(UnknownProfile):
    """An installed distribution offers a profile that cannot be used.

    Attributes:
        profile_id: the id under which it is offered.
        distribution: name of the distribution.
    """

    def __init__(self, profile_id: str, distribution: str, problem: str) -> None:
        super().__init__(f"the profile {profile_id!r} of the distribution {distribution} cannot be used: {problem}")
        self.profile_id = profile_id
        self.distribution = distribution


def profile_ids() -> tuple[str, ...]:
    """Return the ids of all profiles that can be used, the built-in ones first."""
    return (*BUILT_IN, *(name for name, candidate in _installed().items() if not isinstance(candidate, BrokenProfile)))


def broken_profiles() -> tuple[BrokenProfile, ...]:
    """Return what is wrong with the profiles that are installed but cannot be used."""
    return tuple(candidate for candidate in _installed().values() if isinstance(candidate, BrokenProfile))


def distribution_of(profile_id: str) -> str:
    """Return the name of the distribution that a profile comes from; empty for a built-in one."""
    return _origin(_offers()[profile_id][0]) if profile_id not in BUILT_IN and profile_id in _offers() else ""


def get_profile(profile_id: str) -> Profile:
    """Return the profile of that id.

    Raises:
        UnknownProfile: there is none; the message names those that exist.
        BrokenProfile: an installed distribution offers it, but it cannot be used; others are not touched by that.
    """
    if profile_id in BUILT_IN:
        return _built_in(profile_id)
    candidate = _installed().get(profile_id)
    if candidate is None:
        known = ", ".join(profile_ids())
        raise UnknownProfile(f"there is no profile {profile_id!r}; known profiles are: {known}")
    if isinstance(candidate, BrokenProfile):
        raise candidate
    return candidate


@cache
def _built_in(profile_id: str) -> Profile:
    module, _, name = BUILT_IN[profile_id].partition(":")
    profile: Profile = getattr(import_module(module), name)
    return profile


@cache
def _offers() -> Mapping[str, tuple[EntryPoint, ...]]:
    offers: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: (entry.name, _origin(entry))):
        offers[entry.name] = (*offers.get(entry.name, ()), entry)
    return MappingProxyType(offers)


@cache
def _installed() -> Mapping[str, Profile | BrokenProfile]:
    return MappingProxyType(dict(_loaded()))


def _loaded() -> Iterator[tuple[str, Profile | BrokenProfile]]:
    for name, entries in _offers().items():
        origins = ", ".join(_origin(entry) for entry in entries)
        if name in BUILT_IN:
            yield f"{name} ({origins})", BrokenProfile(name, origins, "a built-in profile has that id")
        elif len(entries) > 1:
            yield name, BrokenProfile(name, origins, "more than one distribution offers that id")
        else:
            yield name, _load(entries[0])


def _load(entry: EntryPoint) -> Profile | BrokenProfile:
    try:
        candidate = entry.load()
        missing = [name for name in _NEEDED if not hasattr(candidate, name)]
    except _LOAD_FAULTS as error:
        return BrokenProfile(entry.name, _origin(entry), f"{type(error).__name__}: {error}")
    if missing:
        return BrokenProfile(entry.name, _origin(entry), f"it lacks {', '.join(missing)}")
    if candidate.id != entry.name:
        return BrokenProfile(entry.name, _origin(entry), f"its own id is {candidate.id!r}")
    profile: Profile = candidate
    return profile


def _origin(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown one"
