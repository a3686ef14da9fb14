"""Belongs here: how people and machines are reached: e-mail addresses, telephone numbers, URLs that say who someone is, IP addresses.
Not here: numbers of persons, accounts and companies (privacy_numbers.py), the order of finding (privacy_patterns.py)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

import phonenumbers

from learning_pipelines.feedback.privacy_spans import BLANK, OTHER, Finding, just_before, stance, words

# One definition of an address serves both the scrubbing below and the check in the database, so that what the check finds is never more
# than what is scrubbed. Written for Python's `re` and PostgreSQL's ARE alike: no look-behind, code points instead of classes.
_FOREIGN = "\\u00ad\\u00aa\\u00b5\\u00ba\\u00c0-\\u1fff\\u200b-\\u200d\\u2060\\u2c00-\\u2dff\\u3005-\\ud7ff\\uf900-\\ufdff\\ufeff"
_LOCAL = f"A-Za-z0-9.!$%'*+^_~{_FOREIGN}-"
_AT = "(?:@|%40|\\uff20|\\ufe6b)"
_LABEL = f"[A-Za-z0-9_{_FOREIGN}-]"
_DOMAIN = f"(?:(?:{_LABEL}+[.])+(?:xn--[A-Za-z0-9-]+|[A-Za-z{_FOREIGN}][A-Za-z{_FOREIGN}]+)|\\[[0-9A-Fa-f:.IPv]+\\])"
EMAIL_PATTERN: str = f'[{_LOCAL}]"?{_AT}{_DOMAIN}'

_SPELT_AT = r"(?:\s?[\[({]\s?(?:at|ät|@)\s?[\])}]\s?|(?-i: AT ))"
_SPELT_DOT = r"(?:\s?[\[({]\s?(?:dot|punkt|\.)\s?[\])}]\s?|(?-i: DOT )|\.)"
_SPELT_EMAIL = re.compile(
    rf"[\w+-]{{1,64}}(?:{_SPELT_DOT}[\w+-]{{1,64}}){{0,3}}(?<=\w){_SPELT_AT}"
    rf"(?:[\w-]{{1,63}}{_SPELT_DOT}){{1,5}}[^\W\d_]{{2,24}}(?!\w)",
    re.IGNORECASE,
)
_SPELT_HINT = re.compile(r"[\[({]\s?(?:at|ät|@)\s?[\])}]|(?-i: AT [\w-]+(?: DOT |\.)\w)", re.IGNORECASE)
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

# A spaced slash may follow the area code ("0171 / 1234567"); later it parts two numbers.
_UNSPACED = "\\u3040-\\u30ff\\u3400-\\u9fff"  # scripts that set no space between a word and a number
_PHONE = re.compile(
    rf"(?:(?<![\w+])|(?<=[{_UNSPACED}]))"
    r"(?<!\d[-./,:])(?!0[.,]\d)(?:\+\d{1,3}[ ]?\(0\)[ ]?)?(?:\+[ ]?|\(\+)?\(?\d{1,5}(?: / )?(?:(?:[ \u00a0().\u2013-]{0,3}|/)\d){3,16}"
    rf"(?:(?!\w)|(?=[{_UNSPACED}]))(?![,:]\d)"
)
_PHONE_STRONG = just_before(
    r"telefon\w*|\w*phone(?:[ -]?number)?|\btel\b(?!\.?\s?aviv)|mobil\w*|handy\w*|\bfax\w*|whatsapp|durchwahl|rufnummer"
    r"|my number|meine nummer"
)
_PHONE_WORDS = words(
    r"(?:telefon|phone|\btel\b|\btel\.|mobil|handy|\bcell\b|\bfax|whatsapp|\bsms\b|durchwahl"
    r"|r[uü]ckruf|anruf|angerufen|\br[uü]f|\bcall|\bring\b|\bdial|erreich|reach)"
    r"\w*\.?(?:[ -]?(?:number|no|nr|nummer)\b\.?)?"
)
_SPLITS = 500  # So many runs of digits are taken apart in one text: prose has a few, a text made to cost time has thousands.
_PHONE_REGIONS = ("DE", "GB", "US", "AT", "CH", "FR")
_DATE = re.compile(r"(?<!\d)(?:\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d\d|(?:19|20)\d\d[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}\.\d{1,2}\.\d\d)(?!\d)")
_US_FORM = re.compile(r"\(?[2-9]\d\d\)?[ .-]{1,2}\d{3}[ .-]\d{4}$")
_MOBILE = phonenumbers.PhoneNumberType.MOBILE
_SSN_FORM = re.compile(r"\d{3}-\d\d-\d{4}")  # such as well-known samples, which no rule takes for someone's number
_HAS_AT = re.compile(_AT)


def ip(value: str) -> float:
    """How surely the value is an address that means someone."""
    try:
        address = ipaddress.ip_address(value.partition("%")[0])
    except ValueError:
        return 0.0
    if address.is_loopback or address.is_unspecified or value.startswith("255."):
        return 0.0  # says nothing about anyone
    numbers = [int(part) for part in value.split(".")] if address.version == 4 else []
    ambiguous = max(numbers) < 32 and numbers[0] != 10 if numbers else not re.search(r"\d", value)
    return 0.3 if ambiguous else 0.6  # 1.2.3.4 may be a version, dead::beef a name


def urls(text: str) -> Iterator[Finding]:
    """URLs with a login, a token or a personal parameter."""
    if "://" not in text and "www." not in text.lower():
        return
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


def emails(text: str) -> Iterator[Finding]:
    """Addresses as a mail program would take them, and their URL-encoded form."""
    if not _HAS_AT.search(text):
        return
    floor = 0
    for match in _AT_DOMAIN.finditer(text):
        start = _local_start(text, match.start(), floor)
        if start < match.start():
            floor = match.end()
            yield Finding(start, floor, "EMAIL", _email_value(text[start:floor]))


def spelt_emails(text: str) -> Iterator[Finding]:
    """Addresses written for people only: max (at) firma (dot) de."""
    if not _SPELT_HINT.search(text):
        return
    for match in _SPELT_EMAIL.finditer(text):
        dotted = re.sub(_SPELT_DOT, ".", re.sub(_SPELT_AT, "@", match[0], count=1, flags=re.IGNORECASE), flags=re.IGNORECASE)
        yield Finding(match.start(), match.end(), "EMAIL", _email_value(dotted))


def _email_value(raw: str) -> str:
    visible = re.sub("[\u00ad\u200b-\u200d\u2060\ufeff]", "", raw)
    return re.sub(_AT, "@", visible, count=1).casefold()


def phones(text: str) -> Iterator[Finding]:
    """Telephone numbers: in international form, in a region's own form, or named as one."""
    plain = _DATE.sub(lambda match: BLANK * len(match[0]), text)
    tries = _SPLITS
    for match in _PHONE.finditer(plain):
        raw = match[0].lstrip("(") if ")" not in match[0] else match[0]
        start, digits = match.end() - len(raw), re.sub(r"\D", "", raw)
        strong = bool(_PHONE_STRONG.search(plain[max(0, start - 40) : start]))
        if len(digits) < 6 or not (strong or raw[0] in "+(0" or _US_FORM.match(raw)):
            continue
        near = 0 if strong else stance(plain, start, match.end(), _PHONE_WORDS, OTHER)
        if near and _SSN_FORM.fullmatch(raw):
            continue
        value = _phone_value(raw, digits, near)
        tries -= not value
        parts = [] if value or near == 2 or tries < 0 else list(_phones_within(plain, start, match.end()))
        if not value and not parts and strong and 7 <= len(digits) <= 15:
            value = digits  # named as a phone number: then it is one, however it is written
        yield from [Finding(start, match.end(), "PHONE", value)] if value else parts


def _phone_value(raw: str, digits: str, near: int) -> str | None:
    """The number in international form where it counts as one, else None."""
    if raw.lstrip("(").startswith("+") or digits.startswith("00"):
        number = _parse("+" + re.sub(r"\(0\)", "", raw).lstrip("(+ ") if "+" in raw else "+" + digits[2:], None)
        if number and (phonenumbers.is_valid_number(number) or (near == 0 and phonenumbers.is_possible_number(number))):
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
        if near == 0 or (near == 1 and own_form and (mobile or grouped)):
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
