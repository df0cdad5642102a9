"""Questions, completions, and what to do instead of the same call again."""

import re
from dataclasses import replace

from services.protocols.cases import Goal
from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Draft, Kind, Said, kinds_of, one_by_one
from services.protocols.roo.scenarios.dialogue import ask_choice, complete_file, complete_tests, complete_todos
from services.protocols.roo.scenarios.edits import snippet
from services.protocols.roo.scenarios.steps import ask, command, complete, diff, list_files, read, search, write

_IDENTIFIER = re.compile(r"[A-Za-z_]\w+")
_DECLARATIONS = (
    *("const", "let", "export", "var", "static", "local", "define", "pub"),
    *("public", "private", "final", "int", "long"),
)
_ALLOWED_REPETITIONS = 3


def identifier(line: str) -> str:
    """Return the first name in a line of code that is no keyword of declarations."""
    return next(found[0] for found in _IDENTIFIER.finditer(line) if found[0] not in _DECLARATIONS)


def same_name(draw: Draw) -> Draft:
    """A file of which there are two."""
    name = draw.word("path").rpartition("/")[2]
    paths = [f"{folder}/{name}" for folder in draw.several("folder", 2)]
    step = ask(draw.sentence("question_file", it=name), paths, name)
    return Draft(slots={"name": name, "job": draw.word("job")}, turns=((step,),), workspace=tuple(sorted(paths)))


def then_write(draw: Draw) -> Draft:
    """A choice that the person makes, and that is then written down."""
    topic, options, path = draw.word("topic"), draw.several("option", 2), renamed_text(draw)
    chosen = draw.pick(options)
    steps = one_by_one(
        ask(draw.sentence("question_choice", it=topic), options, topic),
        write(path, chosen),
        complete(draw.sentence("result_written", it=path), path),
    )
    return Draft(
        slots={"topic": topic, "a": options[0], "b": options[1], "path": path},
        turns=steps,
        goal=Goal({path: chosen}, (path,), ("ask_followup_question",)),
        results={"ask_followup_question": chosen},
    )


def renamed_text(draw: Draw) -> str:
    """Draw the path of a plain text file."""
    return f"{draw.word('path').rpartition('.')[0]}.txt"


ASK_WHEN_UNCLEAR = kinds_of(
    "ask_when_unclear", {"two": ask_choice(2), "three": ask_choice(3), "same_name": same_name, "then_write": then_write}
)


def after_edit(draw: Draw) -> Draft:
    """The work is done in the history; only the completion is left."""
    drawn = snippet(draw)
    edit = diff(drawn.path, drawn.text, drawn.change)
    step = complete(draw.sentence("result_edit", it=drawn.path), drawn.path)
    slots = {"path": drawn.path, "old": drawn.change.old[0].strip(), "new": drawn.change.new[0].strip()}
    return Draft(slots=slots, turns=((step,),), files={drawn.path: drawn.text}, history=(Said((edit,)),))


def after_write(draw: Draw) -> Draft:
    """The file is written in the history; only the completion is left."""
    path, content = renamed_text(draw), draw.piece("singles")["lines"]
    step = complete(draw.sentence("result_written", it=path), path)
    slots = {"path": path, "content": content}
    return Draft(slots=slots, turns=((step,),), history=(Said((write(path, content),)),))


def after_command(draw: Draw) -> Draft:
    """The tests have run in the history; only the completion is left."""
    line, passed = draw.word("test_command"), str(draw.number(3, 90))
    step = complete(draw.sentence("result_ran", it=line, there=passed), passed)
    results = {"execute_command": f"{passed} passed"}
    return Draft(slots={"command": line}, turns=((step,),), history=(Said((command(line),)),), results=results)


def answer(draw: Draw) -> Draft:
    """The result is the answer to a question on a file that the prompt shows."""
    drawn = snippet(draw)
    name = identifier(drawn.change.old[0])
    step = complete(draw.sentence("result_answer", it=name, there=drawn.old), drawn.old)
    slots = {"path": drawn.path, "ident": name, "line": str(drawn.line)}
    return Draft(slots=slots, turns=((step,),), mode=draw.pick(("ask", "code")), files={drawn.path: drawn.text})


COMPLETION = kinds_of(
    "completion",
    {
        "file": complete_file,
        "tests": complete_tests,
        "todos": complete_todos,
        "after_edit": after_edit,
        "answer": answer,
    },
) | {
    "after_write": Kind(after_write, ("completion", "after_write"), stock="pool"),
    "after_command": Kind(after_command, ("completion", "after_command"), stock="pool"),
}


def search_elsewhere(draw: Draw) -> Draft:
    """The same search as often as the client bears it; the next one must be another."""
    (empty, other), name = draw.several("folder", 2), draw.word("ident")
    history = (Said((search(empty, name),)),) * _ALLOWED_REPETITIONS
    slots = {"folder": empty, "folder2": other, "ident": name}
    return Draft(slots=slots, turns=((search(other, name),),), history=history)


def read_instead(draw: Draw) -> Draft:
    """The same listing as often as the client bears it; the file that it shows is still to be read."""
    folder, path = draw.word("folder"), draw.word("path")
    history = (Said((list_files(folder),)),) * _ALLOWED_REPETITIONS
    slots = {"folder": folder, "path": path}
    return Draft(slots=slots, turns=((read(path),),), workspace=(path,), history=history)


def once_more(draw: Draw) -> Draft:
    """The client has refused the fourth search of the same kind."""
    draft = search_elsewhere(draw)
    return replace(draft, history=(*draft.history, draft.history[0]))


REPETITION = kinds_of("repetition", {"search_elsewhere": search_elsewhere, "read_instead": read_instead})
