"""``python -m dashboard`` is ``chargewatch dashboard``."""

from dashboard.commands.dashboard import command

if __name__ == "__main__":
    command()
