"""The loop on a small real module: resume is exact, stops are named, failures are said before they cost."""
import itertools

import pytest
import torch

from edge_sleep.config import Train
from edge_sleep.data.dataset import TokenisedExample
from edge_sleep.errors import DoesNotFit, ModelError
from edge_sleep.train import loop, state
from edge_sleep.train.shrink import forwards

EXAMPLES = [TokenisedExample(tuple(range(1, 4 + index % 5)), 1, 3 + index % 5, 1.0 + index % 2) for index in range(11)]
SETTINGS = Train(epochs=3, micro_batch=2, grad_accum_steps=2, learning_rate=1e-2)


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.frozen = torch.nn.Embedding(16, 8).requires_grad_(False)
        self.trained = torch.nn.Linear(8, 16)
        self.dropout = torch.nn.Dropout(0.2)


def loss_of(model, batch, denominator):
    hidden = model.frozen(batch["input_ids"])[batch["rows"], batch["columns"]]
    losses = torch.nn.functional.cross_entropy(model.trained(model.dropout(hidden)), batch["targets"], reduction="none")
    return (losses * batch["weights"]).sum() / denominator


def run(folder=None, stop_at=None, resume=False, settings=SETTINGS, **changes):
    model = Small()
    torch.manual_seed(5)
    ticks = itertools.count()
    saved = state.latest(folder) if resume else None
    arguments = {"loss_of": loss_of, "pad": 0, "monotonic": lambda: float(next(ticks)), "state_every": 1e9,
                 "save": lambda parameters, optimiser, progress: folder and state.save(folder, parameters, optimiser, progress),
                 "restore": (lambda parameters, optimiser: state.restore(saved, parameters, optimiser)) if saved else None}
    count = itertools.count()
    arguments["may_step"] = lambda seconds: loop.Stop.DEADLINE if next(count) == stop_at else None
    return model, loop.train(model, EXAMPLES, settings, **{**arguments, **changes})


def weights(model):
    return torch.cat([parameter.flatten() for parameter in model.parameters() if parameter.requires_grad])


def without_dropout(model, batch, denominator):
    return loss_of(model.eval(), batch, denominator)


@pytest.mark.parametrize(("stop_at", "packed"), [*((stop, False) for stop in range(1, 9)), (2, True), (5, True)])
def test_stopping_anywhere_and_resuming_gives_the_same_bits(tmp_path, stop_at, packed):
    whole, finished = run(tmp_path / "whole", packed=packed)
    _, stopped = run(tmp_path / "cut", stop_at=stop_at, packed=packed)
    assert stopped.stop is loop.Stop.DEADLINE
    assert stopped.progress.step == stop_at
    resumed, end = run(tmp_path / "cut", resume=True, packed=packed)
    assert end.stop is loop.Stop.FINISHED
    assert torch.equal(weights(whole), weights(resumed))
    assert end.progress.losses == finished.progress.losses


def test_a_step_is_expected_to_take_what_the_plan_says_until_one_was_timed(tmp_path):
    expected = []

    def may_step(seconds):
        expected.append(seconds)
        return loop.Stop.DEADLINE if len(expected) == 3 else None

    run(tmp_path, may_step=may_step, first_step_seconds=77.0)
    assert expected[0] == 77.0
    assert 0 < expected[2] < 77.0
    expected.clear()
    run(tmp_path, resume=True, may_step=may_step, first_step_seconds=77.0)
    assert 0 < expected[0] < 77.0


def test_accumulation_is_the_gradient_of_the_large_batch():
    without_dropout = {"loss_of": lambda model, batch, denominator: loss_of(model.eval(), batch, denominator)}
    small, _ = run(settings=SETTINGS.model_copy(update={"epochs": 1, "micro_batch": 11, "grad_accum_steps": 1}), **without_dropout)
    pieces, _ = run(settings=SETTINGS.model_copy(update={"epochs": 1, "micro_batch": 1, "grad_accum_steps": 11}), **without_dropout)
    torch.testing.assert_close(weights(small), weights(pieces), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 11])
