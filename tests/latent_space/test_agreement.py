"""Errors of reconstructions, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrun.latent_space import latent_error
from ganrun.latent_space.agreement import in_words, psnr, relative_error, squared_error

# Rows (0, 0), (2, 4): the mean is (1, 2), the squared distances from it 1, 4, 1, 4, their mean 2.5.
X = np.array([[0.0, 0.0], [2.0, 4.0]])


def test_the_relative_error_is_over_the_variance():
    x_hat = X + np.array([[1.0, 0.0], [0.0, 2.0]])  # squared errors 1, 0, 0, 4: 1.25 on average
    assert squared_error(X, x_hat) == 1.25
    assert relative_error(X, x_hat) == latent_error(X, x_hat) == 0.5


def test_the_mean_of_all_rows_scores_one():
    assert relative_error(X, np.tile(X.mean(axis=0), (2, 1))) == 1.0


@given(st.floats(0.1, 10), st.floats(-5, 5))
def test_the_relative_error_knows_neither_unit_nor_origin(scale, shift):
    x_hat = X + np.array([[0.5, -1.0], [0.0, 2.0]])
    other = relative_error(scale * X + shift, scale * x_hat + shift)
    assert other == pytest.approx(relative_error(X, x_hat), rel=1e-9)


def test_rows_without_variance_have_no_relative_error():
    assert math.isnan(relative_error(np.ones((3, 2)), np.zeros((3, 2))))


def test_arrays_of_other_shapes_are_not_compared():
    with pytest.raises(ValueError, match="compared"):
        squared_error(np.zeros((4, 1)), np.zeros((1, 4)))


def test_psnr_of_a_hundredth_of_the_peak_is_forty_decibels():
    assert psnr(0.02**2) == pytest.approx(40.0)  # an error of 0.02 is a hundredth of the range's width 2
    assert psnr(0.0) == math.inf


def test_what_cannot_be_told_is_left_out():
    assert in_words(X, X + 1.0) == "mean squared error 1, over the examples' variance 0.4"
    image = np.zeros((1, 2, 2, 1))
    assert in_words(image, image + 0.2) == "mean squared error 0.04, PSNR 20.0 dB"
