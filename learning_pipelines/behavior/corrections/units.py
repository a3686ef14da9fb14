"""Units, currencies, scales and number words as people write them, English and German.

Belongs here: tables, and what they are called in one spelling. Not here: finding numbers in texts (facts.py).
"""

from __future__ import annotations

from typing import Final

_SAME_SIZE: Final[dict[str, tuple[str, float, str]]] = {
    "s": ("time", 1, "sec secs second seconds sekunde sekunden"),
    "min": ("time", 60, "mins minute minutes minuten"),
    "h": ("time", 3_600, "hr hrs hour hours stunde stunden"),
    "d": ("time", 86_400, "day days tag tage tagen"),
    "week": ("time", 604_800, "weeks woche wochen"),
    "month": ("month", 1, "months monat monate monaten"),
    "year": ("month", 12, "years yr yrs jahr jahre jahren"),
    "mm": ("length", 0.001, "millimeter millimeters millimetre millimetres"),
    "cm": ("length", 0.01, "centimeter centimeters centimetre centimetres zentimeter"),
    "m": ("length", 1, "meter meters metre metres metern"),
    "km": ("length", 1_000, "kilometer kilometers kilometre kilometres kilometern"),
    "mile": ("length", 1_609.344, "miles meile meilen mi"),
    "ft": ("length", 0.3048, "foot feet"),
    "g": ("mass", 1, "gram grams gramm"),
    "kg": ("mass", 1_000, "kilogram kilograms kilogramm kilo kilos"),
    "lb": ("mass", 453.59237, "lbs pound pounds pfund"),
    "ml": ("volume", 1, "milliliter milliliters millilitre millilitres"),
    "l": ("volume", 1_000, "liter liters litre litres litern"),
    "kb": ("data", 1e3, "kilobyte kilobytes"),
    "mb": ("data", 1e6, "megabyte megabytes"),
    "gb": ("data", 1e9, "gigabyte gigabytes"),
    "tb": ("data", 1e12, "terabyte terabytes"),
    "%": ("percent", 1, "percent percentage prozent pct"),
    "€": ("eur", 1, "eur euro euros"),
    "$": ("usd", 1, "usd dollar dollars us$"),
    "£": ("gbp", 1, "gbp sterling"),
    "¥": ("jpy", 1, "jpy yen"),
    "chf": ("chf", 1, "francs franken"),
    "°c": ("celsius", 1, "celsius"),
    "°f": ("fahrenheit", 1, "fahrenheit"),
}
UNITS: Final = {name: (dimension, factor) for short, (dimension, factor, names) in _SAME_SIZE.items() for name in (short, *names.split())}
"""Written unit, lower case → (dimension, how many of its base unit)."""
SCALES: Final = {
    "thousand": 1e3, "tausend": 1e3, "k": 1e3, "million": 1e6, "millions": 1e6, "mio": 1e6, "millionen": 1e6, "mn": 1e6, "billion": 1e9,
    "billions": 1e9, "bn": 1e9, "milliarde": 1e9, "milliarden": 1e9, "mrd": 1e9, "dozen": 12, "dutzend": 12,
}  # fmt: skip
WORDS: Final = {
    word: value
    for value, words in {
        2: "two zwei", 3: "three drei", 4: "four vier", 5: "five fünf", 6: "six sechs", 7: "seven sieben", 8: "eight acht", 9: "nine neun",
        10: "ten zehn", 11: "eleven elf", 12: "twelve zwölf", 13: "thirteen dreizehn", 14: "fourteen vierzehn", 15: "fifteen fünfzehn",
        16: "sixteen sechzehn", 17: "seventeen siebzehn", 18: "eighteen achtzehn", 19: "nineteen neunzehn", 20: "twenty zwanzig",
        30: "thirty dreißig", 40: "forty vierzig", 50: "fifty fünfzig", 60: "sixty sechzig", 70: "seventy siebzig", 80: "eighty achtzig",
        90: "ninety neunzig", 100: "hundred hundert",
    }.items()
    for word in words.split()
}  # fmt: skip
"""Number words. Not one and zero: both are said without counting anything."""
MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar jänner", "february feb februar", "march mar märz", "april apr", "may mai", "june jun juni", "july jul juli",
            "august aug", "september sep sept", "october oct oktober okt", "november nov", "december dec dezember dez",
        ), 1,
    )
    for name in names.split()
}  # fmt: skip
