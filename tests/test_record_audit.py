"""`make audit`: what agrees within its scatter passes, what does not fails, what is missing is said."""

import audit
import pytest

from gmaug import runs


def fixed(recorded, now, scatter):
    return lambda data: iter([("y top1", recorded, now, scatter, "seeds")])


def missing(data):
    raise FileNotFoundError("no scene/ here")
    yield


def test_within_the_scatter_is_fine_and_beyond_it_fails(monkeypatch, capsys):
    known = {
        "near": fixed(0.5, 0.52, 0.03),
        "far": fixed(0.5, 0.6, 0.03),
        "lost": fixed(0.5, float("nan"), 1),
    }
    monkeypatch.setattr(audit, "AUDITS", known)
    assert audit.main(["near"]) == 0
    assert "ok   near/y top1: recorded 0.5, now 0.52" in capsys.readouterr().out
    assert audit.main([]) == 1
    out = capsys.readouterr().out
    assert "FAIL far/y top1" in out
    assert "FAIL lost/y top1" in out
    assert "3 numbers compared, 2 out of their scatter" in out


def test_what_is_not_here_is_left_out_and_said(monkeypatch, capsys):
    monkeypatch.setattr(audit, "AUDITS", {"gone": missing})
    assert audit.main([]) == 0
    assert "left out gone: no scene/ here" in capsys.readouterr().out


def test_an_unknown_kind_names_the_known(capsys):
    with pytest.raises(SystemExit):
        audit.main(["metrik"])
    assert "there are metric" in capsys.readouterr().err


def test_every_kind_of_record_is_run_again_or_it_is_said_why_not():
    there = {path.name for path in runs.RECORDED.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert there <= set(audit.AUDITS) | set(audit.NOT_AGAIN)


@pytest.mark.parametrize("kind", audit.AUDITS)
def test_every_audit_says_what_it_does(kind):
    assert audit.AUDITS[kind].__doc__
