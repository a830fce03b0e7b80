"""`edge-sleep bench`: what nights cost on this device, beside other trainers, held against its profile's budgets."""
from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_sleep.cli import context, output
from edge_sleep.cli.context import Common, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import UsageError

FilesArgument = Annotated[list[Path] | None, typer.Argument(
    metavar="[RESULT]...", show_default=False, help="With --page: results to look at, two of one command to see whether they "
    "agree.")]
ShapeOption = Annotated[str, typer.Option(
    metavar="NAME|DIR", help="tiny, seedling, qwen2.5-0.5b, qwen2.5-1.5b, qwen2.5-3b (random weights of that shape), or a model "
    "folder.")]
AgainstOption = Annotated[str, typer.Option(
    metavar="NAMES", help="Other trainers, in the same rounds: hf (transformers.Trainer with peft), trl, and with a CUDA GPU "
    "liger, unsloth; separated by commas.")]
OnlyOption = Annotated[str | None, typer.Option(
    metavar="NAMES", help="Of agreement, limits, memory, load, step, night, export, morning, or with --growth of its curves; "
    "separated by commas.  [default: all]")]
BatchOption = Annotated[str, typer.Option(metavar="ROWSxTOKENS", help="What a step is made of.")]
RoundsOption = Annotated[int, typer.Option(min=1, help="Rounds in turns: A B A B; five give a median's noise at 94 %.")]
StepsOption = Annotated[int, typer.Option(min=1, help="Steps of each contender in a round.")]
MemoryOption = Annotated[str | None, typer.Option(
    metavar="SIZE", help="Limit of the night's memory, such as `2 GiB`.  [default: the profile's budget]")]
GrowthOption = Annotated[bool, typer.Option(
    "--growth", help="How cost grows, and where each decision stops holding, instead.")]
PageOption = Annotated[bool, typer.Option(
    "--page", help="Measure nothing: the page of kept results, and how two of them agree.")]
ResultsOption = Annotated[Path | None, typer.Option(
    metavar="DIR", help="Where results are kept.  [default: benchmarks/results of a checkout, else the user's data folder]")]
WorkOption = Annotated[Path | None, typer.Option(
    "--home", metavar="DIR", help="Keep the models and homes that are measured here, a folder of the suite's own.  "
    "[default: one that goes again]")]


def command(files: FilesArgument = None, shape: ShapeOption = "seedling", against: AgainstOption = "hf", only: OnlyOption = None,
            batch: BatchOption = "1x256", rounds: RoundsOption = 5, steps: StepsOption = 3, memory: MemoryOption = None,
            growth: GrowthOption = False, page: PageOption = False, results: ResultsOption = None, home: WorkOption = None,
            profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """Measure this device: correctness first, then memory, load, step, a whole night, export, the first token of a morning.

    Each measure is a process of its own. Budgets of the profile are held against the medians. The last line is the whole result
    as JSON, which is kept with its page. Ends with 11 where a budget is missed, 22 where a step is not the reference's.

    Example: edge-sleep bench --shape tiny --against hf,trl --only step,memory
    """
    from edge_sleep.benchmarks.suite import page as pages
    from edge_sleep.benchmarks.suite import result

    where = result.folder(results)
    if page:
        if not files:
            raise UsageError("--page: no result is named", f"results lie in {where}")
        _look([result.read(file) for file in files], (results or files[-1].parent) / f"{files[-1].stem}.html")
        return
    if files:
        raise UsageError(f"{files[0]}: results are for --page", "`edge-sleep bench --page RESULT` makes its page")
    common = Common.of(home, profile, sets, as_json)
    board, because = context.load_profile(common)
    head = {"started": _now(), "commit": result.commit(result.checkout()), "device": result.device(board.name, because)}
    if growth:
        from edge_sleep.benchmarks.suite import growth as growing
        document = growing.run(_names(only, tuple(growing.CURVES)), head, output.say)
        text = growing.as_text(document)
    else:
        from edge_sleep.benchmarks.suite import run
        document = _suite(common, board, head, _names(only, run.NAMES), shape, against, batch, rounds, steps, memory)
        text = run.as_text(document)
    file = result.keep(document, where)
    output.say(f"kept: {file}\npage: {pages.write([document], file.with_suffix('.html'))}")
    if not as_json:
        print(text, flush=True)
    print(json.dumps(output.plain(document), ensure_ascii=False), flush=True)
    raise typer.Exit(document["exit_code"])


def _suite(common: Common, board: Any, head: dict, names: Sequence[str], shape: str, against: str, batch: str, rounds: int,
           steps: int, memory: str | None) -> dict:
    from edge_sleep.benchmarks.suite import budgets, case, run
    from edge_sleep.device import detect

    bounds = budgets.load(board.name)
    rows, tokens = case.batch(batch)
    able, unable = case.peers([name for name in against.split(",") if name], head["device"]["gpu"] is not None)
    limit = _size(memory, bounds.memory_bytes)
    with tempfile.TemporaryDirectory(prefix="edge-sleep-bench-") as temporary, output.libraries_to_stderr():
        work = case.workplace((common.home or Path(temporary)).expanduser().absolute())
        folder, named = case.model(shape, work)
        measured = case.Case(folder, named, rows, tokens, detect.choose().compute_dtype, rounds, steps, work, able, common.sets,
                             limit, board.power.total_rail, unable)
        return run.run(measured, names, bounds, head, output.say)


def _look(documents: list[dict], file: Path) -> None:
    from edge_sleep.benchmarks.suite import page as pages
    from edge_sleep.benchmarks.suite import repeat

    suites = [document for document in documents if document["benchmark"] == "suite"]
    rows = repeat.told_apart(*suites[-2:]) if len(suites) > 1 else []
    output.say(f"page: {pages.write(documents, file)}")
    if rows:
        print(repeat.as_text(rows), flush=True)
    print(json.dumps(output.plain({"page": str(file), "again": rows}), ensure_ascii=False), flush=True)


def _names(only: str | None, known: tuple[str, ...]) -> list[str]:
    names = [name for name in (only or ",".join(known)).split(",") if name]
    if odd := [name for name in names if name not in known]:
        raise UsageError(f"--only {odd[0]}: no such measure", f"any of {', '.join(known)}")
    return names


def _now() -> str:
    from edge_sleep.system.clock import Clock
    return Clock().stamp()


def _size(asked: str | None, default: int | None) -> int | None:
    from edge_sleep.benchmarks.suite.budgets import amount
    if asked is None:
        return default
    try:
        return int(amount(asked, "bytes"))
    except ValueError as error:
        raise UsageError(f"--memory {error}", "two gibibytes are `2 GiB`") from None
