"""Training runs as data: the recipes and the models that read them."""
