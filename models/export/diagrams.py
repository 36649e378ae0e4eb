"""The diagrams, generated as SVG: they look the same everywhere, and need no scripts and no network."""

from html import escape

from models.export.pages_entities import entities

_STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#1f2933}.b{font-weight:600}.m{font:11px ui-monospace,monospace}"
    ".s{font-size:11px;fill:#52606d}</style>"
)
_ARROW = (
    '<defs><marker id="to" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 8 4 0 8z" fill="#3e4c59"/></marker></defs>'
)
_BOX = 'rx="6" fill="#fff" stroke="#3e4c59"'
_LINE = 'stroke="#3e4c59" stroke-width="1.3" fill="none"'

# The position of each entity: column and row. Entities that are not listed here go below.
_PLACES = {
    "EmailClaim": (0, 0),
    "User": (1, 0),
    "UserState": (2, 0),
    "ApiKey": (0, 1),
    "ApiKeyEntry": (1, 1),
    "Agent": (2, 1),
    "ConversationState": (0, 2),
    "Conversation": (2, 2),
    "TurnEntry": (0, 3),
    "Message": (1, 3),
    "Turn": (2, 3),
}
_RELATIONS = (
    ("User", "EmailClaim", "has 1"),
    ("User", "UserState", "has n"),
    ("User", "ApiKeyEntry", "has n"),
    ("User", "Agent", "has n"),
    ("ApiKeyEntry", "ApiKey", "lists 1"),
    ("User", "AuditEvent", "has n"),
    ("Agent", "AgentGrant", "is shared by n"),
    ("Agent", "PublishedAgent", "is published as 1"),
    ("Agent", "Conversation", "has n"),
    ("Conversation", "BranchEntry", "has n"),
    ("Conversation", "ShareLinkEntry", "has n"),
    ("ShareLinkEntry", "ShareLink", "lists 1"),
    ("Conversation", "ConversationState", "has n"),
    ("Conversation", "Message", "has n"),
    ("Message", "MessageReasoning", "has 0 or 1"),
    ("Conversation", "Turn", "has n"),
    ("TurnEntry", "Turn", "leads to 1"),
    ("Turn", "TurnCount", "leaves 1"),
)
_WIDTH, _HEIGHT, _ACROSS, _DOWN = 210, 62, 290, 136


def _svg(width: int, height: int, title: str, parts: list[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" width="{width}">',
            f"<title>{escape(title)}</title>",
            _STYLE,
            _ARROW,
            f'<rect width="{width}" height="{height}" rx="8" fill="#f5f7fa"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def relations() -> str:
    """Return the entity-relationship diagram: each entity with its keys."""
    places = dict(_PLACES)
    for entity in entities():
        places.setdefault(entity.ENTITY, (len(places) % 3, 4 + (len(places) - len(_PLACES)) // 3))
    corner = {name: (24 + column * _ACROSS, 24 + row * _DOWN) for name, (column, row) in places.items()}
    parts = [_relation(corner[one], corner[other], text) for one, other, text in _RELATIONS]
    for entity in entities():
        x, y = corner[entity.ENTITY]
        parts += [
            f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" {_BOX}/>',
            f'<text class="b" x="{x + 12}" y="{y + 20}">{entity.ENTITY}</text>',
            f'<text class="m" x="{x + 12}" y="{y + 38}">PK {escape(entity.PK.template.text)}</text>',
            f'<text class="m" x="{x + 12}" y="{y + 53}">SK {escape(entity.SK.template.text)}</text>',
        ]
    height = 24 + max(y for _, y in corner.values()) + _HEIGHT + 16
    return _svg(2 * _ACROSS + _WIDTH + 48, height, "The entities, their keys and their relations", parts)


def _relation(one: tuple[int, int], other: tuple[int, int], text: str) -> str:
    (x1, y1), (x2, y2) = one, other
    if y1 == y2 and abs(x1 - x2) > _ACROSS:
        # Around the box in between.
        side = y1 + _HEIGHT + 16
        path = f"M{x1 + 105} {y1 + _HEIGHT} V{side} H{x2 + 105} V{y2 + _HEIGHT + 2}"
        at = ((x1 + x2) // 2 + 105, side + 4)
    elif y1 == y2:
        left, right = (x1 + _WIDTH, x2) if x1 < x2 else (x1, x2 + _WIDTH)
        path, at = f"M{left} {y1 + 31} H{right}", ((left + right) // 2 - 4, y1 + 35)
    elif x1 == x2:
        path, at = f"M{x1 + 105} {y1 + _HEIGHT} V{y2 - 2}", (x1 + 105, y2 - 14)
    else:
        middle = y2 - 36
        path = f"M{x1 + 60} {y1 + _HEIGHT} V{middle} H{x2 + 150} V{y2 - 2}"
        at = ((x1 + 60 + x2 + 150) // 2, middle + 4)
    return "".join([f'<path d="{path}" {_LINE} marker-end="url(#to)"/>', *_label(*at, text)])


_LANES = {"Client": 80, "Application": 320, "DynamoDB": 740, "Model": 980}
_STEPS = (
    (0, 1, "a message, with an API key"),
    (1, 2, "AP-24 the key and the agent: 1 BatchGetItem"),
    (1, 2, "AP-50 header and newest messages: 1 Query"),
    (1, 2, "AP-50 store message, take lease: 1 transaction"),
    (1, 0, "accepted: the turn has begun"),
    (1, 3, "the context"),
    (3, 1, "the answer, piece by piece"),
    (1, 0, "the pieces, as they come"),
    (1, 2, "AP-52 store answer and turn, release lease: 1 transaction"),
    (1, 0, "completed, with what was stored"),
)


def turn() -> str:
    """Return the sequence diagram of a turn."""
    x = list(_LANES.values())
    bottom = 92 + len(_STEPS) * 40
    parts = []
    for position, name in zip(x, _LANES, strict=True):
        parts += [
            f'<line x1="{position}" y1="56" x2="{position}" y2="{bottom}" stroke="#9aa5b1" stroke-dasharray="4 4"/>',
            f'<rect x="{position - 56}" y="22" width="112" height="34" {_BOX}/>',
            f'<text class="b" text-anchor="middle" x="{position}" y="44">{name}</text>',
        ]
    for number, (one, other, text) in enumerate(_STEPS):
        y = 92 + number * 40
        parts += [
            f'<path d="M{x[one]} {y} H{x[other] - 2 if other > one else x[other] + 2}" {_LINE} marker-end="url(#to)"/>',
            *_label((x[one] + x[other]) // 2, y - 6, text),
        ]
    return _svg(x[-1] + 80, bottom + 20, "A turn: four requests to DynamoDB", parts)


def _label(x: int, y: int, text: str) -> list[str]:
    """Return a text above a line, with its own background so that no other line crosses it."""
    width = 6.4 * len(text) + 8
    return [
        f'<rect x="{x - width / 2:.0f}" y="{y - 11}" width="{width:.0f}" height="14" fill="#f5f7fa"/>',
        f'<text class="s" text-anchor="middle" x="{x}" y="{y}">{escape(text)}</text>',
    ]
