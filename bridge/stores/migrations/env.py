"""Alembic's entry. The connection comes from ``Database.migrate``, already inside a transaction and a lock."""

from __future__ import annotations

from alembic import context

from bridge.stores.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
