"""A model in one GGUF file, or in several that belong together; what is announced and is not there is refused."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from services.lm.conversion.header import MAX_TENSORS, Header, read_header
from services.lm.errors import InvalidModelFile

MAX_PARTS: Final = 1024
_NAME: Final = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf")
_PIECE: Final = re.compile(r".+\.gguf[.-](part[-_]?\w+|split[-_]?\w+|[0-9]{2,3})|.+\.part[0-9]+of[0-9]+")
_SPLIT_KEYS: Final = ("split.no", "split.count", "split.tensors.count")
# Number and count, as files that are whole say it.
_WHOLE: Final = ((None, None), (None, 0), (None, 1), (0, 0), (0, 1))
# What each part may say of itself.
_OWN_KEYS: Final = frozenset({"split.no", "general.alignment"})
_FETCH_ALL: Final = "Put all parts of one download into one folder, under their own names, and import the first."


def read_model(path: Path) -> Header:
    """The header of the whole model of which `path` is the only file or any part: metadata of the first, all tensors.

    Raises:
        InvalidModelFile: A file is damaged, a part is missing, or the files do not belong together.
    """
    try:
        header = read_header(path)
    except InvalidModelFile as error:
        if not _PIECE.fullmatch(path.name):
            raise
        raise InvalidModelFile(
            "By its name the file is a piece that was cut off a larger file.",
            "Join the pieces in order (`cat PIECES > model.gguf`), then import the result.",
            path.name,
        ) from error
    number, count, total = _announced(header, path)
    if count == 1:
        return header
    files = _files(path, number, count)
    headers = [header if file == path else _part(file) for file in files]
    for index, (file, part) in enumerate(zip(files, headers, strict=True)):
        _check_belongs(part, file, index, headers[0], (count, total))
    return _joined(headers, total)


def part_files(path: Path) -> tuple[Path, ...]:
    """`path`, or where its name says that it is one of several parts, all parts by name, there or not."""
    name = _NAME.fullmatch(path.name)
    if name is None or not 1 < int(name[3]) <= MAX_PARTS:
        return (path,)
    return tuple(path.with_name(f"{name[1]}-{number:05}-of-{name[3]}.gguf") for number in range(1, int(name[3]) + 1))


def _announced(header: Header, path: Path) -> tuple[int, int, int]:
    """Number from 0, count of parts and count of tensors; a file that is whole is 0 of 1."""
    values = [header.metadata.get(key) for key in _SPLIT_KEYS]
    name = _NAME.fullmatch(path.name)
    if (values[0], values[1]) in _WHOLE:
        if name and int(name[3]) > 1:
            raise InvalidModelFile(
                f"By its name it is part {int(name[2])} of {int(name[3])}, its metadata know nothing of parts.",
                "Rename the file if it is a whole model; otherwise fetch all parts again.",
                path.name,
            )
        if isinstance(values[2], int) and values[2] != len(header.tensors):
            raise InvalidModelFile(
                f"{values[2]} tensors are announced, the file has {len(header.tensors)}.", _FETCH_ALL, _SPLIT_KEYS[2]
            )
        return 0, 1, len(header.tensors)
    number, count, total = (value if isinstance(value, int) else -1 for value in values)
    if not 1 < count <= MAX_PARTS or not 0 <= number < count or not 0 <= total <= MAX_TENSORS:
        raise InvalidModelFile(
            f"Part {values[0]!r} of {values[1]!r} with {values[2]!r} tensors in all is impossible.",
            _FETCH_ALL,
            ", ".join(_SPLIT_KEYS),
        )
    return number, count, total


def _files(path: Path, number: int, count: int) -> tuple[Path, ...]:
    name = _NAME.fullmatch(path.name)
    if name is None or (int(name[2]), int(name[3])) != (number + 1, count):
        raise InvalidModelFile(
            f"It is part {number + 1} of {count}, and its name says otherwise; parts are found by name.",
            f"Name the parts NAME-00001-of-{count:05}.gguf and so on, in one folder, and import the first.",
            path.name,
        )
    files = part_files(path)
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise InvalidModelFile(
            f"It is part {number + 1} of {count}, and {missing[0]} is not beside it"
            f"{f' (nor are {len(missing) - 1} others)' if len(missing) > 1 else ''}.",
            _FETCH_ALL,
            path.name,
        )
    return files


def _part(file: Path) -> Header:
    try:
        return read_header(file)
    except InvalidModelFile as error:
        place = f"{file.name}, {error.place}" if error.place else file.name
        raise InvalidModelFile(error.problem, error.next_step, place) from error


def _check_belongs(part: Header, file: Path, index: int, first: Header, announced: tuple[int, int]) -> None:
    values = tuple(part.metadata.get(key) for key in _SPLIT_KEYS)
    if values != (index, *announced):
        raise InvalidModelFile(
            f"It is due as part {index + 1} of {announced[0]} with {announced[1]} tensors in all; it says that it is "
            f"number {values[0]!r} (from 0) of {values[1]!r} with {values[2]!r}.",
            _FETCH_ALL,
            file.name,
        )
    other = next(
        (key for key in part.metadata if key not in _OWN_KEYS and part.metadata[key] != first.metadata.get(key)), None
    )
    if other is not None:
        raise InvalidModelFile(
            f"It belongs to another model than the first part: its {other[:80]!r} differs.", _FETCH_ALL, file.name
        )


def _joined(headers: list[Header], total: int) -> Header:
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    names = {tensor.name for tensor in tensors}
    if len(tensors) != total:
        raise InvalidModelFile(
            f"{total} tensors are announced, the {len(headers)} parts have {len(tensors)}.", _FETCH_ALL, _SPLIT_KEYS[2]
        )
    if len(names) != total:
        raise InvalidModelFile("A tensor is in more than one part.", _FETCH_ALL)
    return replace(
        headers[0],
        files=tuple(header.files[0] for header in headers),
        file_bytes=sum(header.file_bytes for header in headers),
        tensors=tensors,
    )
