"""The benchmark of Compare: small, but whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rft.trio import command


def test_it_measures_and_writes_what_it_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.json"
    small = ["--rounds", "1", "--problems", "2", "--single", "1", "--rank", "4"]
    assert command([*small, "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["three panes"]["same_answers"] and found["three panes"]["ratio"] > 0
    assert found["evaluation"]["ratio"] > 0 and found["evaluation"]["same_answers"] == 1
    assert 0 < found["memory"]["each_adapter"] < 0.1
    assert found["memory"]["ratio"] < 0.5
    told = capsys.readouterr().out
    assert "three panes" in told and "problems/s" in told and "each)" in told


def test_what_is_not_here_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["--checkpoint", "no/such/folder"]) == 2
    assert "There is no folder" in capsys.readouterr().err
