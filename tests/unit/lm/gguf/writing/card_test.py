"""The model card says what a person needs, in words that the Hub's metadata and Markdown can hold."""

import subprocess
import sys
from typing import get_args

import pytest
import yaml

from services.lm.conversion.card import CardFacts, Form, card
from services.lm.folders.licence import licence_text

FACTS = CardFacts(
    "My Coder",
    "gguf",
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    base_digest="ab12",
    licence="apache-2.0",
    number_type="Q4_K_M",
    adapter={"r": 16, "lora_alpha": 32, "target_modules": "q_proj, v_proj"},
    profile="roo_xml",
    profile_digest="cd34",
    num_ctx=8192,
    text="Trained on our own tickets.",
    notes=("Rows fill no blocks.",),
)
LICENCE = ["other", "lfm1.0", "https://a.example/LICENSE"]


def test_a_card_says_origin_settings_and_use() -> None:
    text = card(FACTS)
    metadata = yaml.safe_load(text.split("---")[1])
    assert metadata["license"] == "apache-2.0" and metadata["base_model_relation"] == "quantized"
    assert metadata["base_model"] == FACTS.base
    for fact in ("Q4_K_M", "`ab12`", "`cd34`", "8192", "- r: `16`", "our own tickets"):
        assert fact in text
    assert "llama-server -m model.gguf --jinja -c 8192" in text and "ollama create my-coder" in text


@pytest.mark.parametrize("form", get_args(Form))
def test_every_form_has_a_way_of_use_and_nothing_is_left_empty(form: Form) -> None:
    text = card(CardFacts("m", form, "base"))
    assert "```" in text and "## Use" in text
    assert "None" not in text and "``" not in text.replace("```", "") and "\n\n\n" not in text


def test_a_licence_that_forbids_derivatives_is_told() -> None:
    assert "forbids derivatives" in card(CardFacts("m", "merged", "b", licence="cc-by-nc-nd-4.0"))
    assert "forbids" not in card(CardFacts("m", "merged", "b", licence="cc-by-nc-4.0"))
    assert "names no licence" in card(CardFacts("m", "merged", "b"))


def test_texts_of_elsewhere_cannot_change_the_metadata() -> None:
    text = card(CardFacts("m", "merged", 'b"\nlicense: mit', licence="x: y\n---"))
    assert "under `'<b>'`, which" in card(CardFacts("m", "merged", "b", licence="`<b>`"))
    metadata = yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))
    assert metadata["base_model"] == 'b"\nlicense: mit' and metadata["license_name"] == "x: y\n---"


def test_a_licence_of_the_makers_own_is_named_with_the_place_of_its_text() -> None:
    text = card(CardFacts("m", "gguf", "b", licence=licence_text(*LICENCE)))
    metadata = yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))
    assert [metadata[f"license{part}"] for part in ("", "_name", "_link")] == LICENCE


def test_the_card_needs_no_torch() -> None:
    program = "import sys, services.lm.conversion.card; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
