"""What is deployed beside the code: images, manifests, generated files."""
