"""Belongs here: the words around a name: titles, salutations, sign-offs, introductions, labels; and what makes a name a company's or a street's.
Not here: names themselves (privacy_name_lists.py), reading a name (privacy_names.py)."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import NamedTuple


class Cue(NamedTuple):
    """Between a phrase and a name stands `gap`, before the phrase `before`. What reads like a name then is one.

    `trusted`: also where no list knows it. `ends`: then it must fill the rest of the line, or end before a comma.
    `role`: a name here has a capital, and may be a word of everyday language as well.
    """

    gap: re.Pattern[str]
    before: re.Pattern[str]
    trusted: bool
    ends: bool = False
    role: bool = False


_SPACE, _LINE, _COLON = r"[ \u00a0]{1,2}", r"[,!.]?[ \u00a0]*\n\s*|,[ \u00a0]*", r"[ \u00a0]*[:=][ \u00a0]*[\"'„“]?"
_TITLES = """
mr mrs ms mx dr prof sr sra sig dott hr fr dhr mevr mme mlle miss mister sir herr herrn frau fräulein doktor professor professorin monsieur madame mademoiselle
señor señora señorita doña signor signora signore heer mevrouw pan pana pani panie panią fru senhor senhora господин господина госпожа госпожу г-н г-жа κ κύριε
κυρία السيد السيدة الأستاذ الأستاذة
"""
_INTRODUCTIONS = """
my name is|my full name is|my name|mein name ist|mein name lautet|name ist|ich heiße|ich heisse|i am called|je m'appelle|je m’appelle|mon nom est|me llamo
mi nombre es|mi chiamo|il mio nome è|mijn naam is|ik heet|nazywam się|mam na imię|jmenuji se|jag heter|meu nome é|меня зовут|με λένε|benim adım|اسمي
"""
_MAYBE_INTRODUCTIONS = """
i am|i'm|i’m|im|this is|ich bin|ich bin der|ich bin die|hier ist|hier spricht|bin|bin der|bin die|je suis|soy|sono|ik ben|jestem|eu sou|это|я
"""
_RELATED = """
husband wife son daughter brother sister mother father partner colleague boss manager friend mann mannes ehemann ehefrau sohn sohnes tochter bruder schwester
mutter vater kollege kollegen kollegin chef chefin freund freundin partnerin nachbar nachbarin kind mari femme fils fille marido esposa hijo hija marito moglie
"""
_ROLES = """
kollege kollegen kollegin mitarbeiter mitarbeiterin kunde kunden kundin patient patientin mandant mandantin mieter mieterin customer employee tenant
"""
_SALUTATIONS = """
hi|hello|hey|dear|good morning|good afternoon|good evening|hallo|liebe|lieber|liebes|moin|servus|grüezi|guten tag|guten morgen|guten abend|bonjour|salut
cher|chère|chere|hola|buenos días|querido|querida|estimado|estimada|ciao|buongiorno|caro|cara|gentile|beste|geachte|olá|hej|cześć|dzień dobry|привет
здравствуйте|уважаемый|уважаемая|дорогой|дорогая|γεια σου|merhaba
"""
_SIGN_OFFS = """
regards|wishes|sincerely|sincerely yours|faithfully|yours truly|cheers|thanks|thank you|freundlichen grüßen|freundlichen grüssen|besten grüßen|herzlichen grüßen
mfg|grüße|grüsse|gruß|gruss|danke|lg|vg|cordialement|bien à vous|merci|saludos|saludos cordiales|atentamente|un saludo|cordiali saluti|distinti saluti|groet
groetjes|pozdrawiam|vänlig hälsning|atenciosamente|с уважением
"""
_LABELS = """
name customer client employee patient tenant contact person holder cardholder signed by signature sender recipient attn from to cc kunde kundin ansprechpartner
ansprechpartnerin kontakt kontaktperson sachbearbeiter sachbearbeiterin mitarbeiter mitarbeiterin mandant mandantin mieter mieterin patientin kontoinhaber
kontoinhaberin karteninhaber karteninhaberin unterschrift gez absender absenderin empfänger empfängerin von an nom nombre nome naam
"""
_NAME_LABELS = """
vorname|nachname|familienname|surname|first name|last name|given name|family name|full name|prénom|apellido|apellidos|cognome|imię|nazwisko|фио|имя|фамилия
"""
_OWN = r"\b(?:my|our|his|her|their|meine?[rmns]?|unsere?[rmns]?|seine?[rmns]?|ihre?[rmns]?|mon|ma|mi|su|mio|mia)[ \u00a0]+\Z"
_BEGINS = r"(?:^|[\n.!?:,\"„“>(])\s*"


def _cues() -> dict[str, list[Cue]]:
    """The last word of each phrase, case-folded → what else must be there."""
    found: defaultdict[str, list[Cue]] = defaultdict(list)

    def add(phrases: str, gap: str, start: str, trusted: bool, *, ends: bool = False, role: bool = False) -> None:
        single = phrases.split() if "|" not in phrases else phrases.strip().replace("\n", "|").split("|")
        for phrase in single:
            *words, last = phrase.split()
            before = start.removesuffix(r"\Z") + "".join(rf"{re.escape(word)}[ \u00a0]+" for word in words) + r"\Z"
            found[last.casefold()].append(Cue(re.compile(gap), re.compile(before, re.IGNORECASE), trusted, ends, role))

    add(_TITLES, rf"\.?{_SPACE}", "", True)
    add(_INTRODUCTIONS, rf"(?:['’]s)?{_SPACE}", r"(?<!\w)", True)
    add(_MAYBE_INTRODUCTIONS, _SPACE, r"(?<!\w)", False)
    add(_RELATED, _SPACE, _OWN, False, role=True)
    add(_ROLES, _SPACE, r"(?<!\w)", False, role=True)
    add(_SALUTATIONS, _SPACE, _BEGINS, True, ends=True)
    add(_SIGN_OFFS, _LINE, r"(?<!\w)", True, ends=True)
    add(_LABELS, _COLON, r"(?<!\w)", False)
    add(_NAME_LABELS, _COLON, r"(?<!\w)", True, ends=True)
    return dict(found)


CUES: dict[str, list[Cue]] = _cues()

# After a cue, these are no names; nor do they go on with one.
_STOP = """
a abteilung alle all allerseits annual any bank bitte both buchhaltung business chat client clients colleague colleagues collega collègues corporate
customer customers damen danke das dear department der desk die doctor doktor dr du euch euer eure everybody everyone folks frau friend friends
finanzamt for freund freunde from gast gentlemen guests guys hallo head her herr herren herrn hi hier his hotline human ich ihr ihre ihren in investor
it its kolleginnen kollegen kollege kollegin kunde kunden kundin kundenservice ladies leute liebe lieber madam madame management manager mitarbeiter
mr mrs ms my nachbarn neighbour neighbours no our parents partner please prof professor präsident präsidentin redaktion reader readers resources sales
sehr service sie siehe sir staff student students support team technik thank thanks the there they they're this to todos tous tout user users
verwaltung vielen we what when where who why will world wir you your yours zusammen seit kein keine gruß gruss grüße grüsse grüßen monsieur señor
señora signore signora not now new neue monday tuesday wednesday thursday friday saturday sunday montag dienstag mittwoch donnerstag freitag samstag
sonntag january february march june july september october november december januar februar märz juni juli oktober dezember heute morgen gestern today
tomorrow yesterday
"""
STOP = frozenset(_STOP.split())
# A name right before one of these is a company's, a place's or a thing's.
_THINGS = (
    r"gmbh|ag|kg|ohg|ug|gbr|se|inc|ltd|llc|llp|plc|corp|co|company|group|holding|bank|versicherung|bau|werft|werke?|verlag|apotheke|hotel|markt|stiftung|s\.?a|srl|bv|sarl"
    r"|street|st|road|rd|avenue|ave|lane|drive|boulevard|blvd|square|bridge|airport|station|park|hall|tower|university|school|college|hospital|museum|church|theorem"
    r"|stra(?:ß|ss)e|str|allee|platz|weg|gasse|ring|ufer|damm|brücke|flughafen|bahnhof|schule|gymnasium|universität|krankenhaus|kirche|haus|prei[sz]|award|prize"
    r"|index|method|test|model|modell|effect|effekt|law|gesetz|leasing|jeans|store|shop|pizza|islands?|valley|county|city|beach|lake|river"
)
THING_AFTER = re.compile(
    rf"(?-i:[ \u00a0-][A-ZÄÖÜ][\w-]+)?[ \u00a0-](?:{_THINGS})\b"
    r"|[ \u00a0]*&|[ \u00a0](?:und|and) (?:co|sons|söhne|partner)\b|-[A-ZÄÖÜ]",
    re.IGNORECASE,
)
THING_WORD = re.compile(rf"(?:{_THINGS})", re.IGNORECASE)
THING_BEFORE = re.compile(
    r"(?:&[ \u00a0]*|\b(?:st|san|santa|sankt|saint|port|mount|mt|monte|fort|lake|place|rue|avenue|via|calle|plaza|piazza|firma|fa|company|brand|marke|hotel"
    r"|restaurant|café|ristorante|[\w-]*stra(?:ß|ss)e)\b\.?[ \u00a0]+)$",
    re.IGNORECASE,
)
# Endings that nouns have and surnames hardly ever.
NOUN = re.compile(
    r"(?:ung|ungen|heit|keit|schaft|tion|tionen|tät|nummer|datum|preis|betrag|konto|nung|ment|ments|ness|ity|ing|tions|ship|ance|ence|ware|able|ible|ical|ous|ful)$"
)
# Begin no surname by themselves: "Herr der Ringe".
INNER_PARTICLES = frozenset(("der", "des", "den", "la", "le", "les", "du", "y", "af", "av"))
_PARTICLES = "van von vom zu zur zum der den de del della di da dos das du des la le ten ter bin ibn al el af av y"
PARTICLES = frozenset(_PARTICLES.split())
