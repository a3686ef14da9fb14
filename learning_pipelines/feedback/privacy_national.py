"""Belongs here: social-security, tax and identity numbers of further countries: how they look, which words name them, their checksums (python-stdnum).
Not here: the numbers of Germany, the United Kingdom and the United States (privacy_patterns.py), other kinds of personal data."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable

from learning_pipelines.feedback.privacy_spans import EDGE, END, NEVER, NOTHING, Rule, compact, words

ENTITY = "NATIONAL_ID"


def _valid(module: str, prefix: str = "") -> Callable[[str], float]:
    """1 where stdnum's module (imported at first use) confirms the number, else 0."""

    def score(value: str) -> float:
        return float(importlib.import_module(f"stdnum.{module}").is_valid(prefix + compact(value)))

    return score


def _rule(pattern: str, module: str, context: str) -> Rule:
    """A number that counts with its checksum and a word that names it: without the word, as many order numbers pass the checksum."""
    return Rule(ENTITY, re.compile(f"{EDGE}(?:{pattern}){END}", re.IGNORECASE), _valid(module), (1.0, NEVER, NEVER), words(context), NOTHING)


NATIONAL_RULES: tuple[Rule, ...] = (
    _rule(r"[12] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", "fr.nir", r"s[ée]cu(?:rit[ée]\s+sociale)?\b|\bnir\b|\binsee\b"),
    _rule(r"\d{8}[ -]?[A-Z]", "es.dni", r"\bdni\b|\bnif\b|documento nacional|identidad"),
    _rule(r"[XYZ][ -]?\d{7}[ -]?[A-Z]", "es.nie", r"\bnie\b|\bnif\b|extranjero"),
    _rule(r"\d{9}|\d{4}[. ]\d\d[. ]\d{3}", "nl.bsn", r"\bbsn\b|burgerservice|sofi-?nummer"),
    _rule(r"\d{11}", "pl.pesel", r"\bpesel"),
    _rule(r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d\d", "ch.ssn", r"\bahv|\bavs\b|sozialversicherung|\bssn\b"),
    _rule(r"\d{4}[ -]?\d{6}", "at.vnr", r"sozialversicherung|\bsv-?\s?n|\bsvnr|versicherungsnummer|e-card"),
    _rule(r"\d\d[. ]?\d\d[. ]?\d\d[- ]?\d{3}[. ]?\d\d", "be.nn", r"rijksregister|registre national|national register|\binsz\b|\bniss\b"),
    _rule(r"(?:19|20)?\d{6}[-+]?\d{4}", "se.personnummer", r"person(?:nummer|nr)|personal identity"),
    _rule(r"\d{6}[- ]?\d{4}", "dk.cpr", r"\bcpr\b"),
    _rule(r"\d{6} ?\d{5}", "no.fodselsnummer", r"f(?:ø|oe?)dselsnummer|personnummer"),
    _rule(r"\d{6}[-+A-Y]\d{3}[0-9A-Z]", "fi.hetu", r"henkil[öo]tunnus|\bhetu\b|personbeteckning"),
    _rule(r"\d{3}\.?\d{3}\.?\d{3}-?\d\d", "br.cpf", r"\bcpf\b"),
    _rule(r"[A-Z]{6}\d\d[A-EHLMPR-T]\d\d[A-Z]\d{3}[A-Z]", "it.codicefiscale", r"codice\s+fiscale|\bc\.?\s?f\b|\bcod\.?\s?fisc"),
    _rule(r"\d{9}", "pt.nif", r"\bnif\b|contribuinte"),
    _rule(r"\d{7}[A-W][A-IW]?", "ie.pps", r"\bpps\b|\bppsn\b"),
    _rule(r"\d{4} ?\d{4} ?\d{4}", "in_.aadhaar", r"aadha+r"),
    _rule(r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", "in_.pan", r"\bpan\b"),
    _rule(r"\d{3}[ -]?\d{3}[ -]?\d{3}", "ca.sin", r"\bsin\b|social insurance|assurance sociale"),
    _rule(r"\d{3} ?\d{3} ?\d{3}", "au.tfn", r"\btfn\b|tax file"),
    _rule(r"\d{11}", "tr.tckimlik", r"\bt\.?c\.?\b|kimlik"),
)
