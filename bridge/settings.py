"""One typed tree of settings: defaults < TOML file < environment (``CHARGEWATCH_OCPP__PORT=9000``).

The TOML file is ``$CHARGEWATCH_CONFIG`` or ``chargewatch.toml`` in the working directory. A secret can be
given as ``X`` or as the path of a file in ``X_FILE`` (Docker secrets). An unknown key or a wrong value is an
error that names it.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from decimal import Decimal
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

PREFIX = "CHARGEWATCH_"
DEFAULT_FILE = "chargewatch.toml"


class SettingsError(Exception):
    """The settings cannot be used; the message names each key and what to do."""


class Unknown(StrEnum):
    REJECT = "reject"
    HOLD = "hold"
    ACCEPT = "accept"


Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """A part of the tree. ``X_FILE`` beside a secret ``X`` names a file that holds it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        for key in [k for k in data if k.endswith("_file") and k not in cls.model_fields]:
            target, path = key.removesuffix("_file"), Path(str(data.pop(key)))
            if target not in cls.model_fields:
                raise ValueError(f"unknown key '{key}'")
            try:
                data[target] = path.read_text().strip()
            except OSError as error:
                raise ValueError(f"{key}: cannot read {path}: {error.strerror}") from error
        return data


class Ocpp(Section):
    host: str = "127.0.0.1"
    port: Port = 9000
    heartbeat_s: int = Field(300, ge=10, le=86_400)
    max_frame_bytes: int = Field(1_000_000, ge=65_536)
    call_timeout_s: float = Field(30.0, gt=0)
    ping_interval_s: float = Field(30.0, gt=0)  # keep-alive
    handshake_timeout_s: float = Field(10.0, gt=0)
    compression: bool = True  # permessage-deflate when the charger offers it (OCPP 2.0.1 part 4 section 3.3)
    security_profile: int = Field(2, ge=0, le=3)
    trusted_proxies: tuple[str, ...] = ()
    client_certificate_header: str = Field("", pattern=r"^[A-Za-z0-9-]*$")
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    quirks: Path | None = None  # a folder of further *.toml about the ways of stations
    tls_client_ca: Path | None = None
    tls_ciphers: str = "ECDHE+AESGCM:ECDHE+CHACHA20"
    ca_folder: Path | None = None
    ca_days: int = Field(365, ge=1, le=3650)
    contest_s: float = Field(3.0, gt=0, le=30)
    max_connections: int = Field(20_000, ge=1)
    max_connections_per_address: int = Field(500, ge=1)

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ip_network(network)  # its ValueError says what is wrong
        return networks


class Mqtt(Section):
    """The broker: for chargers that speak MQTT, for live state and for commands."""

    host: str = "127.0.0.1"
    port: Port = 1883
    username: str = ""
    password: SecretStr = SecretStr("")
    client_id: str = ""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"  # auto: 5, then 3.1.1 when the broker refuses it
    tls: bool = False
    tls_ca: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    keepalive_s: int = Field(30, ge=5)


class Chargers(Section):
    """Chargers that speak MQTT: which vendor mappings are on, and where further mapping files lie."""

    vendors: tuple[str, ...] = ()
    mappings: Path | None = None  # a folder of further *.toml


class Stations(Section):
    unknown: Unknown = Unknown.HOLD
    max_held: int = Field(500, ge=1)
    max_held_per_address: int = Field(20, ge=1)
    pepper: SecretStr = SecretStr("")  # keys the HMAC over station and API keys; set one outside the demo


class Tokens(Section):
    unknown: Literal[Unknown.REJECT, Unknown.ACCEPT] = Unknown.REJECT


class Journal(Section):
    path: Path = Path("data/journal.db")
    commit_every_ms: float = Field(5.0, ge=0)  # a lone message waits this long for company
    max_pending: int = Field(20_000, ge=100)
    keep_days: int = Field(7, ge=1)


class Records(Section):
    url: SecretStr = SecretStr("sqlite:///data/records.db")  # or postgresql+psycopg://...


class Influx(Section):
    url: str = "http://127.0.0.1:8086"
    org: str = "chargewatch"
    bucket: str = "chargewatch"
    token: SecretStr = SecretStr("")
    gzip: bool = False
    timeout_s: float = Field(10.0, gt=0)


class Telemetry(Section):
    store: Literal["sqlite", "influx"] = "sqlite"
    path: Path = Path("data/telemetry.db")
    influx: Influx = Influx()
    raw_days: int = Field(90, ge=1)
    frame_days: int = Field(14, ge=1)
    rollup_days: int = Field(1830, ge=1)


class Billing(Section):
    """The first tariff: gross prices; a session keeps the version it started with."""

    tariff: str = "default-1"
    currency: str = Field("EUR", pattern=r"^[A-Z]{3}$")
    energy_per_kwh: Decimal = Decimal("0.49")
    time_per_minute: Decimal = Decimal("0.00")
    flat: Decimal = Decimal("0.00")
    vat_percent: Decimal = Decimal("19")
    tell_stations: bool = False  # whoever does not bill by these prices must not show them to drivers


