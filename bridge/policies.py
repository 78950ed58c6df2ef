"""What a station's own ways are and how they are met: one frozen struct, its defaults, and where values come from.

A person's word about the station stands before what is known of its model (``bridge/ocpp/quirks/*.toml``, more in the
folder of the setting ``ocpp.quirks``), and that before the default. docs/quirks.md lists what every value does.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

QUIRKS = Path(__file__).parent / "ocpp" / "quirks"
_MAX_TEXT = 100  # of what a charger says about itself; the rest matches nothing
_MAX_DIGITS = 9


class PolicyError(ValueError):
    """A policy, or a file of them, cannot be used; the message names the file, the key and what to do."""


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one station is treated. Every default is what the specification says, or what harms nobody."""

    # at the door
    no_subprotocol: Literal["accept", "refuse"] = "accept"  # accept: taken as 1.6, and noted (field quirk 1)
    user_name: Literal["own_in_2x", "own", "any"] = "own_in_2x"  # with a key: the station's id, or any (quirk 8)
    second_connection: Literal["ping", "displace"] = "ping"  # ping: the older one may prove that it lives (quirk 10)
    pings: bool = True  # false: never pinged, gone when it has missed its heartbeats (quirk 14)
    # our calls
    calls: Literal["boot_or_wait", "boot", "at_once"] = "boot_or_wait"  # wait: ten seconds without a boot (15, 16)
    ask_configuration: Literal["all", "none"] = "all"  # after a boot (quirk 17)
    ask_single_keys: bool = True  # false: GetConfiguration leaves without its list of keys (quirk 17)
    # readings
    energy_unit: Literal["as_said", "wh", "kwh"] = "as_said"  # of every energy in meter values (quirk 29)
    power_unit: Literal["as_said", "w", "kw"] = "as_said"
    edge_unit: Literal["wh", "kwh"] = "wh"  # of meterStart and meterStop in 1.6
    register: Literal["lifetime", "session"] = "lifetime"  # session: restarts with every session (quirk 35)
    meter_start: Literal["as_said", "first_reading"] = "as_said"  # first_reading: meterStart is no register (quirk 35)
    phase_total: Literal["as_said", "l1_is_total", "sum"] = "as_said"  # sum: the total is wrong (quirks 31 and 33)
    # times and cards
    clock: Literal["utc", "local"] = "utc"  # local: times marked Z, or without a zone, are the site's (quirk 56)
    time_zone: str = ""  # of that clock; empty: the site's
    id_tag_bytes: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0  # only so many of a card's bytes are read (quirk 60)

    def __post_init__(self) -> None:
        if self.time_zone:
            zone_of(self.time_zone)


DEFAULT = Policy()


