"""What differs between the wire's words for feedback items and the domain's; all else has equal names."""

from __future__ import annotations

from typing import Any

from drillyard.feedback.v1 import agreement_pb2, chat_session_pb2, feedback_file_pb2
from drillyard.feedback.v1 import feedback_item_pb2 as pb
from drillyard.registry.v1 import artifact_pb2
from google.protobuf.json_format import MessageToJson

from services.chassis.errors import InvalidArgument
from services.chassis.jobs.convert import job_to_proto
from services.chassis.wire import from_message, timestamp, to_message
from services.feedback.convert.messages import message_from_proto, message_to_proto
from services.feedback.domain.agreement import Agreement
from services.feedback.domain.item import (
    Content,
    FeedbackKind,
    FeedbackUse,
    Item,
    ItemFilter,
    Rating,
    Subject,
    digest_of,
)
from services.feedback.domain.item_spec import Chat, FeedbackImport, ItemSpec, Preference, SessionSuiteSpec, SessionTurn
from services.feedback.usecases.items import ItemPage


def item_spec_from_proto(spec: pb.FeedbackItemSpec) -> ItemSpec:
    """Return what a person says."""
    # A blank text is none, and gets the field's default.
    spec.tag, spec.author = spec.tag.strip(), spec.author.strip()
    return from_message(
        ItemSpec,
        spec,
        chat=chat_from_proto(spec.chat) if spec.HasField("chat") else None,
        rating=from_message(Rating, spec.rating) if spec.HasField("rating") else None,
        correction=tuple(map(message_from_proto, spec.correction.answers)),
        preference=_preference(spec.preference) if spec.HasField("preference") else None,
    )


def chat_from_proto(chat: chat_session_pb2.ChatAnswer) -> Chat:
    """Return an answer of a chat."""
    messages = tuple(map(message_from_proto, chat.messages))
    token_ids = tuple(chat.token_ids)
    return Chat(chat.model_version_id, messages, tuple(chat.tools), dict(chat.metadata), chat.session_id, token_ids)


def chat_to_proto(chat: Chat) -> chat_session_pb2.ChatAnswer:
    """Return an answer of a chat as callers see it."""
    return chat_session_pb2.ChatAnswer(
        model_version_id=chat.model_version_id,
        messages=map(message_to_proto, chat.messages),
        tools=chat.tools,
        metadata=dict(chat.metadata),
        session_id=chat.session_id,
        token_ids=chat.token_ids,
    )


def session_suite_spec_from_proto(spec: chat_session_pb2.SessionSuiteSpec) -> SessionSuiteSpec:
    """Return what becomes a suite, with its defaults."""
    turns = tuple(
        SessionTurn(
            turn.chat_completion_id, message_from_proto(turn.right_answer) if turn.HasField("right_answer") else None
        )
        for turn in spec.turns
    )
    return from_message(SessionSuiteSpec, spec, turns=turns)


def filter_from_proto(request: Any) -> ItemFilter:
    """Return which items a List, an Export or an agreement is over."""
    names = request.DESCRIPTOR.fields_by_name
    kind, use = (getattr(request, name, 0) for name in ("kind", "use"))
    texts = {name: getattr(request, name) for name in _FILTERS if name in names}
    return ItemFilter(
        kind=FeedbackKind(_name(pb.FeedbackKind, kind)) if kind else None,
        use=FeedbackUse(_name(pb.FeedbackUse, use)),
        **texts,
    )


def item_to_proto(item: Item, *, with_case: bool = False) -> pb.FeedbackItem:
    """Return the item; the case goes with it only where that is wanted."""
    content = item.content
    message = pb.FeedbackItem(
        feedback_item_id=item.feedback_item_id,
        kind=pb.FeedbackKind.Value(f"FEEDBACK_KIND_{item.kind}"),
        version=item.version,
        replaces_feedback_item_id=item.replaces_feedback_item_id,
        author=item.author,
        create_time=timestamp(item.create_time),
        subject=to_message(item.subject, pb.FeedbackSubject),
        rating=to_message(item.rating, pb.Rating) if item.rating else None,
        tag=item.tag,
        note=content.note,
        verdict=to_message(content.verdict, pb.JudgedOutcome) if content.verdict else None,
        proposal_verdict=to_message(content.proposal_verdict, pb.JudgedOutcome) if content.proposal_verdict else None,
        disagrees=item.disagrees,
        is_contradicted=item.is_contradicted,
        dataset_version_ids=item.dataset_version_ids,
        withdraw_time=timestamp(item.withdraw_time) if item.withdraw_time else None,
        withdraw_reason=item.withdraw_reason,
        messages=map(message_to_proto, content.messages),
        tools=content.tools,
        case_document=item.case_document if with_case else "",
        metadata=dict(content.metadata),
    )
    if content.correction:
        message.correction.answers.extend(map(message_to_proto, content.correction))
    if content.chosen and content.rejected:
        message.preference.chosen.CopyFrom(message_to_proto(content.chosen))
        message.preference.rejected.CopyFrom(message_to_proto(content.rejected))
    return message


