"""What is left out of a prepared corpus: a look at every document, then one decision over all of them."""
