"""Small models on the disk, made anew in every test session: nothing is downloaded."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings

from support.models import save_model
from support.terminal import Run

# For networks as small as the tests', threads that wait for each other cost up to a hundred times what they save. Read
# by torch when it is imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Triton runs kernels on the CPU if this stands when it is first imported, which torch does in passing.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# How long an example takes says how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def garbage_is_collected() -> Iterator[None]:
    """As before the test: a command, which is a process of its own otherwise, leaves its garbage to its end."""
    threshold = gc.get_threshold()
    yield
    if gc.get_threshold() != threshold:
        gc.set_threshold(*threshold)
        gc.unfreeze()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unconditional model with DDIM."""
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def labelled_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class-conditional one with a null class."""
    return save_model(tmp_path_factory.mktemp("models") / "labelled", labels=["cat", "dog", "boat", "(none)"])


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in an empty folder: ``run("render", …)`` gives code, out and err."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_args: None)

    from diffanim.cli.main import main

    def run(*arguments: object) -> SimpleNamespace:
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return SimpleNamespace(code=exit.value.code, out=out, err=err)

    return run


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """Where S3 is served."""
    from support.stores import serving_s3

    with serving_s3() as address:
        yield address


@pytest.fixture
def s3(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket of S3 on this machine, for this process and those that it starts."""
    import secrets

    import fsspec

    from support.stores import CREDENTIALS, NO_CREDENTIALS, OTHERS

    place = {"AWS_ENDPOINT_URL": s3_address, "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**NO_CREDENTIALS, **CREDENTIALS, **place}.items():
        monkeypatch.setenv(name, value)
    for name in OTHERS:
        monkeypatch.delenv(name, raising=False)
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # Which knows an address and credentials.
    bucket = f"bucket-{secrets.token_hex(6)}"
    fsspec.filesystem("s3").mkdir(bucket)
    return f"s3://{bucket}"
