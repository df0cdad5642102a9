"""Drawn requests and files: `python -m tests.fuzz [TARGET…] --inputs 1000000 --seed 1`; 1 when anything broke.

Targets: rpc, safetensors, gguf, suites, foreign_suites, datasets, foreign_datasets, feedback; all when none is named.
What broke something is written to the folder `build/fuzz`, an input a file.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.files import TARGETS, fuzz_file
from tests.fuzz.rpc import SERVICES, fuzz_rpcs
from tests.integration.system_process import running_system

# Half of all inputs go to the RPCs, an equal part to each service.
_RPC_SHARE = 0.5


class Findings:
    """Keeps one input of each kind of fault."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.sentences: dict[str, int] = {}

    def add(self, sentence: str, content: bytes) -> None:
        """Take note of a fault, and keep the input of the first of its kind."""
        sentence = re.sub(r"\d+|'[^']*'", "…", sentence)
        self.sentences[sentence] = self.sentences.get(sentence, 0) + 1
        if self.sentences[sentence] == 1:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)


def main() -> int:
    """Fuzz what is named, and tell what broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"))
    arguments = parser.parse_args()
    targets = arguments.targets or ["rpc", *TARGETS]
    findings = Findings(arguments.folder)
    for target in targets:
        begin = time.monotonic()
        if target == "rpc":
            share = _RPC_SHARE if len(targets) > 1 else 1.0
            num_inputs = round(share * arguments.inputs / len(SERVICES))
            with (
                tempfile.TemporaryDirectory(prefix="drillyard-fuzz-") as folder,
                running_system(Path(folder)) as system,
            ):
                outcomes = fuzz_rpcs(system, num_inputs, arguments.seed, findings.add)
        else:
            share = (1 - _RPC_SHARE) / len(TARGETS) if len(targets) > 1 else 1.0
            outcomes = fuzz_file(target, round(share * arguments.inputs), arguments.seed, findings.add)
        print(f"{target:16} {time.monotonic() - begin:7.1f} s  {dict(outcomes)}", flush=True)
    for sentence, count in findings.sentences.items():
        print(f"BROKEN {count:6} × {sentence}")
    return 1 if findings.sentences else 0


if __name__ == "__main__":
    sys.exit(main())
