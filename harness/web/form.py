"""Our options in Locust's start form, and what its Start button does.

    form_fields   which options, in which groups, with what in them
    form_sheet    how they look: headings, columns, explanations
    form_values   from text to options
    form_start    read, prepare, then start

The form is Locust's own: it gets our fields by the way it has for a locustfile's, and sends them to `/swarm`, whose view is
ours with Locust's behind it. An answer with `success` false is shown beneath the form.
"""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from harness.errors import ConfigError
from harness.hiding import Hider
from harness.provenance import keys
from harness.web.form_classes import picked
from harness.web.form_fields import Field, fields
from harness.web.form_sheet import sheet
from harness.web.form_start import Starter
from harness.web.form_values import OURS
from harness.web.site import Site

if TYPE_CHECKING:
    from flask import Response

__all__ = ["add"]


def add(site: Site) -> None:
    """Have Locust's form show our options, and start runs from them. To be called before the first run."""
    starter = Starter(site.session, site.web_ui)
    hider = Hider(os.environ, keys(os.environ))

    def ours() -> list[Field]:
        environment = site.session.environment
        users = (environment.available_user_classes or {}).values() or environment.user_classes
        backends = [getattr(user, "backend", "") for user in users]
        return list(fields(site.session.options.now(), starter.started, backends, hider))

    _show(site, starter, ours)
    _answer(site, starter)
    _keep_shape(site)


def _show(site: Site, starter: Starter, ours: Callable[[], list[Field]]) -> None:
    web_ui = site.web_ui
    update: Callable[[], None] = web_ui.update_template_args

    def with_ours() -> None:
        update()
        args = web_ui.template_args
        theirs = {name: one for name, one in args["extra_options"].items() if name not in OURS}
        args["extra_options"] = {field.name: field.told() for field in ours()} | theirs
        now = site.session.options.now()
        args["run_time"] = now.run_time
        for name, key in (("num_users", "user_count"), ("spawn_rate", "spawn_rate")):
            args[name] = args[name] or starter.typed.get(key)

    def style() -> "Response":
        others = web_ui.template_args.get("extra_options", {})
        theirs = [
            Field(name, "Of the locustfile", one["help_text"] or "", "")
            for name, one in others.items()
            if name not in OURS
        ]
        return site.answer(sheet([*ours(), *theirs]), "text/css; charset=utf-8", Cache_Control="no-cache")

    setattr(web_ui, "update_template_args", with_ours)  # noqa: B010  of this one
    site.app.jinja_env.policies["json.dumps_kwargs"] = {"sort_keys": False}  # fields come in the page's order
    site.route("form.css", style)


def _answer(site: Site, starter: Starter) -> None:
    views, web_ui = site.app.view_functions, site.web_ui
    start = cast("Callable[[], Response]", views["locust.swarm"])
    stop = cast("Callable[[], Response]", views["locust.stop"])

    def swarm() -> "Response":
        from flask import request  # noqa: PLC0415  only where Locust has brought it
        from werkzeug.datastructures import ImmutableMultiDict  # noqa: PLC0415

        said: list[Response] = []
        classes = request.form.getlist("user_classes")

        def go(form: Mapping[str, str]) -> bool:
            rows: list[tuple[str, str]] = [pair for pair in form.items() if pair[0] != "user_classes"]
            told = [*rows, *(("user_classes", name) for name in classes)]
            setattr(request, "form", ImmutableMultiDict(told))  # noqa: B010  Locust reads what is its own
            said.append(start())
            return bool((said[0].get_json(silent=True) or {}).get("success"))

        try:
            starter.swarm(dict(request.form.items()), classes, go)
        except ConfigError as error:
            if said and not (said[0].get_json(silent=True) or {}).get("success"):
                return said[0]
            return site.json({"success": False, "message": str(error), "host": site.session.environment.host})
        return said[0]

    def halt() -> "Response":
        if starter.stop():
            return site.json({"success": True, "message": "Test stopped"})
        return stop()

    def edit() -> "Response":
        from flask import request  # noqa: PLC0415

        try:
            picked(site.session.environment, web_ui, request.get_json(force=True, silent=True))
        except ConfigError as error:
            return site.json({"message": str(error)}, status=400)
        return update()

    update = cast("Callable[[], Response]", views["locust.update_user"])
    views["locust.update_user"] = web_ui.auth_required_if_enabled(edit)
    views["locust.swarm"] = web_ui.auth_required_if_enabled(swarm)
    views["locust.stop"] = web_ui.auth_required_if_enabled(halt)


def _keep_shape(site: Site) -> None:
    """Locust's class picker takes any shape away where its "Default" is chosen; ours stays, in a sweep."""
    web_ui, session = site.web_ui, site.session
    update: Callable[[str | None], None] = web_ui._update_shape_class  # noqa: SLF001

    def updated(name: str | None) -> None:
        update(name)
        if not name and session.options.is_sweep and not session.is_under_way:
            session.shapes.use()

    setattr(web_ui, "_update_shape_class", updated)  # noqa: B010  of this one
