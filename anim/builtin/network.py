"""The built-in model's network and schedule, and the directory that they are stored in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import load_file

from ..errors import ModelError, first_line
from ..whole import whole_folder, writing
from .files import write_whole

_library: Any = diffusers  # Its classes have no types.

HISTORY = "training.json"
"""The file in a model's directory that says how it was trained."""
TRAIN_TIMESTEPS = 1000
CHANNELS = (32, 64, 128, 288)
"""Feature channels at each resolution, from the finest: 19 million parameters."""
CLASS_EMBEDDING = "class_embedding.weight"
MOST_LOSSES = 400
"""Maximum number of points of a stored loss curve."""


def make_network(classes: int, *, sample_size: int = 64, channels: Sequence[int] = CHANNELS) -> Any:
    """A class-conditional U-Net with attention at the two coarsest resolutions.

    Wide coarse levels hold most of the capacity and take little time; a narrow fine level keeps it fast on a laptop.

    Args:
        classes: their number, including the one for "no class".
        sample_size: pixels per side.
        channels: at each resolution, from the finest.
    """
    attention = [level >= len(channels) - 2 for level in range(len(channels))]
    return _library.UNet2DModel(
        sample_size=sample_size,
        block_out_channels=tuple(channels),
        layers_per_block=2,
        norm_num_groups=min(16, channels[0]),
        attention_head_dim=min(32, channels[-2]),
        down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
        up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
        num_class_embeds=classes,
        resnet_time_scale_shift="scale_shift",  # Time and class scale the features, which steers better than adding.
    )


def make_scheduler() -> Any:
    """DDPM's linear schedule (Ho et al. 2020); v-prediction (Salimans & Ho 2022), whose x̂0 = a·x − b·v is bounded.

    So x̂0 needs no clipping, which would do harm: on a white background, which is at the bound, it would keep only
    errors that are too dark, and with guidance the parts clipped at each step would add up to a texture.
    """
    return _library.DDIMScheduler(
        num_train_timesteps=TRAIN_TIMESTEPS,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        prediction_type="v_prediction",
        clip_sample=False,
    )


@dataclass
class Session:
    """A stretch of training on one machine."""

    device: str
    """The name of the card or processor."""
    devices: int
    """How many of them were used together."""
    batch: int
    """Pictures per step, over all of them."""
    steps: int = 0
    seconds: float = 0.0
    no_class: float = 0.2
    """How often a picture's class was withheld; the default applies to sessions that did not record it."""


@dataclass
class History:
    """How a model was trained, over all its sessions."""

    sessions: list[Session] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)
    """The total number of steps, and the mean loss since the previous entry."""
    pictures: dict[str, int] = field(default_factory=dict)
    """The number of training pictures in each class."""

    @property
    def steps(self) -> int:
        """Steps of all sessions."""
        return sum(session.steps for session in self.sessions)

    @property
    def samples(self) -> int:
        """Pictures seen in all sessions, counting repeats."""
        return sum(session.steps * session.batch for session in self.sessions)

    @property
    def device_hours(self) -> float:
        """Hours, summed over devices."""
        return sum(session.seconds * session.devices for session in self.sessions) / 3600

    def add_loss(self, loss: float) -> None:
        """Store the loss of the current step. When there are too many, each two are replaced by their mean."""
        self.losses.append((self.steps, loss))
        if len(self.losses) > MOST_LOSSES:
            pairs = zip(self.losses[::2], self.losses[1::2], strict=False)
            self.losses = [(later[0], (earlier[1] + later[1]) / 2) for earlier, later in pairs]

    def to_json(self) -> str:
        """JSON for `from_json`."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> History:
        """Read back what `to_json` wrote."""
        found = json.loads(text)
        sessions = [Session(**session) for session in found["sessions"]]
        return cls(sessions, [(int(step), float(loss)) for step, loss in found["losses"]], found["pictures"])


def network_of(weights: dict[str, torch.Tensor], config: Any) -> Any:
    """A network with a given configuration and weights, ready to sample."""
    network: Any = _library.UNet2DModel(**{name: value for name, value in config.items() if not name.startswith("_")})
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def save_model(
    folder: Path, weights: dict[str, torch.Tensor], config: Any, labels: Sequence[str], history: History
) -> None:
    """Write a pipeline directory in half precision; an old one is replaced once the new one is complete.

    Raises:
        OutputError: it cannot be written.
    """
    network = network_of(weights, config)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(folder) as beginning:
            _library.DDIMPipeline(network.half(), make_scheduler()).save_pretrained(beginning)
            write_whole(beginning / "labels.json", (json.dumps(list(labels), indent=0) + "\n").encode())
            write_whole(beginning / HISTORY, history.to_json().encode())


def load_weights(folder: Path, network: Any, labels: Sequence[str]) -> History:
    """Load a directory that `save_model` wrote: puts its weights into ``network`` and returns its history.

    Classes are matched by name; one that the older model lacks starts as "no class".

    Args:
        folder: the directory.
        network: has the same shape, except for the number of classes.
        labels: its classes; the last one stands for "no class".

    Raises:
        ModelError: it is not such a directory, or its network has another shape.
    """
    try:
        weights = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
        known = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        rows = [known.index(label) if label in known else len(known) - 1 for label in labels]
        weights[CLASS_EMBEDDING] = weights[CLASS_EMBEDDING][rows]
        network.load_state_dict(weights)
        return History.from_json((folder / HISTORY).read_text(encoding="utf-8"))
    except (OSError, KeyError, ValueError, RuntimeError, IndexError) as error:
        raise ModelError(
            f"training cannot continue from {folder}: {first_line(error)}; leave out --from to start from scratch"
        ) from error
