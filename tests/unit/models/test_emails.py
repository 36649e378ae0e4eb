"""Emails: one form for each, by one function, and nothing made into what it only looks like."""

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
def test_what_is_none_is_refused_in_words(written: str) -> None:
    with pytest.raises(InvalidKeyField) as refusal:
        normalise_email(written)
    assert refusal.value.field == "email"
    assert "such as ann@example.com" in refusal.value.reason
    assert "[" not in refusal.value.reason, "no regular expression"


@given(st.text(max_size=80) | st.builds("{}@{}.{}".format, st.text(), st.text(), st.text()) | st.emails())
def test_whatever_comes_it_is_refused_or_has_a_form_that_stays(written: str) -> None:
    try:
        normal = normalise_email(written)
    except InvalidKeyField:
        return
    assert normal.isascii()
    assert normal == normal.lower()
    assert len(normal) <= MAX_LENGTH
    assert normalise_email(normal) == normal


@given(st.emails())
def test_what_a_library_takes_for_an_email_is_one(written: str) -> None:
    assert normalise_email(written) == written.lower()


@given(st.characters(min_codepoint=128), st.sampled_from(["{}nn@example.com", "ann@exam{}le.com", "ann@{}.com"]))
def test_no_other_character_stands_for_an_ascii_one(character: str, place: str) -> None:
    """A name of another script is a domain of its own; it is never one that is written in ASCII alone."""
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


def test_claims_that_were_written_before_are_found() -> None:
    for email in ("ann@example.com", "a%b+c.d_e-f@example.com"):
        assert f"EMAIL#{email}" == EmailClaim.of(email).PK
