"""Short conversations whose words stand nowhere else, so that they can be found again in what is rendered."""

from typing import Any, Final

Turn = dict[str, Any]

SYSTEM: Final[Turn] = {"role": "system", "content": "Kappa seven."}
USER: Final[Turn] = {"role": "user", "content": "Lima eight?"}
ANSWER: Final[Turn] = {"role": "assistant", "content": "Mike nine."}
NEXT: Final[Turn] = {"role": "user", "content": "November ten?"}
ARGUMENTS: Final = {"quokka_id": "Oscar 11", "amount": 12}
FUNCTION_NAME: Final = "fetch_quokka"
FUNCTION: Final = {
    "type": "function",
    "function": {
        "name": FUNCTION_NAME,
        "description": "Fetches quokkas.",
        "parameters": {
            "type": "object",
            "properties": {"quokka_id": {"type": "string"}, "amount": {"type": "integer"}},
            "required": ["quokka_id"],
        },
    },
}
RESULT: Final[Turn] = {"role": "tool", "tool_call_id": "call00001", "content": "Papa thirteen."}
OTHER_RESULT: Final[Turn] = {"role": "tool", "tool_call_id": "call00002", "content": "Quebec fourteen."}
TEXT_BESIDE_CALL: Final = "Romeo fifteen."


def calling(*call_ids: str, text: str = "") -> Turn:
    """Return an answer that calls the function, once per id."""
    function = {"name": FUNCTION_NAME, "arguments": '{"quokka_id": "Oscar 11", "amount": 12}'}
    calls = [{"id": call_id, "type": "function", "function": function} for call_id in call_ids]
    return {"role": "assistant", "content": text, "tool_calls": calls}


CALL: Final = calling("call00001")
