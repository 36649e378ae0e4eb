"""`bot secrets`: the keys that encrypt users' integration details, and their rotation."""

import sys

import click

from bot.access.key_ring import KeyFile, KeyRing, key_ring_of
from bot.access.kms import data_keys_of
from bot.access.rotation import Rotated, count_users
from bot.access.rotation import rotate as rotate_details
from bot.access.secrets import Vault
from bot.cli.local import with_table
from bot.printable import printable_line
from bot.settings import Settings


@click.group()
def secrets() -> None:
    """Rotate the key that encrypts users' credentials: new-key, rotate, drop-old-keys."""


@secrets.command()
@with_table
def status(settings: Settings) -> None:
    """Show the keys, and how many values each one encrypts. Reads every user; writes nothing."""
    ring = key_ring_of(settings)
    vault = Vault(ring, data_keys_of(settings))
    newest = vault.newest()
    looked = _run(vault, dry_run=True)
    click.echo(f"Writing: {newest}")
    for secret in reversed(ring.secrets):
        name = f"secret {secret.id}"
        if name != newest:
            click.echo(f"Reading: {name}")
    for name, count in sorted(looked.found.items()):
        click.echo(f"{count:>10,} values under {printable_line(name)}")


@secrets.command(name="new-key")
def new_key() -> None:
    """Add a new key to the key file; running servers on this machine encrypt with it from now on."""
    made = _file_of(key_ring_of(Settings())).add()
    click.echo(f"Added secret {made.id}. `bot secrets rotate` re-encrypts stored values with it.")


@secrets.command()
@click.option("--dry-run", is_flag=True, help="Write nothing; report what would be done.")
@with_table
def rotate(settings: Settings, dry_run: bool) -> None:
    """Re-encrypt all users' integration details with the newest key.

    It can be stopped at any time and run again: values under the newest key are left alone. Users may change their
    details while it runs. It exits with 1 if a value could not be re-encrypted.
    """
    vault = Vault(key_ring_of(settings), data_keys_of(settings))
    newest = vault.newest()
    rotated = _run(vault, dry_run=dry_run)
    before = sum(count for name, count in rotated.found.items() if name != newest)
    click.echo(f"Read {rotated.users:,} users with {rotated.found.total():,} values; the newest key is {newest}.")
    if dry_run:
        click.echo(f"Would re-encrypt {before:,} values.")
        return
    click.echo(f"Re-encrypted {rotated.replaced:,} of {before:,} values.")
    _report(rotated)


@secrets.command(name="drop-old-keys")
@with_table
def drop_old_keys(settings: Settings) -> None:
    """Remove all keys but the newest from the key file, once no value is encrypted with them. Reads every user.

    Cursors that were signed with a removed key are refused from then on; clients that are paging must start over.
    """
    file = _file_of(key_ring_of(settings))
    vault = Vault(file, data_keys_of(settings))
    looked = _run(vault, dry_run=True)
    kept = {vault.newest(), f"secret {file.newest.id}"}
    left = sum(count for name, count in looked.found.items() if name not in kept and name.startswith("secret"))
    if left:
        raise ValueError(f"{left:,} values are still under an older key; run `bot secrets rotate` first.")
    dropped = file.keep_newest()
    click.echo(f"Removed {len(dropped)} old keys; secret {file.newest.id} stays.")


def _run(vault: Vault, *, dry_run: bool) -> Rotated:
    with click.progressbar(length=count_users(), label="Users", file=sys.stderr) as bar:
        return rotate_details(vault, dry_run=dry_run, progress=bar.update)


def _report(rotated: Rotated) -> None:
    for user_id, name in rotated.unreadable:
        click.echo(f"No available key decrypts '{printable_line(name)}' of {user_id}; it was left unchanged.", err=True)
    for user_id, name in rotated.contended:
        click.echo(f"'{printable_line(name)}' of {user_id} kept changing; run this again.", err=True)
    if not rotated.complete:
        sys.exit(1)


def _file_of(ring: KeyRing) -> KeyFile:
    if not isinstance(ring, KeyFile):
        raise ValueError(
            "The key comes from BOT_SECRET_KEY: set that to a new value, and BOT_OLD_SECRET_KEYS to a list with the "
            "old value, on all hosts."
        )
    return ring
