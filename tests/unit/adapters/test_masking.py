"""What is taken out of the texts of a trace, what is left alone, and that neither takes long."""

from __future__ import annotations

import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answerbox import keys
from answerbox.adapters.masking import EMAIL, MARGIN, PHONE, SECRET, UNMASKED, hook_of, mask, redact
from answerbox.errors import SetupError
from answerbox.settings import Settings

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq2\nxk3Z+/==\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcDEF0123456789abcdef",
        "sk-lf-1f0e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
        "pk-lf-test",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
        "xoxb-123456789012-abcdefghijkl",
        "AKIAIOSFODNN7EXAMPLE",
        JWT,
        JWT[:60],
        PEM,
        PEM[:60],
    ],
)
def test_keys_of_all_kinds_are_taken_out(secret: str) -> None:
    assert redact(f"Ключ: {secret}, прошу!") == f"Ключ: {SECRET}, прошу!"


def test_a_key_of_ours_is_taken_out(tmp_path: Path) -> None:
    text, _ = keys.create(tmp_path / "keys.json", "app", ["query"])
    assert redact(f"with {text} it works") == f"with {SECRET} it works"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abc.def-123456", f"Authorization: Bearer {SECRET}"),
        ("curl -H 'authorization: Basic cGs6c2s='", f"curl -H 'authorization: Basic {SECRET}'"),
        ("use bearer a1b2c3d4e5f6 here", f"use bearer {SECRET} here"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", f"aws_secret_access_key = {SECRET}"),
        ("redis://user:hunter2@host:6379", f"redis://user:{SECRET}@host:6379"),
    ],
)
def test_of_a_credential_in_its_place_only_the_secret_is_taken_out(text: str, masked: str) -> None:
    assert redact(text) == masked


@pytest.mark.parametrize("address", ["john.smith+box@mail.example.org", "иван@почта.рф", "a_b%c@x-y.co.uk"])
def test_addresses_of_e_mail_are_taken_out(address: str) -> None:
    assert redact(f"Write to <{address}>, or not.") == f"Write to <{EMAIL}>, or not."


@pytest.mark.parametrize(
    "number",
    [
        "+79123456789",
        "+7 912 345 67 89",
        "+7 (912) 345-67-89",
        "+7(495)123-45-67",
        "8 (912) 345-67-89",
        "8(912)3456789",
        "8-800-555-35-35",
        "8 800 555 35 35",
        "88005553535",
        "89123456789",
        "79123456789",
        "(495) 123-45-67",
        "495 123-45-67",
        "+44 20 7946 0958",
        "+1-202-555-0143",
        "+1 (202) 555-0143",
        "+1.202.555.0143",
        "(202) 555-0143",
        "202-555-0143",
        "0049 30 1234567",
        "+49 30 901820",
        "+380 50 123 45 67",
        "+86 138 0013 8000",
    ],
)
def test_telephone_numbers_are_taken_out(number: str) -> None:
    assert redact(f"Звоните {number}. Или нет.") == f"Звоните {PHONE}. Или нет."
    assert redact(f"tel:{number}") == f"tel:{PHONE}"
    assert redact(f"{number} 2024") == f"{PHONE} 2024" or number.startswith("+")


@pytest.mark.parametrize(
    "text",
    [
        "in 1999, 2024 and 2030-2035",
        "2024-05-01T10:00:00+03:00, 01.05.2024, 5/1/2024, 2024-05-01 10:00:00.123456 +0300",
        "from 8:30 to 17:45, 08:00-17:00, 12:00:00",
        "192.168.100.200, 8.8.8.8:443, 10.0.0.0/8, 2001:db8::8a2e:370:7334",
        "1 000 000, 8 912 345 678, 12,345,678.90, 89 123 456 789 ₽, +15 000 000 руб., +1 000 000 000",
        "+150 000 500 руб., +375 120 300 ₽, +10.5 %, -8 912,5, 3.14159265358979",
        "ISBN 978-3-16-148410-0, ИНН 7707083893, СНИЛС 112-233-445 95, CAS 7732-18-5, SSN 078-05-1120",
        "order 81234567890123456789, job 1714564800000, id 20240501123456, #4815162342",
        "4111 1111 1111 1111",
        "8f14e45f-ceea-467f-a0e6-8912345678ab, 00000000-0000-0000-0000-000000000000",
        "v8.912.345, python 3.11.7, torch==2.13.0, 1-2-3, 10-20-30-40",
        "react@18.2.0, git checkout @{u}, x @ y.T, @app.get, 5 @ 3.50",
        "sk-learn-contrib-something-nice, task-force-of-eleven, Bearer of bad news, the bearer responsibilities",
        "https://example.org/a:b@c?d=8&e=9, http://host:8000/v1",
        "see pages 8 912-915, 495 of 500, rooms 8-100 to 8-120",
        "a ratio of 1:1000000, 2**64 = 18446744073709551616",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)))
def test_no_date_is_a_telephone_number(moment: datetime) -> None:
    forms = ("%Y-%m-%d %H:%M:%S", "%d.%m.%Y", "%d.%m.%y %H:%M", "%m/%d/%Y", "%Y%m%d", "%Y%m%d%H%M%S", "%H:%M:%S.%f")
    for form in forms:
        text = f"on {moment.strftime(form)} it was"
        assert redact(text) == text


