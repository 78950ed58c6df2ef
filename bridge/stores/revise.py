"""``python -m bridge.stores.revise "What changes"``: write a migration from the tables as they are now.

It is compared with a fresh database at the newest revision, so that nobody's data is needed or touched.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.script import ScriptDirectory

from bridge.stores.database import MIGRATIONS, Database, alembic_config

_PLAIN = {
    "bridge.stores.column_types.UtcDateTime(timezone=True)": "sa.DateTime(timezone=True)",
    "bridge.stores.column_types.Text()": "sa.Text()",
}


def revise(message: str) -> Path:
    """The file of the new revision; it does not depend on the tables, which go on changing."""
    number = len(list(ScriptDirectory(str(MIGRATIONS)).walk_revisions())) + 1
    with TemporaryDirectory() as folder, Database(f"sqlite:///{folder}/records.db") as database:
        database.migrate()
        with database.writing() as connection:
            made = command.revision(alembic_config(connection), message, autogenerate=True, rev_id=f"{number:04}")
    if made is None or isinstance(made, list):
        raise RuntimeError("Alembic made no single revision")
    path = Path(made.path)
    text = path.read_text()
    for ours, plain in _PLAIN.items():
        text = text.replace(ours, plain)
    path.write_text(text)
    return path


if __name__ == "__main__":
    print(revise(sys.argv[1]))
