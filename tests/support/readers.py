"""Finished files, read by others than those who wrote them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from .films import Pixels


def describe(path: Path) -> str:
    """What ffmpeg says about a file."""
    return subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", path], capture_output=True, text=True).stderr


def read_with_ffmpeg(path: Path, width: int, height: int) -> Pixels:
    """uint8 [N, height, width, 3], converted as the file's own tags say."""
    flags = ["-sws_flags", "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"]
    stream = ["-map", "0:1"] if path.suffix == ".avif" else []  # The first one is the picture for a still.
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, *stream, *flags, "-fps_mode", "passthrough"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def frame_count(image: Image.Image) -> int:
    """Pillow's types tell it of no format: not all of them can have more than one."""
    return int(getattr(image, "n_frames", 1))


def read_with_pillow(path: Path) -> tuple[list[Pixels], list[float]]:
    """Every frame, and for how many seconds it is shown."""
    pictures, waits = [], []
    with Image.open(path) as image:
        for number in range(frame_count(image)):
            image.seek(number)
            pictures.append(np.array(image.convert("RGB")))
            waits.append(float(image.info["duration"]) / 1000)
    return pictures, waits


def seek_with_ffmpeg(path: Path, seconds: float, width: int, height: int) -> Pixels:
    """uint8 [height, width, 3]: what a player shows after a jump."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-ss", str(seconds), "-i", path, "-frames:v", "1"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(height, width, 3)