@given(st.ip_addresses().map(str) | st.uuids().map(str) | st.floats(0, 1e9).map(str))
def test_no_address_id_or_float_is_a_telephone_number(text: str) -> None:
    assert redact(f"at {text} it is") == f"at {text} it is"


@given(st.integers(0, 10**9), st.sampled_from([",", " ", "\u00a0", "_", ""]))
def test_no_amount_is_a_telephone_number(amount: int, gap: str) -> None:
    text = f"it costs {amount:,} today".replace(",", gap)
    assert redact(text) == text


def test_everything_in_a_value_is_masked_and_its_form_stays() -> None:
    value = {"a": ["x@y.org", ("+79123456789", 7)], "b@c.org": {"deep": [{"k": "sk-lf-abcd"}]}, "n": 1.5, "t": True}
    assert mask(value) == {"a": [EMAIL, (PHONE, 7)], EMAIL: {"deep": [{"k": SECRET}]}, "n": 1.5, "t": True}


@pytest.mark.parametrize("name", ["password", "api_key", "API-Key", "Authorization", "client_secret", "private_key"])
def test_a_field_with_a_secret_name_is_masked_whatever_it_holds(name: str) -> None:
    assert mask({name: "hunter2", "tokens": "12"}) == {name: SECRET, "tokens": "12"}


def test_a_value_in_itself_comes_to_an_end() -> None:
    value: list[Any] = []
    value.append(value)
    assert mask(value)


def test_the_hook_has_every_text_after_ours() -> None:
    seen: list[str] = []

    def hook(text: str) -> str:
        seen.append(text)
        return text.replace("Projekt X", "[name]")

    assert mask({"a": "x@y.org on Projekt X", "b": ["Projekt X", 1]}, hook) == {
        "a": f"{EMAIL} on [name]",
        "b": ["[name]", 1],
    }
    assert seen == [f"{EMAIL} on Projekt X", "Projekt X"]


def raises(_: str) -> str:
    raise RuntimeError("a secret")


def leaves(_: str) -> str:
    raise SystemExit


def no_text(_: str) -> Any:
    return None


@pytest.mark.parametrize("hook", [raises, leaves, no_text])
def test_a_hook_that_fails_costs_the_text(hook: Any) -> None:
    assert mask(["very secret", {"a": "too"}, 1], hook) == [UNMASKED, {"a": UNMASKED}, 1]


def test_a_hook_is_loaded_by_its_name() -> None:
    hook = hook_of(Settings(trace_mask="tests.unit.adapters.test_masking:raises"))
    assert hook
    assert hook.__name__ == "raises"


@pytest.mark.parametrize("target", ["no.such.module:f", "tests.unit.adapters.test_masking:none", "json:__name__", "x"])
def test_a_hook_that_is_not_there_stops_the_start(target: str) -> None:
    with pytest.raises(SetupError, match="ANSWERBOX_TRACE_MASK"):
        hook_of(Settings(trace_mask=target))


def test_long_texts_are_cut_after_they_were_masked() -> None:
    assert mask("x" * 100, chars=100) == "x" * 100
    assert mask("x" * 101, chars=100) == "x" * 99 + "…"
    assert mask("x " * 45 + "john.smith@example.org and more", chars=100) == "x " * 45 + "[e-mail] …"


@given(st.integers(0, 30))
def test_what_is_cut_in_the_middle_of_the_reading_does_not_appear(shift: int) -> None:
    address, chars = "john.smith@example.org", 1_000
    text = (address + " ") * 130
    text += " " * (chars + MARGIN - len(text) - shift) + address + "y" * 10_000
    found = mask(text, chars=chars)
    assert "john" not in found
    assert "smith" not in found


def test_half_characters_and_nul_are_replaced() -> None:
    assert redact("a\ud800b\x00c \u202edesrever 🙂") == "a\ufffdb\ufffdc \u202edesrever 🙂"


HOSTILE = {
    "digits": "1",
    "separated digits": "8 ",
    "plus and digits": "+1 ",
    "eights": "8-9",
    "parentheses": "(4",
    "words": "a",
    "at": "a@",
    "address": "a@a.",
    "dots": "a.",
    "keys": "sk-",
    "keys with gaps": " sk-aaaaaaaaaaaaaaaa",
    "jwt": "eyJ",
    "jwt with dots": "eyJaaaaaaaa.",
    "bearer": "bearer ",
    "bearer words": "bearer aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ",
    "authorization": "authorization:",
    "pem": "-----BEGIN PRIVATE KEY-----",
    "url": "://a:",
    "spaces": " ",
    "aws": "aws_secret_access_key",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_a_text_of_eight_times_the_length_takes_about_eight_times_as_long(piece: str) -> None:
    short, long = took(piece, 15_000), took(piece, 120_000)
    assert long < short * 32 + 0.02  # square would be 64


def took(piece: str, length: int) -> float:
    text = (piece * (length // len(piece) + 1))[:length]
    best = float("inf")
    for _ in range(2):
        began = time.perf_counter()
        redact(text)
        best = min(best, time.perf_counter() - began)
    return best


@given(st.text(st.sampled_from("aA8+-@. ()/:=eyJsk_\x00\ud800é"), max_size=400))
def test_any_text_can_be_sent_once_it_is_masked(text: str) -> None:
    redact(text).encode()
    mask({text: [text, uuid.uuid4().hex]}, chars=100)
