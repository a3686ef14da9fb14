"""What personal data looks like: patterns, the words around them, and the scores they need to count.

Belongs here: finding spans in one text. Not here: placeholders, JSON, and anything that remembers a value across texts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import phonenumbers

BLANK = "\x00"  # Stands for text that is already dealt with: no digit, no letter, no part of an address.
_NEVER = 2.0  # A score no finding reaches.

# One definition of an address serves both the scrubbing below and the check in the database, so that what the check finds is never more
# than what is scrubbed. Written for Python's `re` and PostgreSQL's ARE alike: no look-behind, code points instead of classes.
_FOREIGN = "\\u00ad\\u00aa\\u00b5\\u00ba\\u00c0-\\u1fff\\u200b-\\u200d\\u2060\\u2c00-\\u2dff\\u3005-\\ud7ff\\uf900-\\ufdff\\ufeff"
_LOCAL = f"A-Za-z0-9.!$%'*+^_~{_FOREIGN}-"
_AT = "(?:@|%40|\\uff20|\\ufe6b)"
_LABEL = f"[A-Za-z0-9_{_FOREIGN}-]"
_DOMAIN = f"(?:(?:{_LABEL}+[.])+(?:xn--[A-Za-z0-9-]+|[A-Za-z{_FOREIGN}][A-Za-z{_FOREIGN}]+)|\\[[0-9A-Fa-f:.IPv]+\\])"
EMAIL_PATTERN: str = f'[{_LOCAL}]"?{_AT}{_DOMAIN}'

_SPELT_AT = r"\s?[\[({]\s?(?:at|ät|@)\s?[\])}]\s?"
_SPELT_DOT = r"(?:\s?[\[({]\s?(?:dot|punkt|\.)\s?[\])}]\s?|\.)"
_SPELT_EMAIL = re.compile(rf"[\w.+-]{{1,64}}(?<=\w){_SPELT_AT}(?:[\w-]{{1,63}}{_SPELT_DOT}){{1,5}}[^\W\d_]{{2,24}}(?!\w)", re.IGNORECASE)
_SPELT_HINT = re.compile(r"[\[({]\s?(?:at|ät|@)\s?[\])}]", re.IGNORECASE)
_AT_DOMAIN = re.compile(f"{_AT}{_DOMAIN}(?:{_LABEL}*[A-Za-z0-9{_FOREIGN}])?", re.IGNORECASE)
_LOCAL_CHARACTER = re.compile(f"[{_LOCAL}]", re.IGNORECASE)
_DECORATION = ".'*~_+!$%^-"

_URL = re.compile(r"(?<!\w)(?:[a-z][a-z0-9+.-]{1,15}://|www\.)[^\s<>\"`\x00]+", re.IGNORECASE)
_URL_LOGIN = re.compile(r"^[^/]*//[^/?#]*@")
_URL_TOKEN = re.compile(
    r"[?&;#](?:[\w.-]*(?:token|secret|passw(?:or)?d|pwd|api[_-]?key|session(?:_?id)?"
    r"|signature|credential|jwt|e-?mail|phone)|user(?:_?name|_?id)?|login|uid)=[^&;#]"
    r"|[?&;#](?:code|key|auth|sig|sid|otp|hash|s)=(?=[^&;#]*\d)[^&;#]{8}"
    r"|/(?:reset|invite|invitation|unsubscribe|verify|confirm|activate|magic|share|services)/(?=[^?#]*\d)[\w/-]{16}"
    r"|[/=]eyJ[\w-]{8,}\.",
    re.IGNORECASE,
)

_IBAN_HEAD = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2})\d{2}(?=[ \u00a0.-]?[A-Za-z0-9])")
_IBAN_LENGTHS = {
    code: int(length)
    for code, length in re.findall(
        r"([A-Z]{2})(\d{2})",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 "
        "HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 "
        "RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20",
    )
}

# Words that say a number is something else. They count right before it, or with one short word between ("invoice number is ...").
_JUST_BEFORE = r"\W{0,3}(?:[^\W\d]{1,9}\W{1,3})?$"
_OTHER_NUMBER = (
    r"(?:rechnung|beleg|bestell|auftrag|artikel|aktenzeichen|kundennummer|kunden-?nr"
    r"|konto|konten|vertrag|buchung|sendung|seriennummer|mandant|lieferschein|angebot"
    r"|gutschrift|betrag|summe|menge|preis|zeile|vorgang|charge|material|projekt|hinweis|zählerstand|personalnummer)\w*"
    r"|\b(?:invoices?|inv|order|article|item|sku|parts?|ticket|case|ref(?:erence)?|customer"
    r"|account|accounts|contract|serial|tracking|batch|amounts?|total|price|quantity"
    r"|isbn|ean|gtin|sap|po|document|receipt|line|id|eur|usd|chf|gbp|timestamp|build)\b|€|\$|£"
)
_VERSION = (
    r"\b(?:v|version|ver|release|rel|firmware|build|update|upgrade|patch|driver|treiber|section|sections|chapter|clause|annex|appendix"
    r"|anhang|abschnitt|kapitel|ziffer|ziff|nr|no|absatz|punkt|tz|rz|rn|nummer|gliederung|paragraph|para|step|schritt|§+)\b"
)
_EDGE = r"(?<!\w)(?<!\d[-./,:])"
_END = r"(?!\w)(?![-./:,]\d)"
_GAP = r"[ \u00a0.-]?"


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _just_before(pattern: str) -> re.Pattern[str]:
    return re.compile(f"({pattern}){_JUST_BEFORE}", re.IGNORECASE)


_OTHER = _just_before(_OTHER_NUMBER)
_NOTHING = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One span of personal data: where, what, and its value in normal form (equal values look equal)."""

    start: int
    end: int
    entity: str
    value: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern, how to score what it finds, and the score needed: with a word naming the entity nearby, with none, with a word against it."""

    entity: str
    pattern: re.Pattern[str]
    score: Callable[[str], float]
    floors: tuple[float, float, float]
    context: re.Pattern[str]
    against: re.Pattern[str] = _OTHER


@cache
def _recognizer(name: str) -> Any:
    # Imported on first need: Presidio pulls in torch and spaCy, which takes seconds. Its recognizers are used one by one, never its
    # engine, so no language model is asked for; and not its e-mail recognizer, the only one that asks the network (for a list of domains).
    import presidio_analyzer.predefined_recognizers as recognizers

    return getattr(recognizers, name)()


def _matched(name: str, value: str) -> float:
    """The score that one of Presidio's recognizers gives to the value as a whole."""
    recognizer = _recognizer(name)
    found = recognizer.analyze(value, recognizer.supported_entities, None)
    return max((float(result.score) for result in found if result.start == 0 and result.end == len(value)), default=0.0)


