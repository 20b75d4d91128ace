"""A dataset made of anyone's photographs, edited as the Image Similarity Challenge does."""
