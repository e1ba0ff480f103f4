"""Portuguese as written in Brazil: words inflected for gender, number and person, contractions, accents."""

import random
import re
from typing import Final

from harness.texts.grammar import Grammar, capital, shapes, unlike
from harness.texts.pt_words import ADJECTIVES, ADVERBS, AR, ER, FEMININE, IR, MASCULINE, NAMES, NUMBERS, YEARS

_SHAPES: Final = {
    "sentence": shapes("""
        {one} {does}
        {one} {does}
        {many} {do}
        {when}, {one} {does}
        {when}, {many} {do}
        {one} {does}, mas {many} {do}
        {one} {does} e {one} {does}
        {many} {do} porque {one} {does}
        se {one} {does}, {many} vão {infinitive} {object}
        {one} disse que {many} vão {infinitive} {object} {place}
        a gente {present} {object}, mas {one} {does}
        você {adverb} {present} {object} {place}
        {name} está {doing} {object} {place}
        é {adjective_m} {infinitive} {object} sem {object}
        embora {many} não tenham {done} {object}, {one} {does}
        não há {nouns_f} {place} que {many} {did}
    """),
    "one": shapes("""
        o {noun_m}
        a {noun_f}
        o {noun_m} {adjective_m}
        a {noun_f} {adjective_f}
        um {noun_m}
        uma {noun_f}
        este {noun_m}
        essa {noun_f}
        o {noun_m} do {noun_m}
        a {noun_f} da {noun_f}
        {name}
        ele
        ela
        você
        cada {noun_m}
        nossa {noun_f}
    """),
    "many": shapes("""
        os {nouns_m}
        as {nouns_f}
        os {nouns_m} {adjectives_m}
        as {nouns_f} {adjectives_f}
        muitos {nouns_m}
        algumas {nouns_f}
        eles
        elas
        os {nouns_m} das {nouns_f}
        {number} {nouns_m}
    """),
    "does": shapes("""
        {past} {object}
        {past} {object} {place}
        {present} {object}
        {adverb} {present} {object} {place}
        {adverb} {past} {object}
        está {doing} {object}
        vai {infinitive} {object} {when}
        precisa {infinitive} {object}
        tinha {done} {object} {place}
        foi até {object}
        é mais {adjective_c} do que {object}
        não quis {infinitive} {object}
    """),
    "do": shapes("""
        {did} {object}
        {did} {object} {place}
        {presents} {object}
        {adverb} {presents} {object}
        estão {doing} {object} {place}
        podem {infinitive} {object}
        não {presents} {object} {place}
        vêm {doing} {object} desde {year}
    """),
    "object": shapes("""
        o {noun_m}
        a {noun_f}
        os {nouns_m}
        as {nouns_f} {adjectives_f}
        um {adjective_m} {noun_m}
        uma {noun_f} {adjective_f}
        seu {noun_m}
        sua {noun_f}
        o {noun_m} da {noun_f}
        a {noun_f} do {noun_m}
        {number_f} {nouns_f}
        isso
    """),
    "place": shapes("""
        no {noun_m}
        na {noun_f}
        em {name}
        pelo {noun_m}
        pela {noun_f}
        com a {noun_f}
        para os {nouns_m}
        ao {noun_m}
        à {noun_f}
        nas {nouns_f} {adjectives_f}
        dos {nouns_m}
        sobre a {noun_f}
    """),
    "when": shapes("""
        em {year}
        depois da {noun_f}
        antes do {noun_m}
        durante a {noun_f}
        há {number} anos
        no fim do {noun_m}
        por causa da {noun_f}
    """),
}


def _plural(word: str) -> str:
    odd = {
        "mão": "mãos",
        "irmão": "irmãos",
        "cidadão": "cidadãos",
        "pão": "pães",
        "ônibus": "ônibus",
        "mês": "meses",
    }
    odd |= {
        "país": "países",
        "gás": "gases",
        "difícil": "difíceis",
        "fácil": "fáceis",
        "possível": "possíveis",
    }
    odd |= {
        "combustível": "combustíveis",
        "disponível": "disponíveis",
        "responsável": "responsáveis",
        "inútil": "inúteis",
    }
    if word in odd:
        return odd[word]
    for end, plural in (("ão", "ões"), ("m", "ns"), ("al", "ais"), ("el", "éis"), ("ul", "uis")):
        if word.endswith(end):
            return word.removesuffix(end) + plural
    return word + ("es" if re.search("[rz]$", word) else "s")


def _feminine(adjective: str) -> str:
    odd = {"bom": "boa", "brasileiro": "brasileira"}
    return odd.get(adjective) or re.sub("o$", "a", adjective)


# 3rd person present, plural, past, plural, gerund, participle
_ENDINGS: Final = {
    "ar": ("a", "am", "ou", "aram", "ando", "ado"),
    "er": ("e", "em", "eu", "eram", "endo", "ido"),
    "ir": ("e", "em", "iu", "iram", "indo", "ido"),
}
_ODD: Final = {
    "escrevido": "escrito",
    "descrevido": "descrito",
    "abrido": "aberto",
    "reune": "reúne",
    "reunem": "reúnem",
}
_ODD_IR: Final = {"proibe": "proíbe", "proibem": "proíbem"}


def _forms(verb: str) -> tuple[str, ...]:
    found = [verb[:-2] + end for end in _ENDINGS[verb[-2:]]]
    return (verb, *((_ODD | _ODD_IR).get(form, form) for form in found))


def _grammar() -> Grammar:
    men, women, qualities = MASCULINE.split(), FEMININE.split(), ADJECTIVES.split()
    forms = [_forms(verb) for verb in unlike(AR.split(), ER.split(), IR.split())]
    feminine = [_feminine(each) for each in qualities]
    return Grammar(
        _SHAPES,
        {
            "noun_m": men,
            "noun_f": women,
            "nouns_m": [_plural(each) for each in men],
            "nouns_f": [_plural(each) for each in women],
            "adjective_m": qualities,
            "adjective_f": feminine,
            "adjectives_m": [_plural(each) for each in qualities],
            "adjectives_f": [_plural(each) for each in feminine],
            "adjective_c": [each for each in qualities if each.endswith(("e", "l", "z"))],
            "adverb": ADVERBS.split(),
            "name": NAMES.split(),
            "number": NUMBERS.split(),
            "number_f": NUMBERS.replace("dois", "duas").split(),
            "year": YEARS.split(),
            **dict(
                zip(
                    ("infinitive", "present", "presents", "past", "did", "doing", "done"),
                    zip(*forms, strict=True),
                    strict=True,
                )
            ),
        },
    )


GRAMMAR: Final = _grammar()
_KINDS: Final = ("noun_f", "noun_m", "adjective_f", "adverb", "present", "infinitive", "nouns_m")
# One-letter words come last: a tokenizer of single characters needs them to reach every size.
LEXICON: Final = tuple(
    dict.fromkeys((*unlike(*(GRAMMAR.words[kind] for kind in _KINDS)), *["a", "o", "e", "é"]))
)


def write(rng: random.Random) -> str:
    """One sentence, with the end of the one before it at its beginning."""
    return ". " + capital(GRAMMAR.write(rng))
