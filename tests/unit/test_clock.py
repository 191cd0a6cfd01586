import pytest

from provisioner import clock


def test_time_passes_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)

    clock.sleep(0.5)

    assert waits == [0.5]
