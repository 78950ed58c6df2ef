"""What the road carries: facts in the past tense, frozen, UTC, units in names.

An adapter turns a charger's frame into these; everything behind the intake reads nothing else.
``at`` is the device's own time when it gave one, else the time of receipt; ``received_at`` is ours.
Sizes are bounded by the frame guard, texts are as hostile as the charger that sent them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar

import msgspec


class ConnectorStatus(StrEnum):
    """State of a connector, in OCPP 1.6's terms (section 7.7); 2.x is mapped onto them."""

    AVAILABLE = "Available"
    PREPARING = "Preparing"
    CHARGING = "Charging"
    SUSPENDED_EV = "SuspendedEV"
    SUSPENDED_EVSE = "SuspendedEVSE"
    FINISHING = "Finishing"
    RESERVED = "Reserved"
    UNAVAILABLE = "Unavailable"
    FAULTED = "Faulted"


class DetailKind(StrEnum):
    """What a detail of a station is about; part of its natural key in the records."""

    VARIABLE = "variable"  # of the 2.x device model, or a configuration key of 1.6
    MONITOR = "monitor"  # what the station watches by itself
    PROFILE = "profile"  # a charging profile
    LIMIT = "limit"  # a charging limit set by somebody else
    NEEDS = "needs"  # what the car asked for (ISO 15118)
    SCHEDULE = "schedule"  # a charging schedule: the car's own, or the composite one
    MESSAGE = "message"  # on the display
    RESERVATION = "reservation"
    LIST = "list"  # the local authorisation list
    FIRMWARE = "firmware"  # progress of an update
    LOG = "log"  # progress of an upload of logs or diagnostics
    CERTIFICATE = "certificate"  # installed on the station
    CUSTOMER = "customer"  # what it stores about a customer
    TARIFF = "tariff"
    DER = "der"  # distributed energy resource controls and alarms
    STREAM = "stream"  # a periodic event stream
    BATTERY = "battery"  # swapped in or out
    SETTLEMENT = "settlement"  # of a payment at the station
    TRAIT = "trait"  # a habit of the station that we noticed


class EnergySource(StrEnum):
    """What a session's energy rests on, best first."""

    REGISTER = "register"  # difference of the meter's register
    SESSION_COUNTER = "session_counter"  # the charger's own count since plug-in
    POWER_INTEGRAL = "power_integral"  # sum of power over time


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Common to all: which station, when the device says it was, when we received it."""

    station: str
    at: datetime
    received_at: datetime


class StationConnected(Event, frozen=True, kw_only=True):
    address: str
    protocol: str  # "ocpp1.6", "ocpp2.0.1", "mqtt/goe"
    security: str = ""  # how it proved who it is (access.RANK)


class StationDisconnected(Event, frozen=True, kw_only=True):
    reason: str = ""


class StationBooted(Event, frozen=True, kw_only=True):
    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    reason: str = ""
    iccid: str = ""
    imsi: str = ""
    meter_type: str = ""
    meter_serial: str = ""


class StationSeen(Event, frozen=True, kw_only=True):
    """A heartbeat, or any sign of life that says nothing else."""


class StatusChanged(Event, frozen=True, kw_only=True):
    """``evse`` 0 is the station itself (OCPP 1.6 connector 0)."""

    evse: int
    connector: int = 1
    status: ConnectorStatus
    error_code: str = "NoError"  # "" where the protocol does not say it here (2.x: see DeviceEventNotified)
    info: str = ""
    vendor_error_code: str = ""


class TokenPresented(Event, frozen=True, kw_only=True):
    token: str
    token_type: str = ""
    evse: int | None = None
    accepted: bool = False  # set by the intake
    cause: str = ""  # why not, or which rule let it in; set by the intake


class TransactionStarted(Event, frozen=True, kw_only=True):
    """A charging transaction began. ``transaction_id`` is ours for OCPP 1.6 (set by the intake when empty),
    the station's for 2.x, derived for MQTT."""

    evse: int
    connector: int = 1
    transaction_id: str = ""
    token: str = ""
    meter_start_wh: int | None = None
    remote_start_id: int | None = None
    seq_no: int | None = None
    offline: bool = False
    charging: bool | None = None  # 2.x chargingState == Charging; None when unsaid
    start_unknown: bool = False  # we came late: the car was already charging (MQTT retained state)
    derived: bool = False  # from the plug: a charger without transactions (MQTT)
    accepted: bool = True  # set by the intake
    cause: str = ""  # set by the intake


class TransactionUpdated(Event, frozen=True, kw_only=True):
    transaction_id: str
    evse: int | None = None
    charging_state: ConnectorStatus | None = None
    trigger: str = ""
    seq_no: int | None = None
    token: str = ""
    offline: bool = False
    operation_mode: str = ""  # 2.1: who steers the charging


class TransactionEnded(Event, frozen=True, kw_only=True):
    """``evse`` is known for 2.x and MQTT, ``None`` for 1.6 where only the transaction id travels."""

    transaction_id: str
    evse: int | None = None
    meter_stop_wh: int | None = None
    stop_reason: str = ""
    token: str = ""
    seq_no: int | None = None
    offline: bool = False


class MeterSampled(Event, frozen=True, kw_only=True):
    """One instant of one EVSE: ``values`` maps a field of ``measurands.FIELDS`` to its value."""

    evse: int | None = None  # resolved by the intake where the charger left it out
    transaction_id: str = ""
    session_id: str = ""  # set by the intake
    context: str = ""  # OCPP ReadingContext; "" is Sample.Periodic
    values: dict[str, float]
    unknown: tuple[str, ...] = ()  # measurands we could not place; the raw frame has them
    offline: bool = False  # the charger says it was queued
    signed: str = ""  # a signed value came along, in this format ("OCMF"); the raw frame has it


