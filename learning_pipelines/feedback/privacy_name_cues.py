"""Belongs here: the words around a name: titles, salutations, sign-offs, introductions, labels; and what makes a name a company's or a street's.
Does not belong here: names themselves (privacy_name_lists.py), reading a name (privacy_names.py)."""

from __future__ import annotations

import re
from typing import NamedTuple


class Cue(NamedTuple):
    """Right after a match of `pattern` stands a name, if it reads like one. `trusted`: also one that no list knows."""

    pattern: re.Pattern[str]
    trusted: bool
    ends: bool = False  # a trusted name must fill the rest of the line, or end before a comma
    dual: bool = False  # names that are words too count


def _cue(pattern: str, trusted: bool, ends: bool = False, dual: bool = False) -> Cue:
    return Cue(re.compile(pattern, re.IGNORECASE), trusted, ends, dual)


_SPACE = r"[ \u00a0]+"
TITLE = (
    r"(?:mr|mrs|ms|mx|dr|prof|sra?|sig|dott|hr|fr|dhr|mevr|mme|mlle)\b\.?|miss\b|mister\b|sir\b|herrn?\b|frau\b|fräulein\b|doktor\b|professor(?:in)?\b"
    r"|monsieur\b|madame\b|mademoiselle\b|señora?\b|señorita\b|doña\b|signora?\b|signore\b|heer\b|mevrouw\b|pan[ai]?\b|panie\b|panią\b|fru\b|senhora?\b"
    r"|господин\w*|госпож\w*|г-н|г-жа|κ\.|κύριε|κυρία|السيدة?|الأستاذة?"
)
CUES: tuple[Cue, ...] = (
    # Titles, also several: "Frau Prof. Dr.".
    _cue(rf"(?<![\w.])(?:(?:{TITLE}){_SPACE}){{1,4}}", True),
    # Introductions that ask for a name, and those that may go on with anything.
    _cue(
        r"\b(?:my (?:full )?name(?:'s| is)|mein name (?:ist|lautet)|name ist|ich hei(?:ß|ss)e|i am called|je m['’]appelle|mon nom est|me llamo|mi nombre es"
        rf"|mi chiamo|il mio nome è|mijn naam is|ik heet|nazywam się|mam na imię|jmenuji se|jag heter|meu nome é|меня зовут|με λένε|adım|اسمي){_SPACE}",
        True,
    ),
    _cue(
        rf"\b(?:i am|i['’]m|this is|it's|ich bin|hier ist|hier spricht|bin (?:der|die)|bin|je suis|soy|sono|ik ben|jestem|eu sou|я){_SPACE}"
        rf"(?:(?:der|die|the){_SPACE})?",
        False,
    ),
    _cue(
        r"\b(?:my|our|his|her|mein(?:e[rmn]?)?|unser(?:e[rmn]?)?|sein(?:e[rmn]?)?|ihr(?:e[rmn]?)?)"
        r"[ \u00a0]+(?:husband|wife|son|daughter|brother|sister|mother|father|partner|colleague|boss|manager|friend|mann(?:es)?|ehemann|ehefrau|sohn(?:es)?"
        rf"|tochter|bruder|schwester|mutter|vater|kollegen?|kollegin|chefin?|freund(?:in)?|partnerin|nachbar(?:in)?|kind){_SPACE}",
        False,
        dual=True,
    ),
    _cue(rf"\b(?:kolleg(?:en?|in)|mitarbeiter(?:in)?|kund(?:en?|in)|patient(?:in)?|mandant(?:in)?|mieter(?:in)?){_SPACE}", False),
    # Salutations and sign-offs.
    _cue(
        r"(?:^|[\n.!?:,\"„“>]\s*)(?:hi|hello|hey|dear|good (?:morning|afternoon|evening)|hallo|hey|liebe[rs]?|moin|servus|grüezi|guten (?:tag|morgen|abend)"
        r"|bonjour|salut|ch[eè]re?|hola|buenos días|querid[oa]|estimad[oa]|ciao|buongiorno|car[oa]|gentile|beste|geachte|olá|hej|cześć|dzień dobry|привет"
        rf"|здравствуйте|уважаем\w+|дорог\w+|γεια σου|merhaba){_SPACE}(?=\S)",
        True,
        True,
    ),
    _cue(
        r"(?:(?:best|kind|warm)(?:est)? (?:regards|wishes)|regards|sincerely(?: yours)?|yours (?:sincerely|faithfully|truly)|cheers|many thanks|thanks"
        r"|thank you|mit (?:freundlichen|besten|herzlichen) gr[üu](?:ß|ss)en|mfg|(?:viele|liebe|beste|schöne|herzliche|freundliche) gr[üu](?:ß|ss)e"
        r"|gru(?:ß|ss)|danke|lg|vg|cordialement|bien à vous|merci|saludos(?: cordiales)?|atentamente|un saludo|cordiali saluti|distinti saluti"
        r"|met vriendelijke groet|groetjes|pozdrawiam|med vänlig hälsning|atenciosamente|с уважением)(?:[,!.]?[ \u00a0]*\n\s*|,[ \u00a0]*)",
        True,
        True,
    ),
    # Labels of forms and mail headers.
    _cue(
        r"\b(?:name|full name|customer(?: name)?|client|employee|patient|tenant|contact(?: person)?|account holder|cardholder|signed(?: by)?|signature"
        r"|sender|recipient|attn|from|to|cc|kund(?:e|in)|ansprechpartner(?:in)?|kontakt(?:person)?|sachbearbeiter(?:in)?|mitarbeiter(?:in)?|mandant(?:in)?|mieter(?:in)?|patient(?:in)?"
        r"|kontoinhaber(?:in)?|karteninhaber(?:in)?|unterschrift|gez|absender(?:in)?|empfänger(?:in)?|von|an|vorname|nachname|first name|last name"
        r"|surname|given name|nom|prénom|nombre|apellidos?|nome|cognome|naam|imię|nazwisko|фио|имя)[ \u00a0]*[:=][ \u00a0]*[\"'„“]?",
        False,
    ),
)

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
THING_AFTER = re.compile(rf"[ \u00a0-](?:{_THINGS})\b|[ \u00a0]*&|[ \u00a0](?:und|and) (?:co|sons|söhne|partner)\b|-[A-ZÄÖÜ]", re.IGNORECASE)
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