def _checksum(name: str, value: str) -> float:
    """1 where Presidio's checksum holds for the letters and digits of the value."""
    return float(_recognizer(name).validate_result(compact(value)) is True)


def _card(value: str) -> float:
    holds = _checksum("CreditCardRecognizer", value)
    return holds if not value.isdigit() else holds * 0.8  # printed in groups it can hardly be another number


def _ip(value: str) -> float:
    try:
        address = ipaddress.ip_address(value.partition("%")[0])
    except ValueError:
        return 0.0
    if address.is_loopback or address.is_unspecified or value.startswith("255."):
        return 0.0  # says nothing about anyone
    numbers = [int(part) for part in value.split(".")] if address.version == 4 else []
    ambiguous = max(numbers) < 32 and numbers[0] != 10 if numbers else not re.search(r"\d", value)
    return 0.3 if ambiguous else 0.6  # 1.2.3.4 may be a version, dead::beef a name


def _vat(value: str) -> float:
    """1 where the country's checksum holds, .5 where none is known here."""
    number = compact(value)
    country, digits = number[:2], number[2:]
    if country == "DE":
        return _checksum("DeVatIdRecognizer", number)
    if country == "AT":
        total = sum(int(d) if i % 2 == 0 else sum(divmod(int(d) * 2, 10)) for i, d in enumerate(digits[1:8]))
        return float((96 - total) % 10 == int(digits[8]))
    if country in ("GB", "XI") and len(digits) >= 9:
        total = sum(int(d) * w for d, w in zip(digits[:7], range(8, 1, -1), strict=True)) + int(digits[7:9])
        return float(total % 97 in (0, 42))
    return 0.5


def _certain(value: str) -> float:
    return 1.0