def page_to_proto(page: ItemPage) -> pb.ListFeedbackItemsResponse:
    """Return a page of a list."""
    return pb.ListFeedbackItemsResponse(
        feedback_items=map(item_to_proto, page.items), next_page_token=page.next_page_token, total_size=page.total_size
    )


def agreement_to_proto(agreement: Agreement) -> agreement_pb2.Agreement:
    """Return how far people and the judge agree."""
    low, high = agreement.kappa_interval
    return to_message(agreement, agreement_pb2.Agreement, kappa_low=low, kappa_high=high)


def line_of(item: Item) -> bytes:
    """Return an item as a line of a file."""
    message = item_to_proto(item, with_case=True)
    return MessageToJson(message, preserving_proto_field_name=True, indent=None, ensure_ascii=False).encode() + b"\n"


def item_from_proto(message: pb.FeedbackItem) -> Item:
    """Return an exported item, whose verdicts are judged anew.

    Raises:
        InvalidArgument: It lacks what its kind says, or could not have been stored.
    """
    if not message.kind or not message.messages or not message.HasField("create_time"):
        raise InvalidArgument("The item lacks its kind, its messages or its create_time.", "Export it again.")
    pair = _preference(message.preference)
    content = Content(
        messages=tuple(map(message_from_proto, message.messages)),
        tools=tuple(message.tools),
        correction=tuple(map(message_from_proto, message.correction.answers)),
        chosen=pair.chosen,
        rejected=pair.rejected,
        metadata=dict(message.metadata),
        note=message.note,
    )
    rating = from_message(Rating, message.rating) if message.HasField("rating") else None
    item = from_message(
        Item,
        message,
        kind=FeedbackKind(_name(pb.FeedbackKind, message.kind)),
        subject=from_message(Subject, message.subject),
        content=content,
        rating=rating,
        is_contradicted=False,
        dataset_version_ids=(),
        request_digest=digest_of(message.feedback_item_id),
        ordinal=0,
    )
    _check_kind(item)
    return item


_FILTERS = (
    *("profile_id", "model_version_id", "test_suite_version_id", "tool", "tag", "author", "transcript_id"),
    *("disagrees", "is_contradicted", "withdrawn_too"),
)


def _name(enum: Any, number: int) -> str:
    return str(enum.Name(number)).rpartition("_")[2]


def _preference(preference: pb.Preference) -> Preference:
    sides = {
        name: message_from_proto(getattr(preference, name))
        for name in ("chosen", "rejected")
        if preference.HasField(name)
    }
    return Preference(over_transcript_id=preference.over_transcript_id, **sides)


def _check_kind(item: Item) -> None:
    """Raise InvalidArgument unless an exported item could have been stored here, and says what its kind is."""
    content, subject = item.content, item.subject
    if subject.transcript_id and not item.case_document:
        raise InvalidArgument("The item lacks its case.", "Take the file that `drillyard feedback export` writes.")
    is_pair = content.chosen is not None and content.rejected is not None
    spec = ItemSpec(
        transcript_id=subject.transcript_id,
        turn=subject.turn,
        case_id=subject.case_id,
        chat_completion_id="",
        chat=None if item.case_document else Chat(subject.model_version_id, content.messages, content.tools),
        rating=item.rating,
        correction=content.correction,
        preference=Preference(content.chosen, content.rejected) if is_pair else None,
        tag=item.tag,
        note=content.note,
        author=item.author,
    )
    spec.check()
    if spec.kind is not item.kind:
        raise InvalidArgument(f"The item is a {item.kind.lower()} and holds none.", "Export it again.")
    if item.case_document and len(content.messages) != subject.turn + 1:
        raise InvalidArgument(
            f"The item is on answer {subject.turn} and holds {len(content.messages)} answers.", "Export it again."
        )


def import_to_proto(feedback_import: FeedbackImport) -> feedback_file_pb2.FeedbackImport:
    """Return an import as callers see it."""
    return feedback_file_pb2.FeedbackImport(
        feedback_import_id=feedback_import.job.job_id,
        artifact=to_message(feedback_import.artifact, artifact_pb2.Artifact),
        num_imported=feedback_import.num_imported,
        num_known=feedback_import.num_known,
        job=job_to_proto(feedback_import.job),
    )
