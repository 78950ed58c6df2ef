"""The official schemas against payloads that are made to be dear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bridge import schemas

REPORT = {"requestId": 1, "generatedAt": "2026-05-04T03:00:00Z", "seqNo": 0}
FINE = {"component": {"name": "C"}, "variable": {"name": "V"}, "variableAttribute": [{"value": "1"}]}
METER = {"timestamp": "2026-05-04T03:00:00Z", "sampledValue": [{"value": "1"}]}


class Counted:
    """A validator that counts the errors it has to make."""

    def __init__(self, validator: Any) -> None:
        self._validator = validator
        self.errors = 0

    def is_valid(self, payload: Any) -> bool:
        return bool(self._validator.is_valid(payload))

    def validate(self, payload: Any) -> None:
        self.errors += 1
        self._validator.validate(payload)

    def iter_errors(self, payload: Any) -> Iterator[Any]:
        made = list(self._validator.iter_errors(payload))
        self.errors += len(made)
        return iter(made)


@pytest.mark.parametrize(
    ("protocol", "action", "payload"),
    [
        ("ocpp1.6", "MeterValues", {"connectorId": 1, "meterValue": [1] * 300_000}),
        ("ocpp2.0.1", "NotifyReport", REPORT | {"reportData": [1] * 300_000}),
        ("ocpp2.1", "NotifyReport", REPORT | {"reportData": [1] * 300_000}),
        ("ocpp2.1", "Heartbeat", {f"x{number}": 1 for number in range(60_000)}),
    ],
)
def test_a_payload_of_nothing_but_errors_makes_few(
    protocol: str, action: str, payload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(schemas._validator(protocol, action, False))
    monkeypatch.setattr(schemas, "_validator", lambda *_: counted)
    assert schemas.violations(protocol, action, payload)
    assert 0 < counted.errors < 500


def test_what_is_wrong_far_behind_is_found_all_the_same() -> None:
    late = REPORT | {"reportData": [*[FINE] * 5_000, FINE | {"variable": {}}]}
    assert [found.path for found in schemas.violations("ocpp2.0.1", "NotifyReport", late)] == [
        "reportData.5000.variable"
    ]
    wide = {f"x{number}": 1 for number in range(5_000)} | {"connectorId": 1, "meterValue": [METER]}
    said = [found.detail for found in schemas.violations("ocpp1.6", "MeterValues", wide)]
    assert not any("required" in detail for detail in said)
