"""What counts as a term: folded, stemmed, without stopwords, in the language of the corpus."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.retrieval.analyzer import NO_LANGUAGE, analyzer_for, analyzer_named, detect_language

TEXTS = {
    "english": "The invoice is sent to the customer at the end of the month, and it has to be paid within thirty days.",
    "german": "Die Rechnung wird dem Kunden am Ende des Monats geschickt und ist innerhalb von dreißig Tagen zu bezahlen.",
    "french": "La facture est envoyée au client à la fin du mois et elle doit être payée dans les trente jours.",
    "spanish": "La factura se envía al cliente al final del mes y tiene que ser pagada en un plazo de treinta días.",
    "russian": "Счёт отправляется клиенту в конце месяца, и он должен быть оплачен в течение тридцати дней после этого.",
}


def test_words_that_differ_in_case_ending_or_accent_are_one_term() -> None:
    english = analyzer_for("english")
    assert english.terms("PAYING payments Payed") == english.terms("pay payment pays")
    assert english.terms("café Müller ＦＵＬＬ") == english.terms("cafe Muller full")
    assert analyzer_for("german").terms("Häuser Straße") == analyzer_for("german").terms("HÄUSERN STRASSE")


def test_numbers_are_terms_however_they_are_written() -> None:
    assert analyzer_for("english").terms("1,234 people paid 1234 on 12.05.2020 for 1.5 of 3, in 2019,2020") == [
        "1234", "peopl", "paid", "1234", "12.05.2020", "1.5", "3", "2019", "2020",
    ]  # fmt: skip


def test_function_words_and_what_hangs_on_an_apostrophe_are_no_terms() -> None:
    assert analyzer_for("english").terms("What is the customer’s invoice? I'm sure it's theirs") == ["custom", "invoic", "sure"]
    assert analyzer_for("french").terms("l’eau de l'hôtel") == ["eau", "hotel"]


def test_scripts_without_spaces_become_pairs_of_characters() -> None:
    assert analyzer_for("none").terms("東京都 2020年") == ["東京", "京都", "2020", "年"]


def test_vowel_signs_stay_within_their_word() -> None:
    assert len(analyzer_for("hindi").terms("हिन्दी भाषा")) == 2


@pytest.mark.parametrize("language", TEXTS)
def test_the_language_of_a_corpus_is_told_by_its_stopwords(language: str) -> None:
    others = [text for name, text in TEXTS.items() if name != language]
    assert detect_language([TEXTS[language]] * 5 + others) == language


def test_what_has_no_stopwords_of_any_language_is_left_as_it_is() -> None:
    code = "select count foo bar baz qux 1 2 3 4 5 lorem ipsum dolor sit amet"
    assert detect_language([code]) == NO_LANGUAGE
    assert analyzer_for(NO_LANGUAGE).terms("The payments") == ["the", "payments"]


def test_nothing_to_tell_by_counts_as_english() -> None:
    assert detect_language([]) == detect_language(["", "ok"]) == "english"


def test_an_analyzer_is_found_by_its_name_and_one_of_another_version_is_refused() -> None:
    assert analyzer_named(analyzer_for("german").name).terms("Rechnungen") == ["rechnung"]
    with pytest.raises(LearningError, match="german-0"):
        analyzer_named("german-0")
    with pytest.raises(BadInput, match="klingon"):
        analyzer_for("klingon")


def test_threads_that_share_an_analyzer_get_the_same_terms() -> None:
    words = [" ".join(f"customizations{number} working{number}s" for number in range(start, start + 200)) for start in range(0, 4_000, 200)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(analyzer_for("english").terms, words)) == [analyzer_for("english").terms(text) for text in words]


@pytest.mark.parametrize("text", ["", " \n", "\x00\x01", "''", "\ud800", "a" * 100_000, "\u200d\u0301", "🙂🙂"])
def test_odd_texts_have_few_terms_and_raise_nothing(text: str) -> None:
    assert all(0 < len(term) <= 64 for term in analyzer_for("english").terms(text))
