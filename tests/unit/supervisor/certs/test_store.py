import errno
import fcntl
import itertools
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from camfleet.supervisor.certs import store as module
from camfleet.supervisor.certs.files import LiveFiles, StoreError
from camfleet.supervisor.certs.store import KEPT_GENERATIONS, Store
from camfleet.supervisor.examine import MAX_MATERIAL_SIZE, Pair

from tests.kit.faults import Steps, failing_at_each_step, killed_at_each_step
from tests.kit.pairs import pair

A, B, C = pair("a"), pair("b"), pair("c")
RSA = pair("r", "RSA 3072")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "certs"
    path.mkdir(mode=0o700)
    return path


def live(folder: Path, identity: str = "global") -> dict[str, bytes]:
    """What stands in the live files, and nothing else may stand beside them."""
    place = folder if identity == "global" else folder / "cameras" / identity
    return {path.name: path.read_bytes() for path in place.glob("ssl.*")}


def files(*pairs: Pair) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, each in zip(("ssl", "ssl.alternate"), pairs, strict=False):
        found |= {f"{name}.ca": each.chain, f"{name}.key": each.private_key}
    return found


def numbers(store: Store, identity: str = "global") -> list[int]:
    return [generation.number for generation in store.history(identity)]


def test_an_empty_folder(folder: Path) -> None:
    store = Store(folder)
    assert store.live("global") == []
    assert store.history("global") == []
    assert store.newest_good("global") is None
    assert store.previous("global") is None
    assert store.identities() == []


@pytest.mark.parametrize("identity", ["global", "ipc1"])
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_what_is_installed_is_live_private_and_in_the_history(folder: Path, identity: str, umask: int) -> None:
    store = Store(folder)
    before = os.umask(umask)
    try:
        generation = store.install(identity, [A, RSA], "install")
    finally:
        os.umask(before)
    assert (generation.number, generation.origin) == (1, "install")
    assert generation.pairs == [A.description, RSA.description]
    assert store.history(identity) == [generation]
    assert store.identities() == [identity]
    assert live(folder, identity) == files(A, RSA)
    assert [store.read(each).private_key for each in store.live(identity)] == [A.private_key, RSA.private_key]
    assert store.pairs(identity, 1) == [A, RSA]
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (folder, *folder.rglob("*"))
        if not path.name.endswith(".ca")
    }
    assert modes == {name: 0o700 if "." not in name else 0o600 for name in modes}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*.ca")} == {0o644}


def test_what_root_makes_belongs_to_the_owner_of_the_folder(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(folder, 12345, 23456)
    Store(folder).install("ipc1", [A], "install")
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in folder.rglob("*")}
    assert owners == {(12345, 23456)}


def test_two_pairs_and_then_one(folder: Path) -> None:
    store = Store(folder)
    store.install("global", [A, RSA], "install")
    store.install("global", [B], "install")
    assert live(folder) == files(B)
    assert len(store.live("global")) == 1


def test_the_same_again_is_no_new_generation(folder: Path) -> None:
    store = Store(folder)
    first = store.install("global", [A], "install")
    assert store.install("global", [A], "install") == first
    assert store.archive("global", [A], "files") is None
    assert numbers(store) == [1]
    (folder / "ssl.key").unlink()  # but it mends what is live
    store.install("global", [A], "install")
    assert live(folder) == files(A)


@pytest.mark.parametrize("pairs", [[], [A, B], [A, RSA, B], [RSA, RSA]])
def test_pairs_that_one_identity_cannot_have(folder: Path, pairs: Sequence[Pair]) -> None:
    with pytest.raises(ValueError, match="one pair, or two of different key types"):
        Store(folder).install("global", pairs, "install")


@pytest.mark.parametrize("identity", ["", "..", "a/b", "ipc1\n", "ipc-1", "x" * 33, "ipc1.key", "é"])
def test_what_is_no_identity(folder: Path, identity: str) -> None:
    store = Store(folder)
    questions: list[Callable[[str], object]] = [store.live, store.history, store.pending, store.use_global]
    questions += [store.rollback, lambda name: store.install(name, [A], "install")]
    for question in questions:
        with pytest.raises(StoreError, match="no camera's id"):
            question(identity)
    assert [path.name for path in folder.iterdir()] in ([], [".lock"])


def test_back_and_forth(folder: Path) -> None:
    store = Store(folder)
    for each in (A, B, C):
        store.install("global", [each], "install")
    assert (store.rollback("global").number, live(folder)) == (4, files(B))
    assert (store.rollback("global").number, live(folder)) == (5, files(C))  # undoes it
    assert (store.rollback("global", 1).number, live(folder)) == (6, files(A))
    assert [generation.origin for generation in store.history("global")] == ["install"] * 3 + ["rollback"] * 3


