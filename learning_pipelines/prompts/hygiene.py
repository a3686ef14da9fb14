"""What no proposed prompt may hold: text copied from examples, personal data, users' text in the system role, anything that breaks out of its turn, padding.

Belongs here: finding such faults, pure. Not here: dropping candidates (proposals.py), personal data itself (feedback/privacy_patterns.py).

A span is copied if SPAN tokens in a row (own tokenisation: words, casefolded, punctuation and line breaks dropped) stand in an example's input, expected
answer or context too. Exempt are what the incumbent says already, the labels in their order, and a declared demonstration: a user and an assistant turn
that are, verbatim, the input and the expected answer of a train example whose id is in `Candidate.shown`. Length: see `length_pays`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from learning_pipelines.feedback.privacy_patterns import find
from learning_pipelines.feedback.privacy_placeholders import PLACEHOLDER, strings
from learning_pipelines.feedback.privacy_spans import blank
from learning_pipelines.llm import Message
from learning_pipelines.prompts.prompt import Prompt
from learning_pipelines.prompts.task import Candidate, Item, Task
from learning_pipelines.storage.demonstrations import TURN_MARKS

SPAN = 8
WHOLE_INPUT = 4
"""In a system message already the whole of an input counts from so many tokens on."""
LONGER = 1.5
GAIN_PER_TOKEN = 0.0001
"""What a longer instruction must gain in score for each input token beyond LONGER × the incumbent's: one point per hundred tokens."""
MOST_CHARS = 4_000
"""Instructions up to this length may race whatever the incumbent's length: whether it pays shows in the race."""

