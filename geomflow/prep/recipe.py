"""The recipe: every option that decides what a shape record holds."""

import hashlib
import json
from dataclasses import asdict, dataclass

from geomflow.errors import ConfigError
from geomflow.geometry.frame import Frame


@dataclass(frozen=True)
class Recipe:
    """How a mesh becomes a record; equal recipes and meshes give equal bytes.

    Attributes:
        frame: Unit frame, `box` or `sphere`.
        margin: Half extent (or radius) of the shape in that frame.
        resolution: Samples per axis of the grid of signed distances; 0 leaves the grid out.
        band: Distance at which the grid's values are cut off.
        surface_points: Number of points on the surface.
        volume_points: Number of points in the cube.
        near_points: Number of points near the surface.
        near_sigma: Standard deviations of the near points' offsets, shared out evenly.
        sharp_points: Number of points on sharp edges; a shape without any has none.
        internal_walls: Whether faces buried inside the solid count as surface.
        clouds: Whether files that hold only points become records of points; else they fail.
        rig: Whether joints and weights are kept; files without a rig then fail.
        seed: Seed of the sampling, mixed with the mesh file's hash.
    """

    frame: Frame = "box"
    margin: float = 0.95
    resolution: int = 64
    band: float = 0.2
    surface_points: int = 20_000
    volume_points: int = 20_000
    near_points: int = 20_000
    near_sigma: tuple[float, ...] = (0.005, 0.02, 0.06)
    sharp_points: int = 10_000
    internal_walls: bool = False
    clouds: bool = False
    rig: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no mesh could be prepared with.

        Raises:
            ConfigError: An option is out of its range.
        """
        counts = (self.surface_points, self.volume_points, self.near_points, self.sharp_points, self.seed)
        rules = {
            f"frame must be box or sphere, not {self.frame!r}": self.frame in ("box", "sphere"),
            f"margin must be in (0, 1], not {self.margin}": 0 < self.margin <= 1,
            f"resolution must be 0 or at least 2, not {self.resolution}": self.resolution == 0 or self.resolution >= 2,
            f"band must be positive, not {self.band}": self.band > 0,
            f"numbers of points and the seed must be at least 0, not {min(counts)}": min(counts) >= 0,
            f"near_sigma must be positive numbers, not {self.near_sigma}": min(self.near_sigma, default=0) > 0,
        }
        for complaint, fulfilled in rules.items():
            if not fulfilled:
                raise ConfigError(complaint)

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that differ whenever an option does."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]
