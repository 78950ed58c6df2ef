"""Composed commands about the station's display. Source: OCPP 2.0.1 part 2 block O.

OCPP 1.6 has no display messages. The cost messages of its California pricing paper (DataTransfer to
``org.openchargealliance.costmsg``) belong to a token or a transaction and are no place for other words.
"""

from __future__ import annotations

from typing import Any

from bridge.compose.terms import V21, V201, Composed, Given, Kind, Parameter, Said, Target, new_id, times

_PRIORITIES = {"in turn": "NormalCycle", "in front": "InFront", "always in front": "AlwaysFront"}
_STATES = ("Charging", "Faulted", "Idle", "Unavailable")
_WHY = "it has no display messages; the station's maker may have a DataTransfer for it"


def _show(to: Target, given: Given) -> Said:
    to.needs_2x("ShowMessage", _WHY)
    content = {"format": "UTF8", "content": given["text"]} | given.some(language="language")
    message: dict[str, Any] = {
        "id": given["message_id"] or new_id(),
        "priority": _PRIORITIES[given["priority"]],
        "message": content,
    }
    message |= given.some(state="state", transactionId="transaction_id")
    return "SetDisplayMessage", {"message": message | times(given, startDateTime="since", endDateTime="until")}


def _clear(to: Target, given: Given) -> Said:
    to.needs_2x("ClearMessage", _WHY)
    return "ClearDisplayMessage", {"id": given["message_id"]}


COMMANDS = (
    Composed(
        "ShowMessage",
        "Show a message",
        "Drivers read this on the station's display.",
        (
            Parameter("text", "Text", required=True),
            Parameter("priority", "Priority", Kind.CHOICE, tuple(_PRIORITIES), "in turn"),
            Parameter("state", "Only while", Kind.CHOICE, _STATES, help="Always without it."),
            Parameter("since", "From", Kind.TIME),
            Parameter("until", "Until", Kind.TIME, help="Until it is cleared without it."),
            Parameter("language", "Language", help="As en, de-CH."),
            Parameter("transaction_id", "Transaction", help="Ends with this session."),
            Parameter("message_id", "Number", Kind.INTEGER, help="Random without it; the same number changes one."),
        ),
        _show,
        versions=(V201, V21),
    ),
    Composed(
        "ClearMessage",
        "Take a message off",
        "The message is gone from the display.",
        (Parameter("message_id", "Number", Kind.INTEGER, required=True),),
        _clear,
        versions=(V201, V21),
    ),
)
