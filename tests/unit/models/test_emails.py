"""Emails: one function converts each to one normal form, and look-alikes stay different."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.emails import MAX_LENGTH, normalise_email
from models.table.errors import InvalidKeyField
from models.user import EmailClaim
from tests.emails import REFUSED, TAKEN


@pytest.mark.parametrize("written", TAKEN, ids=ascii)
def test_an_email_has_one_form(written: str) -> None:
    assert normalise_email(written) == TAKEN[written]
    assert normalise_email(TAKEN[written]) == TAKEN[written]


@pytest.mark.parametrize("written", REFUSED, ids=ascii)
def test_an_invalid_email_is_refused_with_a_reason(written: str) -> None:
    with pytest.raises(InvalidKeyField) as refusal:
        normalise_email(written)
    assert refusal.value.field == "email"
    assert "such as ann@example.com" in refusal.value.reason
    assert "[" not in refusal.value.reason, "no regular expression"


@given(st.text(max_size=80) | st.builds("{}@{}.{}".format, st.text(), st.text(), st.text()) | st.emails())
def test_any_text_is_refused_or_has_a_stable_normal_form(written: str) -> None:
    try:
        normal = normalise_email(written)
    except InvalidKeyField:
        return
    assert normal.isascii()
    assert normal == normal.lower()
    assert len(normal) <= MAX_LENGTH
    assert normalise_email(normal) == normal


@given(st.emails())
def test_an_email_that_a_library_accepts_is_accepted(written: str) -> None:
    assert normalise_email(written) == written.lower()


@given(st.characters(min_codepoint=128), st.sampled_from(["{}nn@example.com", "ann@exam{}le.com", "ann@{}.com"]))
def test_no_non_ascii_character_becomes_ascii(character: str, place: str) -> None:
    """A name in another script is a separate domain, and never equals one that is written in ASCII."""
    try:
        normal = normalise_email(place.format(character))
    except InvalidKeyField:
        return
    assert "@" in normal
    assert any(label.startswith("xn--") for label in normal.partition("@")[2].split("."))


@given(st.emails(), st.emails())
def test_each_email_has_a_claim_of_its_own(one: str, other: str) -> None:
    one, other = normalise_email(one), normalise_email(other)
    assume(one != other)
    assert EmailClaim.of(one).PK != EmailClaim.of(other).PK


def test_claims_of_an_older_version_are_found() -> None:
    for email in ("ann@example.com", "a%b+c.d_e-f@example.com"):
        assert f"EMAIL#{email}" == EmailClaim.of(email).PK