def compact(value: str) -> str:
    """Letters and digits only, upper case: the normal form of most numbers."""
    return "".join(character for character in value if character.isalnum()).upper()


_IP_WORDS = _words(r"\bip(?:v[46])?\b|ip-?adress|\bhost\b|\bserver\b|\bping\b|\blogin\b|anmeldung|gateway|\bdns\b|netz|network|firewall")
_SSN_WORDS = r"\b(?:ssns?|ss#|social\s+security|sozialversicherung\w*(?:\s+\(usa\))?)\b"
RULES: tuple[Rule, ...] = (
    Rule(
        "CREDIT_CARD",
        re.compile(
            rf"{_EDGE}(?:(?:4\d{{3}}|5[1-5]\d\d|2[2-7]\d\d|6011|6[45]\d\d|35\d\d){_GAP}\d{{4}}{_GAP}\d{{4}}{_GAP}\d{{4}}|3[47]\d\d{_GAP}\d{{6}}{_GAP}\d{{5}}"
            rf"|3[068]\d\d{_GAP}\d{{6}}{_GAP}\d{{4}}){_END}"
        ),
        _card,
        (0.8, 0.8, 1.0),
        _words(r"karte|\bcards?\b|visa|master|amex|american express|diners|kreditk"),
    ),
    Rule(
        "DE_SOCIAL_SECURITY",
        re.compile(rf"{_EDGE}\d{{2}}{_GAP}\d{{6}}{_GAP}[A-Za-z]{_GAP}\d{{3}}{_END}"),
        partial(_checksum, "DeSocialSecurityRecognizer"),
        (1.0, 1.0, _NEVER),
        _words(r"sozialversicherung|rentenversicherung|\bsv-?n|\brvnr|versicherungsnummer|social security"),
    ),
    Rule(
        "VAT_ID",
        re.compile(
            rf"{_EDGE}(?:ATU{_GAP}\d{{8}}|(?:DE|EE|EL|PT){_GAP}\d{{3}}{_GAP}\d{{3}}{_GAP}\d{{3}}"
            rf"|(?:GB|XI){_GAP}\d{{3}}{_GAP}\d{{4}}{_GAP}\d{{2}}(?:{_GAP}\d{{3}})?"
            rf"|(?:DK|FI|HU|LU|MT|SI){_GAP}\d{{8}}|(?:BE|PL|SK){_GAP}\d{{10}}|(?:HR|IT|LV){_GAP}\d{{11}}|SE{_GAP}\d{{12}}|NL{_GAP}\d{{9}}B\d{{2}}"
            rf"|FR{_GAP}[A-Z0-9]{{2}}{_GAP}\d{{3}}{_GAP}\d{{3}}{_GAP}\d{{3}}|ES{_GAP}[A-Z0-9]\d{{7}}[A-Z0-9]|(?:BG|CZ|LT|RO|CY|IE){_GAP}\d[A-Z0-9]{{6,11}}"
            rf"|CHE[- ]?\d{{3}}[. ]?\d{{3}}[. ]?\d{{3}}(?:\s?(?:MWST|TVA|IVA))?){_END}",
            re.IGNORECASE,
        ),
        _vat,
        (0.5, 1.0, _NEVER),
        _words(r"\bvat\b|ust\b|ust\.|ust-?id|umsatzsteuer|uid\b|\btva\b|\bbtw\b|\biva\b|mwst|tax (?:id|number)|steuernummer"),
        _just_before(r"artikel\w*|article|\bpart\b|\bsku\b|bestell\w*|\border\b|material\w*|serien\w*|serial|teilenummer"),
    ),
    Rule(
        "DE_TAX_ID",
        re.compile(rf"{_EDGE}[1-9]\d[ \u00a0]?\d{{3}}[ \u00a0]?\d{{3}}[ \u00a0]?\d{{3}}{_END}"),
        partial(_checksum, "DeTaxIdRecognizer"),
        (1.0, _NEVER, _NEVER),
        _words(r"steuer-?\s?id|steuerliche|identifikationsnummer|\bid-?nr|\btax[- ]?(?:id|identification)|\btin\b"),
    ),
    Rule(
        "DE_TAX_NUMBER",
        re.compile(rf"{_EDGE}(?:\d{{2,3}}\s?/\s?\d{{3,4}}\s?/\s?\d{{4,5}}|\d{{10,11}}|\d{{13}}){_END}"),
        _certain,
        (1.0, _NEVER, _NEVER),
        _words(r"steuer-?(?:nummer|nr)|\bst\.?-?\s?nr|tax number"),
    ),
    Rule(
        "US_ITIN",
        re.compile(rf"{_EDGE}9\d\d[ -]?[5-9]\d[ -]?\d{{4}}{_END}"),
        partial(_matched, "UsItinRecognizer"),
        (0.05, 0.5, 0.5),
        _words(r"\bitin\b|taxpayer|\btin\b"),
        _NOTHING,
    ),
    Rule(
        "US_SSN",
        re.compile(rf"{_EDGE}(?:\d{{3}}-\d{{2}}-\d{{4}}|\d{{3}} \d{{2}} \d{{4}}|\d{{3}}\.\d{{2}}\.\d{{4}}|\d{{9}}){_END}"),
        partial(_matched, "UsSsnRecognizer"),
        (0.05, 0.5, _NEVER),
        _words(_SSN_WORDS),
    ),
    Rule(
        "UK_NINO",
        re.compile(rf"{_EDGE}[A-Za-z]{{2}}[ -]?\d\d[ -]?\d\d[ -]?\d\d[ -]?[A-Da-d]{_END}"),
        lambda value: _matched("UkNinoRecognizer", compact(value)),
        (0.5, 0.5, _NEVER),
        _words(r"national insurance|\bni\s?(?:no|number)|nino\b"),
    ),
    Rule(
        "UK_UTR",
        re.compile(rf"{_EDGE}\d{{5}} ?\d{{5}}K?{_END}", re.IGNORECASE),
        _certain,
        (1.0, _NEVER, _NEVER),
        _words(r"\butr\b|unique taxpayer(?: reference)?"),
    ),
    Rule("US_EIN", re.compile(rf"{_EDGE}\d\d-?\d{{7}}{_END}"), _certain, (1.0, _NEVER, _NEVER), _words(r"\bf?ein\b(?-i:(?<=EIN))|employer identification")),
    Rule(
        "IP_ADDRESS",
        re.compile(
            r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}(?=:)|(?=::))(?:::?[0-9A-Fa-f]{1,4}){1,8}(?:::)?(?:(?:\.\d{1,3}){3})?(?:%\w{1,15})?(?![\w:])"
            r"|(?<![\w:.])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,6}::(?![\w:])"
        ),
        _ip,
        (0.3, 0.6, 0.6),
        _IP_WORDS,
        _NOTHING,
    ),
    Rule(
        "IP_ADDRESS",
        re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w)(?!\.\d|-?[A-Za-z]|,\d|\s?(?:€|EUR|USD|CHF|GBP|Stück))"),
        _ip,
        (0.3, 0.6, _NEVER),
        _IP_WORDS,
        _just_before(_VERSION),
    ),
)

