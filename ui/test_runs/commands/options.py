"""What a test run is asked to do, as options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from ui.cli.connection import Document, GatewayError

TOOL_MODES = {"": "TOOL_MODE_UNSPECIFIED", "native": "TOOL_MODE_NATIVE", "prompt": "TOOL_MODE_PROMPT"}


@dataclass(frozen=True)
class TestOptions:
    """What to test on, and how answers are made."""

    suite: Annotated[str, typer.Option(help="A suite version, or a suite for its newest.")] = "roo_xml/core"
    prompt_size: Annotated[str, typer.Option(help="A size that the protocol has, such as full or bare.")] = "compact"
    repeats: Annotated[int, typer.Option(help="Answers per case.", min=1)] = 1
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0
    top_p: Annotated[float, typer.Option(help="Nucleus mass, 0 to 1; 0 means unset.")] = 0.0
    top_k: Annotated[int, typer.Option(help="Number of candidates; 0 means all.")] = 0
    min_p: Annotated[float, typer.Option(help="Least probability, as a share of the likeliest's.")] = 0.0
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer in tokens.", min=1)] = 192
    seed: Annotated[int, typer.Option(help="Seed of sampled answers.")] = 0
    dtype: Annotated[str, typer.Option(help="bfloat16, float32, or empty for what is fastest here.")] = ""
    throughput: Annotated[bool, typer.Option("--throughput", help="Faster, but may not repeat identically.")] = False
    log_probs: Annotated[bool, typer.Option("--log-probs", help="Keep each token's log-probability.")] = False
    case_timeout: Annotated[float, typer.Option(help="Most seconds for one case; 0 means 600.")] = 0.0
    run_timeout: Annotated[float, typer.Option(help="Most seconds for the run; 0 for no limit.")] = 0.0

    def body(self, model: str) -> Document:
        """Return the request that tests `model`."""
        return {
            "model_version_id": model,
            "test_suite_version_id": self.suite,
            "prompt_size": self.prompt_size,
            "num_repeats": self.repeats,
            "seed": self.seed,
            "dtype": self.dtype,
            "throughput": self.throughput,
            "log_probs": self.log_probs,
            "case_timeout_seconds": self.case_timeout,
            "run_timeout_seconds": self.run_timeout,
            "sampling": {
                "temperature": self.temperature,
                "top_p": self.top_p,
                "top_k": self.top_k,
                "min_p": self.min_p,
                "max_new_tokens": self.max_new_tokens,
            },
        }


@dataclass(frozen=True)
class EndpointOptions:
    """How to speak to the server that answers."""

    endpoint_model: Annotated[str, typer.Option(help="Name of the model at the endpoint.")] = ""
    api_key_secret: Annotated[str, typer.Option(help="Name of the secret that holds the endpoint's key.")] = ""
    tools: Annotated[str, typer.Option(help="native or prompt; empty: as the profile asks.")] = ""
    num_ctx: Annotated[int, typer.Option(help="Tokens of context at the endpoint; 0 for its own.")] = 0
    stop: Annotated[list[str] | None, typer.Option(help="Text at which an answer ends; repeatable.")] = None
    extra_body: Annotated[str, typer.Option(help="JSON object that goes into each request's body.")] = ""
    concurrency: Annotated[int, typer.Option(help="Requests in flight at once; 0 means 4.")] = 0

    def body(self, url: str, model: str) -> Document:
        """Return the endpoint at `url`; without a name of its own its model is called as ours.

        Raises:
            GatewayError: The tool mode is none.
        """
        if self.tools not in TOOL_MODES:
            problem = f"--tools {self.tools!r} is neither native nor prompt."
            raise GatewayError("INVALID_ARGUMENT", problem, "Leave it out, or name one of the two.")
        return {
            "base_url": url,
            "model": self.endpoint_model or model.partition("@")[0],
            "api_key_secret": self.api_key_secret,
            "tool_mode": TOOL_MODES[self.tools],
            "num_ctx": self.num_ctx,
            "stop": self.stop or [],
            "extra_body": self.extra_body,
            "max_concurrency": self.concurrency,
        }

    def refuse_without_endpoint(self) -> None:
        """Return when no option is set.

        Raises:
            GatewayError: One is, and there is no endpoint that it could apply to.
        """
        if self != EndpointOptions():
            problem = "An option of an endpoint is set, but no endpoint."
            raise GatewayError("INVALID_ARGUMENT", problem, "Name the server with --endpoint URL.")
