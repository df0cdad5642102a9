"""What has the form of a secret, or names a home, is not kept; all else stays as it is."""

from __future__ import annotations

import time

import pytest

from services.chassis.machine.masking import masked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("use sk-proj-abcdefghijklmnop1234 here", "use [masked] here"),
        ("ghp_abcdefghijklmnopqrstuvwxyz01 and AKIAABCDEFGHIJKLMNOP", "[masked] and [masked]"),
        ("Authorization: Bearer abc.def-ghi_jkl=", "Authorization: Bearer [masked]"),
        ("postgres://ann:s3cr3t@db:5432/x", "postgres://ann:[masked]@db:5432/x"),
        ("DB_PASSWORD=hunter2 make", "DB_PASSWORD=[masked] make"),
        ('{"api_key": "abcd1234", "n": 1}', '{"api_key": "[masked]", "n": 1}'),
        (r'{"content": "{\"token\": \"abcd1234\"}"}', r'{"content": "{\"token\": \"[masked]\"}"}'),
        ("token eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "token [masked]"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----[masked]-----END RSA PRIVATE KEY-----",
        ),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-128-CBC,1\n\nMIIE\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----[masked]-----END RSA PRIVATE KEY-----",
        ),
        ("X-Api-Key: abcd1234efgh", "X-Api-Key: [masked]"),
        ("db:\n  password: hunter2!\n  port: 1", "db:\n  password: [masked]\n  port: 1"),
        (r'{"password": "ab\"cd1234", "n": 1}', r'{"password": "[masked]", "n": 1}'),
        ('"password": "it\'s mine"', '"password": "[masked]"'),
        (r'{"content": "export X=\"TOKEN=abcd1234\""}', r'{"content": "export X=\"TOKEN=[masked]\""}'),
        (r'{"content": "TOKEN=abcd1234\\"}', r'{"content": "TOKEN=[masked]"}'),
        ("sk_live_abcdefghijklmnop", "[masked]"),
        ("cat /home/ann/app/x.py", "cat /home/user/app/x.py"),
        ("/Users/Ann Lee/x", "/Users/user Lee/x"),
        (r"C:\Users\ann\x and C:\\Users\\bob\\y", r"C:\Users\user\x and C:\\Users\\user\\y"),
    ],
)
def test_secrets_and_homes_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens = 512 and the tokens of a prompt",
        "def token(): return 1",
        "https://example.org/home/page?x=1",
        "skip-this-and-that is no key",
        "The password field is empty.",
        "def log_in(password: str, token: Optional[str]) -> None:",
        "token: the next one of 3",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text


def test_a_long_text_takes_no_longer_than_it_is_long() -> None:
    text = "password password=" * 20_000 + "-----BEGIN PRIVATE KEY-----" * 2_000 + "a" * 200_000
    begin = time.process_time()
    masked(text)
    masked(text + text)
    assert time.process_time() - begin < 20
