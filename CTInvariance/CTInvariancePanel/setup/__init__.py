"""What has to be there before anything can be done: packages and model sets."""