def test_rollback_to_what_is_not_there(folder: Path) -> None:
    store = Store(folder)
    with pytest.raises(StoreError, match="global has no earlier generation"):
        store.rollback("global")
    store.install("global", [A], "install")
    with pytest.raises(StoreError, match="global has no earlier generation"):
        store.rollback("global")
    with pytest.raises(StoreError, match=r"global has no generation 7; there are: 1"):
        store.rollback("global", 7)


def test_a_camera_takes_the_global_pair_and_its_own_again(folder: Path) -> None:
    store = Store(folder)
    store.install("ipc1", [A, RSA], "install")
    store.use_global("ipc1")
    assert store.live("ipc1") == []
    assert live(folder, "ipc1") == {}
    assert numbers(store, "ipc1") == [1]
    store.use_global("ipc1")  # is no error
    store.rollback("ipc1")
    assert live(folder, "ipc1") == files(A, RSA)
    with pytest.raises(StoreError, match="by itself"):
        store.use_global("global")


def test_the_newest_generations_are_kept(folder: Path) -> None:
    store = Store(folder)
    made = [pair(f"p{number}") for number in range(KEPT_GENERATIONS + 3)]
    for each in made:
        store.install("global", [each], "install")
    assert numbers(store) == list(range(4, KEPT_GENERATIONS + 4))
    everything = b"".join(path.read_bytes() for path in folder.rglob("*.key"))
    assert [each.private_key in everything for each in made] == [False] * 3 + [True] * KEPT_GENERATIONS


def test_files_put_there_by_hand_are_kept(folder: Path) -> None:
    """While no server ran that would have archived them; even when they are no pair."""
    store = Store(folder)
    store.install("global", [A], "install")
    (folder / "ssl.key").write_bytes(b"the only copy")
    store.install("global", [B], "install")
    found = store.history("global")
    assert [(each.number, each.origin, each.pairs) for each in found][1] == (2, "files", [])
    assert (folder / "history/global/000002/ssl.key").read_bytes() == b"the only copy"
    assert store.pairs("global", 2) == []
    with pytest.raises(StoreError, match="generation 2 of global was never examined; install it from /"):
        store.rollback("global", 2)
    assert live(folder) == files(B)


def test_archive(folder: Path) -> None:
    store = Store(folder)
    (folder / "ssl.ca").write_bytes(b"as the operator wrote it")
    generation = store.archive("global", [A], "files")
    assert generation is not None
    assert store.history("global") == [generation]
    assert live(folder) == {"ssl.ca": b"as the operator wrote it"}
    assert store.archive("global", [A], "files") is None
    assert store.newest_good("global") == generation


def test_newest_good_passes_over_what_was_never_examined(folder: Path) -> None:
    store = Store(folder)
    store.install("global", [A], "install")
    store.install("global", [B], "install")
    (folder / "ssl.key").write_bytes(b"x")
    store.use_global("ipc1")
    shutil.copytree(folder / "history/global/000001", folder / "history/global/000003")
    (folder / "history/global/000003/about.json").write_bytes(b"{")
    good = store.newest_good("global")
    assert good is not None
    assert good.number == 2
    assert store.history("global")[-1].pairs == []


def test_configured_files_are_not_touched(folder: Path, tmp_path: Path) -> None:
    elsewhere = LiveFiles(tmp_path / "a.pem", tmp_path / "a.key")
    store = Store(folder, {"global": [elsewhere]})
    assert store.live("global") == [elsewhere]
    with pytest.raises(StoreError, match=r"global has its certificate from /.*a\.pem, by the configuration"):
        store.install("global", [A], "install")
    assert store.archive("global", [A], "files") is not None
    with pytest.raises(StoreError, match="by the configuration"):
        store.rollback("global", 1)


