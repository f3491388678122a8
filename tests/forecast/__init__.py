"""Years of simulated nights, to see how often the forecast's band holds what then comes."""
