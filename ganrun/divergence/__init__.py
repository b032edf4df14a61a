"""How far the model is from the data, and how sure we are. Every number here is in nats unless it says otherwise.

A standard error here is of sampling alone: what a classifier does not see is in none of them.

``exact``      the divergence itself, where one density is known and the other can be pushed or sampled densely.
``stack``      a lower bound in expectation from finite samples: classifiers trained and scored on disjoint parts.
``streaming``  the same where both sides can be drawn from without end.
``f_divergences``  the whole family between two known densities on the line: what an f-GAN's value is at its best.
``knn``        an estimate from nearest-neighbour distances, neither an upper nor a lower bound.
``exact_model``  the exact value for a model by whatever way suits it, and the smoothed one where it has no density.
"""
