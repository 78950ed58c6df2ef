"""What OCPP 2.x says about a fault, in the error codes of OCPP 1.6, so that one alarm rule serves both.

2.x tells that something is wrong with a part (NotifyEvent: a component with the variable Problem or Tripped), and
apart from it that a connector is Faulted. Source: OCPP 2.0.1 part 2 section 3.1 (component names) and use case N07;
OCPP 1.6 section 7.6 (ChargePointErrorCode).
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from bridge.events import ConnectorStatus, DeviceEventNotified, StatusChanged
from bridge.snapshots import Connector

_VARIABLES = frozenset({"Problem", "Tripped"})
_ERROR_CODES = {
    "CPPWMController": "EVCommunicationError",
    "ConnectorPlugRetentionLock": "ConnectorLockFailure",
    "ControlMetering": "PowerMeterFailure",
    "EVRetentionLock": "ConnectorLockFailure",
    "EmergencyStopSensor": "EmergencyStop",
    "FiscalMetering": "PowerMeterFailure",
    "GroundIsolationProtection": "GroundFailure",
    "LiquidCoolingSystem": "HighTemperature",
    "OverCurrentProtection": "OverCurrentFailure",
    "PowerContactor": "PowerSwitchFailure",
    "RCD": "GroundFailure",
    "TemperatureSensor": "HighTemperature",
    "TokenReader": "ReaderFailure",
}


class Fault(NamedTuple):
    """``error_code`` is "NoError" when the fault is over."""

    error_code: str
    info: str
    vendor_error_code: str


def fault_of(event: DeviceEventNotified) -> Fault | None:
    """The fault that a device event begins or ends; ``None`` when it is about something else."""
    if event.variable not in _VARIABLES:
        return None
    if event.cleared or event.value.lower() == "false":
        return Fault("NoError", "", "")
    part = event.component.partition("@")[0].partition("/")[0]  # without its EVSE and instance
    code = _ERROR_CODES.get(part, "OtherError")
    return Fault(code, event.tech_info or f"{event.component}: {event.variable}", event.tech_code)


def with_known_fault(event: StatusChanged, known: Connector) -> StatusChanged:
    """A status that does not say what is wrong leaves what a device event said, while the connector is Faulted."""
    if event.error_code:
        return event
    if event.status is not ConnectorStatus.FAULTED:
        return replace(event, error_code="NoError")
    info = event.info or known.info
    return replace(event, error_code=known.error_code, info=info, vendor_error_code=known.vendor_error_code)
