"""Queries over feedback items: filters, contradictions and agreement, which the database computes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from services.feedback.domain.agreement import Agreement
from services.feedback.domain.item import FeedbackUse, ItemFilter, Opinion
from services.feedback.store.tables import CASES, CONTENTS, ITEMS, USES

_NAMES = ("profile_id", "model_version_id", "test_suite_version_id", "tool", "tag", "author", "transcript_id")


def matching(item_filter: ItemFilter) -> ColumnElement[bool]:
    """Return the condition that items are wanted."""
    c = ITEMS.c
    conditions = [c[name] == getattr(item_filter, name) for name in _NAMES if getattr(item_filter, name)]
    if item_filter.kind is not None:
        conditions.append(c.kind == item_filter.kind.value)
    if item_filter.kinds:
        is_wanted = c.kind.in_([kind.value for kind in item_filter.kinds])
        conditions.append(or_(is_wanted, c.opinion == item_filter.or_opinion.value))
    if item_filter.is_chat:
        conditions.append(c.profile_id == "")
    if not item_filter.withdrawn_too:
        conditions.append(c.withdraw_time.is_(None))
    if item_filter.disagrees:
        conditions.append(c.disagrees == true())
    if item_filter.is_contradicted:
        conditions.append(_contradicted())
    if item_filter.use is not FeedbackUse.UNSPECIFIED:
        used = exists().where(USES.c.feedback_item_id == c.feedback_item_id)
        conditions.append(used if item_filter.use is FeedbackUse.USED else ~used)
    return and_(true(), *conditions)


def items(*conditions: Any) -> Select[Any]:
    """Return the query of whole items, newest first."""
    c = ITEMS.c
    return (
        select(
            ITEMS,
            CONTENTS.c.document,
            CASES.c.document.label("case_document"),
            case((_contradicted(), 1), else_=0).label("is_contradicted"),
        )
        .select_from(
            ITEMS.join(CONTENTS, CONTENTS.c.feedback_item_id == c.feedback_item_id).outerjoin(
                CASES, CASES.c.case_digest == c.case_digest
            )
        )
        .where(*conditions)
        .order_by(c.ordinal.desc())
    )


async def agreement(session: AsyncSession, item_filter: ItemFilter) -> Agreement:
    """Return how often people and the judge say the same; of one author on one answer the newest item counts."""
    c = ITEMS.c
    is_opinion = and_(c.opinion != Opinion.NONE.value, c.is_judged_good.is_not(None))
    newest = (
        select(func.max(c.ordinal))
        .where(matching(item_filter), is_opinion)
        .group_by(c.author, c.transcript_id, c.chat_completion_id, c.turn)
    )
    is_good = c.opinion == Opinion.GOOD.value
    query = (
        select(is_good.label("person"), c.is_judged_good, func.count())
        .where(c.ordinal.in_(newest))
        .group_by(c.opinion, c.is_judged_good)
    )
    counts = {(bool(person), bool(judge)): count for person, judge, count in await session.execute(query)}
    return Agreement(
        num_both_good=counts.get((True, True), 0),
        num_both_bad=counts.get((False, False), 0),
        num_only_person_good=counts.get((True, False), 0),
        num_only_judge_good=counts.get((False, True), 0),
    )


def _contradicted() -> ColumnElement[bool]:
    c, other = ITEMS.c, ITEMS.alias().c
    opposite = and_(other.pair_key == c.pair_key, other.pair_side != c.pair_side, other.withdraw_time.is_(None))
    return and_(c.pair_key != "", exists().where(opposite))
