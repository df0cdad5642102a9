"""What the Roo clients' profiles share: the scenarios that their cases are drawn from, and what their client reads."""

from collections.abc import Collection

from services.protocols.contract import ProfileBase
from services.protocols.roo.scenarios.catalogue import CATALOGUE


class RooProfile(ProfileBase):
    """A profile whose cases are made of scenarios; it adds how a scenario becomes a case of its protocol."""

    categories: tuple[str, ...] = tuple(CATALOGUE.categories)
    # The client reads the texts of `delta.content` and of `delta.tool_calls`, the latter by their index.
    unread_forms: Collection[str] = (
        *("shared_index", "object_arguments", "function_call"),
        *("message", "text", "content_parts", "refusal"),
    )
