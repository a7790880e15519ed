"""Every field of a model's configurations, with whatever JSON can hold: it samples, or is refused in one line."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import diffanim
from diffanim.errors import DiffanimError
from support.marks import libraries_may_warn
from support.models import save_model
from support.tiny import build

resource = pytest.importorskip("resource", reason="measures and limits memory as POSIX can")

pytestmark = libraries_may_warn


def nested(depth: int, opening: str, end: str) -> str:
    return opening * depth + "1" + end * depth


VALUES = (
    *("null", "true", "false", "NaN", "Infinity", "-Infinity", "0", "1", "7", "-1", "-8", "1000000", "1000000000"),
    *("9223372036854775808", "1" + "0" * 400, "0.5", "8.5", "-1.5", "1e308", "1e-320"),
    *('""', '"8"', '"evil"', r'"\ud800"', r'"a\n\u001b[2J"', json.dumps("x" * 100_000)),
    *("[]", "{}", "[0]", "[-1, -1]", "[1000000000, 1000000000]", "[null, null]", '["a", "b"]', "[8, 8, 8]"),
    *("[1.5, 1.5]", "[[8], [8]]", "[8, 16]", '{"a": 1}', json.dumps([0.01] * 100_000)),
    *(nested(600, "[", "]"), nested(600, '{"a": ', "}"), nested(9000, "[", "]")),
    "",  # Deleted.
)
BARE: dict[str, dict[str, Any]] = {
    "unet/config.json": {"num_class_embeds": None, "more": 1},
    "scheduler/scheduler_config.json": {},
    "model_index.json": {"id2label": {"0": "cat"}},
}
TEXT: dict[str, dict[str, Any]] = {
    "model_index.json": {},
    "unet/config.json": {},
    "vae/config.json": {},
    "text_encoder/config.json": {},
    "scheduler/scheduler_config.json": {},
    "tokenizer/tokenizer_config.json": {},
    "tokenizer/tokenizer.json": {},
}
SECONDS, BYTES = 5, 10**9
SHARE = 23
"""One in so many cases is tried in every run of the tests; the others with ``-m matrix``."""


def mutations(folder: Path, file: str, more: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every field with every value: its name, the value, and the text of the file."""
    content = {**more, **json.loads((folder / file).read_text())}
    for field in content:
        for value in VALUES:
            others = {name: kept for name, kept in content.items() if name != field}
            text = json.dumps(others)
            yield field, value, f"{text[:-1]}{', ' if others else ''}{json.dumps(field)}: {value}}}" if value else text


def used() -> int:
    """Bytes of this process's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def a_gigabyte_more() -> Iterator[None]:
    """All that may be asked for in this block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used() + BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def what_happens(folder: Path, **settings: Any) -> str:
    """Nothing to say of a run that is made, or of one that is refused as it should be."""
    began = time.process_time()
    try:
        with a_gigabyte_more():
            diffanim.record(folder, steps=2, batch=1, **settings)
    except DiffanimError as error:
        if "\n" in str(error) or len(str(error)) > 1000:
            return f"says {str(error)[:100]!r}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:100]}"
    seconds = time.process_time() - began  # How long it takes on a busy machine is nobody's fault.
    return f"takes {seconds:.1f} s" if seconds > SECONDS else ""


def check(model: Path, place: Path, file: str, more: dict[str, Any], share: int, **settings: Any) -> None:
    mutated = place / "mutated"
    shutil.copytree(model, mutated, copy_function=os.link)
    (mutated / file).unlink()
    wrong = []
    for number, (field, value, text) in enumerate(mutations(model, file, more)):
        if number % share == 0:
            (mutated / file).write_text(text)
            if happened := what_happens(mutated, **settings):
                wrong.append(f"{field} = {value[:40] or 'left out'}: {happened}")
    assert not wrong


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "bare", sample_size=8)


@pytest.fixture(scope="module")
def text_to_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("models") / "sd"
    build("sd")[0].save_pretrained(folder)
    return folder


BOAT: dict[str, Any] = {"prompt": "a small boat", "width": 16, "height": 16}


@pytest.mark.parametrize("file", BARE)
def test_a_field_of_a_bare_model(bare: Path, tmp_path: Path, file: str) -> None:
    check(bare, tmp_path, file, BARE[file], SHARE)


@pytest.mark.parametrize("file", TEXT)
def test_a_field_of_a_pipeline(text_to_image: Path, tmp_path: Path, file: str) -> None:
    check(text_to_image, tmp_path, file, TEXT[file], SHARE, **BOAT)


@pytest.mark.matrix
@pytest.mark.parametrize("file", BARE)
def test_every_mutation_of_a_bare_model(bare: Path, tmp_path: Path, file: str) -> None:
    check(bare, tmp_path, file, BARE[file], 1)


@pytest.mark.matrix
@pytest.mark.parametrize("file", TEXT)
def test_every_mutation_of_a_pipeline(text_to_image: Path, tmp_path: Path, file: str) -> None:
    check(text_to_image, tmp_path, file, TEXT[file], 1, **BOAT)


@pytest.mark.parametrize(
    ("file", "field"),
    [
        ("unet/config.json", "layers_per_block"),
        ("unet/config.json", "transformer_layers_per_block"),
        ("vae/config.json", "layers_per_block"),
        ("text_encoder/config.json", "num_hidden_layers"),
    ],
)
def test_a_pipeline_of_a_billion_layers_is_refused_at_once(
    text_to_image: Path, tmp_path: Path, file: str, field: str
) -> None:
    model = Path(shutil.copytree(text_to_image, tmp_path / "model"))
    content = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps({**content, field: 10**9}))
    part = file.split("/")[0]
    began = time.process_time()
    with pytest.raises(DiffanimError, match=f"model's {part} is larger than its weights"):
        diffanim.record(model, steps=2, **BOAT)
    assert time.process_time() - began < SECONDS


def test_an_error_of_the_callers_own_is_left_alone(bare: Path, text_to_image: Path) -> None:
    def complain(_: Any) -> None:
        raise KeyError("of the caller")

    for model, settings in ((bare, {}), (text_to_image, BOAT)):
        with pytest.raises(KeyError, match="of the caller"):
            diffanim.record(model, steps=2, on_step=complain, **settings)
