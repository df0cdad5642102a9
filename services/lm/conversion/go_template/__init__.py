"""Go's `text/template` as Ollama uses it for prompts: a strict interpreter, and templates for known chat templates."""

from services.lm.conversion.go_template.ollama import render_go_template
from services.lm.conversion.go_template.syntax import GoTemplateError

__all__ = ["GoTemplateError", "render_go_template"]
