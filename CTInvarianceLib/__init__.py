"""CTInvariance: what a CT denoising network ignores."""
