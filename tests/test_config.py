import pytest

from edge_sleep import config
from edge_sleep.errors import ConfigError


def test_layers_later_wins(tmp_path):
    of_base, of_home = tmp_path / "base.yaml", tmp_path / "home.yaml"
    of_base.write_text("train: {epochs: 20, learning_rate: 3e-3}\n")
    of_home.write_text("train: {epochs: 9}\nbudget: {time: 1h30m}\n")
    settings = config.load(of_home, ["train.micro_batch=4"], of_base)
    assert (settings.train.epochs, settings.train.learning_rate, settings.train.micro_batch) == (9, 3e-3, 4)
    assert settings.budget.time == 5400


def test_gentle_is_the_proposals_setting_and_outranks_the_base(tmp_path):
    of_base = tmp_path / "base.yaml"
    of_base.write_text("lora: {rank: 16}\ntrain: {learning_rate: 3e-3}\n")
    settings = config.load(None, ["train.preset=gentle"], of_base)
    assert (settings.lora.rank, settings.lora.alpha, settings.lora.targets) == (4, 8, "q_proj,v_proj")
    assert (settings.train.learning_rate, settings.train.epochs, settings.replay.share) == (1e-5, 1, 0)
    assert config.load(None, ["train.preset=gentle", "lora.rank=8"]).lora.rank == 8


def test_all_problems_at_once_each_with_its_key():
    with pytest.raises(ConfigError) as caught:
        config.load(None, ["train.epochs=0", "lora.rnk=3", "budget.time=55", "gate.loops=2"])
    said = str(caught.value)
    assert len(caught.value.problems) == 4
    assert all(key in said for key in ("train.epochs", "lora.rnk", "budget.time", "gate.loops"))
    assert "55m" in said


@pytest.mark.parametrize(("text", "value"), [("22:00", "22:00"), ("1e-4", 1e-4), ("no", "no"), ("on", "on"),
                                              ("true", True), ("007", 7), ("1_000", "1_000"), ("null", None)])
def test_yaml_says_what_it_seems_to_say(tmp_path, text, value):
    (tmp_path / "x.yaml").write_text(f"key: {text}\n")
    assert config.read_yaml(tmp_path / "x.yaml") == {"key": value}


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("55m", 3300), ("1h30m", 5400), ("0.5h", 1800)])
def test_durations(text, seconds):
    assert config.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["55", "ten minutes", "", "5m5", "-5m"])
def test_not_durations(text):
    with pytest.raises(ValueError, match="write it with units"):
        config.parse_duration(text)


@pytest.mark.parametrize("text", ["- a\n- b\n", "train: 7\n", "train: {epochs: [}\n"])
def test_files_that_are_no_configuration(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError):
        config.load(tmp_path / "x.yaml")


def test_every_setting_says_what_it_does():
    for name, section in config.Config.model_fields.items():
        for key, field in section.annotation.model_fields.items():
            assert field.description, f"{name}.{key}"


@pytest.mark.parametrize("text", ["[" * 20_000, "a: " + "[" * 20_000, "!!int x", "a: !!float x", "!!timestamp 2001-99-99", "!!bool x", "1" * 5_000,
                                  "train:\n  epochs: " + "1" * 5_000, "? [a]\n: b", "train: {1: 2}", "1: {a: 1}", "!!python/object:os.system x"])
def test_yaml_that_nobody_writes_is_refused_by_name(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError):
        config.load(tmp_path / "x.yaml")


def test_a_number_with_a_zero_before_it_is_decimal(tmp_path):
    """YAML 1.1 read octal numbers, and 08 was none."""
    (tmp_path / "x.yaml").write_text("train:\n  epochs: 010\n  seed: 08\n")
    found = config.load(tmp_path / "x.yaml", ["data.min_new=09"])
    assert (found.train.epochs, found.train.seed, found.data.min_new) == (10, 8, 9)


def test_a_problem_is_told_in_a_line_whatever_was_found(tmp_path):
    laughs = "".join(f"  {name}: &{name} [*{before}, *{before}, *{before}, *{before}, *{before}, *{before}, *{before}, *{before}]\n"
                     for before, name in zip("abcdefgh", "bcdefghi", strict=True))
    (tmp_path / "x.yaml").write_text(f"lora:\n  a: &a [x, x, x, x]\n{laughs}train:\n  epochs: *i\n")
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "x.yaml")
    assert len(str(caught.value)) < 4_000
