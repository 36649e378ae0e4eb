"""The content of the sample data. Each item depends only on the seed and its own number, not on the total."""

from dataclasses import dataclass
from random import Random

from models.access_patterns.messages import Draft

_NAMES = ("Ada", "Alan", "Barbara", "Donald", "Edsger", "Frances", "Grace", "Hedy", "John", "Katherine", "Radia", "Tim")
_FAMILIES = (
    "Ahmed",
    "Berg",
    "Costa",
    "Dupont",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Horvat",
    "Ito",
    "Jansen",
    "Kaya",
    "Li",
)
_SUBJECTS = (
    "a trip to the sea",
    "bread that will not rise",
    "a bicycle for the town",
    "the first garden",
    "learning to swim",
    "a talk for Monday",
    "names for a cat",
    "an old radio",
    "moving house",
    "a birthday for twelve",
)
_QUESTIONS = (
    "Where would you begin with {subject}?",
    "What have I forgotten about {subject}?",
    "How much will it cost, roughly?",
    "Can it be done in a weekend?",
    "What did you say about that before?",
    "Is there a simpler way?",
)
_ANSWERS = (
    "Begin with the part that cannot be moved, and put the rest around it.",
    "I would make a list of three things first. The rest mostly follows from them.",
    "Less than you fear, if you leave the last step for later. The last step is where the money goes.",
    "Yes, if the weather holds; otherwise plan one evening more.",
    "Before, I said that it depends on how many people come. That has not changed.",
    "There is: borrow what you need once, and buy what you need twice.",
)


@dataclass(frozen=True)
class Persona:
    """An agent of the sample data."""

    name: str
    system_message: str
    temperature: float


PERSONAS = (
    Persona("Guide", "You are a patient guide. Answer in two or three sentences.", 0.3),
    Persona("Critic", "You look for what could go wrong, and say it kindly and briefly.", 0.8),
)


def person(seed: int, number: int) -> tuple[str, str]:
    """Return the email and the name of a user; the email contains the seed, so that seeds do not collide."""
    random = Random(f"{seed}/{number}")  # noqa: S311 - sample data
    first, family = random.choice(_NAMES), random.choice(_FAMILIES)
    return f"{first}.{number}@seed-{seed}.example.com".lower(), f"{first} {family}"


def title(seed: int, user: int, number: int) -> str:
    """Return the title of a user's conversation, unique among that user's."""
    return f"About {_subject(seed, user, number)} ({number})"


def age(seed: int, user: int, number: int) -> float:
    """Return how many days ago a conversation took place; higher numbers are more recent."""
    return 30 / (number + 1) + Random(f"{seed}/{user}/{number}/age").random()  # noqa: S311 - sample data


def messages(seed: int, user: int, conversation: int, start: int, count: int) -> list[Draft]:
    """Return the messages from `start` up to `count` of a conversation, the user and the agent alternating."""
    subject = _subject(seed, user, conversation)
    drafts = []
    for position in range(start, count):
        random = Random(f"{seed}/{user}/{conversation}/{position}")  # noqa: S311 - sample data
        if position % 2:
            drafts.append(Draft("agent", " ".join(random.sample(_ANSWERS, 2))))
        else:
            drafts.append(Draft("user", random.choice(_QUESTIONS).format(subject=subject)))
    return drafts


def _subject(seed: int, user: int, conversation: int) -> str:
    return Random(f"{seed}/{user}/{conversation}").choice(_SUBJECTS)  # noqa: S311 - sample data
