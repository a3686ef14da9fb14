"""Pairs of examples with the same question, from a seed: some contradict each other by construction, some only say the same in another way.

Belongs here: making pairs. Not here: judging them (test_conflicts.py, benchmarks/duplicates.py).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import orjson

from learning_pipelines.examples.conflicts import Side

ANSWERS: tuple[tuple[str, ...], ...] = (
    (
        "You can return the {item} within {n} days of delivery.",
        "Returns of the {item} are accepted for {n} days after delivery.",
        "The {item} may be sent back up to {n} days after you received it.",
    ),
    (
        "Your {item} is covered by a warranty of {n} months.",
        "The warranty on the {item} lasts {n} months.",
        "We repair the {item} free of charge for {n} months.",
    ),
    ("The fee for an express {item} is {n} euros.", "An express {item} costs {n} euros.", "For express handling of the {item} we charge {n} euros."),
    (
        "Submit the form for the {item} to the tax office by day {n} of the month.",
        "The {item} form is due at the tax office on day {n} of the month.",
        "The tax office must have the form for the {item} by day {n}.",
    ),
    (
        "To reset the {item}, hold the power button for {n} seconds.",
        "Hold down the power button for {n} seconds and the {item} resets.",
        "Press the power button of the {item} for {n} seconds to reset it.",
    ),
    (
        "Support for the {item} is open until {n} o'clock on weekdays.",
        "On weekdays you reach {item} support until {n} o'clock.",
        "The {item} help line answers until {n} o'clock from Monday to Friday.",
    ),
    (
        "You can change the {item} in the settings under profile.",
        "Open the settings, go to profile and edit the {item} there.",
        "The {item} can be edited under profile in your settings.",
    ),
    ("The {item} is deductible if it is used for work.", "If used for work, the {item} can be deducted.", "A {item} that serves your work is tax deductible."),
    (
        "Refunds for the {item} go back to the original card.",
        "We refund the {item} to the card you paid with.",
        "Money for the {item} is returned to the original card.",
    ),
    (
        "The {item} must be approved by your manager first.",
        "Your manager has to approve the {item} before anything else.",
        "First get your manager's approval for the {item}.",
    ),
)
NEGATED: tuple[tuple[str, str], ...] = (
    ("You can cancel the {item} after it has shipped.", "You cannot cancel the {item} after it has shipped."),
    ("The {item} is available on the free plan.", "The {item} is not available on the free plan."),
    ("Yes, the {item} ships abroad.", "No, the {item} does not ship abroad."),
    ("We store the {item} after the contract ends.", "We never store the {item} after the contract ends."),
    ("The {item} can be shared with other users.", "The {item} can't be shared with other users."),
)
ITEMS = ("laptop", "printer", "invoice", "travel card", "headset", "monitor", "visa", "insurance policy", "parking permit", "phone contract")
LABELS = ("card_lost", "card_stolen", "refund_status", "change_address", "cancel_order", "vat_return", "payroll_question", "password_reset")
LEADS, TAILS = (
    ("Hello, ", "Thanks for asking. ", "Sure: "),
    (" Let us know if anything is unclear.", " Have a nice day!", " You find the details in your account."),
)


@dataclass(frozen=True)
class Pair:
    """Two examples with near-duplicate inputs; `kind` says how they were made, `conflict` whether they contradict each other."""

    one: Side
    two: Side
    conflict: bool
    kind: str


def planted_pairs(count: int, seed: int) -> list[Pair]:
    """`count` pairs, about half of them contradictions."""
    chance = random.Random(seed)
    return [chance.choice(_MAKERS)(chance) for _ in range(count)]


def _question(chance: random.Random) -> tuple[str, str]:
    text = f"What should I know about my {chance.choice(ITEMS)}, order {chance.randrange(1000, 9999)}?"
    return text, chance.choice([text, text.lower(), text.rstrip("?"), text.replace("should", "shoud")])


def _pair(chance: random.Random, one: str | None, two: str | None, conflict: bool, kind: str, refuted: str | None = None) -> Pair:
    first, second = _question(chance)
    return Pair(Side(first, one, None), Side(second, two, refuted), conflict, kind)


def _numbers(chance: random.Random) -> Pair:
    forms, item = chance.choice(ANSWERS[:6]), chance.choice(ITEMS)
    low, high = chance.sample(range(1, 60), 2)
    return _pair(chance, chance.choice(forms).format(item=item, n=low), chance.choice(forms).format(item=item, n=high), True, "number changed")


def _negation(chance: random.Random) -> Pair:
    yes, no = (text.format(item=chance_item) for chance_item in [chance.choice(ITEMS)] for text in chance.choice(NEGATED))
    return _pair(chance, *chance.sample([yes, no], 2), True, "negated")


def _labels(chance: random.Random) -> Pair:
    return _pair(chance, *chance.sample(LABELS, 2), True, "another label")


def _fields(chance: random.Random) -> Pair:
    document = {"urgency": chance.choice(["low", "high"]), "topic": chance.choice(LABELS), "amount": chance.randrange(100)}
    other = document | {"urgency": {"low": "high", "high": "low"}[str(document["urgency"])]}
    return _pair(chance, orjson.dumps(document).decode(), orjson.dumps(other, option=orjson.OPT_INDENT_2).decode(), True, "another field")


def _other_answer(chance: random.Random) -> Pair:
    one, two = chance.sample(ANSWERS, 2)
    items = chance.sample(ITEMS, 2)
    number = chance.randrange(60)
    return _pair(
        chance, chance.choice(one).format(item=items[0], n=number), chance.choice(two).format(item=items[1], n=number), True, "an answer to something else"
    )


def _refuted(chance: random.Random) -> Pair:
    answer = chance.choice(chance.choice(ANSWERS)).format(item=chance.choice(ITEMS), n=chance.randrange(60))
    return _pair(chance, answer, None, True, "right and wrong", refuted=answer.upper())


def _reworded(chance: random.Random) -> Pair:
    one, two = chance.sample(chance.choice(ANSWERS), 2)
    values = {"item": chance.choice(ITEMS), "n": chance.randrange(1, 60)}
    return _pair(chance, one.format(**values), two.format(**values), False, "reworded")


def _edited(chance: random.Random) -> Pair:
    text = chance.choice([*chance.choice(ANSWERS), *chance.choice(NEGATED)]).format(item=chance.choice(ITEMS), n=chance.randrange(1, 60))
    edits = [
        text.upper(),
        text.rstrip(".") + "!",
        chance.choice(LEADS) + text,
        text + chance.choice(TAILS),
        text.replace(" the ", " your "),
        text.replace("  ", " "),
    ]
    return _pair(chance, text, chance.choice(edits), False, "edited lightly")


def _same_label(chance: random.Random) -> Pair:
    label = chance.choice(LABELS)
    return _pair(chance, label, chance.choice([label.upper(), f" {label}.", label]), False, "the same label")


def _more_fields(chance: random.Random) -> Pair:
    document = {"urgency": chance.choice(["low", "high"]), "topic": chance.choice(LABELS)}
    return _pair(
        chance, orjson.dumps(document).decode(), orjson.dumps({"topic": document["topic"], "language": "en"} | document).decode(), False, "one field more"
    )


def _other_question(chance: random.Random) -> Pair:
    first, _ = _question(chance)
    number = first.split()[-1].rstrip("?")
    second = first.replace(number, str(int(number) + 1))
    one, two = chance.sample(LABELS, 2)
    return Pair(Side(first, one, None), Side(second, two, None), False, "another order number")


_MAKERS = (_numbers, _negation, _labels, _fields, _other_answer, _refuted, _reworded, _reworded, _edited, _edited, _same_label, _more_fields, _other_question)
