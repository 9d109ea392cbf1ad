"""Rotations of space, SO(3): matrices of determinant 1, written as their nine numbers, row by row.

A rotation is one matrix, so that any network can read it: unit quaternions come in pairs q, -q, and a network would
have to be told that both mean the same. A tangent vector at R is R W with a skew W; the vector w that W crosses with is
an angular velocity in the frame that R turns. The metric is the bi-invariant one in which a vector's length is an
angle, |R W| = |w|, whose square is half of that of the nine numbers. exp is Rodrigues' formula, and the cut locus of R
is all that is half a turn away.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from geomflow.flow.manifold import Manifold, Points, check_coordinates
from geomflow.manifolds._series import arc_ratio, sine_ratio

Matrices = Float[Tensor, "*batch 3 3"]
Vectors = Float[Tensor, "*batch 3"]


@dataclass(frozen=True)
class Rotations:
    """Rotation matrices as nine numbers.

    Attributes:
        coordinates: numbers per rotation, nine.
    """

    coordinates: int = 9

    def project(self, x: Points) -> Points:
        """Return the rotation nearest to a matrix; Gaussian matrices become uniform (Haar) rotations.

        Its derivative is that of the nearest rotation, at rotations too, where that of a decomposition is no number.

        Raises:
            ValueError: another number of coordinates than nine.
        """
        check_coordinates(self, x, "x")
        return _nearest(x.unflatten(-1, (3, 3))).flatten(-2)

    def defect(self, x: Points) -> Float[Tensor, "*batch"]:
        """Return |R^T R - 1| + |det R - 1|, of which the second is 2 for a reflection."""
        stretched = _turned_back(x, x) - torch.eye(3, dtype=x.dtype, device=x.device)
        return stretched.norm(dim=(-2, -1)) + (torch.linalg.det(x.unflatten(-1, (3, 3))) - 1).abs()

    def tangent(self, x: Points, v: Points) -> Points:
        """Return R times the skew part of R^T V."""
        return self._velocity(x, self.angular_velocity(x, v))

    def exp(self, x: Points, v: Points) -> Points:
        """Return R turned on by the rotation vector of v."""
        return (_straightened(x.unflatten(-1, (3, 3)) @ rotation(self.angular_velocity(x, v)))).flatten(-2)

    def log(self, x: Points, y: Points) -> Points:
        """Return R W with the rotation vector from R to the other; half a turn away, one of both."""
        return self._velocity(x, rotation_vector(_turn(x, y)))

    def distance(self, x: Points, y: Points) -> Float[Tensor, "*batch"]:
        """Return the angle of the rotation from one to the other, in [0, pi], by its sine and cosine."""
        turn = _turn(x, y)
        return torch.atan2(_vector(turn).norm(dim=-1), (_trace(turn) - 1) / 2)

    def log_shell(self, angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return the logarithm of sin(angle / 2)^2, the density of uniform (Haar) rotations' distances up to a factor.

        Args:
            angle: distances, in radians.
        """
        return 2 * (angle / 2).sin().log()

    def angular_velocity(self, x: Points, v: Points) -> Vectors:
        """Return the vector w of the skew part of R^T V.

        Args:
            x: rotations R.
            v: tangent vectors V at them, or any matrices.
        """
        return _vector(_turned_back(x, v))

    def _velocity(self, x: Points, w: Vectors) -> Points:
        """R W."""
        return (x.unflatten(-1, (3, 3)) @ skew(w)).flatten(-2)


def make() -> Manifold:
    """Rotations of space."""
    return Rotations()


def skew(w: Vectors) -> Matrices:
    """Return the matrix that crosses with w.

    Args:
        w: vectors, such as angular velocities.
    """
    a, b, c = w.unbind(-1)
    zero = torch.zeros_like(a)
    return torch.stack([zero, -c, b, c, zero, -a, -b, a, zero], dim=-1).unflatten(-1, (3, 3))


