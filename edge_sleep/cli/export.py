"""`edge-sleep export`: the current adapter for other runtimes, and the once-per-base part of it."""
from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edge_sleep.cli import context, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import Exit, UsageError

if TYPE_CHECKING:
    from edge_sleep.export.workshop import Workshop
    from edge_sleep.serve.handover import Handed

NoCheckOption = Annotated[bool, typer.Option("--no-check", help="Do not compare it with the judged model: it will not be named "
                                             "in current.json.")]
app = typer.Typer(invoke_without_command=True, rich_markup_mode=None,
                  help="Make the current adapter loadable for other runtimes, and compare it with the model that was judged.\n\n"
                       "adapter: the PEFT folder; merged: a plain transformers folder; onnx: an .onnx_adapter for ONNX Runtime, "
                       "swapped without loading the base again; gguf: LoRA for llama.cpp and Ollama. Exit 11: not faithful.\n\n"
                       "Example: edge-sleep export --to merged")


@app.callback()
def adapter(
    ctx: typer.Context,
    to: Annotated[Literal["adapter", "merged", "onnx", "gguf"] | None, typer.Option("--to", help="For which runtime.")] = None,
    adapter_id: Annotated[str | None, typer.Option("--adapter", metavar="ID", help="Id of an adapter, or its first letters.  "
                                                   "[default: the current one]", show_default=False)] = None,
    whole: Annotated[bool, typer.Option("--merged", help="With gguf: one file with the adapter in it, for programs without "
                                        "LoRA.")] = False,
    no_check: NoCheckOption = False,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    common = Common.of(home, profile, sets, as_json)
    ctx.obj = common
    if ctx.invoked_subcommand is not None:
        return
    if to is None:
        raise UsageError("export to what? --to adapter, merged, onnx or gguf", "or `edge-sleep export base --for ort|gguf`")
    if whole and to != "gguf":
        raise UsageError("--merged goes with --to gguf", "`--to merged` is the transformers folder")
    from edge_sleep.checkpoint import store
    place = common.existing_home()
    named = store.find(place, adapter_id) if adapter_id is not None else store.incumbent(place)
    if named is None:
        raise UsageError("the base is current: there is no adapter to export",
                         "`edge-sleep export base --for ort|gguf`, or name one with --adapter")
    kind = "gguf-merged" if whole else to
    from edge_sleep.serve.handover import hand_over

    def work(shop: Workshop) -> Handed:
        return hand_over(shop, kind, named, not no_check)

    _export(common, work)


@app.command()
def base(
    ctx: typer.Context,
    runtime: Annotated[Literal["ort", "gguf"], typer.Option("--for", help="ONNX Runtime, or llama.cpp and Ollama.")],
    given: Annotated[Path | None, typer.Option("--from", metavar="DIR", help="Take the folder that another machine made, "
                                               "verified, instead of making it here.")] = None,
    no_check: NoCheckOption = False,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Make the part that every adapter shares: once per base, here or on a bigger machine.

    Example: edge-sleep export base --for ort --set export.onnx=k_quant_mixed
    """
    common = ctx.obj if ctx.obj and not (home or profile or sets or as_json) else Common.of(home, profile, sets, as_json)
    kind = "onnx" if runtime == "ort" else "gguf"
    from edge_sleep.export import artefact
    from edge_sleep.serve.handover import Handed, made_and_compared

    def work(shop: Workshop) -> Handed:
        def make() -> tuple[artefact.Made, bool]:
            return shop.base_export(kind) if given is None else (
                artefact.take(shop.home, shop.base_plan(kind), given.expanduser()), True)

        return Handed(*made_and_compared(shop, make, not no_check), current=False)

    _export(common, work)


def _export(common: Common, work: Callable[[Workshop], Handed]) -> None:
    place = common.existing_home()
    from edge_sleep.system import lock
    with lock.hold(place.night_lock, "an export"), output.libraries_to_stderr(), workshop(common) as shop:
        handed = work(shop)
    found = handed.made.document
    document = {"kind": found["kind"], "id": found["id"], "path": str(handed.made.folder), "made": handed.anew,
                "seconds": handed.seconds, "bytes": sum(file["bytes"] for file in found["files"].values()),
                "adapter": (found["adapter"] or {}).get("id"), "base": found["base"],
                "needs": found["needs"] and found["needs"]["id"], "runtime": found.get("runtime"), "fidelity": found["fidelity"],
                "speed": found.get("speed"), "current": handed.current}
    output.answer(document, as_text(document), common.as_json)
    raise typer.Exit(Exit.OK if found["fidelity"] is None or found["fidelity"]["passed"] else Exit.REJECTED)


def verified(common: Common) -> dict[str, list[str]]:
    """What speaks against each export that current.json names: its files, and what it says to its canary."""
    from edge_sleep.checkpoint import store
    from edge_sleep.errors import IntegrityError
    place = common.existing_home()
    pointer = store.current(place)
    if pointer is None or not pointer.get("exports"):
        return {}
    from edge_sleep.export import artefact, examine
    found: dict[str, list[str]] = {}
    with workshop(common) as shop:
        for kind, entry in pointer["exports"].items():
            folder = (place.root / entry["path"]).parent
            try:
                made = artefact.Made(folder, artefact.read(folder))
                found[kind] = examine.verify(shop, made) if made.entry(place) == entry else [
                    f"current.json names another content for export {made.name}"]
            except IntegrityError as error:
                found[kind] = [error.message]
    return found


@contextmanager
def workshop(common: Common) -> Any:
    """The home's base and settings, ready to make artefacts."""
    from edge_sleep.device import detect
    from edge_sleep.export.workshop import Workshop
    from edge_sleep.model import base as base_model
    from edge_sleep.serve.session import base_of
    from edge_sleep.system.clock import Clock
    place = common.existing_home()
    config = context.configure(place, common)
    if not place.base.is_file():
        raise UsageError(f"{place.root} has not had a night yet: it is not bound to a base", "`edge-sleep night` first")
    found = base_of(place, config)
    device = base_model.settled(place, detect.choose(config.companion.compute_dtype))
    yield Workshop(place, found, device, config.export, config.companion.system_prompt, Clock().stamp())


def as_text(document: dict) -> str:
    found = document["fidelity"]
    rows = [("export", f"{document['kind']}/{document['id']}" + ("" if document["made"] else "  (it was there)")),
            ("folder", document["path"]), ("size", output.size(document["bytes"])),
            ("took", output.span(document["seconds"]) if document["made"] else "nothing"),
            *([("on", document["needs"])] if document["needs"] else [])]
    if found is None:
        return "\n".join([output.columns(rows), "not compared with the judged model"])
    rows += [("runtime", document["runtime"]),
             ("divergence", f"{found['kl']:.2g} nats a token; {found['allowed_kl']:.2g} allowed"
              + (f", the adapter itself moves {found['moved']:.2g}" if found["moved"] is not None else "")),
             ("same token", f"{found['top1']:.1%} of {found['tokens']}"), ("loss", f"{found['delta_nll']:+.5f} nats a token")]
    if (speed := document["speed"]) is not None:
        rows.append(("speed", f"{speed['tokens_per_second']:.0f} tokens a second here; as judged {speed['judged']:.0f}"))
    ending = "faithful to what was judged" if found["passed"] else "not faithful to what was judged"
    return "\n".join([output.columns(rows), *(f"problem: {reason}" for reason in found["reasons"]),
                      ending + ("; current.json names it" if document["current"] else "")])