class Admin(Section):
    """``/healthz``, ``/readyz`` and ``/metrics`` of the bridge and the alarm process."""

    host: str = "127.0.0.1"
    bridge_port: Port = 9100
    alerts_port: Port = 9101


class Dashboard(Section):
    host: str = "127.0.0.1"
    port: Port = 8050
    secret_key: SecretStr = SecretStr("")  # signs the login cookie; one is made in data/ when empty
    threads: int = Field(80, ge=4)  # one per open browser, and 16
    session_hours: int = Field(12, ge=1)
    secure_cookies: bool = True  # off only for plain http on loopback
    title: str = "chargewatch"
    trusted_proxies: int = Field(0, ge=0, le=5)  # how many proxies of ours stand in front and set X-Forwarded-*


class Files(Section):
    """Logs and diagnostics that stations upload, firmware images that they fetch; both through the dashboard."""

    folder: Path = Path("data/files")
    public_url: str = ""  # the dashboard, as stations reach it
    max_upload_mb: int = Field(200, ge=1, le=100_000)
    max_image_mb: int = Field(1_000, ge=1, le=100_000)
    link_hours: int = Field(24, ge=1, le=720)  # how long an address works
    keep_days: int = Field(90, ge=1)
    keep_free_mb: int = Field(500, ge=0)  # nothing is taken in when less of the disk would be free
    allow_http: bool = False  # uploads and images over plain HTTP beyond loopback

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if url and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url):
            raise ValueError("an http or https address without user, query and fragment: https://chargewatch.example")
        return url.rstrip("/")


class Smtp(Section):
    """Recipients as Apprise URLs carry their own server; this one is for plain addresses."""

    host: str = ""
    port: Port = 587
    username: str = ""
    password: SecretStr = SecretStr("")
    security: Literal["none", "starttls", "tls"] = "starttls"
    sender: str = ""


class Alerts(Section):
    every_s: float = Field(2.0, gt=0)
    lease_s: float = Field(15.0, gt=0)
    rules: Path | None = None  # a folder of further *.yaml, which may replace shipped ones by name
    email_to: tuple[str, ...] = ()
    webhook_urls: tuple[SecretStr, ...] = ()  # Apprise URLs: json://host/path, slack://...
    min_priority: int = Field(3, ge=1, le=4)  # notices are sent for this priority and higher
    smtp: Smtp = Smtp()


class Log(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["json", "console"] = "console"


class Settings(BaseSettings):
    """The whole tree. Build it with ``load_settings``."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    data_dir: Path = Path("data")
    bridge_name: str = Field(default_factory=socket.gethostname)
    ocpp: Ocpp = Ocpp()
    mqtt: Mqtt = Mqtt()
    chargers: Chargers = Chargers()
    stations: Stations = Stations()
    tokens: Tokens = Tokens()
    journal: Journal = Journal()
    records: Records = Records()
    telemetry: Telemetry = Telemetry()
    billing: Billing = Billing()
    admin: Admin = Admin()
    dashboard: Dashboard = Dashboard()
    files: Files = Files()
    alerts: Alerts = Alerts()
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        environment = EnvSettingsSource(settings_cls, env_prefix=PREFIX, env_nested_delimiter="__")
        return init_settings, environment, InitSettingsSource(settings_cls, _read_toml())

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.ocpp.tls_certificate is None) != (self.ocpp.tls_key is None):
            raise ValueError("ocpp.tls_certificate and ocpp.tls_key belong together: set both or neither")
        if self.ocpp.tls_client_ca is not None and self.ocpp.tls_certificate is None:
            raise ValueError("ocpp.tls_client_ca needs ocpp.tls_certificate and ocpp.tls_key")
        if self.ocpp.client_certificate_header and not self.ocpp.trusted_proxies:
            raise ValueError("ocpp.client_certificate_header is believed only of ocpp.trusted_proxies: name them")
        return self


def _read_toml() -> dict[str, Any]:
    named = os.environ.get(PREFIX + "CONFIG")
    path = Path(named or DEFAULT_FILE)
    if not path.exists():
        if named:
            raise SettingsError(f"{PREFIX}CONFIG names {path}, which does not exist")
        return {}
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error


def environment_names() -> set[str]:
    """Every ``CHARGEWATCH_*`` variable that settings read, secrets also as ``*_FILE``."""
    names = {PREFIX + "CONFIG"}

    def walk(model: type[BaseModel], prefix: str) -> None:
        for key, field in model.model_fields.items():
            name = f"{prefix}{key.upper()}"
            names.add(name)
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                walk(field.annotation, name + "__")
            elif field.annotation is SecretStr:
                names.add(name + "_FILE")

    walk(Settings, PREFIX)
    return names


def _refuse_unknown_variables() -> None:
    known = environment_names()
    unknown = sorted(k for k in os.environ if k.startswith(PREFIX) and k not in known)
    if unknown:
        raise SettingsError(
            f"unknown setting in the environment: {', '.join(unknown)} (sections are joined by two underscores)"
        )


def load_settings(**overrides: Any) -> Settings:
    """Read TOML and environment. Raises SettingsError naming every wrong key or value."""
    _refuse_unknown_variables()
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors()]
        raise SettingsError("\n".join(lines)) from error
