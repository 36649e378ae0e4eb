"""Emails: what is one, and the one form under which it is unique. Whoever takes an email in takes it through here.

Before the @: a dot-atom of ASCII characters (RFC 5321, 4.1.2; RFC 5322, 3.2.3), without regard to case. Behind it: a
domain, in its ASCII form, so that `bücher.example` and `xn--bcher-kva.example` are one (IDNA 2008, RFC 5891, after the
mapping of UTS 46). Whether a domain takes mail is nobody's business here: `example.com`, `.test` and `localhost` do.

An email is checked before it is folded. Lower case makes U+212A, the KELVIN SIGN, into a plain `k`: who folds first
gives a look-alike the email of somebody else. So a character that is not ASCII may become another one, but never
nothing, and never an ASCII one.
"""

import re

import idna

from models.table.errors import InvalidKeyField

# RFC 5321, 4.5.3.1, with the erratum 1690: a path has 256 octets, two of which are its angle brackets.
MAX_LENGTH = 254
MAX_LOCAL_PART = 64
_MAX_DOMAIN = 253

_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SPACE = " \t\r\n"


def normalise_email(email: str) -> str:
    """Return the form of an email under which it is unique: ASCII, in lower case, without outer space.

    Raises:
        InvalidKeyField: it is no email; the reason says what is wrong, and nothing of the email.
    """
    if not isinstance(email, str):
        raise _refusal("it is no text")
    local, at, domain = email.strip(_SPACE).rpartition("@")
    if not at:
        raise _refusal("it has no @")
    if len(local) > MAX_LOCAL_PART or not _LOCAL_PART.fullmatch(local):
        raise _refusal(
            f"before the @ are 1 to {MAX_LOCAL_PART} letters from a to z, digits and !#$%&'*+-/=?^_`{{|}}~, and single "
            "dots between them"
        )
    normal = f"{local.lower()}@{_ascii_domain(domain)}"
    if len(normal) > MAX_LENGTH:
        raise _refusal(f"it has at most {MAX_LENGTH} characters")
    return normal


def _ascii_domain(domain: str) -> str:
    """Return a domain as it stands in the DNS."""
    if len(domain) > _MAX_DOMAIN:
        raise _refusal(f"its domain has at most {_MAX_DOMAIN} characters")
    try:
        labels = [_ascii_label(label) for label in _mapped(domain).split(".")]
    except UnicodeError:  # what `idna` raises is one
        labels = []
    if not all(labels) or (len(labels) < 2 and labels != ["localhost"]):
        raise _refusal(
            "behind the @ is a domain: names with dots between them, each of 1 to 63 letters, digits and inner "
            "hyphens, in any script, but without characters that only look like others"
        )
    return ".".join(labels)


def _mapped(domain: str) -> str:
    """Return a domain in lower case and in normal form, if no character of it became nothing or an ASCII one."""
    if domain.isascii():
        return domain.lower()
    for character in domain:
        mapped = idna.uts46_remap(character)
        if not character.isascii() and (not mapped or any(each.isascii() for each in mapped)):
            raise idna.IDNAError("it would vanish, or become an ASCII character")
    return idna.uts46_remap(domain)


def _ascii_label(label: str) -> str:
    """Return a label in ASCII, or nothing where it is none."""
    if not label.isascii() or label.startswith("xn--"):
        label = idna.alabel(label).decode()
    return label if _LABEL.fullmatch(label) else ""


def _refusal(what: str) -> InvalidKeyField:
    return InvalidKeyField("email", f"must be an email address, such as ann@example.com: {what}")
