"""A small world of moving objects, rendered and encoded to real video: it
stands in for the data sets that cannot be shipped."""
