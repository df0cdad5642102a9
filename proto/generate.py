"""Generates the `drillyard.*` stubs and clients from the contracts in this folder into `gen/`.

Runs as a script (`python proto/generate.py`) and as the build hook of the wheel.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc_tools
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROTO_ROOT = Path(__file__).resolve().parent
GENERATED_ROOT = PROTO_ROOT / "gen"


class ContractsBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Generates the stubs before hatchling collects the files of a wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Makes `gen/` current; `version` and `build_data` are not used."""
        generate(GENERATED_ROOT)


def generate(target: Path) -> None:
    """Replaces `target` by freshly generated messages, stubs and type stubs.

    Raises:
        SystemExit: a contract does not compile; protoc has printed where.
    """
    contracts = sorted(str(path.relative_to(PROTO_ROOT)) for path in PROTO_ROOT.glob("drillyard/**/*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    # protoc looks for its plugins on PATH, where an environment that is not activated does not stand.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    with tempfile.TemporaryDirectory(dir=PROTO_ROOT, prefix=".gen-") as scratch:
        arguments = [
            "protoc",
            f"--proto_path={PROTO_ROOT}",
            f"--proto_path={well_known}",
            *(f"--{kind}_out={scratch}" for kind in ("python", "grpc_python")),
            f"--mypy_out=quiet:{scratch}",
            f"--mypy_grpc_out=quiet,async_only:{scratch}",
            f"--descriptor_set_out={scratch}/contracts.binpb",
            "--include_source_info",
            *contracts,
        ]
        status = protoc.main(arguments)
        if status:
            raise SystemExit(status)
        described = Path(scratch, "contracts.binpb")
        comments = comments_of(FileDescriptorSet.FromString(described.read_bytes()))
        Path(scratch, "drillyard", "comments.json").write_text(json.dumps(comments, indent=1), encoding="utf-8")
        described.unlink()
        for folder in sorted(path for path in Path(scratch).rglob("*") if path.is_dir()):
            (folder / "__init__.py").touch()
            (folder / "py.typed").touch()
        # A process of its own, which imports the new stubs and none of before.
        script = [sys.executable, str(PROTO_ROOT / "generate_client.py"), scratch]
        # pip's own build environment is found by the same variable.
        paths = os.pathsep.join(filter(None, (scratch, os.environ.get("PYTHONPATH"))))
        subprocess.run(script, env={**os.environ, "PYTHONPATH": paths}, check=True)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(scratch, target)


def comments_of(contracts: FileDescriptorSet) -> dict[str, str]:
    """Returns the comment of each field, by the field's full name, as people read it in forms and in `--help`."""
    comments = {}
    for contract in contracts.file:
        texts = {tuple(place.path): place.leading_comments for place in contract.source_code_info.location}
        messages: list[tuple[str, tuple[int, ...], DescriptorProto]] = [
            (f"{contract.package}.{message.name}", (4, index), message)
            for index, message in enumerate(contract.message_type)
        ]
        for name, path, message in messages:
            for index, field in enumerate(message.field):
                comments[f"{name}.{field.name}"] = " ".join(texts.get((*path, 2, index), "").split())
    return comments


if __name__ == "__main__":
    generate(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else GENERATED_ROOT)
