"""The records: stations, sessions, people, alarms. SQLAlchemy Core tables for SQLite and PostgreSQL.

They change only through Alembic (a test holds them against the migrations). Times are aware UTC, money decimal text.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from bridge.stores.column_types import Text, UtcDateTime

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _time(name: str, *, nullable: bool = True, index: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, UtcDateTime, nullable=nullable, index=index)


def _text(name: str, default: str = "") -> sa.Column[str]:
    return sa.Column(name, Text, nullable=False, server_default=default)


sites = sa.Table(
    "sites",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("name", Text, nullable=False),
    _text("place"),
    sa.Column("latitude", sa.Float),
    sa.Column("longitude", sa.Float),
    _text("timezone", "UTC"),
    sa.Column("grid_limit_w", sa.Integer),
)

stations = sa.Table(
    "stations",
    metadata,
    sa.Column("id", Text, primary_key=True),  # as in the OCPP path, or <mapping>-<device> for MQTT
    sa.Column("site_id", Text, sa.ForeignKey("sites.id", ondelete="SET NULL"), index=True),
    _text("name"),
    sa.Column("is_approved", sa.Boolean),  # a person's word; NULL while nobody has decided (the policy does)
    _time("refused_at"),  # a person shut it out for good; it is then not approved
    sa.Column("key_hmac", sa.LargeBinary),  # HMAC-SHA256 of the station's Basic password
    sa.Column("next_key_hmac", sa.LargeBinary),  # of the one it was told to take; both open until it comes with it
    _time("next_key_at"),
    _text("protocol"),
    _text("vendor"),
    _text("model"),
    _text("serial"),
    _text("firmware"),
    _text("iccid"),
    _text("imsi"),
    _text("meter_type"),
    _text("meter_serial"),
    _text("boot_reason"),
    _text("address"),
    _text("bridge"),
    _text("security"),  # how it proved who it is when it last connected
    sa.Column("security_profile", sa.Integer),  # a person's word on what it must prove; NULL: the setting
    sa.Column("policy", sa.JSON),  # a person's word on its ways (ocpp/quirks)
    sa.Column("is_connected", sa.Boolean, nullable=False, server_default=sa.false()),
    _time("connected_at"),
    _time("disconnected_at"),
    _time("last_seen_at"),
    _time("booted_at"),
    _time("described_at"),
    sa.Column("items_per_call", sa.JSON),  # how many entries it takes in a call's list, by action
    sa.Column("clock_skew_s", sa.Float),
    sa.Column("heartbeat_s", sa.Integer),
    sa.Column("refused_frames", sa.Integer, nullable=False, server_default="0"),
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
)

held_stations = sa.Table(  # nobody has decided about them yet; bounded (provisioning.py)
    "held_stations",
    metadata,
    sa.Column("station", Text, primary_key=True),
    _text("address"),
    _text("protocol"),
    _text("security"),
    _text("vendor"),
    _text("model"),
    _text("serial"),
    _text("firmware"),
    sa.Column("offered_key_hmac", sa.LargeBinary),  # of the key it showed: approving it pins that key
    sa.Column("other_keys", sa.Integer, nullable=False),  # how often it came with another key than before
    sa.Column("connections", sa.Integer, nullable=False),
    sa.Column("is_connected", sa.Boolean, nullable=False),
    _text("bridge"),
    _time("first_seen_at", nullable=False),
    _time("last_seen_at", nullable=False, index=True),
)

connectors = sa.Table(
    "connectors",
    metadata,
    sa.Column("station", Text, primary_key=True),
    sa.Column("evse", sa.Integer, primary_key=True),  # 0 is the station itself
    sa.Column("connector", sa.Integer, primary_key=True),
    _text("status"),
    _text("error_code"),
    _text("info"),
    _text("vendor_error_code"),
    _time("status_at"),
    _time("status_received_at"),
    _text("kind"),  # connector type where known: CCS2, Type2 ...
    sa.Column("rated_power_w", sa.Integer),
    sa.Column("session_id", Text),
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("station", Text, nullable=False),
    sa.Column("evse", sa.Integer, nullable=False),
    sa.Column("connector", sa.Integer, nullable=False),
    sa.Column("transaction_id", Text, nullable=False),
    _text("token"),
    sa.Column("state", Text, nullable=False),
    _time("started_at", nullable=False),
    _time("start_received_at", nullable=False),
    _time("ended_at"),
    _time("stop_received_at", index=True),
    sa.Column("meter_start_wh", sa.BigInteger),
    sa.Column("meter_last_wh", sa.BigInteger),
    sa.Column("meter_stop_wh", sa.BigInteger),
    sa.Column("energy_wh", sa.BigInteger, nullable=False),
    sa.Column("energy_carried_wh", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("energy_integral_wh", sa.Float, nullable=False, server_default="0"),
    sa.Column("energy_source", Text, nullable=False),
    sa.Column("power_w", sa.Float),
    sa.Column("power_max_w", sa.Float, nullable=False, server_default="0"),
    sa.Column("soc_start_percent", sa.Float),
    sa.Column("soc_percent", sa.Float),
    _time("sample_at"),
    _time("sample_received_at"),
    sa.Column("charging_s", sa.Integer, nullable=False, server_default="0"),
    _time("charging_since"),
    sa.Column("cost", Text, nullable=False, server_default="0.00"),
    _text("currency"),
    _text("tariff"),
    _text("stop_reason"),
    sa.Column("seq_no", sa.BigInteger),  # the charger's own count: no promise that it fits 32 bits
    sa.Column("review", sa.JSON, nullable=False),
    _text("grade"),  # grades.Grade; empty for sessions of before it was counted
    sa.Column("evidence", sa.JSON),  # evidence.Evidence
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Index("ix_sessions_started_at_id", "started_at", "id"),
    sa.Index("ix_sessions_station_started_at", "station", "started_at"),
    sa.Index("ix_sessions_state", "state"),
)

station_details = sa.Table(  # what a station has, in its protocol's words; the newest word on each key
    "station_details",
    metadata,
    sa.Column("station", Text, primary_key=True),
    sa.Column("kind", Text, primary_key=True),  # events.DetailKind
    sa.Column("key", Text, primary_key=True),
    sa.Column("evse", sa.Integer),
    sa.Column("body", sa.JSON, nullable=False),
    _time("at", nullable=False),  # by the station's clock
    _time("received_at", nullable=False),
)

certificates = sa.Table(  # given out by our own authority, or seen at the door
    "certificates",
    metadata,
    sa.Column("fingerprint", Text, primary_key=True),  # SHA-256, hex
    sa.Column("station", Text, nullable=False, index=True),
    sa.Column("kind", Text, nullable=False),  # station, v2g, server
    sa.Column("serial", Text, nullable=False),
    sa.Column("subject", Text, nullable=False),
    sa.Column("issuer", Text, nullable=False),
    sa.Column("is_ours", sa.Boolean, nullable=False),  # given out by our authority; else only seen at the door
    _time("not_before", nullable=False),
    _time("not_after", nullable=False, index=True),
    _time("issued_at", nullable=False),
    _time("revoked_at"),
    sa.Column("pem", Text, nullable=False),
)

uploads = sa.Table(  # a place where one file of a station may be put, once
    "uploads",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("token_hmac", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("station", Text, nullable=False, index=True),
    sa.Column("kind", Text, nullable=False),  # diagnostics, log, security log
    _time("created_at", nullable=False),
    _text("created_by"),
    _time("expires_at", nullable=False),
    sa.Column("max_bytes", sa.BigInteger, nullable=False),
    _time("received_at"),
    _text("name"),  # as the station called the file
    sa.Column("size_bytes", sa.BigInteger),
    _text("sha256"),
    _text("address"),
)

firmware_images = sa.Table(
    "firmware_images",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", Text, nullable=False),
    _text("version"),
    _text("vendor"),
    _text("model"),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", Text, nullable=False, unique=True),
    _text("signing_certificate"),  # PEM
    _text("signature"),  # base64
    _time("created_at", nullable=False),
    _text("created_by"),
)

downloads = sa.Table(  # leave for one station to fetch one image for a while
    "downloads",
    metadata,
    sa.Column("token_hmac", sa.LargeBinary, primary_key=True),
    sa.Column("image_id", sa.Integer, sa.ForeignKey("firmware_images.id", ondelete="CASCADE"), nullable=False),
    sa.Column("station", Text, nullable=False, index=True),
    _time("created_at", nullable=False),
    _text("created_by"),
    _time("expires_at", nullable=False),
    _time("fetched_at"),
)

tariffs = sa.Table(  # a version is never changed in place: a session keeps the one it started with
    "tariffs",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("body", sa.JSON, nullable=False),
)

driver_tokens = sa.Table(
    "driver_tokens",
    metadata,
    sa.Column("token", Text, primary_key=True),  # normalised: upper case
    _text("label"),
    _text("group"),
    sa.Column("is_blocked", sa.Boolean, nullable=False, server_default=sa.false()),
    _time("expires_at"),
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", Text, nullable=False, unique=True),
    sa.Column("password_hash", Text, nullable=False),  # Argon2id
    sa.Column("role", Text, nullable=False),  # admin, operator, viewer
    _text("email"),
    sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("session_epoch", sa.Integer, nullable=False, server_default="0"),  # raised to end all logins
    _time("created_at", nullable=False),
)

login_links = sa.Table(
    "login_links",
    metadata,
    sa.Column("token_hmac", sa.LargeBinary, primary_key=True),
    sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    _time("expires_at", nullable=False),
)

api_tokens = sa.Table(
    "api_tokens",
    metadata,
    sa.Column("name", Text, primary_key=True),
    sa.Column("token_hmac", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("role", Text, nullable=False),
    _time("created_at", nullable=False),
    _time("revoked_at"),
)

alarms = sa.Table(
    "alarms",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("rule", Text, nullable=False),
    sa.Column("subject", Text, nullable=False),  # "station", "station/evse" or a session id
    sa.Column("station", Text, nullable=False, index=True),
    sa.Column("evse", sa.Integer),
    sa.Column("session_id", Text),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("state", Text, nullable=False),  # ISA-18.2: unacknowledged, acknowledged, returned, normal
    sa.Column("title", Text, nullable=False),
    _text("consequence"),
    _text("action"),
    _text("detail"),
    _time("raised_at", nullable=False, index=True),
    _time("acknowledged_at"),
    _text("acknowledged_by"),
    _time("cleared_at"),
    sa.UniqueConstraint("rule", "subject", "raised_at"),
    sa.Index("ix_alarms_state", "state"),
)

alarm_edges = sa.Table(
    "alarm_edges",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("alarm_id", sa.Integer, sa.ForeignKey("alarms.id", ondelete="CASCADE"), nullable=False, index=True),
    _time("at", nullable=False),
    sa.Column("old", Text, nullable=False),
    sa.Column("new", Text, nullable=False),
    _text("reason"),
    _text("actor"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", Text, nullable=False, unique=True),  # one notice per edge, channel and recipient
    sa.Column("channel", Text, nullable=False),
    sa.Column("recipient", Text, nullable=False),
    sa.Column("subject", Text, nullable=False),
    sa.Column("body", Text, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    _time("created_at", nullable=False),
    _time("due_at", nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    _time("sent_at"),
    _time("dead_at"),
    _text("last_error"),
)

rule_states = sa.Table(
    "rule_states",
    metadata,
    sa.Column("rule", Text, primary_key=True),
    sa.Column("subject", Text, primary_key=True),
    _time("since", nullable=False),  # when the condition was first seen, for the on-delay
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", Text, primary_key=True),
    sa.Column("holder", Text, nullable=False),
    _time("expires_at", nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _time("at", nullable=False, index=True),
    sa.Column("actor", Text, nullable=False),
    sa.Column("action", Text, nullable=False),
    _text("subject"),
    _text("detail"),
    _text("address"),
)
