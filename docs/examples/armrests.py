"""A reward of one's own: material on both sides of a chair, at a height."""


def make(height: float = 0.2):
    """Minus the mean distance to the surface where armrests would be; `height` in the frame [-1, 1]^3."""

    def armrests(sdf):  # (batch, 32, 32, 32) signed distances, x first, negative inside
        row = round((height + 1) / 2 * 31)
        return -sdf[:, [7, 24], row - 1 : row + 2, 12:20].mean((1, 2, 3))

    return armrests
