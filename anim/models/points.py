"""Data sets of points in the plane, for ideal denoisers that one can see through: ``points:spiral``, or a CSV file.

All have their mean at 0, and their coordinates a standard deviation of 1, as the noise has. The points are the same on
every machine: they are spread evenly rather than drawn, and rounded.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingsError, first_line
from ..runs.ideal import MOST_POINTS
from .files import POINTS, USUAL_POINTS, path_of
from .ideal import DataSet, IdealFiles, digest_of_data
from .labels import NULL_LABEL

_LETTERS = "letters:"
_COUNT = 1200
"""Points of a data set with a name."""
_DECIMALS = 4
"""Kept of each coordinate: functions such as sine differ in the last digits from machine to machine."""
_MOST_LETTERS = 24
_MOST_BYTES = 4 << 20
"""Of a CSV file: `MOST_POINTS` lines have far fewer."""
_PLASTIC = 1.32471795724474602596
"""Real root of x³ = x + 1: steps of 1/p and 1/p² fill a square evenly (Roberts 2018)."""
_NOTE = "points centred and scaled to unit variance"
_NOTE_OF_ONE = "points centred"

Array = NDArray[np.float64]
_Made = tuple[Array, NDArray[np.int64] | None, tuple[str, ...]]
"""Points [N, 2], the class of each and the names of the classes, if it has some."""


def points_model(name: str) -> IdealFiles:
    """The ideal denoiser of points in the plane.

    Args:
        name: of a data set; or "letters:" and a text; or the path of a CSV file with a line "x,y" for each point, or
            "x,y,class". A first line of names is left out.

    Raises:
        SettingsError: there is no such data set, or the file cannot be read, or has no points; the line is named.
    """
    if name in DATA_SETS:
        return _files(name, Path(), DATA_SETS[name]())
    if name.startswith(_LETTERS):
        return _files(name, Path(), _letters(name.removeprefix(_LETTERS)))
    file = path_of(name)
    if file.suffix.lower() != ".csv":
        raise SettingsError(
            f"there are no points {name!r}; choose from {', '.join(DATA_SETS)}, {_LETTERS}TEXT, or a file.csv"
        )
    return _files(file.name, file.parent, _read_csv(file), noted=True)


def _files(name: str, folder: Path, made: _Made, *, noted: bool = False) -> IdealFiles:
    points, classes, names = made
    centred = points - points.mean(axis=0)
    deviation = float(np.sqrt((centred**2).mean()))
    notes = (_NOTE if deviation else _NOTE_OF_ONE,) if noted else ()
    deviation = deviation or 1.0  # A single point has none.
    data = DataSet(np.round(centred / deviation, _DECIMALS).astype(np.float32), classes, names, notes)
    return IdealFiles(POINTS + name, folder, {}, digest_of_data(data), lambda _width, _height: data, USUAL_POINTS)


def _even(count: int) -> tuple[Array, Array]:
    """Points of the unit square that fill it evenly: both coordinates [count]."""
    k = np.arange(1, count + 1)
    return (0.5 + k / _PLASTIC) % 1, (0.5 + k / _PLASTIC**2) % 1


def _normal(count: int) -> Array:
    """Points that are spread as a normal distribution, [count, 2] (Box & Muller 1958)."""
    u, v = _even(count)
    return _polar(np.sqrt(-2 * np.log(1 - u)), 2 * math.pi * v)


def _polar(radius: Array, angle: Array) -> Array:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _spiral() -> _Made:
    u = (np.arange(_COUNT) + 0.5) / _COUNT
    angle = 3.5 * math.pi * np.sqrt(0.02 + 0.98 * u)  # The square root spaces the points evenly along the arm.
    return _polar(angle, angle) + 0.25 * _normal(_COUNT), None, ()


def _swiss_roll() -> _Made:
    u, v = _even(_COUNT)
    angle = 1.5 * math.pi * (1 + 2 * u)
    return _polar(angle + 1.6 * (v - 0.5), angle), None, ()


def _two_moons() -> _Made:
    upper = np.arange(_COUNT) % 2 == 0
    angle = math.pi * (np.arange(_COUNT) // 2 + 0.5) / (_COUNT // 2)
    moon = _polar(np.ones(_COUNT), angle)
    points = np.where(upper[:, None], moon, [1.0, 0.5] - moon) + 0.06 * _normal(_COUNT)
    return points, np.where(upper, 0, 1), ("upper", "lower")


def _circles() -> _Made:
    inner = np.arange(_COUNT) % 3 == 0  # A third of them, so that both are about as dense.
    angle = 2 * math.pi * ((np.arange(_COUNT) * (math.sqrt(5) - 1) / 2) % 1)
    points = _polar(np.where(inner, 0.45, 1.0), angle) + 0.035 * _normal(_COUNT)
    return points, np.where(inner, 1, 0), ("outer", "inner")


def _gaussians() -> _Made:
    names = ("E", "NE", "N", "NW", "W", "SW", "S", "SE")
    of = np.arange(_COUNT) // (_COUNT // len(names))
    spread = np.tile(_normal(_COUNT // len(names)), (len(names), 1))
    return _polar(np.ones(_COUNT), 2 * math.pi * of / len(names)) + 0.09 * spread, of, names


def _checkerboard() -> _Made:
    u, v = _even(2 * _COUNT)
    board = np.stack([4 * u, 4 * v], axis=1)
    return board[np.floor(board).sum(axis=1) % 2 == 0], None, ()


def _letters(text: str) -> _Made:
    """The points of a word, evenly within its letters."""
    from matplotlib.font_manager import FontProperties, findfont, get_font
    from matplotlib.path import Path as Outline
    from matplotlib.textpath import TextPath

    if not text.strip() or not text.isprintable() or len(text) > _MOST_LETTERS:
        raise SettingsError(f"{POINTS}{_LETTERS}TEXT takes 1 to {_MOST_LETTERS} characters, such as {_LETTERS}Hi")
    font = FontProperties(family="DejaVu Sans", weight="bold")  # It comes with matplotlib.
    font_file = get_font(findfont(font))
    if lacking := [letter for letter in text if not font_file.get_char_index(ord(letter))]:
        raise SettingsError(
            f"{POINTS}{_LETTERS}{text} has {lacking[0]!r}, which the font (DejaVu Sans) lacks; write other letters"
        )
    shapes = TextPath((0, 0), text.replace("$", r"\$"), size=1, prop=font).to_polygons(closed_only=True)
    corners = np.concatenate([*shapes, np.zeros((0, 2))])
    if not len(corners):
        raise SettingsError(f"{POINTS}{_LETTERS}{text} has no letters to fill with points")
    low, size = corners.min(axis=0), np.ptp(corners, axis=0)
    filled = np.zeros((0, 2))
    tried = 2 * _COUNT
    while len(filled) < _COUNT:
        tried *= 2
        candidates = low + size * np.stack(_even(tried), axis=1)
        inside = np.zeros(tried, bool)
        for shape in shapes:
            inside ^= Outline(shape).contains_points(candidates)  # A hole lies within two outlines.
        filled = candidates[inside][:_COUNT]
    return filled, None, ()


DATA_SETS: dict[str, Callable[[], _Made]] = {
    "spiral": _spiral,
    "two-moons": _two_moons,
    "circles": _circles,
    "checkerboard": _checkerboard,
    "gaussians": _gaussians,
    "swiss-roll": _swiss_roll,
}


def _read_csv(file: Path) -> _Made:
    """The points of a file, read as untrusted input."""
    if not file.is_file():
        raise SettingsError(f"there is no file {file}; a data set of points is a line x,y for each")
    if file.stat().st_size > _MOST_BYTES:
        raise SettingsError(f"{file} has more than {_MOST_BYTES >> 20} MiB; at most {MOST_POINTS} points are read")
    points: list[tuple[float, float]] = []
    labels: list[str] = []
    numbers: list[int] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            lines = csv.reader(text)
            is_first = True
            for fields in lines:
                if not any(field.strip() for field in fields):
                    continue
                if not (is_first and _is_heading(fields, f"{file}, line {lines.line_num}")):
                    x, y, label = _point(fields, f"{file}, line {lines.line_num}")
                    points.append((x, y))
                    labels.append(label)
                    numbers.append(lines.line_num)
                is_first = False
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(
            f"{file} is not a CSV file ({first_line(error)}); give a line x,y for each point"
        ) from error
    return _labelled(file, points, labels, numbers)


def _labelled(file: Path, points: list[tuple[float, float]], labels: list[str], numbers: list[int]) -> _Made:
    if not points:
        raise SettingsError(f"{file} has no points; give a line x,y for each")
    if len(points) > MOST_POINTS:
        raise SettingsError(f"{file} has {len(points)} points; at most {MOST_POINTS} are read: leave some out")
    if not any(labels):
        return np.array(points), None, ()
    if not all(labels):
        raise SettingsError(f"{file}, line {numbers[labels.index('')]} has no class, and other lines have one")
    if NULL_LABEL in labels:
        raise SettingsError(
            f"{file}, line {numbers[labels.index(NULL_LABEL)]} has the class {NULL_LABEL!r}, which means no class; "
            "give it another name"
        )
    names, classes = np.unique(labels, return_inverse=True)
    return np.array(points), classes, tuple(map(str, names))


def _is_heading(fields: list[str], where: str) -> bool:
    """Whether a first line has names.

    Raises:
        SettingsError: one of them is a third coordinate's, whose whole numbers would be taken for classes.
    """
    if len(fields) < 2 or any(map(_is_numeric, fields[:2])):
        return False
    if len(fields) > 2 and fields[2].strip().lower() == "z":
        raise SettingsError(f"{where} has {len(fields)} coordinates; points lie in the plane: x,y, or x,y,class")
    return True


def _is_numeric(field: str) -> bool:
    """Whether it is a number, also one that is no coordinate."""
    try:
        float(field)
    except ValueError:
        return False
    return True


def _number(field: str) -> float | None:
    """A finite number of a size that can be squared; None if it is none."""
    try:
        number = float(field)
    except ValueError:
        return None
    return number if abs(number) < 1e12 else None


def _point(fields: list[str], where: str) -> tuple[float, float, str]:
    """A point and its class, "" without one."""
    label = fields[2].strip() if len(fields) > 2 else ""
    if len(fields) < 2:
        raise SettingsError(f"{where} has {len(fields)} number; a point is x,y, or x,y,class")
    if len(fields) > 3 or (_number(label) is not None and not label.lstrip("+-").isdecimal()):
        raise SettingsError(
            f"{where} has {len(fields)} coordinates; points lie in the plane: x,y, or x,y,class with a word or a whole "
            "number for the class"
        )
    x, y = map(_number, fields[:2])
    if x is None or y is None:
        wrong = fields[0] if x is None else fields[1]
        raise SettingsError(f"{where} has {wrong.strip()[:40]!r} where a finite number is needed; a point is x,y")
    return x, y, label
