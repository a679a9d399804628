"""What a certificate must be good for, by the settings and by what else is in the store."""

from pathlib import Path

from camfleet.supervisor.certs import host_names
from camfleet.supervisor.certs.purpose import purpose_of
from camfleet.supervisor.certs.store import Store
from camfleet.supervisor.config import GLOBAL, IdentitySettings

from tests.kit.pairs import pair


def test_global(tmp_path: Path) -> None:
    purpose = purpose_of(IdentitySettings(name=GLOBAL), Store(tmp_path))
    assert purpose.names == tuple(host_names())
    assert {"127.0.0.1", "::1"} <= set(purpose.addresses)
    assert (purpose.server_name, purpose.other_keys, purpose.outside_dates) == ("", {}, "block")


def test_a_camera_with_an_address_and_a_name(tmp_path: Path) -> None:
    identity = IdentitySettings(name="ipc1", address="192.0.2.7", server_name="*.example.org")
    purpose = purpose_of(identity, Store(tmp_path))
    assert purpose.addresses == ("192.0.2.7",)
    assert purpose.server_name == "*.example.org"


def test_keys_of_the_others_that_are_in_use_now(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.install(GLOBAL, [pair("old")], "install")
    store.install(GLOBAL, [pair("new"), pair("rsa", "RSA 2048")], "install")
    store.install("ipc1", [pair("one")], "install")
    store.install("ipc2", [pair("two")], "install")
    store.use_global("ipc2")
    keys = purpose_of(IdentitySettings(name="ipc1"), store).other_keys
    assert keys == {pair(name).description.key_fingerprint: GLOBAL for name in ("new", "rsa")}
    assert set(purpose_of(IdentitySettings(name=GLOBAL), store).other_keys.values()) == {"ipc1"}