_WORD = re.compile(r"[^\W_]+")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_ROLE = re.compile(TURN_MARKS, re.IGNORECASE)
_SPOKEN = re.compile(r"^\s*(?:###\s*)?(?:system|user|human|assistant)\s*:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind`: copied_span, personal_data, user_text_in_system, undeclared_demonstration, template, chat_role, length, empty. `detail` quotes no text of
    examples: counts, ids, entity names."""

    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Texts:
    """What the examples of a task say, in spans: all of their spans, and their whole inputs of WHOLE_INPUT to SPAN tokens. Made once for many candidates."""

    spans: frozenset[tuple[str, ...]]
    wholes: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, task: Task) -> Texts:
        """Of every split that the task holds: inputs, expected answers, contexts."""
        items = (*task.train, *task.validation, *task.test)
        spans = {span for item in items for text in _texts_of(item) for span in _spans([text])}
        wholes = {tuple(words(item.input)) for item in items}
        return cls(frozenset(spans), frozenset(whole for whole in wholes if WHOLE_INPUT <= len(whole) <= SPAN))


def faults(
    candidate: Candidate,
    task: Task,
    *,
    texts: Texts | None = None,
    gain: float | None = None,
    tokens: tuple[float, float] | None = None,
    min_effect: float = 0.02,
) -> list[Fault]:
    """Everything wrong with a candidate; [] if it may be scored (without `gain`) or served (with it).

    `texts`: Texts.of(task), if it is at hand; `gain`: the candidate's score minus the incumbent's; `tokens`: input tokens per call of candidate and
    incumbent (estimated from the text if None). The incumbent itself has no faults: it was not proposed.
    """
    if candidate.prompt.content_hash == task.incumbent.content_hash:
        return []
    found = [*_structure(candidate, task), *_copied(candidate, task, texts or Texts.of(task)), *_personal(candidate, task)]
    if len(candidate.prompt.instruction) > max_chars(task):
        found.append(Fault("length", f"the instruction has {len(candidate.prompt.instruction)} characters, {max_chars(task)} are the most"))
    elif gain is not None and not length_pays(candidate, task, gain, tokens, min_effect):
        found.append(Fault("length", f"longer than {LONGER} × the present prompt, and a gain of {gain:+.3f} does not pay for it"))
    return found


def max_chars(task: Task) -> int:
    """The longest instruction that may race, in characters."""
    return max(MOST_CHARS, int(LONGER * len(task.incumbent.instruction)))


def length_pays(candidate: Candidate, task: Task, gain: float, tokens: tuple[float, float] | None = None, min_effect: float = 0.02) -> bool:
    """Whether a prompt is worth its length: up to LONGER × the incumbent's tokens always. Beyond, what demonstrations (declared or nearest) add must be
    won back by `min_effect` in all; what the instruction adds beyond LONGER × the incumbent's, by `min_effect` and GAIN_PER_TOKEN for each token more."""
    theirs, ours = (tokens[1], tokens[0]) if tokens else (_estimate(task.incumbent), _estimate(candidate.prompt))
    if ours <= LONGER * theirs:
        return True
    written = _tokens_about(candidate.prompt.instruction) - LONGER * _tokens_about(task.incumbent.instruction)
    extra = max(0.0, min(written, ours - LONGER * theirs))
    return gain >= min_effect + GAIN_PER_TOKEN * extra - 1e-9


def can_be_shown(item: Item) -> bool:
    """Whether an example can be a demonstration: it says something, opens neither a variable nor another turn, and holds no personal data."""
    texts = (item.input, item.expected)
    return all(text.strip() for text in texts) and not any(_breaks_out(text) or _persons(text) for text in texts)


def words(text: str) -> list[str]:
    """The tokens in which copying is counted."""
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return _WORD.findall(plain.casefold())


def _structure(candidate: Candidate, task: Task) -> Iterator[Fault]:
    prompt, own = candidate.prompt, task.incumbent
    if not any(message.content.strip() for message in prompt.messages) and prompt.retrieval is None:
        yield Fault("empty", "the prompt says nothing")
    allowed, kept = _variables(own), _variables(prompt)
    if lost := len(allowed - kept):
        yield Fault("template", f"{lost} variables of the present prompt are gone")
    declared = _declared(candidate, task)
    for at, message in enumerate(prompt.messages):
        if message in own.messages:
            continue
        if _variables_in(message.content) - allowed:
            yield Fault("template", f"message {at + 1} brings a variable that the present prompt does not have")
        if _ROLE.search(message.content) or (at not in declared and _SPOKEN.search(message.content)):
            yield Fault("chat_role", f"message {at + 1} holds a marker of another turn")
        if at not in declared and message.role == "assistant":
            yield Fault("undeclared_demonstration", f"message {at + 1} is not the approved answer of a declared example")


def _copied(candidate: Candidate, task: Task, texts: Texts) -> Iterator[Fault]:
    prompt, declared = candidate.prompt, _declared(candidate, task)
    own = _spans(message.content for message in task.incumbent.messages) | _spans(task.labels)
    system = [message.content for message in prompt.messages if message.role == "system"]
    if (copied := len((_spans(system) & texts.spans) - own)) or _holds_whole(system, texts.wholes, task.incumbent):
        yield Fault("user_text_in_system", f"{copied} spans of {SPAN} tokens, or a whole input, of examples in the system role")
    rest = [message.content for at, message in enumerate(prompt.messages) if at not in declared]
    if copied := len((_spans(rest) & texts.spans) - own):
        yield Fault("copied_span", f"{copied} spans of {SPAN} tokens stand in examples too")


def _personal(candidate: Candidate, task: Task) -> Iterator[Fault]:
    known = {value for message in task.incumbent.messages for value in _persons(message.content)}
    found = {value for message in candidate.prompt.messages if message not in task.incumbent.messages for value in _persons(message.content)} - known
    if found:
        yield Fault("personal_data", ", ".join(sorted({entity for entity, _ in found})))


def _declared(candidate: Candidate, task: Task) -> set[int]:
    """Positions of messages that are declared demonstrations, or were the incumbent's."""
    shown = set(candidate.shown)
    approved = {(item.input, item.expected) for item in task.train if item.id in shown}
    messages, own = candidate.prompt.messages, _pairs(task.incumbent.messages)
    good = {at for at, pair in enumerate(pairwise(messages)) if _turns(pair) and (_texts(pair) in approved or _texts(pair) in own)}
    return good | {at + 1 for at in good}


def _pairs(messages: Sequence[Message]) -> set[tuple[str, str]]:
    return {_texts(pair) for pair in pairwise(messages) if _turns(pair)}


def _turns(pair: tuple[Message, Message]) -> bool:
    return (pair[0].role, pair[1].role) == ("user", "assistant")


def _texts(pair: tuple[Message, Message]) -> tuple[str, str]:
    return pair[0].content, pair[1].content


def _spans(texts: Iterable[str]) -> set[tuple[str, ...]]:
    """Spans across all of the texts, so that what is cut into two messages is found too."""
    tokens = [word for text in texts for word in words(text)]
    return {tuple(tokens[at : at + SPAN]) for at in range(len(tokens) - SPAN + 1)}


def _texts_of(item: Item) -> tuple[str, ...]:
    return (item.input, item.expected, *strings([dict(item.context)]))


def _holds_whole(texts: Sequence[str], wholes: frozenset[tuple[str, ...]], incumbent: Prompt) -> bool:
    tokens, own = [word for text in texts for word in words(text)], [word for message in incumbent.messages for word in words(message.content)]
    lengths = range(WHOLE_INPUT, SPAN + 1)
    runs = {tuple(tokens[at : at + n]) for n in lengths for at in range(len(tokens) - n + 1)} & wholes
    return bool(runs - {tuple(own[at : at + n]) for n in lengths for at in range(len(own) - n + 1)}) if runs else False


@lru_cache(maxsize=20_000)
def _persons(text: str) -> frozenset[tuple[str, str]]:
    """(entity, value) of personal data; placeholders are none."""
    hidden = blank(text, [(match.start(), match.end()) for match in PLACEHOLDER.finditer(text)])
    return frozenset((finding.entity, finding.value) for finding in find(hidden))


def _variables(prompt: Prompt) -> set[str]:
    return {variable for message in prompt.messages for variable in _variables_in(message.content)}


def _variables_in(text: str) -> set[str]:
    """As written, but for spaces."""
    return {"".join(match[0].split()) for match in _TEMPLATE.finditer(text)}


def _breaks_out(text: str) -> bool:
    return bool("{{" in text or "{%" in text or _ROLE.search(text))


def _estimate(prompt: Prompt) -> float:
    return sum(_tokens_about(message.content) + 4 for message in prompt.messages)


def _tokens_about(text: str) -> float:
    return len(text) / 4
