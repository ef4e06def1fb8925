"""Pictures of architectures, learning curves and latent spaces, as SVG and as text."""
