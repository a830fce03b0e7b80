"""`edge-sleep serve`: the current model behind a local, OpenAI-compatible endpoint."""
from __future__ import annotations

from typing import Annotated

import typer

from edge_sleep.cli import context, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption


def command(
    host: Annotated[str | None, typer.Option(
        "--host", metavar="ADDRESS", help="Where to listen; any but a loopback address requires a token.  [default: serve.host]",
        show_default=False)] = None,
    port: Annotated[int | None, typer.Option(
        "--port", metavar="N", help="Port; 0 takes a free one.  [default: serve.port]", show_default=False)] = None,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Serve the current model to OpenAI's clients, all day: other weights answer from the morning on, without a restart.

    A conversation has the device; when nobody asked for `serve.idle`, device and memory are given back and a night can run.

    Example: edge-sleep serve --port 8327
    """
    from edge_sleep.model.settings import set_value
    more = [set_value(f"serve.{name}", value) for name, value in (("host", host), ("port", port)) if value is not None]
    common = Common.of(home, profile, [*(sets or ()), *more], as_json)
    place = common.open_home()
    config = context.configure(place, common)
    from edge_sleep.serve import server
    with output.libraries_to_stderr():
        done = server.run(place, config, output.say)
    output.answer(done, f"{done['requests']} requests, {done['tokens']} tokens", as_json)
