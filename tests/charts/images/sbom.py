"""`python -m tests.charts.images.sbom ROOT NAME`: what the file system of an image holds, as a document of SPDX 2.3."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_string
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

_EXPRESSION = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")


def document_of(root: Path, name: str) -> dict[str, Any]:
    """Return the document: one package for each of Python's and of Debian's."""
    packages = [*_python_packages(root), *_debian_packages(root)]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"https://spdx.org/spdxdocs/{name}-{uuid4()}",
        "creationInfo": {
            "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "creators": ["Organization: Drillyard"],
        },
        "packages": packages,
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": package["SPDXID"],
            }
            for package in packages
        ],
    }


def _python_packages(root: Path) -> Iterator[dict[str, Any]]:
    folders = [str(path) for path in root.glob("usr/local/lib/python3*/site-packages")]
    for found in sorted(distributions(path=folders), key=lambda item: item.name):
        yield _package("pypi", found.name, found.version, found.metadata.get("License-Expression") or "")


def _debian_packages(root: Path) -> Iterator[dict[str, Any]]:
    for text in (root / "var/lib/dpkg/status").read_text().strip().split("\n\n"):
        fields = message_from_string(text)
        # Their licences stand in files that have no common form.
        yield _package("deb/debian", fields["Package"], fields["Version"], "")


def _package(kind: str, name: str, version: str, licence: str) -> dict[str, Any]:
    locator = f"pkg:{kind}/{quote(name.lower())}@{quote(version, safe='')}"
    return {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{kind}-{name}"),
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": licence if _EXPRESSION.fullmatch(licence) else "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator},
        ],
    }


if __name__ == "__main__":
    print(json.dumps(document_of(Path(sys.argv[1]), sys.argv[2]), indent=1))
