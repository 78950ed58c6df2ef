"""What a virtual station can be told to be: one table of settings, read as keys in OCPP 1.6 and variables in 2.x.

Names and kinds are those of OCPP 1.6 section 9, its security whitepaper, and the referenced components of 2.0.1
(part 2 appendices, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from bridge.demo.meter import Outlet

_MIN_KEY, _MAX_KEY = 16, 40


class Spec(NamedTuple):
    """``key`` is empty where 1.6 has none, ``component`` where 2.x has none. ``evse`` 0: of the station."""

    key: str
    component: str
    variable: str
    value: str
    kind: str = "string"  # 2.x DataEnumType
    is_writable: bool = False
    is_readable: bool = True
    needs_reboot: bool = False
    unit: str = ""
    choices: str = ""
    evse: int = 0


def _general(model: str, vendor: str, serial: str, firmware: str, evses: int) -> Iterator[Spec]:
    yield Spec("", "ChargingStation", "Model", model)
    yield Spec("", "ChargingStation", "VendorName", vendor)
    yield Spec("", "ChargingStation", "SerialNumber", serial)
    yield Spec("", "ChargingStation", "FirmwareVersion", firmware)
    yield Spec("", "ChargingStation", "AvailabilityState", "Available", "OptionList", choices="Available,Unavailable")
    yield Spec("", "ChargingStation", "SupplyPhases", "3", "integer")
    yield Spec("NumberOfConnectors", "", "", str(evses))
    profiles = "Core,FirmwareManagement,LocalAuthListManagement,Reservation,SmartCharging,RemoteTrigger"
    yield Spec("SupportedFeatureProfiles", "", "", profiles)
    yield Spec("LightIntensity", "Display", "Brightness", "80", "integer", True, unit="Percent")
    yield Spec("", "DisplayMessageCtrlr", "Available", "true", "boolean")
    yield Spec("", "DisplayMessageCtrlr", "DisplayMessages", "0", "integer")
    yield Spec("", "DisplayMessageCtrlr", "SupportedFormats", "UTF8,ASCII", "MemberList")
    yield Spec("", "ClockCtrlr", "TimeSource", "Heartbeat", "SequenceList", True, choices="Heartbeat,NTP,GPS")
    yield Spec("", "ClockCtrlr", "TimeZone", "Europe/Berlin", "string", True)


_COMMUNICATION = (
    Spec("HeartbeatInterval", "OCPPCommCtrlr", "HeartbeatInterval", "300", "integer", True, unit="s"),
    Spec("WebSocketPingInterval", "OCPPCommCtrlr", "WebSocketPingInterval", "60", "integer", True, unit="s"),
    Spec("ConnectionTimeOut", "TxCtrlr", "EVConnectionTimeOut", "120", "integer", True, unit="s"),
    Spec("TransactionMessageAttempts", "OCPPCommCtrlr", "MessageAttempts", "5", "integer", True),
    Spec("TransactionMessageRetryInterval", "OCPPCommCtrlr", "MessageAttemptInterval", "30", "integer", True, unit="s"),
    Spec("ResetRetries", "OCPPCommCtrlr", "ResetRetries", "2", "integer", True),
    Spec("", "OCPPCommCtrlr", "NetworkConfigurationPriority", "0", "SequenceList", True, needs_reboot=True),
    Spec("", "OCPPCommCtrlr", "OfflineThreshold", "60", "integer", True, unit="s"),
    Spec("", "OCPPCommCtrlr", "FileTransferProtocols", "HTTP,HTTPS", "MemberList"),
    Spec("", "OCPPCommCtrlr", "UnlockOnEVSideDisconnect", "true", "boolean", True),
    Spec("SecurityProfile", "SecurityCtrlr", "SecurityProfile", "0", "integer", needs_reboot=True),
    Spec("AuthorizationKey", "SecurityCtrlr", "BasicAuthPassword", "", "string", True, is_readable=False),
    Spec("CpoName", "SecurityCtrlr", "OrganizationName", "chargewatch demo", "string", True),
    Spec("", "SecurityCtrlr", "CertificateEntries", "0", "integer"),
)
_CHARGING = (
    Spec("MeterValueSampleInterval", "SampledDataCtrlr", "TxUpdatedInterval", "60", "integer", True, unit="s"),
    Spec("ClockAlignedDataInterval", "AlignedDataCtrlr", "Interval", "900", "integer", unit="s"),
    Spec(
        "MeterValuesSampledData",
        "SampledDataCtrlr",
        "TxUpdatedMeasurands",
        "Energy.Active.Import.Register",
        "MemberList",
    ),
    Spec("StopTxnSampledData", "SampledDataCtrlr", "TxEndedMeasurands", "Energy.Active.Import.Register", "MemberList"),
    Spec("AuthorizeRemoteTxRequests", "AuthCtrlr", "AuthorizeRemoteStart", "false", "boolean", True),
    Spec("LocalPreAuthorize", "AuthCtrlr", "LocalPreAuthorize", "false", "boolean", True),
    Spec("LocalAuthorizeOffline", "AuthCtrlr", "LocalAuthorizeOffline", "true", "boolean", True),
    Spec("AllowOfflineTxForUnknownId", "AuthCtrlr", "OfflineTxForUnknownIdEnabled", "true", "boolean", True),
    Spec("AuthorizationCacheEnabled", "AuthCacheCtrlr", "Enabled", "true", "boolean", True),
    Spec("LocalAuthListEnabled", "LocalAuthListCtrlr", "Enabled", "true", "boolean", True),
    Spec("LocalAuthListMaxLength", "LocalAuthListCtrlr", "Entries", "1000", "integer"),
    Spec("SendLocalListMaxLength", "LocalAuthListCtrlr", "ItemsPerMessage", "1000", "integer"),
    Spec("ReserveConnectorZeroSupported", "ReservationCtrlr", "NonEvseSpecific", "true", "boolean"),
    Spec("", "ReservationCtrlr", "Enabled", "true", "boolean", True),
    Spec("ChargeProfileMaxStackLevel", "SmartChargingCtrlr", "ProfileStackLevel", "9", "integer"),
    Spec("ChargingScheduleAllowedChargingRateUnit", "SmartChargingCtrlr", "RateUnit", "Current,Power", "MemberList"),
    Spec("ChargingScheduleMaxPeriods", "SmartChargingCtrlr", "PeriodsPerSchedule", "24", "integer"),
    Spec("MaxChargingProfilesInstalled", "SmartChargingCtrlr", "Entries", "20", "integer"),
    Spec("StopTransactionOnEVSideDisconnect", "TxCtrlr", "StopTxOnEVSideDisconnect", "true", "boolean", True),
    Spec("StopTransactionOnInvalidId", "TxCtrlr", "StopTxOnInvalidId", "true", "boolean", True),
    Spec("UnlockConnectorOnEVSideDisconnect", "", "", "true", "boolean", True),
    Spec("GetConfigurationMaxKeys", "DeviceDataCtrlr", "ItemsPerMessage", "50", "integer"),
)


def _of_evse(evse: int, outlet: Outlet) -> Iterator[Spec]:
    plug = "cCCS2" if not outlet.phases else "cType2"
    yield Spec("", "EVSE", "Power", str(outlet.rated_power_w), "decimal", unit="W", evse=evse)
    yield Spec("", "EVSE", "SupplyPhases", str(outlet.phases), "integer", evse=evse)
    yield Spec("", "Connector", "ConnectorType", plug, evse=evse)


class Device:
    """The settings of one station. ``on_change(spec, value)`` makes the station live by a new value."""

    def __init__(self, plan: Any, meter_interval_s: float, on_change: Callable[[Spec, str], None]) -> None:
        general = _general(plan.model, plan.vendor, plan.id, plan.firmware, len(plan.outlets))
        evses = (spec for evse, outlet in enumerate(plan.outlets, start=1) for spec in _of_evse(evse, outlet))
        self.specs: list[Spec] = [*general, *_COMMUNICATION, *_CHARGING, *evses]
        self.values: dict[Spec, str] = {spec: spec.value for spec in self.specs}
        self._keys = {spec.key: spec for spec in self.specs if spec.key}
        self._variables = {(s.component, s.variable, s.evse): s for s in self.specs if s.component}
        self._components = {spec.component for spec in self.specs}
        self._on_change = on_change
        self.put("MeterValueSampleInterval", str(max(1, int(meter_interval_s))))

    @property
    def keys(self) -> Iterable[Spec]:
        return self._keys.values()

    @property
    def variables(self) -> Iterable[Spec]:
        return self._variables.values()

    def key(self, name: str) -> Spec | None:
        return self._keys.get(name)

    def variable(self, asked: dict[str, Any]) -> Spec | str:
        """The setting of ``{component, variable}``, or the 2.x status that says why there is none."""
        component, variable = asked["component"], asked["variable"]
        evse = int((component.get("evse") or {}).get("id") or 0)
        found = self._variables.get((component["name"], variable["name"], evse))
        if found is not None:
            return found
        return "UnknownVariable" if component["name"] in self._components else "UnknownComponent"

    def put(self, key: str, value: str) -> None:
        """A value that the station itself knows."""
        spec = self._keys.get(key) or next(s for s in self.specs if key == f"{s.component}.{s.variable}")
        self.values[spec] = value

    def change(self, spec: Spec, value: str) -> str:
        """Set by the central system: Accepted, Rejected, or RebootRequired."""
        if not spec.is_writable or not _fits(spec, value):
            return "Rejected"
        self.values[spec] = value
        self._on_change(spec, value)
        return "RebootRequired" if spec.needs_reboot else "Accepted"


def _fits(spec: Spec, value: str) -> bool:
    if spec.variable == "BasicAuthPassword":
        return _MIN_KEY <= len(value) <= _MAX_KEY
    if spec.kind == "integer":
        return value.isdecimal() and len(value) < 10
    if spec.kind == "boolean":
        return value in ("true", "false")
    allowed = set(spec.choices.split(",")) if spec.choices else None
    return allowed is None or set(value.split(",")) <= allowed
