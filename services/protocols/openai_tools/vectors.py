"""What conformance vectors of this profile ask."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from services.protocols.cases import answer_from_document, case_from_document
from services.protocols.openai_tools.judge import judge
from services.protocols.openai_tools.parse import as_functions, read_answer


def _read(vector: Mapping[str, object]) -> object:
    answer = as_functions(read_answer(str(vector["text"])))
    calls = [{"name": call.name, "arguments": call.arguments} for call in answer.calls]
    return {"text": answer.text, "calls": calls}


def _judge(vector: Mapping[str, object]) -> object:
    verdict = judge(case_from_document(vector["case"]), answer_from_document(vector["answer"]))
    cause = verdict.cause.value if verdict.cause else None
    return {"conforming": verdict.conforming, "accepted": verdict.accepted, "cause": cause}


OPERATIONS: Mapping[str, Callable[[Mapping[str, object]], object]] = MappingProxyType({"read": _read, "judge": _judge})
"""`read`: text to text and calls; `judge`: case and answer to what the verdict says."""
