"""Divergences between data and model, with uncertainties, in nats unless stated otherwise.

Standard errors cover sampling only: they do not include differences that a classifier fails to detect.

``exact``  the divergence itself, where one density is known and the other can be integrated over or sampled densely;
    the smoothed divergence for a model without a density; f-divergences between known densities on the line.
``classifier.stack``  a lower bound in expectation from finite samples: classifiers scored on folds held out from them.
``classifier.streaming``  the same for two distributions that can be sampled without limit.
``knn``  an estimate from nearest-neighbour distances, neither an upper nor a lower bound.
"""
