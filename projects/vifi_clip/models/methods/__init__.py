"""One file for each method that is not ViFi-CLIP itself."""
