"""Feedback items in few words."""

from __future__ import annotations

from ui.cli.connection import Document


def what_is_said(item: Document) -> str:
    """Return what an item says, in the JSON form of the wire."""
    kind = item["kind"].removeprefix("FEEDBACK_KIND_").lower()
    if kind == "rating":
        rating = item["rating"]
        stars = rating["scale"] == "RATING_SCALE_STARS"
        said = f"{rating['value']} of 5 stars" if stars else "good" if rating["value"] > 0 else "bad"
    elif kind == "tag":
        said = f"tag {item['tag']}"
    else:
        said = kind
    more = [item["note"], *(["contradicted"] if item["is_contradicted"] else [])]
    more += ["withdrawn"] if item.get("withdraw_time") else []
    return ": ".join([said, ", ".join(filter(None, more))]) if any(more) else said


def verdict_words(verdict: Document | None) -> str:
    """Return the judge's word on an answer; empty where there is none."""
    if not verdict:
        return ""
    return "conforms" if verdict["conforming"] else str(verdict["cause"]).replace("_", " ")