def rotation(w: Vectors) -> Matrices:
    """Return the rotation about w by the angle |w|, by Rodrigues' formula 1 + sin a / a W + (1 - cos a) / a^2 W^2.

    Args:
        w: rotation vectors: axis times angle.
    """
    square, W = w.square().sum(-1)[..., None, None], skew(w)
    half = sine_ratio(square / 4)
    return torch.eye(3, dtype=w.dtype, device=w.device) + sine_ratio(square) * W + half.square() / 2 * W @ W


def rotation_vector(matrices: Matrices) -> Vectors:
    """Return axis times angle in [0, pi].

    Up to a right angle the axis is in the skew part; beyond, where that vanishes again, in the symmetric part, which is
    cos a + (1 - cos a) axis axis^T, and the skew part has its sign.

    Args:
        matrices: rotations.
    """
    cos, turning = (_trace(matrices)[..., None] - 1) / 2, _vector(matrices)
    square = turning.square().sum(-1, keepdim=True)
    return torch.where(cos > 0, arc_ratio(torch.where(cos > 0, square, 0.5), cos) * turning, _wide(matrices, cos))


def _wide(matrices: Matrices, cos: Float[Tensor, "*batch 1"]) -> Vectors:
    """The rotation vector beyond a right angle."""
    cos = cos.clamp(max=0.5)
    outer = (matrices + matrices.mT) / 2 - cos[..., None] * torch.eye(3, dtype=cos.dtype, device=cos.device)
    most = outer.diagonal(dim1=-2, dim2=-1).argmax(-1, keepdim=True)
    axis = F.normalize(outer.gather(-1, most[..., None, :].expand_as(outer)[..., :1])[..., 0], dim=-1)
    sine = (axis * _vector(matrices)).sum(-1, keepdim=True)
    return torch.where(sine < 0, -axis, axis) * torch.atan2(sine.abs(), cos)


def _nearest(matrices: Matrices) -> Matrices:
    """The rotations R of matrices M = R S with symmetric S, from a decomposition that is held constant.

    Its derivatives are no numbers where singular values are equal, as those of rotations are. R itself turns by the
    vector w of (tr S - S) w = 2 c, where c is that of the skew part of R^T dM; the last line turns it by w, which is 0.
    """
    fixed = matrices.detach()
    u, sizes, vh = torch.linalg.svd(fixed)
    turn = torch.linalg.det(u @ vh)[..., None]
    signs = torch.cat([torch.ones_like(sizes[..., :2]), turn], dim=-1)
    nearest, sizes = (u * signs[..., None, :]) @ vh, sizes * signs
    across = vh @ (2 * _vector(nearest.mT @ (matrices - fixed)))[..., None]
    room = (sizes.sum(-1, keepdim=True) - sizes).clamp(min=1e-12)[..., None]
    return nearest @ rotation((vh.mT @ (across / room))[..., 0])


def _turned_back(x: Points, v: Points) -> Matrices:
    """R^T V."""
    return x.unflatten(-1, (3, 3)).mT @ v.unflatten(-1, (3, 3))


def _turn(x: Points, y: Points) -> Matrices:
    """R^T S as 1 + R^T (S - R), whose skew part loses no digits where both are close."""
    return torch.eye(3, dtype=x.dtype, device=x.device) + _turned_back(x, y - x)


def _vector(matrices: Matrices) -> Vectors:
    """The vector of the skew part."""
    half = (matrices - matrices.mT) / 2
    return torch.stack([half[..., 2, 1], half[..., 0, 2], half[..., 1, 0]], dim=-1)


def _trace(matrices: Matrices) -> Float[Tensor, "*batch"]:
    return matrices.diagonal(dim1=-2, dim2=-1).sum(-1)


def _straightened(matrices: Matrices) -> Matrices:
    """A matrix with rounding errors made orthogonal again by one step of Newton's iteration, R (3 - R^T R) / 2."""
    return 1.5 * matrices - 0.5 * matrices @ (matrices.mT @ matrices)