def test_any_number_of_examples_per_forward_takes_the_same_steps(size):
    """The order of data is that of two times two; a forward may hold half of it or the whole step."""
    configured, first = run(loss_of=without_dropout)
    sizes = []

    def counted(model, batch, denominator):
        sizes.append(batch["input_ids"].shape[0])
        return without_dropout(model, batch, denominator)

    other, training = run(loss_of=counted, micro_batch=size)
    torch.testing.assert_close(weights(other), weights(configured), rtol=0, atol=1e-6)
    assert training.progress.losses == pytest.approx(first.progress.losses, abs=1e-6)
    assert max(sizes) == min(size, 4) and training.progress.step == first.progress.step


def test_near_lengths_share_a_forward():
    lengths = [9, 3, 7, 3, 8, 4, 2]
    assert forwards([6, 0, 4, 1, 3], lengths, 2) == [[6, 1], [3, 4], [0]], "2 3 | 3 8 | 9, equals as they came"
    assert forwards(range(7), lengths, 5) == [[6, 1, 3, 5], [2, 4, 0]], "four and three, not five and two"
    assert forwards([], lengths, 4) == []


@pytest.mark.parametrize("stop_at", [2, 5])
def test_fuller_forwards_resume_to_the_same_bits(tmp_path, stop_at):
    whole, _ = run(tmp_path / "whole", micro_batch=4, packed=True)
    run(tmp_path / "cut", stop_at=stop_at, micro_batch=4, packed=True)
    resumed, _ = run(tmp_path / "cut", resume=True, micro_batch=1, packed=True)
    assert torch.equal(weights(whole), weights(resumed)), "the state knows how large its forwards were"


MEMORISED = SETTINGS.model_copy(update={"loss_floor": 100.0})


def test_a_memorised_night_ends_with_one_epoch_of_a_falling_rate():
    shown = []
    _, training = run(settings=MEMORISED, on_step=lambda progress, steps, rate: shown.append((progress.step, steps, rate)))
    assert (training.stop, training.progress.epoch) == (loop.Stop.LOSS_FLOOR, 2)
    per_epoch = training.progress.step // 2
    assert [steps for _, steps, _ in shown[per_epoch:]] == [2 * per_epoch] * per_epoch, "what is left is said"
    rates = [rate for _, _, rate in shown[per_epoch:]]
    assert rates == sorted(rates, reverse=True) and rates[-1] < 0.5 * rates[0]


@pytest.mark.parametrize("stop_at", range(1, 6))
def test_a_memorised_night_resumes_to_the_same_bits(tmp_path, stop_at):
    whole, finished = run(tmp_path / "whole", settings=MEMORISED)
    run(tmp_path / "cut", stop_at=stop_at, settings=MEMORISED)
    resumed, end = run(tmp_path / "cut", resume=True, settings=MEMORISED)
    assert end.stop is loop.Stop.LOSS_FLOOR and end.progress.losses == finished.progress.losses
    assert torch.equal(weights(whole), weights(resumed))


class Short:
    """A memory that holds `rows` examples at once and fails like a device until it is asked for fewer."""

    def __init__(self, rows, error, inner=without_dropout):
        self.rows, self.error, self.inner, self.failures = rows, error, inner, 0

    def __call__(self, model, batch, denominator):
        if batch["input_ids"].shape[0] > self.rows:
            self.failures += 1
            raise self.error
        return self.inner(model, batch, denominator)


BATCHES_OF_FOUR = SETTINGS.model_copy(update={"micro_batch": 4})


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("NVML_SUCCESS == r INTERNAL ASSERT FAILED at CUDACachingAllocator.cpp:1131"),
    RuntimeError("NvMapMemAllocInternalTagged: 1075072515 error 12"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    MemoryError(), OSError(12, "Cannot allocate memory")])
def test_out_of_memory_halves_the_batch_and_keeps_the_gradient(error):
    whole, _ = run(settings=BATCHES_OF_FOUR, loss_of=without_dropout)
    memory, said = Short(1, error), []
    shrunk, training = run(settings=BATCHES_OF_FOUR, loss_of=memory, on_shrink=lambda progress, who: said.append((progress.step, progress.micro_batch)))
    assert said == [(0, 2), (0, 1)] and memory.failures == 2, "later steps begin with what fits"
    assert training.stop is loop.Stop.FINISHED and training.progress.micro_batch == 1
    torch.testing.assert_close(weights(whole), weights(shrunk), rtol=0, atol=1e-6)


