"""What draws the figures, as text for the page: plotly's own JavaScript, ours, and each figure's data.

plotly's comes from the installed package, whole and unchanged; none of its Python runs. Ours is `script.js`, with the colours
of `harness.report.palette` before it.
"""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import orjson

from harness.errors import ConfigError
from harness.report import palette

__all__ = ["data", "library", "script", "sources"]

_PLACE: Final = ("package_data", "plotly.min.js")
# What would end a script element, begin one that never ends, or be no line of JavaScript, however it got into a text.
_ESCAPES: Final = {
    ord(character): f"\\u{ord(character):04x}"
    for character in ("<", ">", "&", "\N{LINE SEPARATOR}", "\N{PARAGRAPH SEPARATOR}")
}


def sources() -> tuple[str, str]:
    """Both, in the order in which a page needs them.

    Raises:
        ConfigError: plotly's is not there.
    """
    return library(), script()


def library() -> str:
    """plotly.js, some 4.8 MB.

    Raises:
        ConfigError: it is not there.
    """
    spec = find_spec("plotly")
    for place in (spec.submodule_search_locations if spec else None) or ():
        path = Path(place).joinpath(*_PLACE)
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read ({error}); install plotly again") from error
    raise ConfigError("plotly is not installed; install tokenswarm with its dependencies")


def script() -> str:
    """What finds the figures of a page and draws them."""
    known = json.dumps({"themes": palette.THEMES, "dark": palette.DARK})
    own = Path(__file__).with_name("script.js").read_text(encoding="utf-8")
    return f"(function (palette) {{\n{own}}})({known});\n"


def data(figure: Mapping[str, Any]) -> str:
    """A figure as JSON that stays inside its script element, whatever its texts are.

    Raises:
        TypeError: a value that JSON has no word for.
    """
    return orjson.dumps(figure).decode().translate(_ESCAPES)
