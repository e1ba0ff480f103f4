"""English: news-like sentences of common words."""

import random
import re
from typing import Final

from harness.texts.en_words import ADJECTIVES, ADVERBS, IRREGULAR, NAMES, NOUNS, REGULAR
from harness.texts.grammar import Grammar, capital, shapes

_SHAPES: Final = {
    "sentence": shapes("""
        {subject} {ends}
        {subject} {ends}
        {subjects} {end}
        {when}, {subject} {ends}
        {when}, {subjects} {end}
        {subject} {ends}, but {subjects} {end}
        {subject} {ends}, and {subject} {ends}
        {subjects} {end} because {subject} {ends}
        if {subject} {ends}, {subjects} will {base} {object} {place}
        {subject} said that {subjects} would {adverb} {base} {object}
        {name} told {name} that {subject} {ends}
        there are {some} {adjective} {nouns} {place}, which {subjects} {end}
        although {subjects} {end}, it was not {adjective} enough for {subject}
        it is {adjective} to {base} {object} without {object}
        {name} said, "{subjects} {end} {place}," and {subject} {ends}
        about {percent} percent of the {nouns} {end}, up from {percent} in {year}
        the {noun} cost ${percent} million; {subjects} {end}
        the {adjective}, {adjective} {noun} -- once a {noun} -- {ends}
        what {subject} {past} was {object}, not {object}
    """),
    "subject": shapes("""
        the {noun}
        the {noun}
        the {adjective} {noun}
        a {noun}
        this {noun}
        the {noun} of the {noun}
        {name}
        every {adjective} {noun}
        she
        he
        one of the {nouns}
        the {noun} who {past} {object}
    """),
    "subjects": shapes("""
        the {nouns}
        {some} {nouns}
        they
        we
        the {adjective} {nouns}
        {nouns} and {nouns}
        most of the {nouns}
    """),
    "ends": shapes("""
        {past} {object}
        {past} {object} {place}
        {present} {object}
        {adverb} {present} {object} {place}
        {adverb} {past} {object}
        has been {adjective} since {year}
        is {adverb} {adjective}
        was as {adjective} as {object}
        will {base} {object}
        had to {base} {object} {when}
        could not {base} {object}
    """),
    "end": shapes("""
        {base} {object}
        {past} {object} {place}
        {adverb} {base} {object}
        are {adjective} {place}
        were {adverb} {adjective}
        have to {base} {object}
        did not {base} {object}
    """),
    "object": shapes("""
        the {noun}
        a {adjective} {noun}
        the {nouns}
        his {noun}
        her {adjective} {noun}
        their {nouns}
        it
        {number} {nouns}
        some of the {adjective} {nouns}
        {name}'s {noun}
        the {noun} {place}
    """),
    "place": shapes("""
        in the {noun}
        in {name}
        at the {noun}
        on the {adjective} {noun}
        with the {noun}
        from the {noun}
        for {object}
        near the {noun}
        between the {noun} and the {noun}
        under the {noun}
    """),
    "when": shapes("""
        in {year}
        after the {noun}
        last {noun}
        before the {adjective} {noun}
        every {noun}
        {number} years later
        by the end of the {noun}
        during the {noun}
    """),
}


def _plural(noun: str) -> str:
    odd = {"man": "men", "woman": "women", "child": "children", "person": "people", "life": "lives"}
    odd |= {
        "wife": "wives",
        "fisherman": "fishermen",
        "midwife": "midwives",
        "foot": "feet",
        "people": "people",
        "hypothesis": "hypotheses",
        "news": "reports",
        "police": "officers",
    }
    if noun in odd:
        return odd[noun]
    return _third(noun)


def _third(word: str) -> str:
    if re.search(r"(s|sh|ch|x|z)$", word):
        return word + "es"
    return word[:-1] + "ies" if re.search(r"[^aeiou]y$", word) else word + "s"


def _past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb == "stop":
        return "stopped"
    return verb[:-1] + "ied" if re.search(r"[^aeiou]y$", verb) else verb + "ed"


def _grammar() -> Grammar:
    irregular = [verb.split("/") for verb in IRREGULAR.split()]
    regular = [[verb, _third(verb), _past(verb)] for verb in REGULAR.split()]
    verbs = irregular[:6] + regular[:6] + irregular[6:] + regular[6:]
    return Grammar(
        _SHAPES,
        {
            "noun": tuple(NOUNS.split()),
            "nouns": tuple(dict.fromkeys(map(_plural, NOUNS.split()))),
            "adjective": tuple(ADJECTIVES.split()),
            "adverb": tuple(ADVERBS.split()),
            "name": tuple(NAMES.split()),
            "base": tuple(verb[0] for verb in verbs),
            "present": tuple(verb[1] for verb in verbs),
            "past": tuple(verb[2] for verb in verbs),
            "some": ("some", "many", "few", "several", "these", "all", "most", "other", "no", "both"),
            "number": (
                "two",
                "three",
                "10",
                "four",
                "five",
                "20",
                "six",
                "12",
                "100",
                "seven",
                "35",
                "eight",
                "250",
            ),
            "percent": ("10", "2.5", "30", "12.8", "50", "7.4", "65", "3.75", "98.6", "1,250"),
            "year": ("2019", "2020", "2015", "2008", "1999", "1984", "2023", "1968", "1945", "1917", "1889"),
        },
    )


GRAMMAR: Final = _grammar()
_AN: Final = re.compile(r"\ba (?=[aeiou])", re.IGNORECASE)


def write(rng: random.Random) -> str:
    """One sentence, with the end of the one before it at its beginning."""
    sentence = GRAMMAR.write(rng)
    return ". " + capital(_AN.sub("an ", sentence))
