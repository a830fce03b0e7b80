"""The two callbacks in the trainers they are for, unchanged."""
from __future__ import annotations

import time

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

from edge_sleep.device.telemetry.reading import Lost, Reading
from edge_sleep.errors import ConfigError
from edge_sleep.integrations.transformers import DeadlineCallback, GovernorCallback
from tests import micro

pytestmark = [pytest.mark.night, pytest.mark.alone]


class Board:
    """Warms with each reading to `celsius`; loses a rail where told to."""

    name = "sysfs"

    def __init__(self, *celsius: float):
        self.celsius, self.lost, self.reads, self.closed = list(celsius), (), 0, False

    def available(self):
        return None

    def read(self):
        self.reads += 1
        hot = self.celsius.pop(0) if len(self.celsius) > 1 else self.celsius[0]
        return Reading(time.monotonic(), self.name, zones={"tj": hot}, watts=12.0, lost=self.lost)

    def close(self):
        self.closed = True


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return micro.make_model(tmp_path_factory.mktemp("micro") / "model")


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 32

    def __getitem__(self, index):
        ids = torch.arange(index, index + 8) % 500
        return {"input_ids": ids, "labels": ids, "attention_mask": torch.ones(8, dtype=torch.long)}


def trainer(model, folder, *callbacks, steps=8, **changes):
    arguments = TrainingArguments(str(folder), max_steps=steps, per_device_train_batch_size=2, gradient_accumulation_steps=2,
                                  report_to=[], save_strategy="no", logging_steps=1, use_cpu=True, disable_tqdm=True, **changes)
    return Trainer(AutoModelForCausalLM.from_pretrained(model), arguments, train_dataset=Numbers(), callbacks=list(callbacks))


def test_a_cool_board_changes_nothing(model, tmp_path):
    plain = trainer(model, tmp_path / "plain").train()
    board = Board(45.0)
    governor = GovernorCallback("orin-nano-8gb", telemetry=board)
    governed = trainer(model, tmp_path / "governed", governor, DeadlineCallback("10m")).train()
    assert governed.training_loss == plain.training_loss
    assert (governor.stopped, governor.measured["paused_seconds"], governor.measured["max_celsius"]) == (None, 0.0, 45.0)
    assert board.closed and board.reads >= 1


def test_a_hot_board_pauses_the_training_until_it_has_cooled(model, tmp_path):
    governor = GovernorCallback("orin-nano-8gb", telemetry=Board(91.0, 91.0, 91.0, 60.0))
    done = trainer(model, tmp_path, governor).train()
    assert (done.global_step, governor.stopped) == (8, None)
    assert governor.measured["rests"]["heat"] > 0.5


def test_a_board_that_stays_hot_ends_it_with_a_checkpoint_from_which_it_goes_on(model, tmp_path):
    governor = GovernorCallback("orin-nano-8gb", telemetry=Board(91.0), longest_pause="1s")
    stopped = trainer(model, tmp_path, governor)
    stopped.train()
    assert stopped.state.global_step <= 1 and "91.0" in governor.stopped       # at the first boundary: after half a step
    assert (tmp_path / f"checkpoint-{stopped.state.global_step}").is_dir()
    again = trainer(model, tmp_path, GovernorCallback("orin-nano-8gb", telemetry=Board(45.0)))
    assert again.train(resume_from_checkpoint=True).global_step == 8


def test_lost_telemetry_is_hot(model, tmp_path):
    board = Board(45.0)
    board.lost = (Lost("rail", "VDD_IN", "gone"),)
    governor = GovernorCallback("orin-nano-8gb", telemetry=board, longest_pause="1s")
    trainer(model, tmp_path, governor).train()
    assert "telemetry_lost" in governor.stopped and "rail VDD_IN: gone" in governor.stopped


def test_the_log_shows_the_pace(model, tmp_path):
    seen = []

    class Listener(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            seen.append(dict(logs))

    trainer(model, tmp_path, GovernorCallback("orin-nano-8gb", telemetry=Board(45.0)), Listener()).train()
    assert (seen[0]["duty"], seen[0]["celsius"]) == (1.0, 45.0)


def test_a_deadline_ends_it_in_time_with_a_checkpoint(model, tmp_path):
    deadline = DeadlineCallback(2.0)
    late = trainer(model, tmp_path, deadline, steps=100_000)
    began = time.monotonic()
    late.train()
    assert time.monotonic() - began < 20.0       # of minutes that so many steps would take; a busy machine saves slowly
    assert "budget of 2 s" in deadline.stopped
    assert (tmp_path / f"checkpoint-{late.state.global_step}").is_dir()


def test_contradicting_limits_are_refused_where_they_are_written():
    with pytest.raises(ConfigError, match="kernel"):
        GovernorCallback("orin-nano-8gb", ceiling_celsius=99.0)


def test_both_in_a_real_sft_trainer(model, tmp_path):
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    rows = [{"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}
            for prompt, answer in micro.TALK * 8]
    governor = GovernorCallback("orin-nano-8gb", telemetry=Board(50.0, 50.0, 91.0, 91.0, 60.0))
    deadline = DeadlineCallback("10m")
    sft = SFTTrainer(str(model), train_dataset=Dataset.from_list(rows), peft_config=LoraConfig(r=4, target_modules="all-linear"),
                     processing_class=AutoTokenizer.from_pretrained(model), callbacks=[governor, deadline],
                     args=SFTConfig(str(tmp_path), max_steps=60, per_device_train_batch_size=2, gradient_accumulation_steps=2,
                                    report_to=[], save_strategy="no", use_cpu=True, bf16=False, disable_tqdm=True,
                                    max_length=128))
    done = sft.train()
    assert (done.global_step, governor.stopped, deadline.stopped) == (60, None, None)
    assert governor.measured["rests"]["heat"] > 0.3
    assert governor.measured["max_celsius"] == 91.0
