"""Where a suite comes from, and the licence that it may be used under."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is known of a suite beyond its cases; empty where nothing is.

    Attributes:
        licence: SPDX name, such as `Apache-2.0`.
        generator: what made the cases, and how.
        seed: what it was seeded with.
        profile_version: version of the client whose rules the cases were made for.
        source: where the cases were found, if they were not generated.
    """

    licence: str = ""
    generator: str = ""
    seed: str = ""
    profile_version: str = ""
    source: str = ""

    def to_document(self) -> dict[str, str]:
        """Return what is known as a JSON document."""
        return {name: value for name, value in asdict(self).items() if value}


UNKNOWN = Provenance()


def provenance_from_document(document: Mapping[str, object]) -> Provenance:
    """Return the provenance that `to_document` wrote; names that it does not know are passed over."""
    return Provenance(**{field.name: str(document.get(field.name, "")) for field in fields(Provenance)})
