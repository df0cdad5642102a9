"""Text that a careless writer breaks: other scripts, signs, quotes, backslashes, tabs, CRLF, JSON within JSON."""

import json

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Draft, Step, kinds_of
from services.protocols.openai_tools.scenarios.calls import call
from services.protocols.openai_tools.scenarios.edits import NOTES, edit, others, write
from services.protocols.openai_tools.scenarios.texts import any_date, any_time, fenced, listing


def _quoted(draw: Draw) -> dict[str, object]:
    stem, label = draw.word("stem"), draw.word("tag")
    forms = (
        f"She said \"{stem}\", not '{label}'.",
        f'"{stem}" — “{label}” — `{stem}`',
        f"'{stem}\" \\\"{label}\\\" ''",
    )
    return {"channel": draw.word("channel"), "text": draw.pick(forms)}


def _windows(draw: Draw) -> dict[str, object]:
    folder, stem, place = draw.word("tag"), draw.word("stem"), draw.word("table")
    return {"path": f"C:\\{folder}\\new\\{place}\\{stem}.txt", "new_name": f"{stem}_{draw.random.randrange(2, 99)}.txt"}


def _pattern(draw: Draw) -> dict[str, object]:
    stem = draw.word("table")
    patterns = (f"{stem}[0-9]*.{{csv,tsv}}", f"*{stem}?.[ch]", f"{stem}-\\*.log", f"**/{stem}/*.t??")
    return {"pattern": draw.pick(patterns), "folder": draw.word("folder")}


def _sql(draw: Draw) -> dict[str, object]:
    table, column, stem = draw.word("table"), draw.word("column"), draw.word("tag")
    forms = (
        f"SELECT \"{column}\" FROM {table} WHERE {column} = 'O''{stem}'",
        f"SELECT {column} FROM {table} WHERE {column} LIKE '%\\_{stem}%' ESCAPE '\\'",
        f"UPDATE {table} SET {column} = E'{stem}\\n\\t' WHERE {column} <> ''",
    )
    return {"sql": draw.pick(forms)}


def payload(draw: Draw) -> Draft:
    """JSON as text in an argument."""
    body = {draw.word("column"): draw.word("odd"), draw.word("table"): [draw.random.randrange(99), None, "\"'\\"]}
    arguments = {"url": draw.word("url"), "payload": json.dumps(body, ensure_ascii=False)}
    slots = {"url": arguments["url"], "text": fenced(arguments["payload"])}
    return Draft(slots=slots, turns=((Step("send_webhook", arguments),),))


def escapes(draw: Draw) -> Draft:
    """Code with escapes of its own."""
    stem, name = draw.word("table"), draw.word("code_file")
    forms = (
        f'print("{stem}\\t\\"%s\\"\\n" % r"\\d+\\.\\w")',
        f"re.sub(r'\\\\{stem}', '\\\\\\\\', text)",
        f"const {stem} = `\\${{a}} \\u00e9 ${{b}}`;",
    )
    code = draw.pick(forms)
    return Draft(slots={"name": name, "text": fenced(code)}, turns=((write("save_snippet", name, code),),))


def tabs(draw: Draw) -> Draft:
    """Lines that begin with tabs, and odd words in them."""
    name, words = draw.word("note_name"), draw.several("odd", 2)
    text = f"{draw.word('item')}\n\t{words[0]}\n\t\t{words[1]}"
    step = write(NOTES.write, name, text)
    return Draft(slots={"name": name, "text": fenced(text)}, turns=((step,),), withheld=others(NOTES, NOTES.write))


def crlf(draw: Draw) -> Draft:
    """A note with CRLF at its line ends, of which a line in the middle goes."""
    drawn = listing(draw, NOTES.names, size=4)
    text, place = "\r\n".join(drawn.lines), max(drawn.place, 1)
    step = edit(NOTES, drawn.name, text, f"{drawn.lines[place]}\r\n" if place < 3 else f"\r\n{drawn.lines[place]}", "")
    slots = {"name": drawn.name, "text": fenced(drawn.text), "item": drawn.items[place]}
    return Draft(slots=slots, turns=((step,),), files={drawn.name: text}, withheld=others(NOTES, NOTES.edit))


ODD_TEXT = kinds_of(
    "odd_text",
    {
        "unicode": call("post_message", {"channel": "channel", "text": lambda draw: " ".join(draw.several("odd", 3))}),
        "quotes": call("post_message", _quoted),
        "right_to_left": call("create_event", {"title": "rtl", "date": any_date, "time": any_time}),
        "windows_path": call("rename_file", _windows),
        "pattern": call("find_files", _pattern),
        "sql": call("run_query", _sql),
        "payload": payload,
        "escapes": escapes,
        "tabs": tabs,
        "crlf": crlf,
    },
)
