"""The Open Charge Alliance's test cases of a CSMS for OCPP 2.0.1: block K, smart charging.

Each test plays the charging station of the case with that number; the steps follow part 2 block K.
"""

from __future__ import annotations

from typing import Any

from oca_world import ACCEPTED, REJECTED, Asked, Station201, cases, now

from bridge.events import DetailKind

_PERIODS = [{"startPeriod": 0, "limit": 6.0}]
_SCHEDULE = {"id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": _PERIODS}


def profile(id: int = 7, purpose: str = "TxDefaultProfile", **more: Any) -> dict[str, Any]:
    fixed = {"id": id, "stackLevel": 0, "chargingProfilePurpose": purpose, "chargingProfileKind": "Absolute"}
    return fixed | {"chargingSchedule": [_SCHEDULE | {"startSchedule": "2026-11-25T10:00:00Z"}]} | more


def profiles(cs: Station201) -> set[str]:
    return set(cs.details(DetailKind.PROFILE))


def limited(cs: Station201, answer: Any = ACCEPTED, **params: Any) -> Asked:
    done = cs.asked("LimitPower", {"limit": 6, "unit": "A"} | params, answer)
    assert done.action == "SetChargingProfile"
    schedule = done.payload["chargingProfile"]["chargingSchedule"][0]
    assert (schedule["chargingRateUnit"], schedule["chargingSchedulePeriod"]) == ("A", _PERIODS)
    return done


# set


@cases(
    "params, purpose, evse",
    {
        "TC_K_01_CSMS": ({"scope": "evse", "evse": 1}, "TxDefaultProfile", 1),
        "TC_K_03_CSMS": ({"scope": "station"}, "ChargingStationMaxProfile", 0),
        "TC_K_10_CSMS": ({"scope": "evse", "evse": 0}, "TxDefaultProfile", 0),
    },
)
def test_TC_set_charging_profile(cs201: Station201, params: dict[str, Any], purpose: str, evse: int) -> None:
    done = limited(cs201, **params)
    sent = done.payload["chargingProfile"]
    assert (done.payload["evseId"], sent["chargingProfilePurpose"]) == (evse, purpose)
    assert "transactionId" not in sent
    assert cs201.details(DetailKind.PROFILE)[str(sent["id"])] == sent


def test_TC_K_02_CSMS_tx_profile_without_a_transaction(cs201: Station201) -> None:
    done = limited(cs201, REJECTED, scope="session", evse=1, transaction_id="none")
    assert done.payload["chargingProfile"]["chargingProfilePurpose"] == "TxProfile"
    assert done.is_refused
    assert profiles(cs201) == set()


def test_TC_K_60_CSMS_tx_profile_with_a_transaction(cs201: Station201) -> None:
    going = cs201.charging()
    sent = limited(cs201, scope="session", evse=1, transaction_id=going.id).payload["chargingProfile"]
    assert (sent["chargingProfilePurpose"], sent["transactionId"]) == ("TxProfile", going.id)
    assert going.event("Updated", "ChargingRateChanged", "Charging", wh=1500) == {}
    assert profiles(cs201) == {str(sent["id"])}


def test_TC_K_04_CSMS_replace_charging_profile(cs201: Station201) -> None:
    """The same number takes the place of the old one."""
    sent = [cs201.asked("LimitPower", {"limit": limit, "scope": "evse", "evse": 1}).payload for limit in (6, 8)]
    old, new = (one["chargingProfile"] for one in sent)
    assert old["id"] == new["id"]
    assert new["chargingSchedule"][0]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 8.0}]
    assert cs201.details(DetailKind.PROFILE) == {str(new["id"]): new}


def test_TC_K_15_CSMS_charging_profiles_are_not_supported(cs201: Station201) -> None:
    done = limited(cs201, "NotSupported", scope="station")
    assert (done.result.code, done.is_refused) == ("NotSupported", True)
    assert profiles(cs201) == set()


def test_TC_K_19_CSMS_recurring_charging_profile(cs201: Station201) -> None:
    recurring = profile(chargingProfileKind="Recurring", recurrencyKind="Daily")
    done = cs201.asked("SetChargingProfile", {"evseId": 1, "chargingProfile": recurring})
    assert done.payload["chargingProfile"] == recurring
    assert cs201.details(DetailKind.PROFILE)["7"]["recurrencyKind"] == "Daily"