@pytest.mark.parametrize("name", ["ssl.ca", "ssl.key", "ssl.alternate.ca"])
def test_a_link_is_left_alone(folder: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "fullchain.pem"
    target.write_bytes(b"certbot's")
    (folder / name).symlink_to(target)
    store = Store(folder)
    changes: list[Callable[[], object]] = [lambda: store.install("global", [A], "install")]
    (folder / "cameras/ipc1").mkdir(parents=True)
    (folder / "cameras/ipc1" / name).symlink_to(target)
    changes.append(lambda: store.use_global("ipc1"))
    for change in changes:
        with pytest.raises(StoreError, match=rf"{name} is a link to /.*fullchain.pem: .* Nothing was changed"):
            change()
    assert (folder / name).readlink() == target
    assert target.read_bytes() == b"certbot's"
    assert store.history("global") == []


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file(folder: Path, make: Callable[[Path], object]) -> None:
    make(folder / "ssl.ca")
    make(folder / "ssl.key")
    store = Store(folder)
    with pytest.raises(StoreError, match=r"Is a directory|is not a regular file"):
        store.read(store.live("global")[0])
    with pytest.raises(StoreError, match=r"is not a regular file; nothing was changed"):
        store.install("global", [A], "install")


def test_a_file_that_is_too_large(folder: Path) -> None:
    (folder / "ssl.ca").write_bytes(bytes(MAX_MATERIAL_SIZE + 1))
    (folder / "ssl.key").touch()
    with pytest.raises(StoreError, match="no certificate and no key"):
        Store(folder).read(LiveFiles(folder / "ssl.ca", folder / "ssl.key"))
    with pytest.raises(StoreError, match="no certificate and no key"):
        Store(folder).install("global", [A], "install")
    assert (folder / "ssl.ca").stat().st_size == MAX_MATERIAL_SIZE + 1


# ------------------------------------------------------------ kills and errors


def one(store: Store) -> None:
    store.install("ipc1", [A], "install")


def another(store: Store) -> None:
    one(store)
    store.install("ipc1", [B], "install")


def two(store: Store) -> None:
    store.install("ipc1", [A, RSA], "install")


def by_hand(store: Store) -> None:
    place = store.folder / "cameras/ipc1"
    place.mkdir(parents=True)
    for name, data in files(A).items():
        (place / name).write_bytes(data)


def many(store: Store) -> None:
    for number in range(module.KEPT_GENERATIONS):
        store.install("ipc1", [pair(f"p{number}")], "install")
    one(store)


CHANGES: dict[str, tuple[Callable[[Store], None], Callable[[Store], object], dict[str, bytes]]] = {
    "the first": (lambda _: None, lambda store: store.install("ipc1", [B], "install"), files(B)),
    "the next": (one, lambda store: store.install("ipc1", [B], "install"), files(B)),
    "a second key type": (one, lambda store: store.install("ipc1", [A, RSA], "install"), files(A, RSA)),
    "one for two": (two, lambda store: store.install("ipc1", [B], "install"), files(B)),
    "one for those put there by hand": (by_hand, lambda store: store.install("ipc1", [B], "install"), files(B)),
    "one that drives the oldest out": (many, lambda store: store.install("ipc1", [B], "install"), files(B)),
    "back": (another, lambda store: store.rollback("ipc1"), files(A)),
    "the global one": (two, lambda store: store.use_global("ipc1"), {}),
    "archive": (by_hand, lambda store: store.archive("ipc1", [A], "files"), files(A)),
}


@pytest.fixture
def two_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_GENERATIONS", 2)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # slow, and for power cuts: a kill loses nothing that is written


def fresh(folder: Path, prepare: Callable[[Store], None]) -> dict[str, bytes]:
    """What is live before the change."""
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    prepare(Store(folder))
    return live(folder, "ipc1")


def check_whole(folder: Path) -> None:
    """Rule 1 of the store."""
    store = Store(folder)
    for generation in store.history("ipc1"):
        place = store.generation_folder("ipc1", generation.number)
        assert sorted(path.name for path in place.glob("ssl.*")) in (
            sorted(files(A)),
            sorted(files(A, RSA)),
        )
        for each, data in files(*store.pairs("ipc1", generation.number)).items():
            assert (place / each).read_bytes() == data


def shown(folder: Path) -> dict[str, bytes]:
    """What a server would show: without its certificate the other files are not looked at."""
    found = live(folder, "ipc1")
    return found if "ssl.ca" in found else {}


@pytest.mark.usefixtures("two_kept")
@pytest.mark.parametrize("name", CHANGES)
def test_after_a_kill_at_any_step_the_old_or_the_new_one_is_served(folder: Path, name: str) -> None:
    prepare, change, after = CHANGES[name]
    before: dict[str, bytes] = {}

    def prepared() -> None:
        nonlocal before
        before = fresh(folder, prepare)

    seen = []
    for step in killed_at_each_step(lambda: change(Store(folder)), prepared):
        check_whole(folder)
        Store(folder).recover("ipc1")
        assert shown(folder) in (before, after), f"killed at step {step}"
        check_whole(folder)
        seen.append(shown(folder) == after)
        leftover = [path.name for path in folder.rglob("*") if path.suffix in (".new", ".writing", ".installing")]
        assert leftover == [], f"killed at step {step}"
        Store(folder).install("ipc1", [C], "install")  # and it goes on
        assert live(folder, "ipc1") == files(C)
    assert len(seen) > 5
    assert seen == sorted(seen), "once the new one, never again the old one"
    assert seen[-1]


@pytest.mark.usefixtures("two_kept")
@pytest.mark.parametrize("name", CHANGES)
def test_after_an_error_at_any_step_nothing_is_between(folder: Path, name: str) -> None:
    prepare, change, after = CHANGES[name]
    before: dict[str, bytes] = {}

    def prepared() -> None:
        nonlocal before
        before = fresh(folder, prepare)

    outcomes = set()
    for step, raised in failing_at_each_step(
        lambda: change(Store(folder)), prepared, lambda: OSError(errno.EIO, "Input/output error")
    ):
        if raised is None:
            outcomes.add("done")
            assert name == "archive" or shown(folder) == after, f"step {step}"
        else:
            assert isinstance(raised, StoreError)
            assert "Input/output error" in str(raised)
            if str(raised).endswith("; the next command or start completes the change"):
                outcomes.add("half")
                Store(folder).recover("ipc1")
                assert shown(folder) == after, f"step {step}"
            else:
                outcomes.add("unchanged")
                assert shown(folder) == before, f"step {step}"
        Store(folder).recover("ipc1")
        assert shown(folder) in (before, after), f"step {step}"
        check_whole(folder)
    assert {"done", "unchanged"} <= outcomes


def test_a_full_disk_leaves_everything_as_it_was(folder: Path) -> None:
    """From some write on nothing more can be written."""
    for first in itertools.count(1):
        fresh(folder, one)
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        writes = itertools.count(1)

        def at(_: int, name: str, first: int = first, writes: "itertools.count[int]" = writes) -> None:
            if name == "write" and next(writes) >= first:
                raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.MonkeyPatch.context() as patcher:
            Steps(at).patch(patcher)
            try:
                Store(folder).install("ipc1", [B, RSA], "install")
                break
            except StoreError as error:
                reason = str(error)
        assert reason == f"{folder}: No space left on device; nothing was changed"
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert first > 8


def test_own_files_put_there_after_a_kill_stay(folder: Path) -> None:
    """The change is not completed over them."""
    store = Store(folder)
    one(store)
    installing = folder / "history/ipc1/000002.installing"
    shutil.copytree(folder / "history/ipc1/000001", installing)
    (installing / "ssl.ca").write_bytes(b"of the change that was cut off")
    (folder / "cameras/ipc1/ssl.ca").write_bytes(b"the operator's")
    (folder / "cameras/ipc1/ssl.key.new").write_bytes(b"of the change that was cut off")
    store.recover("ipc1")
    assert live(folder, "ipc1") == files(A) | {"ssl.ca": b"the operator's"}
    assert sorted(path.name for path in installing.parent.iterdir()) == ["000001", "000002"]


def test_every_byte_is_on_the_disk_before_it_gets_its_name(folder: Path) -> None:
    """For a power cut: a rename may reach the disk before data that were not synced."""
    one(Store(folder))
    generations = folder / "history/ipc1"
    synced: set[int] = set()
    dirty: set[Path] = set()
    fsync, rename = os.fsync, os.rename

    def note_sync(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)
        dirty.discard(Path(f"/proc/self/fd/{descriptor}").readlink())

    def note_rename(source: Path, target: Path) -> None:
        for path in (source, *source.rglob("*")) if source.is_dir() else (source,):
            assert path.stat().st_ino in synced, path
        assert target.parent == generations or not dirty, "the generation is there before a live file is replaced"
        rename(source, target)
        if target.parent == generations:
            dirty.add(target.parent)

    with pytest.MonkeyPatch.context() as patcher:
        patcher.setattr(os, "fsync", note_sync)
        patcher.setattr(os, "rename", note_rename)
        Store(folder).install("ipc1", [B, RSA], "install")
    assert len(synced) > 8
    assert dirty == set()


def test_two_at_a_time(folder: Path) -> None:
    children = []
    for name in ("x", "y"):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                store = Store(folder)
                for number in range(9):
                    store.install("global", [pair(f"{name}{number}")], "install")
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    store = Store(folder)
    assert numbers(store) == list(range(1, 19))
    assert live(folder) == files(*store.pairs("global", 18))


def test_who_holds_the_lock_for_ever_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_TIMEOUT_S", 0.0)
    with (folder / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=r"\.lock is held by another camfleet; nothing was changed"):
            Store(folder).install("global", [A], "install")
    assert live(folder) == {}