# A spaced slash may follow the area code ("0171 / 1234567"); later it parts two numbers.
_PHONE = re.compile(r"(?<![\w+])(?<!\d[-./,:])(?!0[.,]\d)(?:\+[ ]?|\(\+)?\(?\d{1,5}(?: / )?(?:(?:[ \u00a0().\u2013-]{0,3}|/)\d){3,16}(?!\w)(?![,:]\d)")
_PHONE_STRONG = _just_before(r"telefon\w*|\w*phone(?:[ -]?number)?|\btel\b(?!\.?\s?aviv)|mobil\w*|handy\w*|\bfax\w*|whatsapp|durchwahl|rufnummer")
_PHONE_WORDS = _words(
    r"(?:telefon|phone|\btel\b|\btel\.|mobil|handy|\bcell\b|\bfax|whatsapp|\bsms\b|durchwahl"
    r"|r[uü]ckruf|anruf|angerufen|\br[uü]f|\bcall|\bring\b|\bdial|erreich|reach)"
    r"\w*\.?(?:[ -]?(?:number|no|nr|nummer)\b\.?)?"
)
_SPLITS = 500  # So many runs of digits are taken apart in one text: prose has a few, a text made to cost time has thousands.
_PHONE_REGIONS = ("DE", "GB", "US", "AT", "CH", "FR")
_DATE = re.compile(r"(?<!\d)(?:\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d\d|(?:19|20)\d\d[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}\.\d{1,2}\.\d\d)(?!\d)")
_US_FORM = re.compile(r"\(?[2-9]\d\d\)?[ .-]{1,2}\d{3}[ .-]\d{4}$")
_MOBILE = phonenumbers.PhoneNumberType.MOBILE


