"""Collecting from a conversation loop: light, quick, whole."""
from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time

import pytest

import edge_sleep
from edge_sleep.cli import main
from edge_sleep.data.buffer import Buffer
from edge_sleep.errors import UsageError
from edge_sleep.system.home import Home
from tests import micro


def test_what_is_collected_is_on_disk_and_its_transcript_is_known(tmp_path, capsys):
    home = tmp_path / "home"
    for prompt, answer in micro.TALK:
        made = edge_sleep.collect(home, prompt, answer, session=1, phase="relating")
        assert made.status == "kept" and made.prompt == prompt
    with Buffer(Home(home).experiences) as buffer:
        assert [(item.prompt, item.response) for item in buffer.items()] == micro.TALK
    file = micro.write_talk(tmp_path / "sessions")
    assert main.run(["ingest", str(file), "--home", str(home), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["exchanges"], found["new"], found["duplicates"]) == (4, 0, 4)
    other = tmp_path / "other"
    assert main.run(["ingest", str(file), "--home", str(other), "--json"]) == 0
    with Buffer(Home(home).experiences) as one, Buffer(Home(other).experiences) as two:
        assert [(i.id, i.salience, i.status, i.context) for i in one.items()] == [(i.id, i.salience, i.status, i.context) for i in two.items()]


def test_teaching_and_settings_that_change_meanwhile(tmp_path):
    home = tmp_path / "home"
    wrong = edge_sleep.collect(home, *micro.TALK[0])
    made = edge_sleep.teach(home, None, "The boat is called Swan.", instead_of=wrong.id)
    assert (made.prompt, made.status) == (wrong.prompt, "kept")
    (home / "edge-sleep.yaml").write_text("salience:\n  keep: 0.99\n")
    assert edge_sleep.collect(home, *micro.TALK[1]).reason == "low_salience"
    with pytest.raises(UsageError):
        edge_sleep.collect(home, "", "x")


def test_every_thread_and_every_process_writes(tmp_path):
    home = tmp_path / "home"
    edge_sleep.collect(home, "Who begins?", "I begin, and the others follow me.")
    threads = [threading.Thread(target=lambda n=n: edge_sleep.collect(home, f"What is {n}?", f"Number {n} is a thread of its own.", session=n))
               for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    code = "import sys, edge_sleep; edge_sleep.collect(sys.argv[1], 'What is this?', 'It is another process altogether.')"
    subprocess.run([sys.executable, "-c", code, str(home)], check=True, cwd=os.path.dirname(os.path.dirname(edge_sleep.__file__)))
    edge_sleep.collect(home, "And now?", "Now everything has been said by everyone.")
    with Buffer(Home(home).experiences) as buffer:
        assert len(buffer.items("kept")) == 7 and buffer.memory.exchanges == 7


def test_no_model_library_is_loaded(tmp_path):
    code = ("import sys, edge_sleep; edge_sleep.collect(sys.argv[1], 'What is this?', 'It is a stone.');"
            "print(*sorted({name.partition('.')[0] for name in sys.modules}))")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "home")], check=True, capture_output=True, text=True,
                          cwd=os.path.dirname(os.path.dirname(edge_sleep.__file__)))
    assert not {"torch", "transformers", "peft", "numpy", "bitsandbytes", "typer"} & set(done.stdout.split())


def test_a_conversation_does_not_wait_for_it(tmp_path):
    """CPU time, because this machine's others are not this call's; `benchmarks/collecting.py` takes the wall clock too."""
    spent = []
    for n in range(60):
        prompt, answer = f"What do you think of number {n}?", " ".join(f"word{(n * 37 + k * 11) % 997} of the long answer" for k in range(20))
        began = time.process_time()
        edge_sleep.collect(tmp_path / "home", prompt, answer, session=n // 8)
        spent.append(time.process_time() - began)
    assert statistics.median(spent[10:]) < 0.010
