"""`make audit`: what agrees within its scatter passes, what does not fails, what is missing is said."""

import pytest

from gmaug import audit
from gmaug.__main__ import main
from gmaug.audit import Check


def fixed(recorded, now, scatter):
    return lambda data: iter([Check("x/y top1", recorded, now, scatter, "seeds")])


def missing(data):
    raise FileNotFoundError("no scene/ here")
    yield


def test_within_the_scatter_is_fine_and_beyond_it_fails(monkeypatch, capsys):
    monkeypatch.setattr(audit, "AUDITS", {"near": fixed(0.5, 0.52, 0.03), "far": fixed(0.5, 0.6, 0.03)})
    assert main(["audit", "near"]) == 0
    assert "ok   x/y top1: recorded 0.5, now 0.52" in capsys.readouterr().out
    assert main(["audit"]) == 1
    out = capsys.readouterr().out
    assert "FAIL x/y top1" in out
    assert "2 numbers compared, 1 out of their scatter" in out


def test_what_is_not_here_is_left_out_and_said(monkeypatch, capsys):
    monkeypatch.setattr(audit, "AUDITS", {"gone": missing})
    assert main(["audit"]) == 0
    assert "left out gone: no scene/ here" in capsys.readouterr().out


def test_an_unknown_kind_names_the_known(capsys):
    assert main(["audit", "metrik"]) == 2
    assert "there are metric" in capsys.readouterr().err


def test_not_a_number_fails():
    assert not Check("x", 0.5, float("nan"), 1.0, "").holds


@pytest.mark.parametrize("kind", audit.AUDITS)
def test_every_audit_says_what_it_does(kind):
    assert audit.AUDITS[kind].__doc__
