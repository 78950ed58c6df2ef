"""What a version of OCPP is to the server: a table of actions. One module per version registers here.

An action turns a typed payload into events, and the decided events into the payload of the answer. Both are
pure; what they need of the connection comes in ``Context``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

from bridge.access import Decision
from bridge.events import AnyEvent
from bridge.session import Session


class Payload(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Base of the typed payloads: camelCase on the wire, fields we do not read are skipped."""


class Context(NamedTuple):
    """The connection's side of a message. ``registration`` is what a boot is answered: Accepted or Pending."""

    station: str
    received_at: datetime
    registration: str
    heartbeat_s: int
    decide: Callable[[str, datetime], Decision]
    session_of: Callable[[str], Session | None]  # by transaction id
    has_signer: bool = False  # is there an authority that signs certificates of stations?
    cost_of: Callable[[Session, datetime], str] = lambda session, now: ""  # of one that has ended; "" is not told
    full_report: int | None = None  # the request id of the report of everything that it was asked for last


Events = Callable[[Any, Context], list[AnyEvent]]
AnswerEvents = Callable[[Mapping[str, Any], Mapping[str, Any], Context], list[AnyEvent]]  # our call, its answer
Reply = Callable[[Any, tuple[AnyEvent, ...], Context], Mapping[str, Any]]
_T = TypeVar("_T")


class Action:
    """One action that a charger may call. ``is_checked``: held against the official schema even when the typed
    payload could be read, so that oddities are noted; off for the hot ones. ``asks``: its events may ask something
    of us after the answer (``bridge/ocpp/errands.py``)."""

    def __init__(
        self,
        request: Any,
        events: Events,
        reply: Reply | None = None,
        is_checked: bool = True,
        asks: bool = False,
    ) -> None:
        self.request = request
        self.events = events
        self.reply = reply
        self.is_checked = is_checked
        self.asks = asks
        self.decode = msgspec.json.Decoder(request).decode


class Version(NamedTuple):
    """``actions`` are a charger's calls; ``answers`` what its answers to our calls tell besides their status.
    ``fallback``: chargers that negotiate a newer version and go on in the older one (field quirk 4)."""

    protocol: str
    actions: Mapping[str, Action]
    answers: Mapping[str, AnswerEvents] = {}
    fallback: Version | None = None
    sends: frozenset[str] = frozenset()  # actions that come as a SEND, which is never answered (2.1)


def utc_text(moment: datetime) -> str:
    """RFC 3339 with milliseconds, as chargers' small parsers like it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
