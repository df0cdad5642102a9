"""The form of the page Deployments: a candidate for an alias, what decides on it, and how it is served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from drillyard.registry.v1 import deployment_pb2 as pb

from services.chassis.errors import InvalidArgument
from ui.shared.fields import FieldForm, Values, text_of
from ui.shipping.deployments.promotion import SUITE, Candidate

_CLUSTER = ("num_replicas", "num_gpus", "image")


@dataclass(frozen=True)
class DeploymentForm:
    """The components, and what they say.

    Attributes:
        served: How a candidate is served that has no deployment yet.
        settings: How a version is served that is only deployed.
        answers: The deployment that answers to an alias that is pointed by hand.
        shadow: The version that gets a copy of each of its requests.
    """

    model: gr.Dropdown
    alias: gr.Textbox
    suite: gr.Dropdown
    minimum: gr.Slider
    margin: gr.Slider
    served: FieldForm
    settings: FieldForm
    answers: gr.Dropdown
    shadow: gr.Dropdown

    def components(self) -> set[Any]:
        """Return all fields, as inputs of an event."""
        own = {self.model, self.alias, self.suite, self.minimum, self.margin, self.answers, self.shadow}
        return own | {*self.served.components.values(), *self.settings.components.values()}

    def candidate(self, values: Values) -> Candidate:
        """Return what is to be promoted.

        Raises:
            InvalidArgument: The version or the alias is missing.
        """
        spec = pb.DeploymentSpec()
        self.served.fill(spec, values)
        return Candidate(
            alias_id=self._alias(values),
            model_version_id=self._model(values),
            test_suite_id=values[self.suite] or SUITE,
            minimum_rate=values[self.minimum],
            margin=values[self.margin],
            backend=spec.backend,
        )

    def deployment(self, values: Values) -> pb.DeploymentSpec:
        """Return how the version is served.

        Raises:
            InvalidArgument: It is missing, or a setting does not fit its field.
        """
        spec = pb.DeploymentSpec(model_version_id=self._model(values))
        self.settings.fill(spec, values)
        return spec

    def move(self, values: Values) -> pb.SetAliasRequest:
        """Return the move of an alias by hand, without the revision that was seen.

        Raises:
            InvalidArgument: The version or the alias is missing.
        """
        return pb.SetAliasRequest(
            alias_id=self._alias(values),
            model_version_id=self._model(values),
            deployment_id=text_of(values, self.answers),
            shadow_model_version_id=text_of(values, self.shadow),
        )

    def _model(self, values: Values) -> str:
        if model := text_of(values, self.model):
            return model
        raise InvalidArgument("No version is chosen.", "Choose one; the page Models imports some.", field="model")

    def _alias(self, values: Values) -> str:
        if alias := text_of(values, self.alias):
            return alias
        raise InvalidArgument("There is no alias.", "Name one, such as smollm2:champion.", field="alias_id")


@dataclass(frozen=True)
class Buttons:
    """What is done with the form."""

    promote: gr.Button
    deploy: gr.Button
    point: gr.Button


def deployment_form() -> tuple[DeploymentForm, Buttons]:
    """Build the form."""
    served, settings = FieldForm("promotion", pb.DeploymentSpec), FieldForm("deployment", pb.DeploymentSpec)
    with gr.Column(elem_classes="dy-form"):
        model = gr.Dropdown([], label="Candidate", elem_id="promotion-model")
        alias = gr.Textbox(
            "", label="Alias", placeholder="smollm2:champion", max_length=200, elem_id="promotion-alias-id"
        )
        suite = gr.Dropdown([], label="Suite that decides", elem_id="promotion-suite")
        with gr.Accordion("What decides", open=False, elem_id="promotion-decides"):
            minimum = _share("Least that must conform", 0.0, "promotion-minimum-rate")
            margin = _share("Loss that may be chance", 0.1, "promotion-margin")
            served.add("backend")
        promote = gr.Button("Promote", variant="primary", elem_id="promotion-start")
        with gr.Accordion("Only deploy", open=False, elem_id="deployment-settings"):
            settings.add("backend")
            settings.add("num_ctx")
            # Where an error that names the suite is shown.
            settings.add("test_suite_version_id", elem_id="deployment-suite")
            settings.add("minimum_rate", "without_test")
            settings.add(*_CLUSTER)
            deploy = gr.Button("Deploy", elem_id="promotion-deploy")
        with gr.Accordion("Point the alias by hand", open=False, elem_id="alias-by-hand"):
            answers = _optional(
                "Answered by", "A deployment; empty for test-runner's workers.", "promotion-deployment-id"
            )
            shadow = _optional("Shadow", "Gets a copy of each request, unseen.", "promotion-shadow-model-version-id")
            point = gr.Button("Point without a test", elem_id="alias-point")
    form = DeploymentForm(model, alias, suite, minimum, margin, served, settings, answers, shadow)
    return form, Buttons(promote, deploy, point)


def _share(label: str, value: float, element: str) -> gr.Slider:
    return gr.Slider(0, 1, value=value, step=0.01, label=label, elem_id=element)


def _optional(label: str, info: str, element: str) -> gr.Dropdown:
    return gr.Dropdown([""], value="", label=label, info=info, allow_custom_value=True, elem_id=element)
