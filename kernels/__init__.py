"""How near two candidate networks are, and the covariances built on that: the lowest floor."""
