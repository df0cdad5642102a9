import subprocess
import sys

import pytest

from services.protocols.profile import UnknownProfile, get_profile, profile_ids
from services.protocols.roo_xml.prompt import UnknownPromptSize


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownProfile, match=r"'roo_json'.*roo_xml"):
        get_profile("roo_json")


def test_every_listed_profile_can_be_had() -> None:
    assert [get_profile(profile_id).id for profile_id in profile_ids()] == list(profile_ids())


def test_the_digest_is_stable_and_covers_the_data() -> None:
    profile = get_profile("roo_xml")
    assert profile.digest == get_profile("roo_xml").digest
    assert profile.digest.startswith("sha256:")
    assert len(profile.digest) == len("sha256:") + 64


def test_an_example_is_the_prompt_with_the_reference_answer() -> None:
    profile = get_profile("roo_xml")
    case = profile.suites()[0].cases[0]
    example = profile.example(case, "compact")
    assert example["messages"][:2] == profile.messages(case, "compact")
    assert example["messages"][2] == {"role": "assistant", "content": profile.reference_answer(case)}


def test_an_unknown_prompt_size_is_refused() -> None:
    profile = get_profile("roo_xml")
    with pytest.raises(UnknownPromptSize, match="compact, full"):
        profile.messages(profile.suites()[0].cases[0], "huge")


def test_using_a_profile_loads_nothing_heavy() -> None:
    code = (
        "import sys; from services.protocols.profile import get_profile; p = get_profile('roo_xml');"
        "c = p.suites()[0].cases[0]; assert p.judge(c, p.reference_answer(c)).conforming;"
        "heavy = {'torch', 'transformers', 'grpc', 'google.protobuf', 'sqlalchemy', 'ray'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