def test_a_night_that_shrank_resumes_to_the_same_bits(tmp_path):
    full = torch.OutOfMemoryError("out of memory")
    whole, _ = run(tmp_path / "whole", settings=BATCHES_OF_FOUR, loss_of=Short(2, full, loss_of))
    run(tmp_path / "cut", stop_at=3, settings=BATCHES_OF_FOUR, loss_of=Short(2, full, loss_of))
    resumed, _ = run(tmp_path / "cut", resume=True, settings=BATCHES_OF_FOUR, loss_of=Short(2, full, loss_of))
    assert torch.equal(weights(whole), weights(resumed))


def test_one_example_that_does_not_fit_is_said_and_the_state_is_saved(tmp_path):
    with pytest.raises(DoesNotFit, match=r"memory ran out \(the allocator\) at step 1 with one example at a time"):
        run(tmp_path, loss_of=Short(0, torch.OutOfMemoryError("out of memory")))
    assert state.latest(tmp_path).name == "step-000000"


def test_another_error_is_no_lack_of_memory():
    with pytest.raises(RuntimeError, match="shape"):
        run(loss_of=Short(1, RuntimeError("shape mismatch")))


def test_nothing_trainable_is_said_before_any_training():
    model = Small().requires_grad_(False)
    with pytest.raises(ModelError, match="no trainable parameter"):
        loop.train(model, EXAMPLES, SETTINGS, pad=0, loss_of=loss_of, may_step=lambda seconds: None,
                   save=lambda *_: None, monotonic=lambda: 0.0, state_every=1e9)


def test_a_lost_gradient_is_said():
    def forgets_the_bias(model, batch, denominator):
        hidden = model.frozen(batch["input_ids"])[batch["rows"], batch["columns"]]
        return (hidden @ model.trained.weight.T).sum() / denominator
    with pytest.raises(ModelError, match=r"no gradient reached 1 of 2 .* trained\.bias"):
        run(loss_of=forgets_the_bias)


def test_a_loss_that_is_not_finite_stops_at_once():
    with pytest.raises(ModelError, match="not finite"):
        run(loss_of=lambda model, batch, denominator: loss_of(model, batch, denominator) * float("nan"))


def test_a_damaged_state_is_refused(tmp_path):
    from edge_sleep.errors import IntegrityError
    run(tmp_path, stop_at=2)
    file = state.latest(tmp_path) / "tensors.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(IntegrityError, match="damaged"):
        run(tmp_path, resume=True)


@pytest.mark.parametrize("stop_at", [0, 1, 2, 5, 8])
def test_a_step_that_is_given_up_between_two_forwards_was_never_begun(tmp_path, stop_at):
    """Two forwards a step: every other boundary lies in the middle of one."""
    whole, finished = run(tmp_path / "whole")
    count = itertools.count()
    _, stopped = run(tmp_path / "cut", boundary=lambda: loop.Stop.HEAT if next(count) == stop_at else None)
    assert (stopped.stop, stopped.progress.step) == (loop.Stop.HEAT, stop_at // 2)
    resumed, end = run(tmp_path / "cut", resume=True)
    assert end.stop is loop.Stop.FINISHED
    assert torch.equal(weights(whole), weights(resumed))
    assert end.progress.losses == finished.progress.losses


def test_rests_are_no_part_of_what_a_step_takes(tmp_path):
    slept = [0.0]

    def boundary():
        slept[0] += 100.0

    now = itertools.count()
    _, training = run(tmp_path, boundary=boundary, rested=lambda: slept[0], monotonic=lambda: next(now) + slept[0])
    assert training.progress.seconds < 10 * training.progress.step


def test_what_heat_leaves_no_time_for_ends_with_a_last_epoch_of_falling_rate(tmp_path):
    rates, asked = [], []

    def too_much(whole, least):
        asked.append((whole, least))
        return True

    _, training = run(tmp_path, settings=SETTINGS.model_copy(update={"epochs": 9}), too_much=too_much,
                      on_step=lambda progress, steps, rate: rates.append(rate))
    assert (training.stop, training.progress.epoch) == (loop.Stop.SHORTENED, 2)
    assert asked[0][0] == pytest.approx(8 * asked[0][1])
    assert rates[-1] < 0.5 * rates[0] or rates[-1] < rates[-2]
