"""The API's reference as a page of its own: it loads nothing from other sites and needs no script."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from ui.shared.environment import PAGES, render, stylesheet

router = APIRouter(include_in_schema=False)
Schema = dict[str, Any]


@router.get("/docs", response_class=HTMLResponse)
async def read_reference(request: Request) -> HTMLResponse:
    """Return the reference."""
    document: Schema = request.app.openapi()
    header = Markup(render("shared/header", pages=PAGES, current="API"))
    return HTMLResponse(
        render("gateway/reference", api=document, groups=_groups(document), header=header, style=Markup(stylesheet()))
    )


def _groups(document: Schema) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, verbs in document["paths"].items():
        for verb, item in verbs.items():
            groups.setdefault(item["tags"][0], []).append(
                {
                    "verb": verb,
                    "path": path,
                    "text": item.get("description", item["summary"]),
                    "parameters": item.get("parameters", []),
                    "body": _body(item, document),
                    "answer": _answer(item),
                }
            )
    return groups


def _body(operation: Schema, document: Schema) -> str:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return json.dumps(_example(content["schema"], document), indent=2) if content else ""


def _answer(operation: Schema) -> str:
    example = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("example")
    return json.dumps(example, indent=2) if example else ""


def _example(schema: Schema, document: Schema) -> Any:
    if "$ref" in schema:
        return _example(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    if "properties" in schema:
        return {name: _example(item, document) for name, item in schema["properties"].items()}
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("type") == "array":
        return [_example(schema["items"], document)] if "$ref" in schema["items"] else []
    return schema.get("default", {"number": 0.0, "integer": 0, "boolean": False}.get(schema.get("type", ""), ""))