def zone_of(name: str) -> ZoneInfo:
    """Raises ValueError that names the zone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"time_zone: no zone '{name[:60]}'; use a name like Europe/Berlin") from error


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """A person's policy for one station, fit to be written into the records. Raises PolicyError."""
    try:
        msgspec.convert(dict(values), Policy)
    except msgspec.ValidationError as error:
        known = ", ".join(Policy.__struct_fields__)
        raise PolicyError(f"{error}; known keys are {known}") from error
    return dict(values)


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a policy is for: globs, case does not matter; several mean any of them. ``firmware_from`` is included,
    ``firmware_before`` is not. ``seen`` says what was seen, in words."""

    seen: str
    policy: dict[str, Any]
    vendor: str | tuple[str, ...] = "*"
    model: str | tuple[str, ...] = "*"
    firmware: str | tuple[str, ...] = "*"
    firmware_from: str = ""
    firmware_before: str = ""

    def fits(self, vendor: str, model: str, firmware: str) -> bool:
        version = version_of(firmware)
        return (
            _any_fits(self.vendor, vendor)
            and _any_fits(self.model, model)
            and _any_fits(self.firmware, firmware)
            and (not self.firmware_from or version >= version_of(self.firmware_from))
            and (not self.firmware_before or () < version < version_of(self.firmware_before))
        )


class Known(msgspec.Struct, frozen=True):
    """A value with where it comes from: "default", the name of a file, or "station"."""

    value: Any
    source: str
    seen: str = ""


class Quirks:
    """All rules, by file, in the order in which later ones stand before earlier ones."""

    def __init__(self, files: Mapping[str, Sequence[Rule]] = {}) -> None:
        self.files = {name: tuple(rules) for name, rules in files.items()}

    def policy_of(self, own: Mapping[str, Any], vendor: str, model: str, firmware: str) -> Policy:
        """The policy of a station. ``own`` is a person's word; a key there that no version of ours knows is passed
        over, so that a bridge of yesterday starts on the records of today."""
        known = self.known_of(own, vendor, model, firmware)
        if all(found.source == "default" for found in known.values()):
            return DEFAULT
        return Policy(**{name: found.value for name, found in known.items()})

    def known_of(self, own: Mapping[str, Any], vendor: str, model: str, firmware: str) -> dict[str, Known]:
        """Every value with its source, for a person."""
        known = {name: Known(getattr(DEFAULT, name), "default") for name in Policy.__struct_fields__}
        for name, rules in self.files.items():
            for rule in rules:
                if rule.fits(vendor[:_MAX_TEXT], model[:_MAX_TEXT], firmware[:_MAX_TEXT]):
                    known |= {key: Known(value, name, rule.seen) for key, value in rule.policy.items()}
        return known | {key: Known(value, "station") for key, value in own.items() if _is_valid(key, value)}


def load_quirks(folder: Path | None = None) -> Quirks:
    """The shipped files and those of ``folder``, which replace shipped ones of the same name. Raises PolicyError."""
    folders = [QUIRKS]
    if folder is not None:
        if not folder.is_dir():
            raise PolicyError(f"ocpp.quirks: {folder} is not a folder")
        folders.append(folder)
    files = {path.stem: path for one in folders for path in sorted(one.glob("*.toml"))}
    return Quirks({name: load_rules(path) for name, path in files.items()})


def load_rules(path: Path) -> tuple[Rule, ...]:
    """The rules of one file. Raises PolicyError that names file and key."""
    try:
        tables = tomllib.loads(path.read_text())
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: not valid TOML: {error}") from error
    unknown = sorted(set(tables) - {"rule"})
    if unknown or not isinstance(tables.get("rule"), list):
        raise PolicyError(f"{path}: unknown key '{unknown[0]}'" if unknown else f"{path}: write at least one [[rule]]")
    return tuple(_rule(table, f"{path}: rule {number}") for number, table in enumerate(tables["rule"], 1))


def _rule(table: Any, where: str) -> Rule:
    try:
        rule = msgspec.convert(table, Rule)
    except msgspec.ValidationError as error:
        known = ", ".join(Rule.__struct_fields__)
        raise PolicyError(f"{where}: {error}; known keys are {known}") from error
    if not rule.seen.strip() or not rule.policy:
        raise PolicyError(f"{where}: 'seen' says in words what was seen, 'policy' what is done about it")
    for key in ("firmware_from", "firmware_before"):
        if getattr(rule, key) and not version_of(getattr(rule, key)):
            raise PolicyError(f"{where}: {key} needs a version with digits")
    try:
        checked(rule.policy)
    except PolicyError as error:
        raise PolicyError(f"{where}: policy: {error}") from error
    return rule


def version_of(text: str) -> tuple[int, ...]:
    """The numbers in a version, for comparing: "v1.8.21-rc1" is (1, 8, 21, 1)."""
    return tuple(int(digits[:_MAX_DIGITS]) for digits in re.findall(r"\d+", text[:_MAX_TEXT]))


def _any_fits(patterns: str | tuple[str, ...], text: str) -> bool:
    said = text.strip().casefold()
    return any(fnmatchcase(said, one.casefold()) for one in ([patterns] if isinstance(patterns, str) else patterns))


def _is_valid(key: str, value: Any) -> bool:
    try:
        checked({key: value})
    except PolicyError:
        return False
    return True
