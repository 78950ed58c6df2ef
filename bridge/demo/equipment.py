"""The parts of a virtual station that a central system commands: settings, profiles, cards, reservations, files.

A mixin of ``Station``: what happens of itself in these parts (an hour is over, a profile's next period begins, a file
is there) is a job on the agenda or a check in ``run_equipment``.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from bridge.demo.belongings import Display, LocalList, Reservation, Reservations
from bridge.demo.device import Device, Spec
from bridge.demo.profiles import Profiles
from bridge.demo.updates import Transfer
from bridge.events import ConnectorStatus as Status

if TYPE_CHECKING:
    from bridge.demo.bay import Bay, Happening
    from bridge.demo.words import Call, StationPlan, Transaction

Job = Callable[[float], None]
_NEVER = float("inf")
_LIMITS_EVERY_S = 5.0
_LEAST_AC_A = 6.0  # IEC 61851-1: below it a car may not charge
_LEAST_DC_W = 500.0
_BLOCKING = {Status.FAULTED: "Faulted", Status.UNAVAILABLE: "Unavailable"}


class Equipment:
    """``put`` queues a call, ``take`` what happened at a bay; both come from ``Station``."""

    plan: StationPlan
    bays: dict[int, Bay]
    transactions: dict[int, Transaction]
    meter_interval_s: float
    heartbeat_s: float

    def equip(self) -> None:
        """Before anything else is asked of it."""
        self.firmware = self.plan.firmware
        self.key = ""  # of HTTP Basic, once the central system has set one
        self.device = Device(self.plan, self.meter_interval_s, self._changed)
        self.profiles, self.local_list = Profiles(), LocalList()
        self.reservations, self.display = Reservations(), Display()
        self.transfers: deque[Transfer] = deque()
        self.diary: deque[tuple[float, str]] = deque(maxlen=200)
        self.after_boot: list[Job] = []
        self.resets_when_idle = False
        self.log_status: tuple[str, int | None] = ("Idle", None)
        self.firmware_status: tuple[str, int | None] = ("Idle", None)
        self._jobs: list[tuple[float, int, Job]] = []
        self._numbers = itertools.count()
        self._limits_at = _NEVER

    # the words, by protocol, and the queue: of Station

    def log_status_call(self, status: str, request_id: int | None) -> Call:
        raise NotImplementedError

    def firmware_status_call(self, status: str, request_id: int | None) -> Call:
        raise NotImplementedError

    def reservation_calls(self, id: int, status: str) -> Iterable[Call]:
        """What is told when a reservation ends of itself; nothing in 1.6."""
        return ()

    def put(self, call: Call) -> None:
        raise NotImplementedError

    def take(self, evse: int, happened: Iterable[Happening]) -> None:
        raise NotImplementedError

    def reset(self, at: float, reason: str) -> None:
        raise NotImplementedError

    # time

    def later(self, at: float, job: Job) -> None:
        """Do this then."""
        heapq.heappush(self._jobs, (at, next(self._numbers), job))

    def equipment_due(self) -> float:
        first = self._jobs[0][0] if self._jobs else _NEVER
        return min(first, self.reservations.due(), self._limits_at)

    def run_equipment(self, at: float) -> None:
        """What is due by ``at``."""
        while self._jobs and self._jobs[0][0] <= at:
            heapq.heappop(self._jobs)[2](at)
        for reservation in self.reservations.expired(at):
            self._free(reservation, at)
            for call in self.reservation_calls(reservation.id, "Expired"):
                self.put(call)
        if self._limits_at <= at:
            self.limit_now(at)
        if self.resets_when_idle and not self.transactions:
            self.resets_when_idle = False
            self.reset(at, "SoftReset")

    # settings

    def _changed(self, spec: Spec, value: str) -> None:
        if spec.key == "HeartbeatInterval":
            self.heartbeat_s = max(1.0, float(value))
        elif spec.key == "MeterValueSampleInterval" and int(value):
            self.meter_interval_s = float(value)
        elif spec.key == "AuthorizationKey":
            self.key = value

    def renew(self, firmware: str) -> None:
        """Another firmware from the next boot on."""
        self.firmware = firmware
        self.device.put("ChargingStation.FirmwareVersion", firmware)

    # power

    def limit_now(self, at: float) -> None:
        """Let each bay draw what the profiles leave it; one that is left too little pauses."""
        self._limits_at = at + _LIMITS_EVERY_S if self.profiles.installed else _NEVER
        sharers = sum(bay.has_transaction for bay in self.bays.values())
        for evse, bay in self.bays.items():
            self.take(evse, bay.advance(at))
            running = self.transactions.get(evse)
            transaction = "" if running is None or running.id is None else str(running.id)
            outlet = bay.meter.outlet
            bay.meter.limit_w = self.profiles.limit_w(evse, outlet, transaction, at, bay.began_at, sharers)
            least_w = _LEAST_AC_A * outlet.phases * 230.0 if outlet.phases else _LEAST_DC_W
            bay.hold(at) if bay.meter.limit_w < least_w else bay.release(at)
            self.take(evse, bay.advance(at))

    # reservations

    def reserve(self, new: Reservation, at: float) -> str:
        """OCPP's status for the answer. EVSE 0 takes the first that is free; the same number changes one."""
        self.cancel_reservation(new.id, at)
        numbers = [new.evse] if new.evse else list(self.bays)
        bays = [(number, self.bays[number]) for number in numbers if number in self.bays]
        if not bays or new.until <= at:
            return "Rejected"
        for number, bay in bays:
            if bay.reserve(at):
                self.reservations.put(new._replace(evse=number))
                self.take(number, bay.advance(at))
                return "Accepted"
        return _BLOCKING.get(bays[0][1].status, "Occupied")

    def cancel_reservation(self, id: int, at: float) -> bool:
        reservation = self.reservations.take(id)
        if reservation is not None:
            self._free(reservation, at)
        return reservation is not None

    def claim(self, evse: int, card: str, at: float) -> int | None:
        """The number of the reservation that this card redeems at a bay, which is free for it then."""
        reservation = self.reservations.of(evse)
        if reservation is None or card not in (reservation.card, reservation.group):
            return None
        self.cancel_reservation(reservation.id, at)
        return reservation.id

    def _free(self, reservation: Reservation, at: float) -> None:
        bay = self.bays[reservation.evse]
        bay.unreserve(at)
        self.take(reservation.evse, bay.advance(at))
