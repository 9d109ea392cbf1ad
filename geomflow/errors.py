"""Every error geomflow raises on purpose: one class per cause, one line per message."""


class GeomflowError(Exception):
    """Root of all errors that a user can cause and correct."""


class MeshError(GeomflowError, ValueError):
    """A file or mesh from which no usable surface can be had; the message names the file."""


class MeshMissing(MeshError):
    """There is no file of that name."""


class MeshChanged(MeshError):
    """The file is not the one whose hash was given."""


class MeshUnsupported(MeshError):
    """The file's format is not one that geomflow reads."""


class MeshUnreadable(MeshError):
    """The file cannot be parsed as what its name says it is."""


class MeshTooLarge(MeshError):
    """The file declares more vertices or faces than its size, or the memory limit, allows."""


class MeshEmpty(MeshError):
    """The file is valid and holds neither faces nor points."""


class MeshHasNoFaces(MeshError):
    """A surface was wanted and the file holds only points."""


class MeshHasNoRig(MeshError):
    """A skeleton was wanted and no joint of the file moves its surface."""


class MeshLacksAttribute(MeshError):
    """Normals, colours or labels were wanted that the file does not carry."""


class MeshNotFinite(MeshError):
    """Vertices are NaN or infinite."""


class MeshIndexOutOfRange(MeshError):
    """A face names a vertex that does not exist."""


class MeshDegenerate(MeshError):
    """The surface has no extent or no area (as an undecoded Draco mesh has)."""


class EmptySurface(GeomflowError, ValueError):
    """A field has no zero level inside its box, so there is nothing to extract."""


class ConditionError(GeomflowError, ValueError):
    """A model is asked for a class it does not know, or to complete points that are none."""


class CheckpointError(GeomflowError):
    """A checkpoint is missing, truncated, of another kind, or from a newer format."""


class ConfigError(GeomflowError, ValueError):
    """A configuration names an unknown key, item or value; the message lists the known ones."""


class RecordError(GeomflowError, ValueError):
    """A shape record or a dataset folder is missing, truncated or of another schema."""


class EvaluationError(GeomflowError, ValueError):
    """What was given to evaluate does not fit the protocol, or two results are of different ones."""


class TrainingError(GeomflowError):
    """Training cannot go on; the message says at which step and what to resume from."""


class LibraryMissing(GeomflowError, ImportError):
    """An optional library is wanted that is not installed; the message says how to install it."""


class DiskFull(GeomflowError):
    """What is to be written is larger than the free space; nothing was computed yet."""


class RewardError(GeomflowError, ValueError):
    """A reward returned no finite number for each sample, or has no gradient where one is needed."""
