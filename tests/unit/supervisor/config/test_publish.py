"""The settings of streams that clients publish: who may, and what is refused in which words."""

from pathlib import Path

import pytest
from camfleet.core.wire import Publish
from camfleet.supervisor.config import check
from camfleet.supervisor.config.settings import load
from camfleet.supervisor.credentials import user_spec

USERS = '[[users]]\nname = "viewer"\npassword = "secret"\n'
STREAM = '[[cameras.streams]]\nid = "{}"\nsource = {{ kind = "publish", {} }}\n'


def written(folder: Path, *sources: str, users: str = USERS) -> Path:
    (folder / "pw").write_text("secret2\n")
    file = folder / "camfleet.toml"
    streams = "".join(STREAM.format(f"stream{number}", source) for number, source in enumerate(sources, 1))
    file.write_text(f'{users}[[cameras]]\nid = "ipc1"\n{streams}')
    return file


@pytest.mark.parametrize(
    ("sources", "key", "wrong"),
    [
        (['password = "secret"'], "user", "is missing"),
        (['user = "a:b", password = "secret"'], "user", "is not allowed"),
        (['user = "encoder", password = "secret", password_file = "pw"'], "password_file", "both there"),
        (['user = "encoder", password_file = "none"'], "password_file", "No such file"),
        (['user = "encoder", password = "secret\\n"'], "password", "this value is not allowed"),
        (['user = "viewer", password = ""'], "password", "this value is not allowed"),
        (['user = "viewer", password_file = ""'], "password_file", "is not allowed"),
        (['user = "encoder"'], "user", "has no password and is none of [[users]]"),
        (['user = "viewer", password = "secret"'], "user", "is one of [[users]], with a password there"),
    ],
)
def test_wrong(sources: list[str], key: str, wrong: str, tmp_path: Path) -> None:
    (problem,) = check(written(tmp_path, *sources))
    assert problem.key == f"cameras[0].streams[0].source.{key}"
    assert wrong in problem.wrong
    assert "secret" not in str(problem)


def test_one_user_has_one_password_at_a_camera(tmp_path: Path) -> None:
    file = written(tmp_path, 'user = "e", password = "secret"', 'user = "e", password_file = "pw"')
    (problem,) = check(file)
    assert problem.key == "cameras[0].streams[1].source.user"
    assert "another password in another stream" in problem.wrong


def test_a_publisher_of_its_own(tmp_path: Path) -> None:
    source = 'user = "encoder", password_file = "pw"'
    settings = load(written(tmp_path, source, source))
    (camera,) = settings.cameras
    assert [stream.source for stream in camera.streams] == [
        Publish(user="encoder", stream="stream1"),
        Publish(user="encoder", stream="stream2"),
    ]
    assert camera.streams[0].video is None
    assert camera.publishers == (user_spec("encoder", "secret2", watches=False),)
    assert [user.name for user in settings.users] == ["viewer"]
    assert tmp_path / "pw" in settings.files


@pytest.mark.parametrize("users", [USERS, ""])
def test_one_of_all_users(users: str, tmp_path: Path) -> None:
    """Without [[users]] there is a user `viewer`."""
    (camera,) = load(written(tmp_path, 'user = "viewer"', users=users)).cameras
    assert camera.publishers == ()
    assert camera.streams[0].source == Publish(user="viewer", stream="stream1")
