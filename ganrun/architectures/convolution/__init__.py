"""Convolutions as pure functions, in forms that differ in speed: see :mod:`ganrun.architectures.convolution.forms`."""

from ganrun.architectures.convolution.forms import (
    FORMS,
    pooled_convolution,
    resolved_form,
    same_convolution,
    strided_convolution,
    transposed_convolution,
    upsampled_convolution,
)

__all__ = [
    "FORMS",
    "pooled_convolution",
    "resolved_form",
    "same_convolution",
    "strided_convolution",
    "transposed_convolution",
    "upsampled_convolution",
]
