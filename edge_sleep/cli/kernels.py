"""`edge-sleep kernels`: compile for this GPU, and see which implementation each operation would use, and why."""
from __future__ import annotations

from typing import Annotated, Any

import typer

from edge_sleep.cli import output
from edge_sleep.cli.context import JsonOption
from edge_sleep.errors import UsageError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Compile the kernels, and see what each operation uses.\n\n"
                  "Example: edge-sleep kernels list")


@app.command("build")
def build(arch: Annotated[str, typer.Option("--arch", help="Architectures with commas, such as sm_87,sm_110; if left out, the "
                                                             "GPU's own.")] = "",
          jobs: Annotated[int, typer.Option("--jobs", min=1, help="Compilers at a time; each takes some 300 MiB.")] = 1,
          as_json: JsonOption = False) -> None:
    """Compile every kernel with nvcc, into EDGE_SLEEP_KERNELS or the cache, and try those for this GPU.

    What is there already stays. Nothing is compiled at install time, nor at night; without nvcc nights use what PyTorch and
    bitsandbytes have.

    Example: edge-sleep kernels build --arch sm_87,sm_110
    """
    from edge_sleep.ops import build as compiler

    architectures = [name.strip() for name in arch.split(",") if name.strip()] or [_own()]
    if not as_json:
        output.say(f"compiling for {', '.join(architectures)}; a minute or two")
    made = compiler.build(architectures, jobs)
    proofs = _prove_all() if _gpu() else []
    rows: list[tuple[Any, ...]] = [("kernel", "for", "registers", "spilled", "compiled by")]
    rows += [(one.kernel, one.architecture, max((part.registers for part in one.usage), default=None),
              f"{sum(part.spill_bytes for part in one.usage)} B", one.compiler) for one in made]
    document = {"kernels": [{**vars(one), "usage": [vars(part) for part in one.usage]} for one in made], "tried": proofs}
    lines = [output.columns(rows), *(f"{proof['kernel']}: {proof['found']}" for proof in proofs)]
    output.answer(document, "\n".join(lines), as_json)


@app.command("list")
def show(as_json: JsonOption = False) -> None:
    """Which implementation each operation would use here, and why; kernels that were not tried yet are tried now.

    A trial is a process of its own that compares a kernel's values and time with PyTorch's. A night uses only what passed.

    Example: edge-sleep kernels list
    """
    from edge_sleep.ops import compiled, registry

    site = _site()
    proofs = _prove_all(again=False) if site.device == "cuda" else []
    choices = [registry.choose(op, site) for op in registry.OPS]
    document = {"device": site.device, "dtype": site.dtype, "looked_in": compiled.places(), "tried": proofs,
                "ops": [{"op": choice.op, "implementation": choice.implementation.name, "reason": choice.reason}
                        for choice in choices]}
    rows = [(choice.op, choice.implementation.name, choice.reason) for choice in choices]
    output.answer(document, f"on {site.device} in {site.dtype}\n{output.columns(rows)}", as_json)


def _gpu() -> bool:
    """Whether there is one to try. Where an image is built a Jetson's torch may not even load."""
    try:
        import torch
    except (ImportError, OSError):
        return False
    return torch.cuda.is_available()


def _own() -> str:
    from edge_sleep.ops import compiled

    if not _gpu():
        raise UsageError("no CUDA GPU is here to compile for", "name it: `--arch sm_87` is Orin, `--arch sm_110` Thor")
    return compiled.architecture_of(0)


def _site() -> Any:
    from edge_sleep.device import detect
    from edge_sleep.ops.registry import Site

    found = detect.choose()
    return Site(found.torch_name, found.compute_dtype)


def _prove_all(again: bool = True) -> list[dict[str, Any]]:
    """Every kernel that is compiled for this GPU, and bitsandbytes, tried; again: also what was tried before."""
    from edge_sleep.device.doctor.check import try_code
    from edge_sleep.ops import compiled, proof

    found = []
    for kernel in (proof.LIBRARY, *compiled.KERNELS):
        of = proof.identity(kernel)
        told = None if again or of is None else proof.known(kernel, of)
        told = told or proof.prove(kernel, try_code)
        if told is not None:
            found.append({"kernel": kernel, "ok": told.ok, "found": told.found})
    return found
