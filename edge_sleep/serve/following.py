"""What is current, and keeping a live runtime on it: the last good adapter, proven, in the form that is chosen for it."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_sleep.checkpoint import manifest, store
from edge_sleep.errors import IntegrityError, UsageError
from edge_sleep.export import artefact
from edge_sleep.export.artefact import Made
from edge_sleep.model import adapter
from edge_sleep.model import base as base_model
from edge_sleep.serve import runtimes
from edge_sleep.serve.runtime import NotInThisForm, Runtime, Worn
from edge_sleep.system.files import touched
from edge_sleep.system.home import Home

_TRIES = 5                                # at reading what is replaced while it is read
_KEEP = object()


class Following:
    """A runtime that speaks as what is current.

    asked: `serve.runtime`; where: this machine, as `speed.where` names it; load: a runtime by its name, without an adapter.
    problems: why another adapter or form answers than the current one, by name; empty where the current one does.
    reason: why it runs in this runtime.
    """

    def __init__(self, home: Home, base: base_model.Base, asked: str, where: str, load: Callable[[str], Runtime]):
        self.home, self.base = home, base
        self.problems: tuple[str, ...] = ()
        self.reason = ""
        self._asked, self._where, self._load = asked, where, load
        self._runtime: Runtime | None = None
        self._seen: Any = None
        self._settled = False
        self._followed: dict[str, Any] = {}
        self._base_as_loaded = self._base_files()

    @property
    def runtime(self) -> Runtime:
        """Raises UsageError where nothing is loaded (any more)."""
        if self._runtime is None:
            raise UsageError("this session is closed: nothing is loaded that could be named")
        return self._runtime

    @property
    def active(self) -> str | None:
        return self._runtime.active if self._runtime is not None else None

    def close(self) -> None:
        """Give the memory back."""
        live, self._runtime = self._runtime, None
        if live is not None:
            live.close()

    def refresh(self) -> bool:
        """Follow what became current since the last look; True where other weights answer from now on.

        Looks at contents, not at times: at current.json itself, and at the loaded files where they were touched.
        What does not verify is not loaded: `problems` names it, and the last good one answers.
        """
        before = self.active
        for _ in range(_TRIES):
            seen = self._look()
            if seen == self._seen:
                break
            try:
                self._settle()
            except FileNotFoundError as gone:      # pruned, or promoted past, while it was read
                self.problems = (f"{gone.filename} went away while it was read",)
                continue
            # Only what stood still while it was read has been seen; otherwise look again.
            self._seen = seen if self._look() == seen else None
        return self.active != before

    def _look(self) -> tuple:
        """What a swap behind our back cannot leave as it was: the pointer's bytes, and when the files we live on changed."""
        try:
            pointer = self.home.current.read_bytes()
        except FileNotFoundError:
            pointer = b""
        files: tuple[Path, ...] = ()
        if (active := self.active) is not None:
            own = (self.home.adapter(active) / name for name in (manifest.NAME, adapter.WEIGHTS, adapter.CONFIG))
            files = (*own, *self.runtime.files)
        return pointer, tuple(map(touched, files)), self._base_files()

    def _settle(self) -> None:
        problems, pointer = self._pointer()
        if pointer is _KEEP:
            self.problems = tuple(problems)
            return
        self._followed = pointer or {}
        exports = self._exports(pointer, problems)
        answers = adapter_id = None
        for adapter_id, wrong in store.descent(self.home, pointer) if pointer is not None else ():
            problems += wrong
            form = runtimes.choose(self._asked, exports.get(adapter_id, {}), self._where)
            if adapter_id == self.active and (wrong or self.runtime.name == form[0]):
                answers = adapter_id       # its weights were verified when they were loaded, whatever lies on the disk now
                break
            if not wrong:
                try:
                    self._wear(self._verified(adapter_id, exports.get(adapter_id, {})), form, problems)
                    answers = adapter_id
                    break
                except IntegrityError as error:
                    problems.append(error.message)
                    if adapter_id == self.active:      # another form of it was wanted; the one that speaks was verified
                        answers = adapter_id
                        break
        if answers is None and self._settled and store.ends_untold(self.home, adapter_id):
            answers = self.active          # nobody can say which it grew from: what was current before it stays
        elif answers is None:
            self._wear(None, runtimes.choose(self._asked, {}, self._where), problems)
        problems += self.runtime.changed()
        if problems:
            problems.append(who(answers) + (" goes on answering, as it was verified when it was loaded"
                                            if pointer is not None and pointer["adapter"] and answers == pointer["adapter"]["id"]
                                            else " answers instead, the last good one"))
        if self._base_files() != self._base_as_loaded:
            problems.append(f"the files of the base {self.base.place.source} changed since they were loaded: "
                            "the loaded weights answer, and the next session will refuse these files")
        self.problems, self._settled = tuple(problems), True

    def _wear(self, worn: Worn | None, form: tuple[str, str], problems: list[str]) -> None:
        """Speak under an adapter in the chosen form; in the form that was judged where that one cannot, by name."""
        try:
            self._run_in(*form)
            self.runtime.wear(worn)
        except NotInThisForm as error:
            problems.append(error.message)
            self._run_in(runtimes.JUDGED, f"{form[0]} cannot speak under it: {error.message}")
            self.runtime.wear(worn)

    def _run_in(self, name: str, reason: str) -> None:
        if self._runtime is None or self._runtime.name != name:
            self.close()                   # two at once might not fit
            self._runtime = self._load(name)
        self.reason = reason

    def _pointer(self) -> tuple[list[str], Any]:
        """(what is wrong with current.json, what to follow): the pointer, what latest.json remembers, or _KEEP what is loaded."""
        try:
            pointer = store.current(self.home)
        except IntegrityError as error:
            if self._settled:
                return [error.message, f"{who(self.active)} goes on answering, as it was loaded before"], _KEEP
            return [f"{error.message} ({error.do})"], store.remembered(self.home)
        if pointer is not None and pointer["base"]["sha256"] != self.base.sha256:
            return [f"current.json names another base ({pointer['base']['source']}, {pointer['base']['sha256'][:12]}) than this "
                    f"home has ({self.base.sha256[:12]})"], None
        return [], pointer

    def _exports(self, pointer: dict | None, problems: list[str]) -> dict[str, dict[str, Made]]:
        """By adapter and kind: what current.json names and was found faithful."""
        found: dict[str, dict[str, Made]] = {}
        for kind, entry in ((pointer or {}).get("exports") or {}).items():
            folder = (self.home.root / entry["path"]).parent
            try:
                made = Made(folder, artefact.read(folder))
                if made.entry(self.home) != entry:
                    problems.append(f"current.json names another content for export {made.name}")
                elif made.document["adapter"] and (made.document["fidelity"] or {}).get("passed"):
                    found.setdefault(made.document["adapter"]["id"], {})[kind] = made
            except IntegrityError as error:
                problems.append(error.message)
        return found

    def _verified(self, adapter_id: str, exports: dict[str, Made]) -> Worn:
        """The adapter's files as they were hashed, and named by what they hold. Raises IntegrityError."""
        document, files = manifest.contents(self.home.adapter(adapter_id))
        is_really = adapter.content_id_of(files, adapter_id, self.base.sha256)
        if is_really != adapter_id:
            raise IntegrityError(f"adapter {adapter_id} holds what would be named {is_really}: "
                                 "it is not what a night made on this base")
        return Worn(adapter_id, document["files"][adapter.WEIGHTS]["sha256"], files, exports)

    def _base_files(self) -> tuple:
        return tuple(map(touched, (self.base.place.folder / "config.json", *self.base.place.weight_files)))

    def differences(self, template: str, system_prompt: str) -> Iterator[str]:
        """What is not as the current adapter was judged with it; both as sha256."""
        for key, now, what in (("chat_template_sha256", template, "chat template"),
                               ("system_prompt_sha256", system_prompt, "system prompt")):
            if self._followed.get(key) not in (None, now):
                yield f"the {what} is not the one that the current adapter was judged with"


def who(adapter_id: str | None) -> str:
    return f"adapter {adapter_id}" if adapter_id else "the base as it is"