class DeviceEventNotified(Event, frozen=True, kw_only=True):
    """2.x NotifyEvent, one entry."""

    component: str
    variable: str
    value: str
    trigger: str = ""
    evse: int | None = None
    cleared: bool = False
    tech_code: str = ""
    tech_info: str = ""


OURS = "chargewatch."  # begins the kind of a security event that we saw ourselves, at the door


class SecurityEventNotified(Event, frozen=True, kw_only=True):
    """Told by the station, or seen by us: then ``kind`` begins with ``OURS``, and it is no sign of life."""

    kind: str
    tech_info: str = ""


class Detail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing a station has, by its natural key within station and kind. ``body`` in the words of the protocol.
    Of what is gone the key ``ANY`` means all whose body says the same as this one (and are on its EVSE)."""

    ANY: ClassVar[str] = "*"

    key: str
    body: dict[str, Any] = {}
    evse: int | None = None


class DetailsReported(Event, frozen=True, kw_only=True):
    """What a station has, or no longer has (``is_gone``): the newest word on each key stands in the records.
    A report may come in parts (``seq_no``; ``more`` until the last). ``is_partial``: about some of its
    things, no description of the whole station; the adapter says so, which knows what was asked."""

    kind: DetailKind
    details: tuple[Detail, ...]
    request_id: int | None = None
    seq_no: int = 0
    more: bool = False
    is_gone: bool = False
    is_partial: bool = False


class CertificateRequested(Event, frozen=True, kw_only=True):
    """The station wants its certificate signed. ``accepted``: it was promised one, and an errand will send it."""

    csr: str  # PEM, as sent
    kind: str = "ChargingStationCertificate"  # or V2GCertificate, V2G20Certificate; 1.6 knows the first only
    request_id: int | None = None  # 2.1: to be named in CertificateSigned
    accepted: bool = False


class StationAsked(Event, frozen=True, kw_only=True):
    """The station asked for something that another system would know: ``subject`` in words, and our answer."""

    subject: str
    about: str = ""
    answer: str
    evse: int | None = None


class PriorityChargingChanged(Event, frozen=True, kw_only=True):
    """A transaction charges with priority, or no longer (2.1 section K21)."""

    transaction_id: str
    is_active: bool


class CostReported(Event, frozen=True, kw_only=True):
    """What the station reckons that a transaction costs (2.1 costDetails). ``total`` is decimal text with tax, ""
    where it could not reckon; ``body`` holds all of it in the words of the protocol."""

    transaction_id: str
    total: str = ""
    currency: str = ""
    evse: int | None = None
    body: dict[str, Any] = {}


class StreamValue(msgspec.Struct, frozen=True):
    at: datetime
    value: str


class StreamReported(Event, frozen=True, kw_only=True):
    """Values of a periodic event stream (2.1 NotifyPeriodicEventStream); ``pending``: how many wait at the station."""

    stream_id: int
    pending: int = 0
    values: tuple[StreamValue, ...] = ()


class DataTransferred(Event, frozen=True, kw_only=True):
    vendor_id: str
    message_id: str = ""
    data: str = ""


class MessageReceived(Event, frozen=True, kw_only=True):
    """A valid message that has no event of its own yet: answered and kept."""

    action: str
    payload: dict[str, Any]


class FrameRefused(Event, frozen=True, kw_only=True):
    """A frame we could not take: ``code`` is the CALLERROR's, ``detail`` says what to mend."""

    action: str = ""
    code: str
    detail: str


class AnswerRefused(Event, frozen=True, kw_only=True):
    """An answer of ours that the station could not take (2.1 CALLRESULTERROR)."""

    request_id: str
    code: str
    detail: str = ""


class FrameMended(Event, frozen=True, kw_only=True):
    """A frame outside its schema that was understood and answered all the same; told once per connection."""

    action: str = ""
    notes: tuple[str, ...]


class CommandAnswered(Event, frozen=True, kw_only=True):
    """A station's answer to one of our calls."""

    action: str
    request_id: str
    status: str
    detail: str = ""


AnyEvent = (
    StationConnected
    | StationDisconnected
    | StationBooted
    | StationSeen
    | StatusChanged
    | TokenPresented
    | TransactionStarted
    | TransactionUpdated
    | TransactionEnded
    | MeterSampled
    | DeviceEventNotified
    | SecurityEventNotified
    | DetailsReported
    | CertificateRequested
    | StationAsked
    | PriorityChargingChanged
    | CostReported
    | StreamReported
    | DataTransferred
    | MessageReceived
    | FrameRefused
    | AnswerRefused
    | FrameMended
    | CommandAnswered
)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[AnyEvent, ...])


def encode(events: tuple[AnyEvent, ...]) -> bytes:
    """Events to MessagePack, for the journal."""
    return _encoder.encode(events)


def decode(blob: bytes) -> tuple[AnyEvent, ...]:
    """The inverse of ``encode``."""
    return _decoder.decode(blob)


def utc_now() -> datetime:
    """The one clock of the adapters; pure code takes ``now`` as a parameter."""
    return datetime.now(UTC)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_us(moment: datetime) -> int:
    """Whole microseconds since 1970 UTC."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_us(microseconds: int) -> datetime:
    """The inverse of ``to_us``."""
    return _EPOCH + timedelta(microseconds=microseconds)
