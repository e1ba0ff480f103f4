"""The style sheet of our options in Locust's start form.

Locust's form is React's: nodes of ours in it, or its own in another place, break it. So the groups' headings, the
explanations and the columns are all style. Without it the form is Locust's own and works.

A field is `.MuiFormControl-root`, a switch `.MuiFormControlLabel-root`. Locust writes name and explanation into one label,
cut off where it is long; here the label stands above its field in full, the name in bold and the explanation below it.
Words in `content` are hidden from screen readers, which have Locust's label.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from harness.web.form_fields import Field, title

__all__ = ["camel", "sheet"]

_COLUMNS: Final = 2


def sheet(fields: Sequence[Field]) -> str:
    """The whole of it for these fields."""
    return "\n".join([_BASE, *_placed(fields), *map(_worded, fields)])


def camel(name: str) -> str:
    """`promptTokens` for `prompt_tokens`: what Locust's page names a field."""
    first, *more = name.split("_")
    return first + "".join(word.capitalize() for word in more)


def _placed(fields: Sequence[Field]) -> Iterator[str]:
    """Where each group begins: its heading, and room for it above all fields of its first row."""
    for group, members in groupby(fields, key=lambda field: field.group):
        first, *others = members
        yield f"{_of(first)}{{grid-column-start:1;position:relative;overflow:visible}}"
        yield f"{_of(first)}::before{{content:{_quoted(group)}}}"
        yield f"{_of(first)}{{margin-top:var(--heading)!important}}"
        if not first.is_wide and others and not others[0].is_wide:
            yield f"@media (min-width:700px){{{_of(others[0])}{{margin-top:var(--heading)!important}}}}"


def _worded(field: Field) -> str:
    column = "grid-column:1/-1" if field.is_wide else ""
    label = f"{_of(field)}>:is(label,.MuiFormControlLabel-label)"
    name, text = title(field.name), field.help
    return (
        f"{_of(field)}{{{column}}}"
        f'{label}::before{{content:{_quoted(name)};content:{_quoted(name)} / ""}}'
        f'{label}::after{{content:{_quoted(text)};content:{_quoted(text)} / ""}}'
    )


def _of(field: Field) -> str:
    return f'{_FORM} .MuiAccordionDetails-root>*>:has([name="{camel(field.name)}"])'


def _quoted(text: str) -> str:
    """A CSS string."""
    return (
        '"'
        + "".join(
            letter if letter.isalnum() or letter in " ,.:;()/%+-=@'" else f"\\{ord(letter):x} "
            for letter in text
        )
        + '"'
    )


# Of Locust's two forms the one that starts a run: only it asks for a host.
_FORM: Final = 'form:has([name="host"])'
_OURS: Final = '.MuiAccordion-root:has([name="levels"])'
_BASE: Final = f"""
form .MuiAlert-message{{white-space:pre-line;overflow-wrap:anywhere}}
form:not(:has([name="host"])) {_OURS}{{display:none}}
{_FORM} {_OURS}{{--heading:3.6rem;background-image:none}}
{_FORM} {_OURS} .MuiAccordionSummary-root{{display:none}}
{_FORM} {_OURS} .MuiCollapse-root{{height:auto!important;visibility:visible!important;overflow:visible}}
{_FORM} {_OURS} .MuiAccordionDetails-root{{padding:0 20px 20px}}
{_FORM} {_OURS} .MuiAccordionDetails-root>*{{display:grid!important;grid-template-columns:minmax(0,1fr);gap:18px 24px!important}}
@media (min-width:700px){{{_FORM} {_OURS} .MuiAccordionDetails-root>*{{grid-template-columns:repeat({_COLUMNS},minmax(0,1fr))}}}}
{_FORM} {_OURS} .MuiAccordionDetails-root>*>*{{min-width:0;margin:0}}
{_FORM} {_OURS} .MuiAccordionDetails-root>*>*::before{{position:absolute;top:calc(-1*var(--heading) + 1.1rem);left:0;font-size:1.05rem;font-weight:600;line-height:1.3;color:inherit;pointer-events:none;width:max-content;max-width:min(52rem,calc(100vw - 90px))}}
{_FORM} {_OURS} .MuiFormControl-root{{display:flex}}
{_FORM} {_OURS} .MuiInputLabel-root{{position:static!important;transform:none!important;max-width:none!important;white-space:normal!important;overflow:visible!important;pointer-events:auto!important;font-size:0!important;line-height:1.35!important;margin-bottom:6px;color:inherit!important}}
{_FORM} {_OURS} .MuiInputBase-root{{margin-top:auto!important}}
{_FORM} {_OURS} .MuiInputBase-input{{padding:9px 12px!important;height:1.4em}}
{_FORM} {_OURS} .MuiNativeSelect-select{{padding-right:32px!important}}
{_FORM} {_OURS} fieldset{{top:0!important}}
{_FORM} {_OURS} legend{{display:none!important}}
{_FORM} {_OURS} .MuiFormControlLabel-label{{font-size:0}}
{_FORM} {_OURS} .MuiFormControlLabel-root{{align-items:flex-start}}
{_FORM} {_OURS} .MuiFormControlLabel-root .MuiButtonBase-root{{padding-top:0}}
{_FORM} {_OURS} :is(.MuiInputLabel-root,.MuiFormControlLabel-label)::before{{font-size:.9rem;font-weight:600;line-height:1.4}}
{_FORM} {_OURS} :is(.MuiInputLabel-root,.MuiFormControlLabel-label)::after{{display:block;overflow-wrap:anywhere;font-size:.8rem;line-height:1.4;opacity:.7}}
{_FORM} button[type=submit]{{position:sticky;bottom:12px;z-index:2}}
{_FORM} .MuiAlert-root:has(~button[type=submit]){{position:sticky;bottom:64px;z-index:2;max-height:40vh;overflow-y:auto}}
"""
