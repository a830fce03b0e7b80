from __future__ import annotations

import subprocess
import sys

import pytest

from edge_sleep.errors import ConfigError
from edge_sleep.remote.choose import open_remote
from edge_sleep.remote.folder import FolderRemote
from edge_sleep.remote.protocol import NotAllowed


def test_a_folder(tmp_path):
    remote = open_remote(f"folder:{tmp_path}", keys=tmp_path / "keys")
    assert isinstance(remote, FolderRemote) and remote.list("") == []


@pytest.mark.parametrize("place", ["", "folder:", "folder:x", "dropbox:", "dropbox:x", "s3:/x", "/x", "folder"])
def test_no_place(place, tmp_path):
    with pytest.raises(ConfigError, match="no place for a remote"):
        open_remote(place, keys=tmp_path)


def test_dropbox_without_a_login(tmp_path):
    with pytest.raises(NotAllowed, match="sync login"):
        open_remote("dropbox:/", keys=tmp_path / "keys")
    assert not (tmp_path / "keys").exists()


def test_a_folder_needs_no_library(tmp_path):
    code = ("import sys; from pathlib import Path; from edge_sleep.remote.choose import open_remote\n"
            f"open_remote('folder:{tmp_path}', keys=Path('/nowhere')).publish('a', b'x')\n"
            "print({'dropbox', 'requests', 'stone', 'torch'} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
