"""The Open Charge Alliance's test cases of a CSMS for OCPP 2.0.1: block I, tariff and costs.

Each test plays the charging station of the case with that number; the steps follow part 2 block I.
"""

from __future__ import annotations

from oca_world import Station201

from bridge.command_bus import CommandOutcome


def test_TC_I_01_CSMS_running_cost_is_shown(cs201: Station201) -> None:
    going = cs201.charging()
    for cost in (0.5, 1.25):
        asked = {"transactionId": going.id, "totalCost": cost}
        done = cs201.asked("CostUpdated", asked, {})
        assert (done.payload, done.result.outcome) == (asked, CommandOutcome.ANSWERED)
    assert going.session.is_open


def test_TC_I_02_CSMS_final_cost_is_shown(cs201: Station201) -> None:
    """4 kWh at 0.50. A price is told with the end only, and with that of a transaction whose start is known."""
    cs201.there.intake.tells_cost = True
    going = cs201.charging()
    assert going.event("Updated", "MeterValuePeriodic", "Charging", wh=3000) == {}
    ended = going.event("Ended", "StopAuthorized", "EVConnected", "CARD1", 5000, "Local")
    assert (ended["totalCost"], ended["idTokenInfo"]["status"]) == (2.0, "Accepted")
    alone = cs201.transaction("tx-unknown", 2)
    assert alone.event("Ended", "EVCommunicationLost", "Idle", wh=9000, reason="EVDisconnected") == {}


def test_TC_I_CSMS_who_does_not_bill_by_our_prices_tells_none(cs201: Station201) -> None:
    going = cs201.charging()
    assert going.event("Ended", "EVCommunicationLost", "Idle", wh=5000, reason="EVDisconnected") == {}
