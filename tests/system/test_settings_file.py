import pytest

from edge_sleep.config import load, read_yaml
from edge_sleep.errors import ConfigError
from edge_sleep.system.settings_file import with_values, write_values

NEW = {"surprise": 0.25, "reward": 0.5}


@pytest.mark.parametrize(("text", "changed"), [
    ("", "salience:\n  surprise: 0.25\n  reward: 0.5\n"),
    ("train:\n  epochs: 3  # few\n", "train:\n  epochs: 3  # few\nsalience:\n  surprise: 0.25\n  reward: 0.5\n"),
    ("# mine\nsalience:   # how much\n    keep: 0.3\n    reward: 0.1   # low\n\ntrain:\n    epochs: 3\n",
     "# mine\nsalience:   # how much\n    surprise: 0.25\n    keep: 0.3\n    reward: 0.5   # low\n\ntrain:\n    epochs: 3\n"),
    ("salience:\n  reward: 0.1", "salience:\n  surprise: 0.25\n  reward: 0.5\n"),
])
def test_only_the_values_change(text, changed, tmp_path):
    assert with_values(text, "salience", NEW) == changed
    file = tmp_path / "edge-sleep.yaml"
    if text:
        file.write_text(text)
    write_values(file, "salience", NEW)
    assert file.read_text() == changed and load(file).salience.reward == 0.5
    write_values(file, "salience", NEW)
    assert file.read_text() == changed


@pytest.mark.parametrize("text", ["salience: {reward: 0.1}\n", "salience:\n  reward: |\n    0.1\n"])
def test_what_cannot_be_changed_in_place_is_left_and_said(text, tmp_path):
    file = tmp_path / "edge-sleep.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="by hand") as error:
        write_values(file, "salience", NEW)
    assert "surprise: 0.25" in str(error.value) and file.read_text() == text and read_yaml(file)
    assert [entry.name for entry in tmp_path.iterdir()] == ["edge-sleep.yaml"]
