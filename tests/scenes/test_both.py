"""The scene of a run beside the forward process of its own images: at the same noise level in every shot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import diffanim
from diffanim.drawing.composer import Composer, draw_image
from diffanim.drawing.layout import Box
from diffanim.errors import DiffanimError, SettingsError
from diffanim.runs.forward import forward_of
from diffanim.runs.noising import mixture_at, natural
from diffanim.scenes.both import both_ways, mirrored
from diffanim.scenes.views import view_of
from diffanim.sharing.embedding import alt_text
from diffanim.sharing.provenance import read_provenance
from diffanim.timeline.shots import Shot
from support.synthetic import synthetic_run


@pytest.mark.parametrize("kind", ["preserving", "exploding", "flow"])
def test_both_sides_are_at_the_same_noise_level(kind: str) -> None:
    run = synthetic_run(kind, shape=(1, 3, 16, 16))
    forward = forward_of(run)
    shots = mirrored([Shot((row,), 0.1) for row in range(run.steps + 1)], run.steps)
    for shot in shots[:-1]:
        one, other = (mixture_at(of, row) for of, row in zip((forward, run), shot.rows, strict=True))
        assert (one.signal, one.noise) == pytest.approx((other.signal, other.noise), abs=1e-6)
    first, last = shots[0].rows, shots[-1].rows
    assert (first, last) == ((run.steps, 0), (0, run.steps))
    np.testing.assert_allclose(natural(forward, forward.x[0], 0), run.x[-1], atol=1e-6, err_msg="both end at the image")
    composer = Composer(both_ways(view_of(forward), view_of(run)), size=(830, None))
    picture = composer.compose(shots[2]).pixels
    for part, place in zip(composer.scene.parts, composer.layout.panels, strict=True):
        (cell,), (image,) = place.cells, part.pixels(shots[2].rows)
        wanted = np.zeros((cell.height, cell.width, 3), np.uint8)
        draw_image(wanted, Box(0, 0, cell.width, cell.height), image)
        np.testing.assert_array_equal(picture[cell.slices], wanted)


def test_it_is_a_film_that_says_so(tmp_path: Path) -> None:
    run = synthetic_run(shape=(1, 3, 16, 16))
    (path,) = diffanim.render(run, tmp_path / "both.gif", scene="both", size=(480, None))
    provenance, _ = read_provenance(path)
    assert provenance is not None
    assert provenance.runs == ("forward: noise is added to the image", "reverse: the model removes noise")
    assert "forward: noise is added to the image; reverse: the model removes noise" in alt_text("picture", provenance)


def test_the_command_that_makes_it_again_names_the_run_alone(tmp_path: Path) -> None:
    run = synthetic_run(shape=(1, 3, 16, 16), settings={"steps": 6, "model": "emoji"})
    (path,) = diffanim.render(run, tmp_path / "both.gif", scene="both", size=(480, None))
    provenance, _ = read_provenance(path)
    assert provenance is not None
    assert provenance.command == "diffanim render --steps 6 --scene both --size 480 -o both.gif"


def test_what_cannot_be_shown_both_ways(tmp_path: Path) -> None:
    output = tmp_path / "both.gif"
    for run in (synthetic_run(interrupted_after=3), forward_of(synthetic_run())):
        with pytest.raises(DiffanimError, match=r"^[^\n]+$"):
            diffanim.render(run, output, scene="both")
    with pytest.raises(SettingsError, match="shows one run, not 2"):
        diffanim.render([synthetic_run(), synthetic_run()], output, scene="both")
    with pytest.raises(SettingsError, match="has panels of its own"):
        diffanim.render(synthetic_run(), output, scene="both", panels="x0,eps")
    assert not output.exists()
