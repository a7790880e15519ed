"""What the built-in model is trained on: Unicode's list, the classes, the pictures; and the measures, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diffanim.builtin import measures
from diffanim.builtin.classes import CLASSES, read_emoji
from diffanim.builtin.pictures import EMOJI_LIST, FONT, Pictures, as_floats, draw_pictures, load_pictures, save_pictures
from diffanim.errors import SettingsError

LIST = """\
# group: Smileys & Emotion
# subgroup: face-smiling
1F600                                      ; fully-qualified     # 😀 E1.0 grinning face
263A                                       ; unqualified         # ☺ E0.6 smiling face
# subgroup: heart
2764 FE0F                                  ; fully-qualified     # ❤️ E0.6 red heart
# subgroup: person
1F9D1                                      ; fully-qualified     # 🧑 E5.0 person
1F9D1 1F3FB                                ; fully-qualified     # 🧑🏻 E5.0 person: light skin tone
1F9D4                                      ; fully-qualified     # 🧔 E5.0 person: beard
1F9D4 200D 2642 FE0F                       ; fully-qualified     # 🧔‍♂️ E13.1 man: beard
# subgroup: animal-mammal
1F436                                      ; fully-qualified     # 🐶 E0.6 dog face
1F981                                      ; fully-qualified     # 🦁 E1.0 lion
# subgroup: transport-ground
1F697                                      ; fully-qualified     # 🚗 E0.6 automobile
1F6D1                                      ; fully-qualified     # 🛑 E3.0 stop sign
# subgroup: country-flag
1F1E6 1F1E8                                ; fully-qualified     # 🇦🇨 E2.0 flag: Ascension Island
"""


def test_the_list_is_read_without_near_copies_and_other_subgroups(tmp_path: Path) -> None:
    path = tmp_path / "emoji-test.txt"
    path.write_text(LIST, encoding="utf-8")
    assert [(one.text, one.name, one.label) for one in read_emoji(path)] == [
        ("😀", "grinning face", "smiley"),
        ("❤️", "red heart", "heart"),
        ("🧑", "person", "person"),
        ("🧔", "person: beard", "person"),
        ("🐶", "dog face", "animal"),
        ("🦁", "lion", "cat"),
        ("🚗", "automobile", "vehicle"),
    ]


def test_what_is_no_list_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="package unicode-data"):
        read_emoji(tmp_path / "nothing")
    (tmp_path / "other").write_text("hello")
    with pytest.raises(SettingsError, match="contains no emoji"):
        read_emoji(tmp_path / "other")


def test_no_subgroup_stands_in_two_classes() -> None:
    subgroups = [subgroup for listed in CLASSES.values() for subgroup in listed]
    assert len(subgroups) == len(set(subgroups))


@pytest.mark.skipif(not (FONT.exists() and EMOJI_LIST.exists()), reason="needs the font and Unicode's list")
def test_the_pictures_of_the_font() -> None:
    pictures = draw_pictures()
    assert pictures.images.shape == (len(pictures.names), 64, 64, 3)
    assert min(pictures.counts().values()) >= 12
    assert tuple(pictures.counts()) == tuple(CLASSES)
    assert len(np.unique(pictures.images.reshape(len(pictures.images), -1), axis=0)) == len(pictures.images)
    edge = np.concatenate([pictures.images[:, [0, -1]].ravel(), pictures.images[:, :, [0, -1]].ravel()])
    assert edge.min() > 200, "an emoji is cut off"


def test_pictures_are_kept_and_read_back(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    save_pictures(tmp_path / "p.npz", Pictures(images, np.array([1, 0, 1]), ("a", "b", "c"), ("cat", "dog")))
    found = load_pictures(tmp_path / "p.npz")
    np.testing.assert_array_equal(found.images, images)
    assert (found.names, found.labels, found.counts()) == (("a", "b", "c"), ("cat", "dog"), {"cat": 1, "dog": 2})
    (tmp_path / "broken.npz").write_bytes((tmp_path / "p.npz").read_bytes()[:90])
    for path in ("broken.npz", "nothing.npz"):
        with pytest.raises(SettingsError, match="leave out --pictures"):
            load_pictures(tmp_path / path)


def plain(*levels: float) -> np.ndarray:
    """Images [N, 3, 4, 4] of one value each."""
    return np.stack([np.full((3, 4, 4), level, np.float32) for level in levels])


def test_floats_are_those_of_the_pictures() -> None:
    image = np.zeros((1, 2, 2, 3), np.uint8)
    image[0, 0, 1] = (255, 0, 51)
    np.testing.assert_allclose(as_floats(image)[0, :, 0, 1], [1, -1, -0.6], atol=1e-6)


def test_nearest_and_what_is_counted_of_it() -> None:
    positions, distances = measures.nearest(plain(0.9, -0.4, 0.95), plain(-1, 0, 1))
    assert positions.tolist() == [2, 1, 2]
    np.testing.assert_allclose(distances, [0.1, 0.4, 0.05], atol=1e-3)
    assert measures.distinct(positions) == pytest.approx(2 / 3)
    assert measures.hits([1, 2, 3, 4], [1, 2, 0, 4]) == 0.75


def test_a_white_ground() -> None:
    images = plain(1, 1, 1, 0.97)
    images[1, :, 1, 1] = -1  # In a corner of 2×2.
    images[2, 0, 3, 3] = 0.8
    assert measures.white_ground(images) == 0.5


def test_sharpening_contrast_and_values_outside() -> None:
    assert measures.largest_fall([1, 2, 3]) == 0
    assert measures.largest_fall([1, 3, 2, 4]) == pytest.approx(0.25)
    checks = plain(0, 0)
    checks[1, :, ::2] = 1
    np.testing.assert_allclose(measures.sharpness(checks), [0, 1])
    data = plain(-0.5, 0.5)
    assert measures.contrast(plain(0, 0.25)[:, None], data) == pytest.approx(0.5)
    assert measures.contrast(plain(-1)[:, None], data) == pytest.approx(2)
    bright = plain(1, 1)
    bright[1, 0] = 1.2
    assert measures.outside(bright) == pytest.approx(1 / 3)
