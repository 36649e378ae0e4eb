"""The hierarchy of errors, and the page that explains each code."""

from http import HTTPStatus

import pytest

from bot.errors import BotError, kinds
from tests.processes import ROOT

PAGE = ROOT / "docs" / "errors.md"


def test_every_kind_has_its_own_code() -> None:
    codes = [kind.code for kind in kinds()]
    assert len(codes) == len(set(codes))
    assert all(code.replace("_", "").isalpha() and code.islower() for code in codes)


def test_every_kind_has_a_status_a_title_and_a_meaning() -> None:
    for kind in kinds():
        assert HTTPStatus(kind.status) >= HTTPStatus.BAD_REQUEST
        assert kind.title
        assert kind.__doc__


def test_kinds_lists_every_class() -> None:
    def below(kind: type[BotError]) -> set[type[BotError]]:
        return {kind}.union(*(below(each) for each in kind.__subclasses__()))

    assert set(kinds()) == below(BotError)


def row(kind: type[BotError]) -> str:
    meaning = " ".join((kind.__doc__ or "").split())
    return f"| `{kind.code}` | {kind.status} | {meaning} |"


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.code)
def test_the_page_explains_every_code(kind: type[BotError]) -> None:
    assert row(kind) in PAGE.read_text().splitlines(), f"docs/errors.md lacks: {row(kind)}"


def test_the_page_explains_no_unknown_code() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows == [row(kind) for kind in kinds()]
