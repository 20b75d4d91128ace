"""What an app gets: artifact, manifest, golden images and model card, and how they are checked."""