_LINK = re.compile(r"^[\s(,:=-]*(?:(?:is|ist)\s(?:my|the|our|meine|unsere|die)\s)?(?:steuerliche\s)?")


def _stance(text: str, start: int, end: int, context: re.Pattern[str], against: re.Pattern[str]) -> int:
    """0 where a word near the span names the entity, 2 where a nearer one speaks against it, 1 where neither does."""
    before = text[max(0, start - 60) : start]
    named = max((match.end() for match in context.finditer(before)), default=-1)
    word = against.search(before, max(0, len(before) - 40))
    opposed = word.end(1) if word else -1
    if named >= 0 and named >= opposed:
        return 0
    if opposed >= 0:
        return 2
    return 0 if context.match(_LINK.sub("", text[end : end + 40], count=1)) else 1


def _apply(rule: Rule, text: str) -> Iterator[Finding]:
    for match in rule.pattern.finditer(text):
        start, end = match.span()
        floor = rule.floors[_stance(text, start, end, rule.context, rule.against)]
        if floor <= 1 and rule.score(match[0]) >= floor:
            yield Finding(start, end, rule.entity, compact(match[0]) if rule.entity != "IP_ADDRESS" else match[0].lower())


def _urls(text: str) -> Iterator[Finding]:
    for match in _URL.finditer(text):
        url = match[0].rstrip(".,;:!?)]}'*_")
        if _URL_LOGIN.search(url) or _URL_TOKEN.search(url):
            yield Finding(match.start(), match.start() + len(url), "URL", url)


def _local_start(text: str, at: int, floor: int) -> int:
    """Where the part before the @ begins, never before `floor`; `at` itself where there is none."""
    start = at
    if start > floor + 1 and text[start - 1] == '"':
        if not _LOCAL_CHARACTER.match(text[start - 2]):
            return at
        opening = text.rfind('"', max(floor, start - 66), start - 1)
        if opening >= 0 and "\n" not in text[opening:start]:
            return opening
        start -= 1
    while start > floor and (_LOCAL_CHARACTER.match(text[start - 1]) or (text[start - 1] == "=" and "+" in text[max(floor, start - 64) : start].split()[-1])):
        start -= 1
    decoration = len(text[start:at]) - len(text[start:at].lstrip(_DECORATION))
    return start + decoration if start + decoration < at else start


def _emails(text: str) -> Iterator[Finding]:
    floor = 0
    for match in _AT_DOMAIN.finditer(text):
        start = _local_start(text, match.start(), floor)
        if start < match.start():
            floor = match.end()
            yield Finding(start, floor, "EMAIL", _email_value(text[start:floor]))


def _spelt_emails(text: str) -> Iterator[Finding]:
    for match in _SPELT_EMAIL.finditer(text):
        dotted = re.sub(_SPELT_DOT, ".", re.sub(_SPELT_AT, "@", match[0], count=1, flags=re.IGNORECASE), flags=re.IGNORECASE)
        yield Finding(match.start(), match.end(), "EMAIL", _email_value(dotted))


def _email_value(raw: str) -> str:
    visible = re.sub("[\u00ad\u200b-\u200d\u2060\ufeff]", "", raw)
    return re.sub(_AT, "@", visible, count=1).casefold()


def _ibans(text: str) -> Iterator[Finding]:
    for head in _IBAN_HEAD.finditer(text):
        length = _IBAN_LENGTHS.get(head[1].upper())
        end = _end_of(text, head.start(), length) if length else None
        value = compact(text[head.start() : end]) if end else ""
        if end and _matched("IbanRecognizer", value) == 1:
            yield Finding(head.start(), end, "IBAN", value)


