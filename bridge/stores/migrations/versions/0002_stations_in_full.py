"""What a station has, certificates, files, evidence of sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "certificates",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("is_ours", sa.Boolean(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_certificates")),
    )
    op.create_index(op.f("ix_certificates_not_after"), "certificates", ["not_after"], unique=False)
    op.create_index(op.f("ix_certificates_station"), "certificates", ["station"], unique=False)
    op.create_table(
        "firmware_images",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), server_default="", nullable=False),
        sa.Column("vendor", sa.Text(), server_default="", nullable=False),
        sa.Column("model", sa.Text(), server_default="", nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("signing_certificate", sa.Text(), server_default="", nullable=False),
        sa.Column("signature", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_firmware_images")),
        sa.UniqueConstraint("sha256", name=op.f("uq_firmware_images_sha256")),
    )
    op.create_table(
        "held_stations",
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.Column("protocol", sa.Text(), server_default="", nullable=False),
        sa.Column("security", sa.Text(), server_default="", nullable=False),
        sa.Column("vendor", sa.Text(), server_default="", nullable=False),
        sa.Column("model", sa.Text(), server_default="", nullable=False),
        sa.Column("serial", sa.Text(), server_default="", nullable=False),
        sa.Column("firmware", sa.Text(), server_default="", nullable=False),
        sa.Column("offered_key_hmac", sa.LargeBinary(), nullable=True),
        sa.Column("other_keys", sa.Integer(), nullable=False),
        sa.Column("connections", sa.Integer(), nullable=False),
        sa.Column("is_connected", sa.Boolean(), nullable=False),
        sa.Column("bridge", sa.Text(), server_default="", nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("station", name=op.f("pk_held_stations")),
    )
    op.create_index(op.f("ix_held_stations_last_seen_at"), "held_stations", ["last_seen_at"], unique=False)
    op.create_table(
        "station_details",
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("evse", sa.Integer(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("station", "kind", "key", name=op.f("pk_station_details")),
    )
    op.create_table(
        "uploads",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_hmac", sa.LargeBinary(), nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("max_bytes", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.Text(), server_default="", nullable=False),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
        sa.UniqueConstraint("token_hmac", name=op.f("uq_uploads_token_hmac")),
    )
    op.create_index(op.f("ix_uploads_station"), "uploads", ["station"], unique=False)
    op.create_table(
        "downloads",
        sa.Column("token_hmac", sa.LargeBinary(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["image_id"], ["firmware_images.id"], name=op.f("fk_downloads_image_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hmac", name=op.f("pk_downloads")),
    )
    op.create_index(op.f("ix_downloads_station"), "downloads", ["station"], unique=False)
    op.add_column("stations", sa.Column("iccid", sa.Text(), server_default="", nullable=False))
    op.add_column("stations", sa.Column("imsi", sa.Text(), server_default="", nullable=False))
    op.add_column("stations", sa.Column("meter_type", sa.Text(), server_default="", nullable=False))
    op.add_column("stations", sa.Column("meter_serial", sa.Text(), server_default="", nullable=False))
    op.add_column("stations", sa.Column("boot_reason", sa.Text(), server_default="", nullable=False))
    op.add_column("stations", sa.Column("security", sa.Text(), server_default="", nullable=False))
    op.add_column("stations", sa.Column("security_profile", sa.Integer(), nullable=True))
    op.add_column("stations", sa.Column("policy", sa.JSON(), nullable=True))
    op.add_column("stations", sa.Column("refused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("stations", sa.Column("next_key_hmac", sa.LargeBinary(), nullable=True))
    op.add_column("stations", sa.Column("next_key_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("stations", sa.Column("described_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("stations", sa.Column("items_per_call", sa.JSON(), nullable=True))
    op.add_column("sessions", sa.Column("grade", sa.Text(), server_default="", nullable=False))
    op.add_column("sessions", sa.Column("evidence", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("sessions", "evidence")
    op.drop_column("sessions", "grade")
    op.drop_column("stations", "items_per_call")
    op.drop_column("stations", "described_at")
    op.drop_column("stations", "next_key_at")
    op.drop_column("stations", "next_key_hmac")
    op.drop_column("stations", "refused_at")
    op.drop_column("stations", "policy")
    op.drop_column("stations", "security_profile")
    op.drop_column("stations", "security")
    op.drop_column("stations", "boot_reason")
    op.drop_column("stations", "meter_serial")
    op.drop_column("stations", "meter_type")
    op.drop_column("stations", "imsi")
    op.drop_column("stations", "iccid")
    op.drop_index(op.f("ix_downloads_station"), table_name="downloads")
    op.drop_table("downloads")
    op.drop_index(op.f("ix_uploads_station"), table_name="uploads")
    op.drop_table("uploads")
    op.drop_table("station_details")
    op.drop_index(op.f("ix_held_stations_last_seen_at"), table_name="held_stations")
    op.drop_table("held_stations")
    op.drop_table("firmware_images")
    op.drop_index(op.f("ix_certificates_station"), table_name="certificates")
    op.drop_index(op.f("ix_certificates_not_after"), table_name="certificates")
    op.drop_table("certificates")