def test_TC_K_70_CSMS_several_charging_profiles(cs201: Station201) -> None:
    for id, level in ((7, 0), (8, 1), (9, 2)):
        cs201.asked("SetChargingProfile", {"evseId": 1, "chargingProfile": profile(id, stackLevel=level)})
    assert profiles(cs201) == {"7", "8", "9"}


def test_TC_K_37_CSMS_remote_start_with_a_charging_profile(cs201: Station201) -> None:
    asked = {"evseId": 1, "remoteStartId": 3, "idToken": {"idToken": "CARD1", "type": "Central"},
             "chargingProfile": profile(purpose="TxProfile")}  # fmt: skip
    assert cs201.asked("RequestStartTransaction", asked).payload == asked
    going = cs201.transaction()
    answer = going.event("Started", "RemoteStart", "Charging", "CARD1", info={"remoteStartId": 3})
    assert answer["idTokenInfo"]["status"] == "Accepted"
    assert profiles(cs201) == {"7"}


# clear


@cases(
    "asked, left",
    {
        "TC_K_05_CSMS": ({"chargingProfileId": 7}, {"8"}),
        "TC_K_06_CSMS": (
            {"chargingProfileCriteria": {"chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 1}},
            {"7"},
        ),
        "TC_K_08_CSMS": ({"chargingProfileId": 99}, {"7", "8"}),
    },
)
def test_TC_clear_charging_profile(cs201: Station201, asked: dict[str, Any], left: set[str]) -> None:
    for id, level in ((7, 0), (8, 1)):
        cs201.asked("SetChargingProfile", {"evseId": 1, "chargingProfile": profile(id, stackLevel=level)})
    is_there = len(left) == 1
    done = cs201.asked("ClearChargingProfile", asked, {"status": "Accepted" if is_there else "Unknown"})
    assert done.payload == asked
    assert done.is_refused is not is_there
    assert profiles(cs201) == left


# ask


@cases(
    "asked",
    {
        "TC_K_29_CSMS": {"evseId": 0, "chargingProfile": {}},
        "TC_K_30_CSMS": {"evseId": 1, "chargingProfile": {}},
        "TC_K_31_CSMS": {"chargingProfile": {}},
        "TC_K_32_CSMS": {"chargingProfile": {"chargingProfileId": [7]}},
        "TC_K_33_CSMS": {"evseId": 1, "chargingProfile": {"stackLevel": 0}},
        "TC_K_34_CSMS": {"evseId": 1, "chargingProfile": {"chargingLimitSource": ["CSO"]}},
        "TC_K_35_CSMS": {"evseId": 1, "chargingProfile": {"chargingProfilePurpose": "TxDefaultProfile"}},
        "TC_K_36_CSMS": {"evseId": 1, "chargingProfile": {"chargingProfilePurpose": "TxProfile", "stackLevel": 0}},
    },
)
def test_TC_get_charging_profiles(cs201: Station201, asked: dict[str, Any]) -> None:
    done = cs201.asked("GetChargingProfiles", asked | {"requestId": 4})
    assert done.payload == asked | {"requestId": 4}
    reported(cs201, 4, "CSO", asked.get("evseId", 1), [profile(7)], tbc=True)
    reported(cs201, 4, "CSO", asked.get("evseId", 1), [profile(8)])
    assert profiles(cs201) == {"7", "8"}
    nothing = cs201.asked("GetChargingProfiles", asked | {"requestId": 5}, {"status": "NoProfiles"})
    assert nothing.is_refused


def reported(
    cs: Station201, number: int, source: str, evse: int, found: list[dict[str, Any]], tbc: bool = False
) -> None:
    said = {"requestId": number, "chargingLimitSource": source, "evseId": evse, "chargingProfile": found, "tbc": tbc}
    assert cs.say("ReportChargingProfiles", said) == {}


@cases("evse", {"TC_K_43_CSMS": 1, "TC_K_44_CSMS": 0})
def test_TC_get_composite_schedule(cs201: Station201, evse: int) -> None:
    schedule = {"evseId": evse, "duration": 300, "scheduleStart": now(), "chargingRateUnit": "A",
                "chargingSchedulePeriod": _PERIODS}  # fmt: skip
    asked = {"evseId": evse, "duration": 300, "chargingRateUnit": "A"}
    done = cs201.asked("GetCompositeSchedule", asked, {"status": "Accepted", "schedule": schedule})
    assert done.payload == asked
    assert cs201.details(DetailKind.SCHEDULE)[f"composite@{evse}"] == schedule


# limits from outside


def external_limit(cs: Station201, evse: int) -> None:
    said = {"evseId": evse, "chargingLimit": {"chargingLimitSource": "EMS", "isGridCritical": False},
            "chargingSchedule": [_SCHEDULE]}  # fmt: skip
    assert cs.say("NotifyChargingLimit", said) == {}
    assert cs.details(DetailKind.LIMIT)[f"EMS@{evse}"]["chargingSchedule"] == [_SCHEDULE]


def test_TC_K_48_CSMS_external_limit_is_set(cs201: Station201) -> None:
    external_limit(cs201, 0)
    external_limit(cs201, 1)
    assert set(cs201.details(DetailKind.LIMIT)) == {"EMS@0", "EMS@1"}


@cases("is_charging", {"TC_K_50_CSMS": False, "TC_K_51_CSMS": True})
def test_TC_external_limit_is_released(cs201: Station201, is_charging: bool) -> None:
    going = cs201.charging() if is_charging else None
    external_limit(cs201, 1)
    assert cs201.say("ClearedChargingLimit", {"chargingLimitSource": "EMS", "evseId": 1}) == {}
    assert cs201.details(DetailKind.LIMIT) == {}
    if going is not None:
        assert going.event("Updated", "ChargingRateChanged", "Charging", wh=1500) == {}
        assert going.session.energy_wh == 500


def test_TC_K_52_CSMS_external_limit_is_reported(cs201: Station201) -> None:
    external_limit(cs201, 0)
    asked = {"requestId": 4, "evseId": 0, "chargingProfile": {"chargingLimitSource": ["EMS"]}}
    assert cs201.asked("GetChargingProfiles", asked).payload == asked
    external = profile(70, "ChargingStationExternalConstraints")
    reported(cs201, 4, "EMS", 0, [external])
    assert cs201.details(DetailKind.PROFILE)["70"] == external | {"chargingLimitSource": "EMS"}


# ISO 15118: a car that says what it needs and what it plans


def test_TC_K_CSMS_what_a_car_needs_is_kept_and_it_is_not_kept_waiting(cs201: Station201) -> None:
    """Nothing here computes a schedule while a car waits for one: it is told so at once, and goes by the default."""
    cs201.charging()
    car = {"energyAmount": 20_000, "evMinCurrent": 6, "evMaxCurrent": 32, "evMaxVoltage": 400}
    wanted = {"requestedEnergyTransfer": "AC_three_phase", "acChargingParameters": car}
    assert cs201.say("NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": wanted})["status"] == "Rejected"
    assert cs201.details(DetailKind.NEEDS)["1"]["chargingNeeds"] == wanted


def test_TC_K_58_CSMS_renegotiating_a_schedule_by_us(cs201: Station201) -> None:
    """The car's own schedule is taken, which is no consent to it; a new profile of ours is what it goes by."""
    going = cs201.charging()
    for id, limit in ((7, 99.0), (8, 6.0)):
        sent = profile(id, "TxProfile", transactionId=going.id)
        assert cs201.asked("SetChargingProfile", {"evseId": 1, "chargingProfile": sent}).payload["evseId"] == 1
        schedule = _SCHEDULE | {"chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}]}
        said = {"evseId": 1, "timeBase": now(), "chargingSchedule": schedule}
        assert cs201.say("NotifyEVChargingSchedule", said) == ACCEPTED
        assert cs201.details(DetailKind.SCHEDULE)["ev@1"]["chargingSchedule"] == schedule
    assert going.event("Updated", "ChargingRateChanged", "Charging", wh=2000) == {}
    assert going.session.energy_wh == 1000
