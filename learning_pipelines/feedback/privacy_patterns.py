"""Belongs here: the table of entities: how each looks, which words count beside it, the scores it needs; and the order of finding.
Not here: checksums (privacy_numbers.py), addresses and telephones (privacy_contacts.py), placeholders (privacy.py)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from learning_pipelines.feedback import privacy_contacts as contacts
from learning_pipelines.feedback import privacy_numbers as numbers
from learning_pipelines.feedback.privacy_names import names
from learning_pipelines.feedback.privacy_national import NATIONAL_RULES
from learning_pipelines.feedback.privacy_spans import EDGE, END, GAP, NEVER, NOTHING, Finding, Rule, apply, blank, certain, just_before, words

_VERSION = (
    r"\b(?:v|version|ver|release|rel|firmware|build|update|upgrade|patch|driver|treiber|section|sections|chapter|clause|annex|appendix"
    r"|anhang|abschnitt|kapitel|ziffer|ziff|nr|no|absatz|punkt|tz|rz|rn|nummer|gliederung|paragraph|para|step|schritt|§+)\b"
)
_IP_WORDS = words(r"\bip(?:v[46])?\b|ip-?adress|\bhost\b|\bserver\b|\bping\b|\blogin\b|anmeldung|gateway|\bdns\b|netz|network|firewall")
_SSN_WORDS = r"\b(?:ssns?|ss#|social\s+security|sozialversicherung\w*(?:\s+\(usa\))?)\b"
RULES: tuple[Rule, ...] = (
    Rule(
        "CREDIT_CARD",
        re.compile(
            rf"{EDGE}(?:(?:4\d{{3}}|5[1-5]\d\d|2[2-7]\d\d|6011|6[45]\d\d|35\d\d){GAP}\d{{4}}{GAP}\d{{4}}{GAP}\d{{4}}|3[47]\d\d{GAP}\d{{6}}{GAP}\d{{5}}"
            rf"|3[068]\d\d{GAP}\d{{6}}{GAP}\d{{4}}){END}"
        ),
        numbers.card,
        (0.8, 0.8, 1.0),
        words(r"karte|\bcards?\b|visa|master|amex|american express|diners|kreditk"),
    ),
    Rule(
        "DE_SOCIAL_SECURITY",
        re.compile(rf"{EDGE}\d{{2}}{GAP}\d{{6}}{GAP}[A-Za-z]{GAP}\d{{3}}{END}"),
        numbers.de_social_security,
        (1.0, 1.0, NEVER),
        words(r"sozialversicherung|rentenversicherung|\bsv-?n|\brvnr|versicherungsnummer|social security"),
    ),
    Rule(
        "VAT_ID",
        re.compile(
            rf"{EDGE}(?:ATU{GAP}\d{{8}}|(?:DE|EE|EL|PT){GAP}\d{{3}}{GAP}\d{{3}}{GAP}\d{{3}}"
            rf"|(?:GB|XI){GAP}\d{{3}}{GAP}\d{{4}}{GAP}\d{{2}}(?:{GAP}\d{{3}})?"
            rf"|(?:DK|FI|HU|LU|MT|SI){GAP}\d{{8}}|(?:BE|PL|SK){GAP}\d{{10}}|(?:HR|IT|LV){GAP}\d{{11}}|SE{GAP}\d{{12}}|NL{GAP}\d{{9}}B\d{{2}}"
            rf"|FR{GAP}[A-Z0-9]{{2}}{GAP}\d{{3}}{GAP}\d{{3}}{GAP}\d{{3}}|ES{GAP}[A-Z0-9]\d{{7}}[A-Z0-9]|(?:BG|CZ|LT|RO|CY|IE){GAP}\d[A-Z0-9]{{6,11}}"
            rf"|CHE[- ]?\d{{3}}[. ]?\d{{3}}[. ]?\d{{3}}(?:\s?(?:MWST|TVA|IVA))?){END}",
            re.IGNORECASE,
        ),
        numbers.vat,
        (0.5, 1.0, NEVER),
        words(r"\bvat\b|ust\b|ust\.|ust-?id|umsatzsteuer|uid\b|\btva\b|\bbtw\b|\biva\b|\bnif\b|\bcif\b|mwst|tax (?:id|number)|steuernummer"),
        just_before(r"artikel\w*|article|\bpart\b|\bsku\b|bestell\w*|\border\b|material\w*|serien\w*|serial|teilenummer"),
    ),
    Rule(
        "DE_TAX_ID",
        re.compile(rf"{EDGE}[1-9]\d[ \u00a0]?\d{{3}}[ \u00a0]?\d{{3}}[ \u00a0]?\d{{3}}{END}"),
        numbers.de_tax_id,
        (1.0, NEVER, NEVER),
        words(r"steuer-?\s?id|steuerliche|identifikationsnummer|\bid-?nr|\btax[- ]?(?:id|identification)|\btin\b"),
    ),
    Rule(
        "DE_TAX_NUMBER",
        re.compile(rf"{EDGE}(?:\d{{2,3}}\s?/\s?\d{{3,4}}\s?/\s?\d{{4,5}}|\d{{2,3}} \d{{3,4}} \d{{4,5}}|\d{{10,11}}|\d{{13}}){END}"),
        certain,
        (1.0, NEVER, NEVER),
        words(r"steuer-?(?:nummer|nr)|\bst\.?-?\s?nr|tax number"),
    ),
    Rule(
        "US_ITIN",
        re.compile(rf"{EDGE}9\d\d[ -]?(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])[ -]?\d{{4}}{END}"),
        numbers.us_itin,
        (0.05, 0.5, 0.5),
        words(r"\bitin\b|taxpayer|\btin\b"),
        NOTHING,
    ),
    Rule(
        "US_SSN",
        re.compile(rf"{EDGE}(?:\d{{3}}-\d{{2}}-\d{{4}}|\d{{3}} \d{{2}} \d{{4}}|\d{{3}}\.\d{{2}}\.\d{{4}}|\d{{9}}){END}"),
        numbers.us_ssn,
        (0.05, 0.5, NEVER),
        words(_SSN_WORDS),
    ),
    Rule(
        "UK_NINO",
        re.compile(rf"{EDGE}(?!BG|GB|NK|KN|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]?\d\d[ -]?\d\d[ -]?\d\d[ -]?[A-D]{END}", re.IGNORECASE),
        certain,
        (0.5, 0.5, NEVER),
        words(r"national insurance|\bni\s?(?:no|number)|nino\b"),
    ),
    Rule(
        "UK_UTR",
        re.compile(rf"{EDGE}\d{{5}} ?\d{{5}}K?{END}", re.IGNORECASE),
        certain,
        (1.0, NEVER, NEVER),
        words(r"\butr\b|unique taxpayer(?: reference)?"),
    ),
    Rule("US_EIN", re.compile(rf"{EDGE}\d\d-?\d{{7}}{END}"), certain, (1.0, NEVER, NEVER), words(r"\bf?ein\b(?-i:(?<=EIN))|employer id(?:entification)?\b")),
    Rule(
        "IP_ADDRESS",
        re.compile(
            r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}(?=:)|(?=::))(?:::?[0-9A-Fa-f]{1,4}){1,8}(?:::)?(?:(?:\.\d{1,3}){3})?(?:%\w{1,15})?(?![\w:])"
            r"|(?<![\w:.])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,6}::(?![\w:])"
        ),
        contacts.ip,
        (0.3, 0.6, 0.6),
        _IP_WORDS,
        NOTHING,
    ),
    Rule(
        "IP_ADDRESS",
        re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w)(?!\.\d|-?[A-Za-z]|,\d|\s?(?:€|EUR|USD|CHF|GBP|Stück))"),
        contacts.ip,
        (0.3, 0.6, NEVER),
        _IP_WORDS,
        just_before(_VERSION),
    ),
)

_HAS_DIGITS = re.compile(r"\d(?:\D{0,3}\d){3}|[0-9A-Fa-f]?::")


def find(text: str) -> list[Finding]:
    """Every span of personal data in the text, in order, none overlapping another; BLANK characters are passed over."""
    found = identifiers(text)
    rest = blank(text, [(finding.start, finding.end) for finding in found])
    return sorted([*found, *_apart(names(rest))], key=lambda finding: finding.start)


def identifiers(text: str) -> list[Finding]:
    """The same without names: addresses and numbers, which have a form or a checksum. An order of magnitude faster."""
    found: list[Finding] = []

    def take(findings: Iterator[Finding]) -> None:
        nonlocal text
        new = _apart(findings)
        text = blank(text, [(finding.start, finding.end) for finding in new])
        found.extend(new)

    take(contacts.urls(text))
    take(contacts.emails(text))
    take(contacts.spelt_emails(text))
    if _HAS_DIGITS.search(text):
        take(numbers.ibans(text))
        for rule in (*RULES, *NATIONAL_RULES):
            take(apply(rule, text))
        take(contacts.phones(text))
    return sorted(found, key=lambda finding: finding.start)


def _apart(findings: Iterable[Finding]) -> list[Finding]:
    """Those that do not overlap the one before."""
    new: list[Finding] = []
    for finding in findings:
        if not new or finding.start >= new[-1].end:
            new.append(finding)
    return new
