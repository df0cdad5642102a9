"""Makes a built-in suite: `python -m services.protocols.suites.freeze PROFILE NAME --version V --seed S --count N`."""

import argparse
import json
from collections.abc import Iterator
from importlib.resources import files
from itertools import islice
from pathlib import Path

from services.protocols.cases import Case
from services.protocols.material.catalogue import SINGLE_CALL, StockExhausted
from services.protocols.profile import BUILT_IN, Profile, get_profile
from services.protocols.suites.balance import choose_balanced
from services.protocols.suites.suite import FOLDER, Provenance, suite_text

LICENCE = "Apache-2.0"
_DRAWN_PER_CATEGORY = 80


def generate_suite(profile: Profile, seed: int, count: int) -> list[Case]:
    """Return the cases of a balanced suite, always the same for the same seed and profile.

    Raises:
        TooFewCases: the profile's stock does not hold that many.
    """
    # What single calls ask, the suites ask in their kinds of tasks.
    categories = [category for category in profile.categories if category != SINGLE_CALL]
    drawn = [case for category in categories for case in _drawn(profile, seed, category)]
    return choose_balanced(drawn, count)


def _drawn(profile: Profile, seed: int, category: str) -> Iterator[Case]:
    cases = profile.draw(seed, _DRAWN_PER_CATEGORY, categories=(category,), stock="suite")
    try:
        yield from islice(cases, _DRAWN_PER_CATEGORY)
    except StockExhausted:
        # A small category ends before the others do; what it has drawn counts.
        return


def freeze(profile: Profile, name: str, version: int, *, seed: int, count: int, folder: Path) -> None:
    """Write the cases and, beside them, the header.

    Raises:
        FileExistsError: that version is there; versions never change.
    """
    command = f"python -m services.protocols.suites.freeze {profile.id} {name} --version {version}"
    provenance = Provenance(LICENCE, f"{command} --seed {seed} --count {count}", str(seed), profile.version)
    text = suite_text(generate_suite(profile, seed, count))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}-{version}.jsonl").open("x", encoding="utf-8", newline="\n") as out:
        out.write(text)
    header = json.dumps(provenance.to_document(), indent=2) + "\n"
    (folder / f"{name}-{version}.json").write_text(header, encoding="utf-8")


def _own_folder(profile: Profile) -> Path:
    package = BUILT_IN[profile.id].partition(":")[0].rpartition(".")[0]
    return Path(str(files(package).joinpath(FOLDER)))


def main() -> None:
    """Read the command line and write the suite."""
    parser = argparse.ArgumentParser(description="Freeze a generated suite into a profile.")
    parser.add_argument("profile", choices=BUILT_IN)
    parser.add_argument("name", help="such as core")
    parser.add_argument("--version", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--folder", type=Path, help="by default the profile's own")
    asked = parser.parse_args()
    profile = get_profile(asked.profile)
    folder = asked.folder or _own_folder(profile)
    freeze(profile, asked.name, asked.version, seed=asked.seed, count=asked.count, folder=folder)


if __name__ == "__main__":
    main()
