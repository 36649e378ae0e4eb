"""Validation of emails, and their normal form, which is unique. All emails from outside pass through here.

Before the @: a dot-atom of ASCII characters (RFC 5321, 4.1.2; RFC 5322, 3.2.3), case-insensitive. After it: a domain in
its ASCII form, so that `bücher.example` and `xn--bcher-kva.example` are the same (IDNA 2008, RFC 5891, after the
mapping of UTS 46). Whether a domain accepts mail is not checked: `example.com`, `.test` and `localhost` are valid.

An email is checked before it is converted to lower case. Lower case turns U+212A, the KELVIN SIGN, into a plain `k`:
converting first would give a look-alike another user's email. So the mapping may change a non-ASCII character into
another one, but must not drop it or turn it into ASCII.
"""

import re

import idna

from models.table.errors import InvalidKeyField

# RFC 5321, 4.5.3.1, with erratum 1690: a path has 256 octets, two of which are its angle brackets.
MAX_LENGTH = 254
MAX_LOCAL_PART = 64
_MAX_DOMAIN = 253

_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SPACE = " \t\r\n"


def normalise_email(email: str) -> str:
    """Return the normal form of an email: ASCII, in lower case, without surrounding whitespace.

    Raises:
        InvalidKeyField: it is not an email; the reason says what is wrong without quoting it.
    """
    if not isinstance(email, str):
        raise _refusal("it is not a string")
    local, at, domain = email.strip(_SPACE).rpartition("@")
    if not at:
        raise _refusal("it has no @")
    if len(local) > MAX_LOCAL_PART or not _LOCAL_PART.fullmatch(local):
        raise _refusal(
            f"before the @ it needs 1 to {MAX_LOCAL_PART} letters from a to z, digits and !#$%&'*+-/=?^_`{{|}}~, with "
            "single dots between them"
        )
    normal = f"{local.lower()}@{_ascii_domain(domain)}"
    if len(normal) > MAX_LENGTH:
        raise _refusal(f"it can have at most {MAX_LENGTH} characters")
    return normal


def _ascii_domain(domain: str) -> str:
    """Return a domain in the form that the DNS uses."""
    if len(domain) > _MAX_DOMAIN:
        raise _refusal(f"its domain can have at most {_MAX_DOMAIN} characters")
    try:
        labels = [_ascii_label(label) for label in _mapped(domain).split(".")]
    except UnicodeError:  # the base class of the errors of `idna`
        labels = []
    if not all(labels) or (len(labels) < 2 and labels != ["localhost"]):
        raise _refusal(
            "after the @ it needs a domain: names with dots between them, each of 1 to 63 letters, digits and inner "
            "hyphens, in any script, but without look-alike characters"
        )
    return ".".join(labels)


def _mapped(domain: str) -> str:
    """Return a domain in lower case and normal form, unless that drops a character or turns it into ASCII."""
    if domain.isascii():
        return domain.lower()
    for character in domain:
        mapped = idna.uts46_remap(character)
        if not character.isascii() and (not mapped or any(each.isascii() for each in mapped)):
            raise idna.IDNAError("it would vanish, or become an ASCII character")
    return idna.uts46_remap(domain)


def _ascii_label(label: str) -> str:
    """Return a label in ASCII, or an empty string if it is not a valid label."""
    if not label.isascii() or label.startswith("xn--"):
        label = idna.alabel(label).decode()
    return label if _LABEL.fullmatch(label) else ""


def _refusal(what: str) -> InvalidKeyField:
    return InvalidKeyField("email", f"must be an email address, such as ann@example.com: {what}")