def _end_of(text: str, start: int, length: int) -> int | None:
    """The end of `length` letters and digits from `start`, single separators aside; None where a word goes on or breaks off."""
    taken, position = 0, start
    while position < len(text) and taken < length:
        if text[position].isascii() and text[position].isalnum():
            taken += 1
        elif text[position] not in " \u00a0.-" or text[position - 1] in " \u00a0.-":
            return None
        position += 1
    return position if taken == length and not (position < len(text) and text[position].isalnum()) else None


def _phones(text: str) -> Iterator[Finding]:
    plain = _DATE.sub(lambda match: BLANK * len(match[0]), text)
    tries = _SPLITS
    for match in _PHONE.finditer(plain):
        raw = match[0].lstrip("(") if ")" not in match[0] else match[0]
        start, digits = match.end() - len(raw), re.sub(r"\D", "", raw)
        strong = bool(_PHONE_STRONG.search(plain[max(0, start - 40) : start]))
        if len(digits) < 6 or not (strong or raw[0] in "+(0" or _US_FORM.match(raw)):
            continue
        stance = 0 if strong else _stance(plain, start, match.end(), _PHONE_WORDS, _OTHER)
        value = _phone_value(raw, digits, stance)
        tries -= not value
        parts = [] if value or stance == 2 or tries < 0 else list(_phones_within(plain, start, match.end()))
        if not value and not parts and strong and 7 <= len(digits) <= 15:
            value = digits  # named as a phone number: then it is one, however it is written
        yield from [Finding(start, match.end(), "PHONE", value)] if value else parts


def _phone_value(raw: str, digits: str, stance: int) -> str | None:
    """The number in international form where it counts as one, else None."""
    if raw.lstrip("(").startswith("+") or digits.startswith("00"):
        number = _parse("+" + re.sub(r"\(0\)", "", raw).lstrip("(+ ") if "+" in raw else "+" + digits[2:], None)
        if number and (phonenumbers.is_valid_number(number) or (stance == 0 and phonenumbers.is_possible_number(number))):
            return _international(number)
        return None
    if len(digits) > 13:
        return None  # longer than any national number
    grouped = raw != digits and (len(digits) >= 9 or raw[0] == "(")
    for region in _PHONE_REGIONS:
        number = _parse(raw, region)
        if number is None or not phonenumbers.is_valid_number(number):
            continue
        own_form = bool(_US_FORM.match(raw)) if region == "US" else digits[0] == "0"
        mobile = phonenumbers.number_type(number) == _MOBILE and region != "US" and 10 <= len(digits) <= 12
        if stance == 0 or (stance == 1 and own_form and (mobile or grouped)):
            return _international(number)
    return None


def _phones_within(text: str, start: int, end: int) -> Iterator[Finding]:
    """Two numbers side by side look like one long one: let the library part them."""
    stretch = text[start : end + 24].split("\n")[0]
    for match in phonenumbers.PhoneNumberMatcher(stretch, "DE"):
        if start + match.start < end:
            yield Finding(start + match.start, start + match.end, "PHONE", _international(match.number))


def _parse(raw: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(raw, region)
    except phonenumbers.NumberParseException:
        return None


def _international(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


_HAS_AT = re.compile(_AT)
_HAS_DIGITS = re.compile(r"\d(?:\D{0,3}\d){3}|[0-9A-Fa-f]?::")


def find(text: str) -> list[Finding]:
    """Every span of personal data in the text, in order, none overlapping another; BLANK characters are passed over."""
    found: list[Finding] = []

    def take(findings: Iterator[Finding]) -> None:
        nonlocal text
        new: list[Finding] = []
        for finding in findings:
            if not new or finding.start >= new[-1].end:
                new.append(finding)
        text = blank(text, [(finding.start, finding.end) for finding in new])
        found.extend(new)

    if "://" in text or "www." in text.lower():
        take(_urls(text))
    if _HAS_AT.search(text):
        take(_emails(text))
    if _SPELT_HINT.search(text):
        take(_spelt_emails(text))
    if _HAS_DIGITS.search(text):
        take(_ibans(text))
        for rule in RULES:
            take(_apply(rule, text))
        take(_phones(text))
    return sorted(found, key=lambda finding: finding.start)


def blank(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with the spans (in order) turned into as many BLANKs."""
    pieces, position = [], 0
    for start, end in spans:
        pieces += [text[position:start], BLANK * (end - start)]
        position = end
    return "".join([*pieces, text[position:]]) if spans else text
