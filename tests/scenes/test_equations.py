"""Equations between panels: their numbers, whether they hold, and what a picture, a sheet and a text say of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffanim
from diffanim import Trajectory
from diffanim.drawing.composer import Composer
from diffanim.drawing.sheet import lay_out
from diffanim.drawing.themes import theme_named
from diffanim.encode import FORMATS
from diffanim.errors import OutputError, SettingsError
from diffanim.files.budget import rungs_of
from diffanim.runs.clips import ClipFrames
from diffanim.runs.forward import forward_of
from diffanim.runs.quantities import FOUND_NOISE, VELOCITY
from diffanim.runs.run_info import Clipping
from diffanim.runs.step import Mixture, Step
from diffanim.runs.trajectory import RunInfo
from diffanim.runs.writer import TrajectoryWriter
from diffanim.scenes.equations import TOLERANCE, demand_truth, equation_of
from diffanim.scenes.phrases import Maths, Number
from diffanim.scenes.views import view_of
from diffanim.sharing.embedding import target_of
from diffanim.sharing.provenance import read_provenance
from diffanim.timeline.shots import Shot
from support.latents import record
from support.marks import libraries_may_warn
from support.synthetic import SCHEDULERS, mixture, synthetic_run

KINDS = ["preserving", "exploding", "flow"]


def straight(kind: str, *, wrong: float = 0.0, at: int = 3, steps: int = 6, **info: Any) -> Trajectory:
    """A run whose every step is the mixture of the next level; step ``at``, from 1, is wrong by this share of it."""
    random = np.random.default_rng(3)
    shape = (2, 3, 16, 16)
    image, x = random.uniform(-1, 1, shape), random.standard_normal(shape)
    signal, noise = (np.append(numbers, end) for numbers, end in zip(mixture(kind, steps), (1.0, 0.0), strict=True))
    x = signal[0] * image + noise[0] * x
    writer = TrajectoryWriter(None, RunInfo(**{"model": "made up", "scheduler": SCHEDULERS[kind], **info}))
    for index in range(steps):
        x0 = image + 0.2 * random.standard_normal(shape)
        a, b = float(signal[index]), float(noise[index])
        writer.add(Step(index, steps, 900.0 - index, x.astype(np.float32), x0.astype(np.float32), a, b))
        before, x = x, signal[index + 1] * x0 + noise[index + 1] * (x - a * x0) / b
        if index + 1 == at:
            error = random.standard_normal(shape)
            x += wrong * error * np.sqrt(np.mean((x - before) ** 2) / np.mean(error**2))
    return writer.finish(x.astype(np.float32), end=Mixture(1.0, 0.0))


def told(kind: str, run: Trajectory, row: int) -> list[tuple[str, float | None, str]]:
    """The sign, factor and symbol before each panel at a row."""
    terms = equation_of(kind, view_of(run)).terms
    return [(t.sign, float(t.factor.strings[row]) if t.factor else None, t.name.tex if t.name else "") for t in terms]


@pytest.mark.parametrize(
    ("kind", "symbols"),
    [
        ("preserving", [r"\sqrt{\bar{\alpha}_t}", r"\sqrt{1-\bar{\alpha}_t}"]),
        ("exploding", ["", r"\sigma_t"]),
        ("flow", [r"1-\sigma_t", r"\sigma_t"]),
    ],
)
def test_a_sample_is_a_mixture_in_its_own_notation(kind: str, symbols: list[str]) -> None:
    run = synthetic_run(kind)
    for row in range(run.steps + 1):
        a, b = (1.0, 0.0) if row == run.steps else (run.signal[row], run.noise[row])
        (equals, signal, first), (plus, noise, second) = told("equation", run, row)
        assert (equals, plus, [first, second]) == ("=", "+", symbols)
        assert signal is None if kind == "exploding" else signal == pytest.approx(a, abs=0.0051)
        assert noise == pytest.approx(b, abs=0.0051)
    demand_truth("equation", run, range(run.steps + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_told_with_the_numbers_of_the_next_sample(kind: str) -> None:
    run = straight(kind)
    demand_truth("step", run, range(run.steps + 1))
    scene = equation_of("step", view_of(run))
    named = {"preserving": ["next", "x0", "eps"], "exploding": ["next", "x", "eps"], "flow": ["next", "x", "v"]}
    assert [panel.name for panel in scene.panels] == named[kind]
    for row in range(run.steps):
        found = (run.x[row] - run.signal[row] * run.x0[row]) / run.noise[row]
        (_, first, _), (sign, second, _) = told("step", run, row)
        assert second is not None
        pair = {
            "preserving": (run.x0[row], found),
            "exploding": (run.x[row], found),
            "flow": (run.x[row], found - run.x0[row]),
        }
        left, right = pair[kind]
        shown = (1.0 if first is None else first) * left + (second if sign == "+" else -second) * right
        rounding = 0.006 * (np.abs(left).max() + np.abs(right).max())
        np.testing.assert_allclose(run.x[row + 1], shown, atol=rounding)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("wrong", "holds"), [(0.5 * TOLERANCE, True), (2 * TOLERANCE, False)])
def test_what_does_not_hold_is_refused_at_its_step(kind: str, wrong: float, holds: bool, tmp_path: Path) -> None:
    run = straight(kind, wrong=wrong, scheduler="DDIMScheduler")
    if holds:
        diffanim.render(run, tmp_path / "a.apng", scene="step", size=(480, None))
        return
    with pytest.raises(OutputError, match=r"the scene step does not hold at step 3: it misses 0\.2% of it, as"):
        diffanim.render(run, tmp_path / "a.apng", scene="step", size=(480, None))
    assert not list(tmp_path.iterdir())
    diffanim.render(run, tmp_path / "a.apng", scene="step", first=4, size=(480, None))


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_rounded_samples_still_hold(precision: str) -> None:
    def rounded(x: np.ndarray) -> np.ndarray:
        if precision == "float16":
            return x.astype(np.float16).astype(np.float32)
        return (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)

    exact = straight("flow", steps=40)
    writer = TrajectoryWriter(None, exact.info)
    for row in range(exact.steps):
        a, b = float(exact.signal[row]), float(exact.noise[row])
        writer.add(Step(row, exact.steps, float(exact.t[row]), rounded(exact.x[row]), exact.x0[row], a, b))
    run = writer.finish(rounded(exact.x[-1]), end=Mixture(1.0, 0.0))
    lost = np.sqrt(np.mean((run.x[3] - exact.x[3]) ** 2) / np.mean((exact.x[4] - exact.x[3]) ** 2))
    assert lost > 5 * TOLERANCE, "rounding changes more than a step may be wrong by"
    demand_truth("step", run, range(run.steps))


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"scheduler": "DDPMScheduler"}, "DDPMScheduler adds fresh noise"),
        ({"scheduler": "DPMSolverMultistepScheduler"}, "combines the predictions of several steps"),
        ({"scheduler": "HeunDiscreteScheduler"}, "calls the network twice in a step"),
        ({"scheduler": "DDIMScheduler", "clipped": "clipped"}, "before x̂0 was clipped"),
        ({"scheduler": "SomebodysScheduler"}, "does more than mix x̂0 and ε̂"),
    ],
)
def test_the_reason_for_refusing_a_step(info: dict[str, Any], reason: str) -> None:
    with pytest.raises(OutputError, match=reason):
        demand_truth("step", straight("preserving", wrong=0.1, **info), range(6))


def test_a_sample_that_the_mixture_leaves_unexplained_is_refused() -> None:
    writer, image = (
        TrajectoryWriter(None, RunInfo("made up", "DDIMInverseScheduler")),
        np.ones((1, 3, 8, 8), np.float32),
    )
    writer.add(Step(0, 1, 0.0, image, 0.9 * image, 1.0, 0.0))
    with pytest.raises(OutputError, match="the scene equation does not hold at step 1"):
        demand_truth("equation", writer.finish(image), [0])


def test_an_interrupted_step_leads_nowhere() -> None:
    run = synthetic_run(interrupted_after=4)
    with pytest.raises(OutputError, match=r"step 4 leads to no sample, as the run was interrupted; .* --to 3"):
        demand_truth("step", run, [3])
    demand_truth("equation", run, [3])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scene": "step", "panels": "x,eps"}, "the scene step has panels of its own; leave out --panels x,eps"),
        ({"scene": "equations"}, "there is no scene 'equations'; choose from equation, step, guidance"),
    ],
)
def test_scenes_that_cannot_be(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=words):
        diffanim.render(synthetic_run(), tmp_path / "a.gif", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("size", "count"), [((640, None), 9), ((830, None), 4), ((1920, 1080), 1)])
@pytest.mark.parametrize("scene", ["equation", "step"])
@pytest.mark.parametrize("kind", KINDS)
def test_terms_lie_between_the_panels(kind: str, scene: str, count: int, size: tuple[int, int | None]) -> None:
    composer = Composer(equation_of(scene, view_of(synthetic_run(kind, shape=(count, 3, 16, 16)))), size=size)
    boxes = [place.box for place in composer.layout.panels]
    middle = boxes[0].y + boxes[0].height / 2
    for ended in (0, 6):
        terms = [text for _, text in composer.backdrop([ended]).texts if boxes[0].y <= text.baseline <= boxes[0].bottom]
        signs = [text for text in terms if isinstance(text.piece, Maths) and text.piece.ink == "strong"]
        assert len(signs) == 2
        for text in terms:
            left, top, right, bottom = text.box
            assert any(a.right < left and right <= b.x for a, b in pairwise(boxes))
            assert boxes[0].y <= top
            assert bottom <= boxes[0].bottom
            if text in signs or isinstance(text.piece, Number):
                assert abs((top + bottom) / 2 - middle) < 0.4 * text.sizes.words


@pytest.mark.parametrize("kind", KINDS)
def test_captions_leave_to_the_equation_what_it_says(kind: str) -> None:
    run = synthetic_run(kind)
    composer = Composer(equation_of("equation", view_of(run)), size=(1920, 1080))
    scene = composer.scene
    for part in scene.parts:
        for caption in scene.captions(part)[:-1]:
            assert caption.title == (Maths(part.panel.symbol_in(part.view)),)
            assert caption.readouts == ()
    first = scene.captions(scene.parts[0])[:-1]
    assert kind != "exploding" or all("unit variance" in c.words or c.words == "scaled" for c in first)
    times = [text for _, text in composer.backdrop([0]).texts if text.piece == Maths("t =")]
    assert len(times) == 1, "t is in the title"
    assert times[0].baseline == composer.layout.title.baseline


def test_of_a_last_sample_with_noise_nothing_is_claimed() -> None:
    writer, image = TrajectoryWriter(None, RunInfo("made up", "DDIMScheduler")), np.ones((1, 3, 16, 16), np.float32)
    writer.add(Step(0, 1, 900.0, image, image, 0.6, 0.8))
    composer = Composer(equation_of("equation", view_of(writer.finish(image, end=Mixture(0.8, 0.6)))))
    assert Maths("=") in [text.piece for _, text in composer.backdrop([0]).texts]
    assert Maths("=") not in [text.piece for _, text in composer.backdrop([1]).texts]
    composer.compose(Shot((1,), 1.0))


def test_on_a_sheet_the_rows_are_the_equation() -> None:
    run = synthetic_run("flow")
    laid = lay_out(
        equation_of("equation", view_of(run)),
        [(0,), (3,), (6,)],
        theme=theme_named("light"),
        width=1950,
        text=1,
        whole=True,
    )
    pieces = [text.piece for text in laid.texts]
    start = pieces.index(Maths("="))
    assert pieces[start : start + 3] == [Maths("="), Maths(r"(1-\sigma_t)", "signal"), Maths(r"\hat{x}_0")]
    numbers = [piece.tex for piece in pieces if isinstance(piece, Maths) and piece.ink in ("signal", "noise")]
    assert numbers[2:] == ["0.00", "1.00", "0.50", "0.50", "1.00", "0.00"]


@pytest.mark.parametrize(
    ("kind", "scene", "words"),
    [
        ("preserving", "equation", "x_t equals a times x̂0 plus b times ε̂, from left to right the noisy sample of each"),
        ("preserving", "step", "the next sample equals a times x̂0 plus b times ε̂, with a and b of the next step, from"),
        ("exploding", "step", "the next sample equals x_t plus the change of σ times ε̂, from left to right the sample"),
        ("flow", "step", "the next sample equals x_t plus the change of σ times the velocity u, from left to right"),
    ],
)
def test_what_files_say_of_an_equation(kind: str, scene: str, words: str, tmp_path: Path) -> None:
    run = straight(kind)
    diffanim.render(
        run, tmp_path / "a.gif", tmp_path / "a-sheet.png", tmp_path / "a.pdf", scene=scene, size=(800, None)
    )
    provenance, _ = read_provenance(tmp_path / "a.gif")
    assert provenance is not None
    assert provenance.scene == scene
    assert words in target_of(tmp_path / "a.gif", provenance).alt
    sheet = target_of(tmp_path / "a-sheet.png", provenance)
    assert "from top to bottom" in sheet.alt
    assert "$x_{t-1} = " in sheet.caption or scene == "equation"


def test_the_command_that_makes_it_again(tmp_path: Path) -> None:
    run = synthetic_run(settings={"steps": 6})
    diffanim.render(run, tmp_path / "a.gif", scene="equation", size=(480, None))
    provenance, _ = read_provenance(tmp_path / "a.gif")
    assert provenance is not None
    assert "--scene equation" in provenance.command
    assert "--panels" not in provenance.command


def test_what_a_smaller_gif_gives_up() -> None:
    rungs = rungs_of(FORMATS[".gif"], equation_of("step", view_of(straight("flow"))))
    assert rungs[1].look == "x_{t−1} and x_t and the velocity have 32 colours until the last quarter"


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_forward_process_image_and_noise_are_known(kind: str, tmp_path: Path) -> None:
    forward = forward_of(straight(kind))
    diffanim.render(forward, tmp_path / "a.gif", tmp_path / "a-sheet.png", scene="equation", size=(800, None))
    provenance, _ = read_provenance(tmp_path / "a.gif")
    assert "x_t equals a times x_0 plus b times ε, from left" in target_of(tmp_path / "a.gif", provenance).alt
    assert [told("equation", forward, row)[-1][1] for row in (0, 6)] == [0, round(straight(kind).noise[0], 2)]
    scene = equation_of("equation", view_of(forward))
    for end in (scene.captions, scene.closing):
        assert [end(part)[0].title for part in scene.parts] == [(Maths(tex),) for tex in ("x_t", "x_0", r"\epsilon")]
    for row in range(len(forward.x)):
        mixed = forward.end if row == forward.steps else Mixture(forward.signal[row], forward.noise[row])
        assert mixed is not None
        found = VELOCITY.values(forward, row)
        image, noise = forward.x0[0].astype(float), FOUND_NOISE.values(forward, 0).astype(float)
        size = 1 if kind == "flow" else np.hypot(mixed.signal, mixed.noise)
        a, b = (1, 1) if kind == "flow" else (mixed.signal, mixed.noise)
        np.testing.assert_allclose(found, (a * noise - b * image) / size, atol=1e-4)
    with pytest.raises(OutputError, match="a forward process has no steps of a sampler; use the scene equation"):
        diffanim.render(forward, tmp_path / "b.gif", scene="step")
    with pytest.raises(SettingsError, match="change is about a sampler’s steps"):
        diffanim.render(forward, tmp_path / "b.gif", panels="x,change")


def test_guidance_is_told_with_its_scale_and_without_the_last_sample(tmp_path: Path) -> None:
    run = synthetic_run(guided=True)
    diffanim.render(run, f"{tmp_path}/a/", tmp_path / "a-poster.png", tmp_path / "a-sheet.png", scene="guidance")
    assert len(list((tmp_path / "a").iterdir())) == run.steps, "nothing is guided at the finished image"
    scene = equation_of("guidance", view_of(run))
    assert [panel.name for panel in scene.panels] == ["x0:cond", "x0", "x0:uncond", "guidance"]
    assert [term.sign for term in scene.terms] == ["", "=", "+"]
    composer = Composer(scene, size=(1920, 1080))
    boxes = [place.box for place in composer.layout.panels]
    plus, scale = (
        next(text for _, text in composer.backdrop([0]).texts if text.piece == piece)
        for piece in (Maths("+"), Number(("3",) * run.steps))
    )
    assert boxes[2].right < plus.x < boxes[3].x
    assert boxes[2].right < scale.x < boxes[3].x
    assert scale.baseline > plus.baseline
    for part in scene.parts:
        assert any(caption.title for caption in scene.captions(part))
    small = Composer(scene, size=(480, None))
    line = small.layout.panels[3].caption
    assert [text for _, text in small.backdrop([0]).texts if text.baseline == line.baseline and text.x >= line.x]
    poster, _ = read_provenance(tmp_path / "a-poster.png")
    said = target_of(tmp_path / "a-poster.png", poster).alt
    assert said.startswith(
        "The last step of 6 DDIM steps of made up: the guess equals that without class or prompt plus"
    )


@pytest.mark.parametrize(
    ("clipped", "reason"),
    [(None, "more is done to the prediction than guidance"), (Clipping.CLIPPED, "x̂0 was clipped")],
)
def test_guidance_that_is_not_all_is_refused(clipped: Clipping | None, reason: str) -> None:
    random = np.random.default_rng(0)
    writer = TrajectoryWriter(None, RunInfo("made up", "DDIMScheduler", clipped=clipped))
    uncond, cond, x = random.uniform(-1, 1, (3, 1, 3, 8, 8)).astype(np.float32)
    x0 = (uncond + 3 * (cond - uncond)).clip(-1, 1)
    writer.add(Step(0, 1, 900.0, x, x0, 0.6, 0.8, {"x0_uncond": uncond, "x0_cond": cond}, 3.0))
    with pytest.raises(
        OutputError, match=rf"the scene guidance does not hold at step 1: it misses .*% of x̂0, as {reason}"
    ):
        demand_truth("guidance", writer.finish(x0), [0])


@libraries_may_warn
def test_of_latents_and_clips(tmp_path: Path) -> None:
    run, _ = record("sd")
    diffanim.render(run, tmp_path / "a.apng", scene="equation", size=(600, None))
    clip, _ = record("animatediff")
    diffanim.render(clip, tmp_path / "b.apng", scene="equation", size=(600, None), clip_row=2)
    composer = Composer(equation_of("equation", view_of(clip, frames=ClipFrames(None, 2))), size=(600, None))
    boxes = [place.box for place in composer.layout.panels]
    assert boxes[0].x == boxes[1].x == boxes[2].x
    signs = [text for _, text in composer.backdrop([0]).texts if text.piece in (Maths("="), Maths("+"))]
    for sign, box in zip(signs, boxes[1:], strict=True):
        assert box.y < sign.baseline < box.bottom
        assert sign.box[2] < box.x
