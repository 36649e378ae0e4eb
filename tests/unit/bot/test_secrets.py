"""The vault with the deployment's own secrets: a sealed value names its key, and opens for nobody else."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bot.access.key_ring import KeyFile, KeyRing, derive
from bot.access.secrets import Vault

SECRET = b"a deployment's secret"
DETAILS = {"api_key": "sk-secret", "base_url": None}
CANNOT = "cannot be decrypted"


@pytest.fixture
def vault() -> Vault:
    return Vault(KeyRing(SECRET))


def sealed_before_keys_had_names() -> str:
    cipher = AESGCM(derive(SECRET, "turntable integration details"))
    sealed = cipher.encrypt(b"n" * 12, b'{"api_key":"sk-secret","base_url":null}', b"usr_1#openai")
    return "v1." + base64.urlsafe_b64encode(b"n" * 12 + sealed).decode()


def test_what_is_sealed_opens_for_its_user_and_name(vault: Vault) -> None:
    assert vault.open("usr_1", "openai", vault.seal("usr_1", "openai", DETAILS)) == DETAILS


def test_a_sealed_value_reveals_nothing_and_is_never_the_same_twice(vault: Vault) -> None:
    sealed = [vault.seal("usr_1", "openai", DETAILS) for _ in range(2)]
    assert sealed[0] != sealed[1]
    for each in sealed:
        assert b"sk-secret" not in base64.urlsafe_b64decode(each.rpartition(".")[2])


@pytest.mark.parametrize(
    ("user_id", "name"), [("usr_2", "openai"), ("usr_1", "other"), ("usr_1#openai", ""), ("", "usr_1#openai")]
)
def test_a_sealed_value_opens_for_no_other_user_or_name(vault: Vault, user_id: str, name: str) -> None:
    sealed = vault.seal("usr_1", "openai", DETAILS)
    with pytest.raises(ValueError, match=CANNOT):
        vault.open(user_id, name, sealed)


def test_another_deployment_cannot_open_it(vault: Vault) -> None:
    with pytest.raises(ValueError, match=CANNOT):
        Vault(KeyRing(b"another secret")).open("usr_1", "openai", vault.seal("usr_1", "openai", DETAILS))


def test_another_key_of_the_ring_does_not_open_it_even_if_named(vault: Vault) -> None:
    ring = KeyRing(SECRET, b"newer")
    version, _, text = vault.seal("usr_1", "openai", DETAILS).split(".")
    with pytest.raises(ValueError, match=CANNOT):
        Vault(ring).open("usr_1", "openai", f"{version}.{ring.newest.id}.{text}")


def test_one_changed_bit_is_noticed(vault: Vault) -> None:
    head, _, text = vault.seal("usr_1", "openai", DETAILS).rpartition(".")
    data = bytearray(base64.urlsafe_b64decode(text))
    for position in (0, 12, len(data) // 2, len(data) - 1):
        changed = data.copy()
        changed[position] ^= 1
        with pytest.raises(ValueError, match=CANNOT):
            vault.open("usr_1", "openai", f"{head}.{base64.urlsafe_b64encode(changed).decode()}")


@pytest.mark.parametrize(
    "sealed",
    ["", "v1", "v1.", "v1.AAAA", "v2.AAAA", "v1.not base64!", "v3.a.AAAA", "kms1.a.b.c", "plain text", "...", "v2.é.é"],
)
def test_a_value_that_was_never_sealed_is_refused(vault: Vault, sealed: str) -> None:
    with pytest.raises(ValueError, match="integration details"):
        vault.open("usr_1", "openai", sealed)


def test_an_older_secret_opens_its_values_and_the_newest_seals(vault: Vault) -> None:
    ring = KeyRing(SECRET, b"newer")
    rotated = Vault(ring)
    old = vault.seal("usr_1", "openai", DETAILS)

    new = rotated.seal("usr_1", "openai", rotated.open("usr_1", "openai", old))

    assert rotated.open("usr_1", "openai", new) == DETAILS
    assert rotated.sealed_with(old) == vault.newest() != rotated.newest() == rotated.sealed_with(new)
    assert rotated.newest() == f"secret {ring.newest.id}"
    with pytest.raises(ValueError, match=CANNOT):
        vault.open("usr_1", "openai", new)


def test_what_was_sealed_before_keys_had_names_is_tried_with_each() -> None:
    old = sealed_before_keys_had_names()
    rotated = Vault(KeyRing(b"older", SECRET, b"newer"))
    assert rotated.open("usr_1", "openai", old) == DETAILS
    assert rotated.sealed_with(old) == "secret (unnamed)"
    with pytest.raises(ValueError, match=CANNOT):
        rotated.open("usr_2", "openai", old)


def test_a_running_server_opens_what_another_process_has_sealed_with_a_newer_key(tmp_path: Path) -> None:
    here, there = KeyFile(tmp_path / "secret.key"), KeyFile(tmp_path / "secret.key")
    server, command = Vault(here), Vault(there)
    there.add()

    sealed = command.seal("usr_1", "openai", DETAILS)

    assert server.open("usr_1", "openai", sealed) == DETAILS
    assert server.sealed_with(server.seal("usr_1", "openai", DETAILS)) == command.newest()
