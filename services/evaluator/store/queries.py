"""Queries over verdicts: filters, and aggregates that the database makes."""

import math
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, exists, false, func, not_, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from services.evaluator.domain.metrics import Quantiles
from services.evaluator.domain.parity import Outcome, OutcomePair
from services.evaluator.domain.tallies import CaseTally, Failing
from services.evaluator.domain.verdict import NO_CAUSE, VerdictFilter
from services.evaluator.store.tables import VERDICTS
from services.protocols.verdict import UNANSWERED

_OUTCOME = ("conforming", "accepted", "well_formed", "cause", "layer")
_RECOVERY = "recovery"


def matching(evaluation_id: str, wanted: VerdictFilter) -> ColumnElement[bool]:
    """Return the condition that verdicts are of an evaluation and wanted."""
    c = VERDICTS.c
    family = or_(c.category == wanted.category, c.category.startswith(f"{wanted.category}.", autoescape=True))
    return and_(
        c.evaluation_id == evaluation_id,
        c.tool == wanted.tool if wanted.tool else true(),
        c.cause == wanted.cause.replace(NO_CAUSE, "") if wanted.cause else true(),
        family if wanted.category else true(),
        c.layer == wanted.layer if wanted.layer else true(),
        c.case_id == wanted.case_id if wanted.case_id else true(),
    )


async def case_tallies(
    session: AsyncSession, evaluation_id: str, through: int | None, other_id: str
) -> tuple[CaseTally, ...]:
    """Return a tally for each case that was judged up to a sequence, in the order of their ids.

    With `other_id`, only repeats that have an answer in that evaluation too are counted.
    """
    c = VERDICTS.c
    answered = c.cause != UNANSWERED
    recovering = or_(c.had_client_error, c.category == _RECOVERY, c.category.startswith(f"{_RECOVERY}."))
    query = (
        select(
            c.case_id,
            c.tool,
            c.category,
            _number(answered),
            _number(c.conforming),
            _number(c.accepted),
            _number(c.well_formed),
            _number(and_(recovering, answered)),
            _number(and_(recovering, c.conforming)),
            _number(not_(answered)),
        )
        .where(_judged(evaluation_id, through), _answered_by(other_id) if other_id else true())
        .group_by(c.case_id, c.tool, c.category)
        .order_by(c.case_id)
    )
    return tuple(CaseTally(*row) for row in await session.execute(query))


async def latency_quantiles(session: AsyncSession, evaluation_id: str, through: int | None) -> Quantiles:
    """Return the nearest-rank quantiles of the time to answer one case, of those whose time is known."""
    timed = and_(_judged(evaluation_id, through), VERDICTS.c.latency_seconds > 0, VERDICTS.c.cause != UNANSWERED)
    count = (await session.execute(select(func.count()).where(timed))).scalar_one()
    if not count:
        return Quantiles()
    ordered = select(VERDICTS.c.latency_seconds).where(timed).order_by(VERDICTS.c.latency_seconds).limit(1)
    quantiles = [
        (await session.execute(ordered.offset(math.ceil(share * count) - 1))).scalar_one()
        for share in (0.50, 0.95, 0.99)
    ]
    return Quantiles(*quantiles)


async def failing(session: AsyncSession, evaluation_id: str, through: int | None) -> tuple[Failing, ...]:
    """Return what advice and comparisons look at of each verdict that does not conform, in the order of judging."""
    c = VERDICTS.c
    query = (
        select(c.case_id, c.tool, c.category, c.layer, c.fault, c.cause, c.sentence, c.is_sole)
        .where(_judged(evaluation_id, through), c.conforming == false())
        .order_by(c.sequence)
    )
    return tuple(Failing(*row) for row in await session.execute(query))


async def outcome_pairs(session: AsyncSession, before_id: str, after_id: str) -> tuple[OutcomePair, ...]:
    """Return the verdicts of two evaluations on the repeats that both have answered, in the order of case ids."""
    query = _pairs(before_id, after_id)
    return tuple(_pair(row) for row in await session.execute(query))


def _judged(evaluation_id: str, through: int | None) -> ColumnElement[bool]:
    c = VERDICTS.c
    return and_(c.evaluation_id == evaluation_id, true() if through is None else c.sequence <= through)


def _answered_by(evaluation_id: str) -> ColumnElement[bool]:
    c, other = VERDICTS.c, aliased(VERDICTS).c
    alike = and_(other.case_id == c.case_id, other.repeat == c.repeat)
    return exists().where(other.evaluation_id == evaluation_id, alike, other.cause != UNANSWERED)


def _number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _pairs(before_id: str, after_id: str) -> Select[tuple[object, ...]]:
    before, after = aliased(VERDICTS), aliased(VERDICTS)
    columns = [before.c.case_id, before.c.repeat]
    for side in (before, after):
        columns += [*(side.c[name] for name in _OUTCOME), side.c.num_turns, side.c.num_prompt_tokens]
    alike = and_(before.c.case_id == after.c.case_id, before.c.repeat == after.c.repeat)
    return (
        select(*columns)
        .select_from(before.join(after, alike))
        .where(
            before.c.evaluation_id == before_id,
            after.c.evaluation_id == after_id,
            before.c.cause != UNANSWERED,
            after.c.cause != UNANSWERED,
        )
        .order_by(before.c.case_id, before.c.repeat)
    )


def _pair(row: Row[tuple[object, ...]]) -> OutcomePair:
    values: list[Any] = list(row)
    case_id, repeat, *both = values
    width = len(_OUTCOME) + 2
    (*before, before_turns, before_tokens), (*after, after_turns, after_tokens) = both[:width], both[width:]
    is_known = before_turns == after_turns == 1 and before_tokens and after_tokens
    tokens = (before_tokens, after_tokens) if is_known else None
    return OutcomePair(case_id, repeat, Outcome(*before), Outcome(*after), tokens)
